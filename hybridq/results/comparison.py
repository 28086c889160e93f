"""The same weights on several backends, side by side, from saved evaluations of the same samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hybridq.errors import UserError
from hybridq.files import atomic_write, write_json
from hybridq.results.device_error import ErrorParts, device_sentences, error_parts, noise_model
from hybridq.results.evaluation import ELSEWHERE, Evaluation, order, read_evaluation, sampling
from hybridq.results.replaced_q import Replacement, replacements
from hybridq.statistics.intervals import Interval, proportion_with_interval, verdict_of

_PLAIN = ("shots", "depth", "two_qubit_gates", "seconds", "quantum_seconds", "quantum_seconds_per_image")
_PARTS = ("shot_noise", "predicted", "rest", "from_model")
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
    samples: int
    """Samples."""
    changes: dict[str, Interval] | None
    """Change of each metric from the reference, paired."""
    flips: Interval | None
    """Share of samples that are decided differently from the reference, in any label where there are several."""
    flipped: int | None
    z_errors: tuple[QubitError, ...] | None
    shots: int | None
    sampling: str
    """Shots, trajectories, or ``exact``, to be shown."""
    depth: int | None
    two_qubit_gates: int | None
    seconds: float | None
    quantum_seconds: float | None
    error_parts: ErrorParts | None
    """For a device with values drawn from shots, where the reference is exact."""
    hardware: dict[str, Any] | None
    """Jobs, patches, drift and service of an evaluation that was sent to a device; else None."""
    replaces_q: bool = False
    """Whether q was replaced before the decision."""

    @property
    def quantum_seconds_per_image(self) -> float | None:
        """Charged quantum seconds for each image; None on simulators and while the service has not counted."""
        if self.hardware is None or self.quantum_seconds is None:
            return None
        return self.quantum_seconds / self.samples

    def verdict(self, metric: str) -> str:
        """``lower``, ``higher``, or that no difference is shown: the interval of the change holds 0."""
        if self.changes is None:
            return "reference"
        return verdict_of(self.changes[metric])


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
    notes: tuple[str, ...] = ()
    """What has to be said with the metrics, a sentence each."""
    replacements: tuple[Replacement, ...] = ()
    """What becomes of the decisions of each backend when q is replaced, where that was evaluated."""

    @property
    def others(self) -> tuple[ComparedBackend, ...]:
        """The backends beside the reference, without those where q was replaced."""
        return tuple(b for b in self.backends[1:] if not b.replaces_q)

    def frame(self) -> pd.DataFrame:
        """Tidy: one row a backend and quantity, with columns backend, kind, quantity, value, low, high, change,
        change_low, change_high, verdict; empty where it does not apply. ⟨Z⟩ errors are ``z0_mean_error``,
        ``z0_rms_error`` and so on; ``auc, q shuffled`` is the change of AUC when the q of this backend is shuffled."""
        rows: list[dict[str, Any]] = []
        for b in self.backends:
            for name in b.metrics:
                row: dict[str, Any] = {"quantity": name, **_limits(b.metrics[name]), "verdict": b.verdict(name)}
                if b.changes is not None:
                    row |= {f"change{suffix}": limit for suffix, limit in _suffixed(b.changes[name])}
                rows.append({"backend": b.backend, "kind": b.kind, **row})
            plain: dict[str, Any] = {}
            for error in b.z_errors or ():
                plain |= {f"z{error.qubit}_mean_error": error.mean, f"z{error.qubit}_rms_error": error.rms}
            for name in _PLAIN:
                plain[name] = getattr(b, name)
            if b.error_parts is not None:
                parts = asdict(b.error_parts)
                plain |= {f"z_squared_error_{name}": parts[name] for name in ("total", *_PARTS)}
            if b.flips is not None:
                rows.append({"backend": b.backend, "kind": b.kind, "quantity": "flips", **_limits(b.flips)})
            rows += [{"backend": b.backend, "kind": b.kind, "quantity": k, "value": v} for k, v in plain.items()]
        for r in self.replacements:
            for name, change in r.changes.items():
                row = {f"change{suffix}": limit for suffix, limit in _suffixed(change)} | {"verdict": r.verdict(name)}
                rows.append({"backend": r.backend, "kind": r.kind, "quantity": f"{name}, {r.title}", **row})
            quantity = f"flips, {r.title}"
            rows.append({"backend": r.backend, "kind": r.kind, "quantity": quantity, **_limits(r.flips)})
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
            **({"notes": list(self.notes)} if self.notes else {}),
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
                    "quantum_seconds_per_image": b.quantum_seconds_per_image,
                    "error_parts": b.error_parts and asdict(b.error_parts),
                    "drift": b.hardware and b.hardware["drift"],
                    "patches": b.hardware and b.hardware["patches"],
                }
                for b in self.backends
            ],
            **({"q_replaced": [r.as_dict() for r in self.replacements]} if self.replacements else {}),
        }


def compare_evaluations(folders: Sequence[Path], *, seed: int = 0) -> Comparison:
    """Read evaluation folders and compare them; see :func:`compare`."""
    return compare([read_evaluation(folder) for folder in folders], seed=seed)


def compare(evaluations: Sequence[Evaluation], *, seed: int = 0) -> Comparison:
    """Compare evaluations of the same samples and weights with the noiseless one among them, else with the first.

    Intervals of changes are paired; ``seed`` decides their resamples. Raises :class:`UserError` when fewer than two are
    given, when a backend is there twice, or when samples, labels or angles (that is, weights) differ.
    """
    if len(evaluations) < 2:
        raise UserError("a comparison needs at least two evaluations; name another --backend")
    # Of evaluations that rank alike, the first that was named.
    reference = min(evaluations, key=lambda e: (e.intervention is not None, e.kind != "noiseless"))
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
        notes=tuple(reference.metrics.get("notes", [])),
        backends=(
            _compared(reference, None, seed),
            *(_compared(e, reference, seed, noise_model(e, others)) for e in others),
        ),
        replacements=replacements([reference, *others], seed),
    )


def write_comparison(comparison: Comparison, run: Path) -> None:
    """comparison.csv and comparison.json in the run folder."""
    with atomic_write(run / "comparison.csv") as partial:
        comparison.frame().to_csv(partial, index=False)
    write_json(run / "comparison.json", comparison.as_dict())


def hardware_sentences(comparison: Comparison) -> list[str]:
    """What has to be said with the numbers of evaluations that were sent to a device; nothing where there is none."""
    said = []
    for b in comparison.backends:
        if b.hardware is not None:
            said += [f"{b.backend}: {sentence}" for sentence in device_sentences(b.hardware, b.simulated)]
            if b.error_parts is not None and b.error_parts.model is None:
                said.append(
                    f"{b.backend}: its error is not split further without a noise model of the same images; evaluate "
                    f"{b.hardware['device']}@noise too."
                )
    return said


def _compared(
    evaluation: Evaluation, reference: Evaluation | None, seed: int, model: Evaluation | None = None
) -> ComparedBackend:
    changes = flips = flipped = z_errors = parts = None
    if reference is not None:
        rows = evaluation.rows_of(reference.ids)
        probabilities, values = evaluation.probabilities[rows], evaluation.values[rows]
        changes = reference.task.changes(reference.scored(seed).saying(probabilities), reference.probabilities)
        differs = (evaluation.predicted[rows] != reference.predicted).reshape(len(rows), -1).any(axis=1)
        flips, flipped = proportion_with_interval(differs, reference.groups, seed), int(differs.sum())
        if ELSEWHERE not in (evaluation.kind, reference.kind):
            error = values - reference.values
            z_errors = tuple(
                QubitError(qubit, float(error[:, qubit].mean()), float(np.sqrt((error[:, qubit] ** 2).mean())))
                for qubit in range(error.shape[1])
            )
        if "hardware" in evaluation.record and reference.kind == "noiseless":
            parts = error_parts(evaluation, reference, model, seed)
    record = evaluation.record
    return ComparedBackend(
        backend=evaluation.backend,
        kind=evaluation.kind,
        simulated=bool(record["simulated"]),
        metrics=evaluation.metrics["metrics"],
        samples=len(evaluation.ids),
        changes=changes,
        flips=flips,
        flipped=flipped,
        z_errors=z_errors,
        shots=record.get("shots"),
        sampling=sampling(record),
        depth=record.get("depth"),
        two_qubit_gates=record.get("two_qubit_gates"),
        seconds=record.get("seconds"),
        quantum_seconds=record.get("quantum_seconds"),
        error_parts=parts,
        hardware=record.get("hardware"),
        replaces_q=evaluation.intervention is not None,
    )


def _check_same(reference: Evaluation, other: Evaluation) -> None:
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
    if ELSEWHERE in (other.kind, reference.kind):  # other weights, and no circuit that is known
        return
    if other.angles.shape != reference.angles.shape or (
        np.abs(other.angles[rows] - reference.angles).max() > _SAME_ANGLES
    ):
        raise UserError(f"{what} and {against} have different angles: they were made with different weights")


def _split(evaluation: Evaluation) -> str:
    return str(evaluation.record["split"])


def _limits(interval: Interval) -> dict[str, float]:
    return {"value": interval["value"], "low": interval["low"], "high": interval["high"]}


def _suffixed(interval: Interval) -> list[tuple[str, float]]:
    return [("", interval["value"]), ("_low", interval["low"]), ("_high", interval["high"])]
