"""Metrics where an image may have several labels, or none: each label against its absence, and averages over labels.

Every function takes ``targets`` (N, K) in {0, 1} and ``probabilities`` (N, K); a label is decided where its probability
is above ``THRESHOLD``.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from hybridq.errors import UserError
from hybridq.typing import FloatArray, IntArray

THRESHOLD: Final = 0.5
METRICS: Final = ("accuracy", "exact_match", "auc", "average_precision", "f1", "sensitivity", "specificity")
"""``accuracy`` is the share of right decisions over images and labels, ``exact_match`` the share of images with all
labels right; the others are means over labels."""
OF_LABELS: Final = ("auc", "average_precision", "f1", "sensitivity", "specificity")
"""The metrics that each label has."""


def decide(probabilities: ArrayLike) -> IntArray:
    """1 where the probability is above the threshold, else 0; (N, K)."""
    return (np.asarray(probabilities, dtype=np.float64) > THRESHOLD).astype(np.int64)


def compute_metrics(targets: ArrayLike, probabilities: ArrayLike, *, split: str = "evaluated") -> dict[str, float]:
    """The metrics in the order of ``METRICS``, each in [0, 1].

    AUC, sensitivity and so on are not defined for a label without positive or without negative images: such labels are
    left out of the means (see :func:`defined_labels`), not of ``accuracy`` and ``exact_match``. A label that is never
    decided has an F1 of 0. Raises as :func:`checked`.

    >>> compute_metrics([[1, 0], [0, 1], [0, 0]], [[0.9, 0.2], [0.1, 0.4], [0.3, 0.6]])["accuracy"]  # 4 of 6
    0.6666666666666666
    """
    y, p = checked(targets, probabilities, split=split)
    of_images, of_labels = resampled_metrics(y, p, np.ones((1, len(y))))
    means = of_labels[0, defined_labels(y)].mean(axis=0)
    return dict(zip(METRICS, [*map(float, of_images[0]), *map(float, means)], strict=True))


def defined_labels(targets: IntArray) -> IntArray:
    """Positions of the labels that have positive and negative images."""
    return np.flatnonzero((targets == 1).any(axis=0) & (targets == 0).any(axis=0))


def checked(targets: ArrayLike, probabilities: ArrayLike, *, split: str) -> tuple[IntArray, FloatArray]:
    """Both as arrays of one shape (N, K).

    Raises :class:`UserError` naming ``split`` when no label has both positive and negative images, and ``ValueError``
    when shapes do not fit, a target is neither 0 nor 1 or a probability is not a number.
    """
    y = np.asarray(targets, dtype=np.int64)
    p = np.asarray(probabilities, dtype=np.float64)
    if y.ndim != 2 or y.shape != p.shape:
        raise ValueError(f"targets {y.shape} and probabilities {p.shape} must have one shape (N, K)")
    if not np.isfinite(p).all():
        raise ValueError("a probability is not a finite number")
    if not np.isin(y, (0, 1)).all():
        raise ValueError("targets must be 0 or 1")
    if not len(defined_labels(y)):
        raise UserError(f"the {split} split has no label with both positive and negative images; AUC needs both")
    return y, p


def resampled_metrics(
    targets: IntArray, probabilities: FloatArray, weights: NDArray[np.float64]
) -> tuple[FloatArray, FloatArray]:
    """Metrics of resamples given as sample weights (B, N): ``accuracy`` and ``exact_match`` (B, 2), and those of
    ``OF_LABELS`` for each label (B, K, 5).

    Equal to the metrics of the repeated samples. Where a resample has no positive image of a label, only its
    specificity is a number; where it has no negative one, AUC and specificity are NaN.
    """
    decided = decide(probabilities)
    right = decided == targets
    total = weights.sum(axis=1)
    of_images = np.stack([weights @ right.mean(axis=1), weights @ right.all(axis=1)], axis=1) / total[:, None]
    positives, found, called = (weights @ part for part in (targets, targets * decided, decided))
    negatives = total[:, None] - positives
    # Whole numbers below 2^24: single precision holds them, and is half the memory to pass over.
    by_sample = np.ascontiguousarray(weights.T, dtype=np.float32)
    ranked = [_ranking(targets[:, k] == 1, probabilities[:, k], by_sample) for k in range(targets.shape[1])]
    with np.errstate(divide="ignore", invalid="ignore"):
        of_labels = np.stack(
            [
                np.stack([auc for auc, _ in ranked], axis=1),
                np.stack([precision for _, precision in ranked], axis=1),
                2 * found / (positives + called),
                found / positives,
                (negatives - called + found) / negatives,
            ],
            axis=2,
        )
    of_labels[positives == 0, : OF_LABELS.index("specificity")] = np.nan
    of_labels[negatives == 0, OF_LABELS.index("auc")] = np.nan
    return of_images, of_labels


def _ranking(
    positive: NDArray[np.bool_], scores: FloatArray, weights: NDArray[np.float32]
) -> tuple[FloatArray, FloatArray]:
    """AUC and average precision, (B,) each, of samples that count ``weights`` (N, B) times.

    AUC is the share of (positive, negative) pairs in the right order, ties half. Average precision is the mean over
    positives of the share of positives among the samples that score at least as high, Σ (R_n − R_{n−1}) P_n.
    """
    own = np.flatnonzero(positive)
    own = own[np.argsort(-scores[own], kind="stable")]
    order = np.argsort(-scores, kind="stable")
    above, upto = _cumulated(scores, order, weights, scores[own])
    own_above, own_upto = _cumulated(scores, own, weights, scores[own])
    counted = weights[own].astype(np.float64)
    count, total = counted.sum(axis=0), weights.sum(axis=0, dtype=np.float64)
    rest_beaten = (total - count) - ((above - own_above) + (upto - own_upto)) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        auc = (counted * rest_beaten).sum(axis=0) / (count * (total - count))
        precision = np.where(counted > 0, own_upto / upto, 0.0)
        return auc, (counted * precision).sum(axis=0) / count


def _cumulated(
    scores: FloatArray, order: NDArray[np.intp], weights: NDArray[np.float32], limits: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Weight (L, B) of the samples with scores above each limit, and of those at or above it.

    ``order`` are the samples that count, highest score first. Only sums between limits are taken, by a sparse matrix:
    that never moves the weights (N, B), which are most of the work.
    """
    rising = -scores[order]
    first, last = np.searchsorted(rising, -limits, side="left"), np.searchsorted(rising, -limits, side="right")
    bounds = np.unique(np.concatenate([[0], first, last]))
    used = order[: bounds[-1]]
    between = csr_array((np.ones(len(used), np.float32), used, bounds), shape=(len(bounds) - 1, len(weights)))
    sums = np.zeros((len(bounds), weights.shape[1]))
    np.cumsum(between @ weights, axis=0, out=sums[1:])
    return sums[np.searchsorted(bounds, first)], sums[np.searchsorted(bounds, last)]
