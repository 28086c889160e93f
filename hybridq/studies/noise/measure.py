"""What the noise of one cell does to the decisions of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hybridq.statistics.bootstrap import draw, group_codes, weighted_auc
from hybridq.statistics.intervals import Interval, percentile_interval, proportion_with_interval
from hybridq.statistics.operating_point import YOUDEN, choose
from hybridq.studies.noise.cells import NOISELESS
from hybridq.studies.noise.subject import Subject
from hybridq.typing import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Reference:
    """The run without noise, with which every cell is compared."""

    values: FloatArray
    """q (N, Q)"""
    log_odds: FloatArray
    """(N, K)"""
    decided: IntArray
    auc: float
    resampled_auc: FloatArray
    """(B,): of the resamples that all cells of a run share."""
    threshold: float | None
    """Chosen on validation images (Youden); None where there are more than two classes."""


@dataclass(frozen=True, eq=False)
class Measured:
    """One cell's results; with the cell itself all that tables and figures need."""

    row: dict[str, Any]
    """Columns of noise.csv, by name, JSON-ready."""
    values: FloatArray
    log_odds: FloatArray
    resampled_auc: FloatArray


def reference_of(subject: Subject, threshold: float | None) -> Reference:
    """``threshold`` where it is known already, from an earlier call; None: it is chosen."""
    q = subject.noiseless_values()
    probabilities = subject.probabilities(q)
    if threshold is None and _is_binary(subject):
        validation = subject.on_validation()
        threshold = choose(validation.scored(validation.noiseless_values()), YOUDEN, NOISELESS).value
    resampled = resampled_auc(subject, probabilities)
    return Reference(
        values=q,
        log_odds=subject.log_odds(q),
        decided=subject.task.decide(probabilities),
        auc=_auc(subject, probabilities, np.ones((1, len(q))))[0],
        resampled_auc=resampled,
        threshold=threshold,
    )


def measure(subject: Subject, reference: Reference, q: FloatArray) -> Measured:
    """Metrics with intervals, and what has changed from the reference: AUC, decisions, log-odds, the branch's share."""
    seed = subject.run.experiment().seed
    probabilities, log_odds = subject.probabilities(q), subject.log_odds(q)
    found = subject.task.evaluate(subject.selection.scored(probabilities, seed))
    row: dict[str, Any] = {"images": len(q)}
    for name, interval in found["metrics"].items():
        row |= _columns(name, interval)
    resampled = resampled_auc(subject, probabilities)
    change = found["metrics"]["auc"]["value"] - reference.auc
    row |= _columns("auc_change", _about(change, resampled - reference.resampled_auc))
    differs = (subject.task.decide(probabilities) != reference.decided).reshape(len(q), -1).any(axis=1)
    row |= _columns("flip_rate", proportion_with_interval(differs, subject.groups, seed))
    shift = log_odds - reference.log_odds
    row |= {"logit_shift": float(np.sqrt(np.mean(shift**2))), "logit_shift_mean": float(shift.mean())}
    if q.size:
        error = q - reference.values
        row |= {"z_error_rms": float(np.sqrt(np.mean(error**2))), "z_error_mean": float(error.mean())}
        alpha, share = subject.quantum_branch(q)
        row |= {"alpha": alpha, "quantum_share": share if np.isfinite(share) else None}
    if reference.threshold is not None:
        row |= _at_threshold(subject, probabilities[:, 1] >= reference.threshold, reference.threshold)
    return Measured(row, q, log_odds, resampled)


def resampled_auc(subject: Subject, probabilities: FloatArray) -> FloatArray:
    """AUC in each resample of the images (B,), the same resamples at every call; NaN where a class is missing."""
    strata, codes = subject.task.strata(subject.truth), group_codes(subject.groups, len(probabilities))
    drawn = draw(strata, codes, subject.run.experiment().seed)
    return np.concatenate([_auc(subject, probabilities, weights) for weights in drawn])


def _auc(subject: Subject, probabilities: FloatArray, weights: FloatArray) -> FloatArray:
    """Of samples weighted by ``weights`` (B, N), the mean over classes or labels: (B,)."""
    against = subject.task.against_rest(subject.truth, probabilities)
    with np.errstate(invalid="ignore"):
        return np.mean([weighted_auc(positive, scores, weights) for positive, scores in against], axis=0)


def _is_binary(subject: Subject) -> bool:
    return subject.truth.ndim == 1 and len(subject.selection.classes) == 2


def _at_threshold(subject: Subject, called: np.ndarray, threshold: float) -> dict[str, Any]:
    groups = None if subject.groups is None else np.asarray(subject.groups, dtype=object)
    row: dict[str, Any] = {"validation_threshold": threshold}
    for name, label in (("sensitivity", 1), ("specificity", 0)):
        among = subject.truth == label
        hits = called[among] == bool(label)
        interval = proportion_with_interval(
            hits, None if groups is None else groups[among], subject.run.experiment().seed
        )
        row |= _columns(f"{name}_at_validation_threshold", interval)
    return row


def _about(change: float, changes: FloatArray) -> tuple[float, float, float]:
    """A change with the middle 95 % of its resamples; both ends are the change itself where none differs."""
    low, high = percentile_interval(changes[np.isfinite(changes)]) or (change, change)
    return change, min(low, change), max(high, change)


def _columns(name: str, interval: Interval | tuple[float, float, float]) -> dict[str, float]:
    if isinstance(interval, tuple):
        value, low, high = interval
    else:
        value, low, high = interval["value"], interval["low"], interval["high"]
    return {name: value, f"{name}_low": low, f"{name}_high": high}
