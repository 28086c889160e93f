"""The same weights on several backends, side by side, from saved evaluations of the same samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hybridq.errors import UserError
from hybridq.evaluation.metrics import METRICS
from hybridq.evaluation.saved import SavedEvaluation, order, read_evaluation
from hybridq.evaluation.statistics import Interval, difference_intervals, proportion_with_interval
from hybridq.files import whole, write_json

NO_DIFFERENCE = "no difference shown"
_SAME_ANGLES = 1e-3
"""Radians. The same weights on the same images differ by rounding only; other weights differ by far more."""


@dataclass(frozen=True)
class QubitError:
    """Deviation of ⟨Z⟩ from the reference over all samples, in [-2, 2]."""

    qubit: int
    mean: float
    rms: float


@dataclass(frozen=True)
class ComparedBackend:
    """One backend beside the reference. ``changes``, ``flips`` and ``z_errors`` are None for the reference itself."""

    backend: str
    kind: str
    simulated: bool
    metrics: dict[str, Interval]
    changes: dict[str, Interval] | None
    """Change of each metric from the reference, paired."""
    flips: Interval | None
    """Share of samples that are decided differently from the reference."""
    flipped: int | None
    z_errors: tuple[QubitError, ...] | None
    shots: int | None
    depth: int | None
    two_qubit_gates: int | None
    seconds: float | None
    quantum_seconds: float | None

    def verdict(self, metric: str) -> str:
        """``lower``, ``higher``, or that no difference is shown: the interval of the change holds 0."""
        if self.changes is None:
            return "reference"
        change = self.changes[metric]
        if change["low"] <= 0 <= change["high"]:
            return NO_DIFFERENCE
        return "higher" if change["value"] > 0 else "lower"


@dataclass(frozen=True)
class Comparison:
    """Backends on the same samples; the first is the reference (the noiseless one where there is one)."""

    reference: str
    split: str
    selection: str
    samples: int
    groups: int | None
    interval: str
    """How the intervals of the metrics were made."""
    backends: tuple[ComparedBackend, ...]

    def frame(self) -> pd.DataFrame:
        """Tidy: one row a backend and quantity, with columns backend, kind, quantity, value, low, high, change,
        change_low, change_high, verdict; empty where it does not apply. ⟨Z⟩ errors are ``z0_mean_error``,
        ``z0_rms_error`` and so on."""
        rows: list[dict[str, Any]] = []
        for b in self.backends:
            for name in METRICS:
                row: dict[str, Any] = {"quantity": name, **_limits(b.metrics[name]), "verdict": b.verdict(name)}
                if b.changes is not None:
                    row |= {f"change{suffix}": limit for suffix, limit in _suffixed(b.changes[name])}
                rows.append({"backend": b.backend, "kind": b.kind, **row})
            plain: dict[str, Any] = {}
            for error in b.z_errors or ():
                plain |= {f"z{error.qubit}_mean_error": error.mean, f"z{error.qubit}_rms_error": error.rms}
            for name in ("shots", "depth", "two_qubit_gates", "seconds", "quantum_seconds"):
                plain[name] = getattr(b, name)
            if b.flips is not None:
                rows.append({"backend": b.backend, "kind": b.kind, "quantity": "flips", **_limits(b.flips)})
            rows += [{"backend": b.backend, "kind": b.kind, "quantity": k, "value": v} for k, v in plain.items()]
        columns = ["value", "low", "high", "change", "change_low", "change_high", "verdict"]
        return pd.DataFrame(rows, columns=["backend", "kind", "quantity", *columns])

    def as_dict(self) -> dict[str, Any]:
        """The content of comparison.json."""
        return {
            "reference": self.reference,
            "split": self.split,
            "selection": self.selection,
            "samples": self.samples,
            "groups": self.groups,
            "interval": self.interval,
            "backends": [
                {
                    "backend": b.backend,
                    "kind": b.kind,
                    "simulated": b.simulated,
                    "metrics": b.metrics,
                    "changes": b.changes and {n: {**c, "verdict": b.verdict(n)} for n, c in b.changes.items()},
                    "flips": b.flips and {**b.flips, "count": b.flipped},
                    "z_errors": b.z_errors and [vars(error) for error in b.z_errors],
                    "shots": b.shots,
                    "depth": b.depth,
                    "two_qubit_gates": b.two_qubit_gates,
                    "seconds": b.seconds,
                    "quantum_seconds": b.quantum_seconds,
                }
                for b in self.backends
            ],
        }


def compare_evaluations(folders: Sequence[Path], *, seed: int = 0) -> Comparison:
    """Read evaluation folders and compare them; see :func:`compare`."""
    return compare([read_evaluation(folder) for folder in folders], seed=seed)


def compare(evaluations: Sequence[SavedEvaluation], *, seed: int = 0) -> Comparison:
    """Compare evaluations of the same samples and weights with the noiseless one among them, else with the first.

    Intervals of changes are paired (see :func:`difference_intervals`); ``seed`` decides their resamples. Raises
    :class:`UserError` when fewer than two are given, when a backend is there twice, or when samples, labels or angles
    (that is, weights) differ.
    """
    if len(evaluations) < 2:
        raise UserError("a comparison needs at least two evaluations; name another --backend")
    noiseless = [e for e in evaluations if e.kind == "noiseless"]
    reference = (noiseless or list(evaluations))[0]
    others = sorted((e for e in evaluations if e is not reference), key=order)
    for first, second in pairwise(sorted([reference, *others], key=lambda e: e.backend)):
        if first.backend == second.backend:
            raise UserError(f"{first.folder} and {second.folder}: both are of the backend {first.backend}; compare one")
    for other in others:
        _check_same(reference, other)
    return Comparison(
        reference=reference.backend,
        split=str(reference.record["split"]),
        selection=str(reference.record["selection"]),
        samples=len(reference.ids),
        groups=reference.metrics["groups"],
        interval=reference.metrics["interval"],
        backends=(_compared(reference, None, seed), *(_compared(other, reference, seed) for other in others)),
    )


def write_comparison(comparison: Comparison, run: Path) -> None:
    """comparison.csv and comparison.json in the run folder."""
    with whole(run / "comparison.csv") as partial:
        comparison.frame().to_csv(partial, index=False)
    write_json(run / "comparison.json", comparison.as_dict())


def _compared(evaluation: SavedEvaluation, reference: SavedEvaluation | None, seed: int) -> ComparedBackend:
    changes = flips = flipped = z_errors = None
    if reference is not None:
        rows = evaluation.rows_of(reference.ids)
        probabilities, values = evaluation.probabilities[rows], evaluation.values[rows]
        changes = difference_intervals(
            reference.labels, probabilities, reference.probabilities, reference.groups, seed, split=_split(reference)
        )
        differs = evaluation.predicted[rows] != reference.predicted
        flips, flipped = proportion_with_interval(differs, reference.groups, seed), int(differs.sum())
        error = values - reference.values
        z_errors = tuple(
            QubitError(qubit, float(error[:, qubit].mean()), float(np.sqrt((error[:, qubit] ** 2).mean())))
            for qubit in range(error.shape[1])
        )
    record = evaluation.record
    return ComparedBackend(
        backend=evaluation.backend,
        kind=evaluation.kind,
        simulated=bool(record["simulated"]),
        metrics=evaluation.metrics["metrics"],
        changes=changes,
        flips=flips,
        flipped=flipped,
        z_errors=z_errors,
        shots=record.get("shots"),
        depth=record.get("depth"),
        two_qubit_gates=record.get("two_qubit_gates"),
        seconds=record.get("seconds"),
        quantum_seconds=record.get("quantum_seconds"),
    )


def _check_same(reference: SavedEvaluation, other: SavedEvaluation) -> None:
    what = f"{other.backend} ({_split(other)}, {other.record['selection']})"
    against = f"{reference.backend} ({_split(reference)}, {reference.record['selection']})"
    different = set(reference.ids) ^ set(other.ids)
    if different:
        raise UserError(
            f"{what} and {against} differ in {len(different)} sample ids; evaluate both with the same --split, --limit"
        )
    rows = other.rows_of(reference.ids)
    if (other.labels[rows] != reference.labels).any() or other.probabilities.shape != reference.probabilities.shape:
        raise UserError(f"{what} and {against} disagree about labels; they are not evaluations of the same data")
    if other.angles.shape != reference.angles.shape or (
        np.abs(other.angles[rows] - reference.angles).max() > _SAME_ANGLES
    ):
        raise UserError(f"{what} and {against} have different angles: they were made with different weights")


def _split(evaluation: SavedEvaluation) -> str:
    return str(evaluation.record["split"])


def _limits(interval: Interval) -> dict[str, float]:
    return {"value": interval["value"], "low": interval["low"], "high": interval["high"]}


def _suffixed(interval: Interval) -> list[tuple[str, float]]:
    return [("", interval["value"]), ("_low", interval["low"]), ("_high", interval["high"])]
