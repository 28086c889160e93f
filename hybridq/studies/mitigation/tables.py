"""mitigation.csv: a row a method with its cost, its errors of ⟨Z⟩, and what its decisions are worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from hybridq.results.selection import Selection
from hybridq.statistics.intervals import Interval
from hybridq.studies.mitigation.comparison import Comparison
from hybridq.studies.mitigation.methods import Method
from hybridq.studies.mitigation.outcome import Outcome
from hybridq.typing import FloatArray

TABLE, RECORD = "mitigation.csv", "record.json"


def table_of(
    outcomes: Mapping[Method, Outcome],
    noiseless: FloatArray,
    selection: Selection,
    *,
    training_images: int,
    overhead: float = 1.0,
    learning: int = 0,
    progress: Callable[[int, int], None],
) -> pd.DataFrame:
    """One row a method; ``noiseless`` are the probabilities (N, C) without noise.

    ``flips``, ``auc_change`` (both from no noise) and ``auc_gain`` (from no mitigation) are means over the repetitions,
    with 95 % intervals over images (or groups) and repetitions; ``auc_sd`` is the scatter of AUC over the repetitions.
    ``overhead`` is how many times the shots PEC takes, ``learning`` how many circuits learn the noise of gates.
    The metrics, ``auc`` and so on, are those of the first repetition, as an evaluation would have them, with its
    intervals.
    """
    task, ideal = selection.task, selection.scored(noiseless)
    progress(0, len(outcomes) + 1)
    probabilities = {method: outcome.probabilities for method, outcome in outcomes.items()}
    compared = Comparison(task, ideal, probabilities)
    rows: list[dict[str, Any]] = []
    for method, outcome in outcomes.items():
        progress(len(rows) + 1, len(outcomes) + 1)
        row: dict[str, Any] = {
            "method": method.name,
            "circuits_multiplier": method.circuits_multiplier * _overhead(method, overhead),
            "randomizations": method.randomizations,
            "extra_circuits": method.extra_circuits(training_images, learning),
            "bias_mean": outcome.errors.bias_mean,
            "bias_rms": outcome.errors.bias_rms,
            "sd": outcome.errors.sd,
            "rms": outcome.errors.rms,
            **_limits("flips", compared.flips(method)),
            **_limits("auc_change", compared.auc_change(method)),
            **_limits("auc_gain", compared.auc_gain(method)),
            "auc_sd": compared.auc_scatter(method),
        }
        metrics = task.evaluate(ideal.saying(outcome.probabilities[0]))["metrics"]
        for name, interval in metrics.items():
            row |= _limits(name, interval)
        rows.append(row)
    progress(len(outcomes) + 1, len(outcomes) + 1)
    return pd.DataFrame(rows)


def _overhead(method: Method, overhead: float) -> float:
    return round(overhead, 4) if method.injection == "cancelled" else 1


def _limits(name: str, interval: Interval) -> dict[str, float]:
    return {name: interval["value"], f"{name}_low": interval["low"], f"{name}_high": interval["high"]}
