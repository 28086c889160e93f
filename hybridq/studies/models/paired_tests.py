"""Paired tests of every model of a study against its main one, on the same images with the same seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from hybridq.errors import UserError
from hybridq.statistics.bootstrap import draw, group_codes, weighted_auc
from hybridq.statistics.intervals import newcombe
from hybridq.statistics.significance import LEVEL, Difference, holm, mcnemar, paired_delong, two_level
from hybridq.statistics.tasks import Task, task_named
from hybridq.studies.models.config import Study
from hybridq.studies.models.store import Results
from hybridq.typing import FloatArray, IntArray, Progress

RESAMPLES = 1000
"""A standard error from so many resamples is known to 2 %."""


@dataclass(frozen=True)
class Setting:
    """What models are compared under: a data set, a share of its labels, and a backend."""

    data: str
    label_fraction: float
    backend: str
    kind: str
    """Of the backend, such as ``simulated device``."""

    def __str__(self) -> str:
        share = "" if self.label_fraction == 1 else f", {self.label_fraction:.3g} of the labels"
        return f"{self.data}{share}, {self.backend} ({self.kind})"


@dataclass(frozen=True)
class SingleSeed:
    """One training of a model beside the main model's with the same seed; other trainings may say otherwise."""

    seed: int
    auc_difference: float
    p_delong: float | None
    """None where AUC is a mean over several classes or labels."""
    right_only: int
    """Images that this model decides rightly and the main model wrongly."""
    wrong_only: int
    p_mcnemar: float


@dataclass(frozen=True)
class PairedTest:
    """A model against the main one in one setting; differences are AUC of the model − AUC of the main one."""

    setting: Setting
    model: str
    main: str
    difference: Difference
    p: float
    """Corrected for the number of models in this setting (Holm)."""
    margin: float | None
    p_equivalence: float | None
    """Corrected likewise; None where the study states no margin."""
    images: int
    groups: int | None
    """None where every image stands alone."""
    singles: tuple[SingleSeed, ...]

    @property
    def seeds(self) -> int:
        return len(self.singles)

    @property
    def verdict(self) -> str:
        """``higher``, ``lower`` or ``no difference shown``, and ``equivalent`` where that is shown."""
        differs = self.p < LEVEL
        equivalent = self.p_equivalence is not None and self.p_equivalence < LEVEL
        side = "higher" if self.difference.value > 0 else "lower"
        if equivalent:
            return (
                f"{side}, but equivalent within ±{self.margin:g}" if differs else f"equivalent within ±{self.margin:g}"
            )
        return side if differs else "no difference shown"


def settings_of(study: Study, results: Results) -> list[Setting]:
    """Those with a finished cell, in the order of the study."""
    keys = ["data", "label_fraction", "backend", "kind"]
    present = [Setting(*row) for row in results.cells[keys].drop_duplicates().itertuples(index=False, name=None)]
    data, fractions = list(study.data), study.label_fractions
    return sorted(present, key=lambda found: (data.index(found.data), fractions.index(found.label_fraction)))


def cells_in(results: Results, setting: Setting) -> pd.DataFrame:
    """Rows of cells.csv in a setting; models without a circuit give the same on every backend and are in each."""
    cells = results.cells[
        (results.cells["data"] == setting.data) & (results.cells["label_fraction"] == setting.label_fraction)
    ]
    here = cells["backend"] == setting.backend
    elsewhere = ~cells["circuit"].astype(bool) & ~cells["cell"].isin(cells.loc[here, "cell"])
    return pd.concat([cells[here], cells[elsewhere].drop_duplicates("cell")])


def compare_models(study: Study, results: Results, *, progress: Progress) -> list[PairedTest]:
    """Tests in every setting, of the models that share a seed with the main one.

    There are none where predictions are missing, or all images of one group.

    Raises :class:`UserError` where two cells that are to be paired were evaluated on different images.
    """
    tests: list[PairedTest] = []
    settings = settings_of(study, results)
    predicted = {data: results.predicted(data) for data in study.data}
    for done, setting in enumerate(settings, 1):
        tests += _tests_in(study, setting, cells_in(results, setting), predicted[setting.data])
        progress("testing", done, len(settings))
    return tests


def _tests_in(
    study: Study, setting: Setting, cells: pd.DataFrame, predicted: dict[tuple[str, str], pd.DataFrame]
) -> list[PairedTest]:
    rows = [row for row in cells.to_dict("records") if (row["cell"], row["backend"]) in predicted]
    if not rows:
        return []
    task = task_named(str(rows[0]["task"]))
    tables = {(row["model"], int(row["seed"])): predicted[row["cell"], row["backend"]] for row in rows}
    mains = {seed: table for (model, seed), table in tables.items() if model == study.reference}
    tables = {key: table for key, table in tables.items() if key[1] in mains}
    for (model, seed), table in tables.items():
        if set(table["id"]) != set(mains[seed]["id"]):
            raise UserError(f"{model} and {study.reference}, {setting}, seed {seed}: evaluated on different images")
    if not mains:
        return []
    images = ResampledImages(task, list(mains.values()))
    if images.units < 2:
        return []
    aucs = {key: images.aucs(table) for key, table in tables.items()}
    tests = []
    for model in study.compared:
        seeds = [seed for name, seed in tables if name == model and model != study.reference]
        if not seeds:
            continue
        changes = [aucs[model, seed] - aucs[study.reference, seed] for seed in seeds]
        resampled = np.stack(changes, axis=1)
        difference = two_level(resampled[0], resampled[1:], images.units, images.limit)
        margin = study.equivalence_margin
        tests.append(
            PairedTest(
                setting,
                model,
                study.reference,
                difference,
                difference.p,
                margin,
                None if margin is None else difference.p_equivalence(margin),
                len(images.table),
                None if images.codes is None else images.units,
                tuple(_single(task, seed, tables[model, seed], mains[seed]) for seed in seeds),
            )
        )
    return list(_corrected(tests))


def _corrected(tests: Sequence[PairedTest]) -> Iterator[PairedTest]:
    differing = holm([test.p for test in tests])
    equivalent = holm([test.p_equivalence for test in tests if test.p_equivalence is not None])
    for index, test in enumerate(tests):
        yield replace(test, p=differing[index], p_equivalence=equivalent[index] if equivalent else None)


class ResampledImages:
    """All test images of a setting, and how often each is in every resample, the same for all models and seeds."""

    def __init__(self, task: Task, tables: Sequence[pd.DataFrame]) -> None:
        self.task = task
        self.table = pd.concat(tables).drop_duplicates("id").reset_index(drop=True)
        truth, _, probabilities = task.read(self.table)
        self.codes = group_codes(self.table["group"].astype(str), len(self.table))
        own = np.arange(len(self.table)) if self.codes is None else self.codes
        self.units = len(np.unique(own))
        against = task.against_rest(truth, probabilities)
        sides = [(len(np.unique(own[positive])), len(np.unique(own[~positive]))) for positive, _ in against]
        self.limit = 1 - newcombe(1.0, *min(sides, key=min))[0]
        self._strata = task.strata(truth)
        self._row = {name: row for row, name in enumerate(self.table["id"])}

    def aucs(self, table: pd.DataFrame) -> FloatArray:
        """AUC (1 + RESAMPLES,): of the images as they are, then of each resample.

        A class that a resample lacks keeps the value that it has on all images.
        """
        truth, _, probabilities = self.task.read(table)
        rows = np.array([self._row[name] for name in table["id"]])
        columns = []
        for positive, scores in self.task.against_rest(truth, probabilities):
            own = weighted_auc(positive, scores, np.ones((1, len(rows))))
            with np.errstate(invalid="ignore"):
                pieces = [weighted_auc(positive, scores, weights[:, rows]) for weights in self.weights()]
            column = np.concatenate([own, *pieces])
            columns.append(np.where(np.isfinite(column), column, own))
        return np.mean(columns, axis=0)

    def weights(self) -> Iterator[FloatArray]:
        """Pieces of shape (b, N): how often each image of ``table`` is in each resample."""
        return draw(self._strata, self.codes, seed=0, resamples=RESAMPLES)


def _single(task: Task, seed: int, table: pd.DataFrame, main: pd.DataFrame) -> SingleSeed:
    first, second = (part.sort_values("id", key=lambda ids: ids.astype(str)) for part in (table, main))
    truth, decided, probabilities = task.read(first)
    _, other_decided, other_probabilities = task.read(second)
    ours, theirs = task.against_rest(truth, probabilities), task.against_rest(truth, other_probabilities)
    pairs = [
        paired_delong(positive, scores, others) for (positive, scores), (_, others) in zip(ours, theirs, strict=True)
    ]
    right, other_right = _right(truth, decided), _right(truth, other_decided)
    right_only, wrong_only, p_mcnemar = mcnemar(right, other_right)
    return SingleSeed(
        seed=seed,
        auc_difference=float(np.mean([value for value, _ in pairs])),
        p_delong=pairs[0][1] if len(pairs) == 1 else None,
        right_only=right_only,
        wrong_only=wrong_only,
        p_mcnemar=p_mcnemar,
    )


def _right(truth: IntArray, decided: IntArray) -> np.ndarray:
    """(N,): whether the image's class, or all its labels, are decided rightly."""
    same = truth == decided
    return same if same.ndim == 1 else same.all(axis=1)
