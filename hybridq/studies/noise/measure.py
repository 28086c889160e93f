"""What the noise of one cell does to the decisions of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from backends.names import NOISELESS_BACKEND
from hybridq.evaluation.inference import Inference
from hybridq.results.selection import ImageChoice
from hybridq.results.selection import choose as choose_images
from hybridq.statistics.bootstrap import draw, weighted_auc
from hybridq.statistics.intervals import Interval, percentile_interval, proportion_with_interval
from hybridq.statistics.operating_point import YOUDEN, choose
from hybridq.statistics.scored import Scored
from hybridq.statistics.tasks import Task
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


def reference_of(inference: Inference, threshold: float | None) -> Reference:
    """``threshold`` where it is known already, from an earlier call; None: it is chosen."""
    q, task = inference.exact_values(), inference.selection.task
    scored = inference.scored(q)
    if threshold is None and scored.truth.ndim == 1 and len(inference.run.classes) == 2:
        validation = inference.on(choose_images(inference.run, ImageChoice("validation")))
        threshold = choose(validation.scored(validation.exact_values()), YOUDEN, NOISELESS_BACKEND).value
    return Reference(
        values=q,
        log_odds=inference.log_odds(q),
        decided=task.decide(scored.probabilities),
        auc=_auc(task, scored, np.ones((1, len(q))))[0],
        resampled_auc=resampled_auc(task, scored),
        threshold=threshold,
    )


def measure(inference: Inference, reference: Reference, q: FloatArray) -> Measured:
    """Metrics with intervals, and what has changed from the reference: AUC, decisions, log-odds, the branch's share."""
    scored, log_odds, task = inference.scored(q), inference.log_odds(q), inference.selection.task
    found = task.evaluate(scored)
    row: dict[str, Any] = {"images": len(q)}
    for name, interval in found["metrics"].items():
        row |= _columns(name, interval)
    resampled = resampled_auc(task, scored)
    change = found["metrics"]["auc"]["value"] - reference.auc
    row |= _columns("auc_change", _about(change, resampled - reference.resampled_auc))
    differs = (task.decide(scored.probabilities) != reference.decided).reshape(len(q), -1).any(axis=1)
    row |= _columns("flip_rate", proportion_with_interval(differs, scored.groups, scored.seed))
    shift = log_odds - reference.log_odds
    row |= {"logit_shift": float(np.sqrt(np.mean(shift**2))), "logit_shift_mean": float(shift.mean())}
    if q.size:
        error = q - reference.values
        row |= {"z_error_rms": float(np.sqrt(np.mean(error**2))), "z_error_mean": float(error.mean())}
        alpha, share = inference.quantum_branch(q)
        row |= {"alpha": alpha, "quantum_share": share if np.isfinite(share) else None}
    if reference.threshold is not None:
        row |= _at_threshold(scored, reference.threshold)
    return Measured(row, q, log_odds, resampled)


def resampled_auc(task: Task, scored: Scored) -> FloatArray:
    """AUC in each resample of the images (B,), the same resamples at every call; NaN where a class is missing."""
    drawn = draw(task.strata(scored.truth), scored.codes, scored.seed)
    return np.concatenate([_auc(task, scored, weights) for weights in drawn])


def _auc(task: Task, scored: Scored, weights: FloatArray) -> FloatArray:
    """Of samples weighted by ``weights`` (B, N), the mean over classes or labels: (B,)."""
    against = task.against_rest(scored.truth, scored.probabilities)
    with np.errstate(invalid="ignore"):
        return np.mean([weighted_auc(positive, scores, weights) for positive, scores in against], axis=0)


def _at_threshold(scored: Scored, threshold: float) -> dict[str, Any]:
    row: dict[str, Any] = {"validation_threshold": threshold}
    for name, label in (("sensitivity", 1), ("specificity", 0)):
        among = scored.take(scored.truth == label)
        hits = (among.probabilities[:, 1] >= threshold) == bool(label)
        interval = proportion_with_interval(hits, among.groups, scored.seed)
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
