"""The tables of a study: one a data set, share of labels and backend, each ending with what its tests show."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from hybridq.statistics.significance import LEVEL, interval_over_seeds
from hybridq.statistics.tasks import task_named
from hybridq.studies.models.config import Study
from hybridq.studies.models.paired_tests import PairedTest, Setting, cells_in, settings_of
from hybridq.studies.models.store import Results

OVER_SEEDS = "t over seeds"
OF_ONE = "one seed: over images"
COSTS = ("parameters", "multiply_adds", "training_seconds", "seconds_per_epoch")
UNKNOWN = "–"
Part = list[list[str]]
"""Rows of cells to be shown; the first row names the columns."""


@dataclass(frozen=True)
class SettingTable:
    """Every model in one setting."""

    setting: Setting
    rows: tuple[dict[str, Any], ...]
    """One a model, as in :func:`frame`."""
    tests: tuple[PairedTest, ...]
    metrics: tuple[str, ...]
    main: str
    notes: tuple[str, ...]
    """What has to be said of the numbers, a sentence each."""
    conclusion: str
    """One sentence on what is and is not shown."""

    def metric_part(self) -> Part:
        """Mean ± half the 95 % interval of each metric."""
        head = ["model", "seeds", *(metric.replace("_", " ") for metric in self.metrics)]
        return [
            head,
            *([row["model"], str(row["seeds"]), *(_metric(row, m) for m in self.metrics)] for row in self.rows),
        ]

    def cost_part(self) -> Part:
        """Parameters, multiply-adds, training time and its ratio to the main model's."""
        head = ["model", "parameters", "multiply-adds", "training s", "s an epoch", f"time / {self.main}"]
        return [head, *(_costs(row) for row in self.rows)]

    def test_part(self) -> Part:
        """Change of AUC against the main model; DeLong and McNemar as the number of seeds below 5 %."""
        margin = any(test.margin is not None for test in self.tests)
        head = ["model", "change of AUC", "95 % interval", "p (Holm)", *(["p (TOST, Holm)"] if margin else [])]
        head += ["DeLong", "McNemar", "verdict"]
        return [head, *(_test(test) for test in self.tests)]


def study_tables(study: Study, results: Results, tests: Sequence[PairedTest]) -> list[SettingTable]:
    """In the order of the study; settings without a finished cell have none."""
    return [_table(study, results, setting, tests) for setting in settings_of(study, results)]


def frame(tables: Sequence[SettingTable]) -> pd.DataFrame:
    """Tidy, a row a setting and model: each metric with its interval, costs, and the test against the main model.

    ``interval`` says what the intervals of the metrics are; those of changes are over seeds and groups.
    """
    return pd.DataFrame([row for table in tables for row in table.rows])


def single_seeds(tests: Sequence[PairedTest]) -> pd.DataFrame:
    """A row a setting, model and seed: paired DeLong and exact McNemar, which hold for these trainings alone."""
    return pd.DataFrame(
        [
            {**vars(test.setting), "model": test.model, "main": test.main, **vars(single)}
            for test in tests
            for single in test.singles
        ]
    )


def _table(study: Study, results: Results, setting: Setting, tests: Sequence[PairedTest]) -> SettingTable:
    cells = cells_in(results, setting)
    metrics = task_named(str(cells["task"].iloc[0])).metrics
    here = {test.model: test for test in tests if test.setting == setting}
    main_seconds = cells.loc[cells["model"] == study.reference, "training_seconds"].mean()
    rows = []
    for model in study.compared:
        own = cells[cells["model"] == model]
        if len(own):
            ratio = {"training_ratio": float(own["training_seconds"].mean() / main_seconds)}
            rows.append({**vars(setting), **_summary(model, own, metrics), **ratio, **_tested(here.get(model))})
    found = tuple(here[model] for model in study.compared if model in here)
    notes = _notes(study, setting, cells, rows)
    conclusion = _conclusion(study, setting, cells, rows, found)
    return SettingTable(setting, tuple(rows), found, metrics, study.reference, notes, conclusion)


def _summary(model: str, cells: pd.DataFrame, metrics: Sequence[str]) -> dict[str, Any]:
    alone = len(cells) == 1
    row: dict[str, Any] = {"model": model, "seeds": len(cells), "interval": OF_ONE if alone else OVER_SEEDS}
    for metric in metrics:
        if alone:
            value, low, high = (float(cells[f"{metric}{end}"].iloc[0]) for end in ("", "_low", "_high"))
        else:
            value, reach = interval_over_seeds(cells[metric])
            low, high = value - reach, value + reach
        row |= {metric: value, f"{metric}_low": low, f"{metric}_high": high}
    return row | {cost: float(cells[cost].astype(float).mean()) for cost in COSTS}


def _tested(test: PairedTest | None) -> dict[str, Any]:
    if test is None:
        return {}
    change, reach = test.difference.value, test.difference.reach
    return {
        "auc_change": change,
        "auc_change_low": change - reach,
        "auc_change_high": change + reach,
        "p_uncorrected": test.difference.p,
        "p": test.p,
        "p_equivalence": test.p_equivalence,
        "paired_seeds": test.seeds,
        "images": test.images,
        "groups": test.groups,
        "verdict": test.verdict,
    }


def _notes(study: Study, setting: Setting, cells: pd.DataFrame, rows: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    notes = []
    classes = json.loads(str(cells["classes"].iloc[0]))
    if cells["task"].iloc[0] == "binary" and len(classes) == 2:
        notes.append(f"The positive class is {classes[1]}: sensitivity is of it, specificity of {classes[0]}.")
    if study.allow_leaks:
        notes.append("The splits may leak (allow_leaks): hybridq data audit says how.")
    elsewhere = sorted(set(cells.loc[cells["backend"] != setting.backend, "model"]))
    if elsewhere:
        notes.append(f"No circuit, and so the same on every backend: {', '.join(elsewhere)}.")
    single = [row["model"] for row in rows if row["seeds"] == 1]
    if single:
        notes.append(
            f"One seed only ({', '.join(single)}): its interval is over images, and says nothing of other trainings."
        )
    wanted = len(study.seeds)
    missing = [f"{row['model']} ({wanted - row['seeds']} of {wanted})" for row in rows if row["seeds"] < wanted]
    absent = [f"{model} (all)" for model in study.compared if model not in {row["model"] for row in rows}]
    if missing or absent:
        notes.append(f"Seeds that are missing: {', '.join([*missing, *absent])}.")
    return tuple(notes)


def _conclusion(
    study: Study, setting: Setting, cells: pd.DataFrame, rows: Sequence[dict[str, Any]], tests: Sequence[PairedTest]
) -> str:
    """One sentence, from the tests alone."""
    where, main = f"{setting}: ", study.reference
    if len(study.compared) == 1:
        return f"{where}nothing is shown about {main}, which stands alone."
    if not tests and main not in set(cells["model"]):
        return f"{where}nothing is tested, since {main}, against which models are tested, has no finished cell."
    if not tests and len(rows) == 1:
        return f"{where}nothing is tested, since no model beside {main} has a finished cell."
    if not tests:
        lack = f"predictions of {main} and another model with one seed and two groups"
        return f"{where}nothing is tested, for want of {lack}."
    return f"{where}{_shown(main, tests)}."


def _shown(main: str, tests: Sequence[PairedTest]) -> str:
    """Models with the same result together."""
    found: dict[str, list[str]] = {}
    alike = len(tests) > 1 and len({test.seeds for test in tests}) == 1
    for test in tests:
        by, p = f"by {abs(test.difference.value):.3f}", f"p {equals(test.p)}"
        differs, side = test.p < LEVEL, "higher" if test.difference.value > 0 else "lower"
        if test.p_equivalence is not None and test.p_equivalence < LEVEL:
            result = f"AUC equivalent to that of {main} within ±{test.margin:g} for"
            tost = f"TOST p {equals(test.p_equivalence)}"
            numbers = f"{tost}, though {side} {by}, {p}" if differs else tost
        elif differs:
            result, numbers = f"AUC {side} than that of {main} for", f"{by}, {p}"
        else:
            result, numbers = f"no difference from {main} shown for", p
        size = "" if alike else f", n = {_seeds(test.seeds)}"
        found.setdefault(result, []).append(f"{test.model} ({numbers}{size})")
    shown = "; ".join(f"{result} {', '.join(models)}" for result, models in found.items())
    if alike:
        shown += f"; n = {_seeds(tests[0].seeds)}"
    alone = all(test.seeds == 1 for test in tests)
    return f"{shown}; this holds for one training each, and other seeds may differ" if alone else shown


def _seeds(number: int) -> str:
    return f"{number} seed{'s' if number > 1 else ''}"


def _metric(row: dict[str, Any], metric: str) -> str:
    value, low, high = row[metric], row[f"{metric}_low"], row[f"{metric}_high"]
    if row["interval"] == OVER_SEEDS:
        return f"{value:.3f} ± {high - value:.3f}"
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _costs(row: dict[str, Any]) -> list[str]:
    adds, ratio = row["multiply_adds"], row["training_ratio"]
    return [
        row["model"],
        f"{row['parameters']:,.0f}",
        UNKNOWN if pd.isna(adds) else count(adds),
        seconds(row["training_seconds"]),
        seconds(row["seconds_per_epoch"]),
        UNKNOWN if pd.isna(ratio) else f"{ratio:.2f}",
    ]


def _test(test: PairedTest) -> list[str]:
    change, reach = test.difference.value, test.difference.reach
    delong = [single.p_delong for single in test.singles if single.p_delong is not None]
    below = sum(p < LEVEL for p in delong)
    equivalence = [] if test.p_equivalence is None else [probability(test.p_equivalence)]
    return [
        test.model,
        signed(change),
        f"{signed(change - reach)} … {signed(change + reach)}",
        probability(test.p),
        *equivalence,
        f"{below} of {len(delong)}" if delong else UNKNOWN,
        f"{sum(single.p_mcnemar < LEVEL for single in test.singles)} of {test.seeds}",
        test.verdict,
    ]


def signed(value: float) -> str:
    """Three decimals with a sign."""
    return f"{value:+.3f}".replace("-", "−")


def probability(p: float) -> str:
    """Two digits, or that it is below one in a thousand."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def equals(p: float) -> str:
    """For a sentence: ``= 0.41`` or ``< 0.001``."""
    return probability(p) if p < 0.001 else f"= {probability(p)}"


def seconds(duration: float) -> str:
    """Two digits below ten seconds, whole seconds above."""
    return f"{duration:,.0f}" if duration >= 10 else f"{duration:.2g}"


def count(number: float) -> str:
    """A large number with its unit: 12.3 M."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.0f}"
