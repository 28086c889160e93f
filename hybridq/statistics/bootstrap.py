"""Resampling of evaluated samples: how often each is drawn, and the seven metrics of every resample at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybridq.statistics.metrics import METRICS, decide, positive_classes
from hybridq.typing import FloatArray, IntArray

RESAMPLES = 2000
_ELEMENTS_AT_ONCE = 1_000_000
"""Weights held together, which is fastest where they fit the processor's cache."""


def group_codes(groups: ArrayLike | None, samples: int) -> IntArray | None:
    """The group of each sample as 0 … G-1, or None where no two samples share one.

    An empty group name means that the group is unknown: such a sample stands alone. Data in which every sample stands
    alone is ungrouped, for which sharper methods than resampling exist.
    """
    if groups is None:
        return None
    names = [str(name) or f"\0{row}" for row, name in enumerate(np.asarray(groups).tolist())]
    if len(names) != samples:
        raise ValueError(f"{len(names)} groups for {samples} samples")
    unique, codes = np.unique(np.asarray(names, dtype=object), return_inverse=True)
    return None if len(unique) == samples else codes.astype(np.int64)


def draw(
    labels: IntArray, codes: IntArray | None, seed: int, resamples: int = RESAMPLES
) -> Iterator[NDArray[np.float64]]:
    """Pieces of shape (b, N), ``resamples`` rows in all: how often each sample is drawn in each resample.

    With ``codes`` whole groups are drawn with replacement, since samples of one patient are not independent; without,
    samples are drawn within each class (stratified), so that no resample lacks one.
    """
    random = np.random.default_rng(seed)
    strata = (
        [np.arange(int(codes.max()) + 1)]
        if codes is not None
        else [np.flatnonzero(labels == c) for c in np.unique(labels)]
    )
    units = sum(len(stratum) for stratum in strata)
    piece = max(1, min(resamples, _ELEMENTS_AT_ONCE // len(labels)))
    for start in range(0, resamples, piece):
        rows = min(piece, resamples - start)
        counts = np.zeros((rows, units))
        for stratum in strata:
            drawn = random.integers(len(stratum), size=(rows, len(stratum))) + len(stratum) * np.arange(rows)[:, None]
            drawn_counts = np.bincount(drawn.ravel(), minlength=rows * len(stratum))
            counts[:, stratum] = drawn_counts.reshape(rows, len(stratum))
        yield counts if codes is None else counts[:, codes]


def resampled_metrics(labels: IntArray, probabilities: FloatArray, weights: NDArray[np.float64]) -> FloatArray:
    """The seven metrics, in the order of ``METRICS``, of resamples given as sample weights (B, N): shape (B, 7).

    Equal to :func:`hybridq.statistics.metrics.compute_metrics` of the repeated samples, for all resamples together. A
    resample without a class gives NaN in its row.
    """
    classes = probabilities.shape[1]
    cells = np.eye(classes * classes)[labels * classes + decide(probabilities)]
    confusion = (weights @ cells).reshape(-1, classes, classes)
    actual, called = confusion.sum(axis=2), confusion.sum(axis=1)
    right = np.diagonal(confusion, axis1=1, axis2=2)
    total = actual.sum(axis=1, keepdims=True)
    one_versus_rest = positive_classes(classes)
    with np.errstate(divide="ignore", invalid="ignore"):
        accuracy = right.sum(axis=1) / total[:, 0]
        recall = right / actual
        specificity = (total - actual - called + right) / (total - actual)
        precision = np.where(called > 0, right / called, 0.0)
        f1 = 2 * right / (actual + called)
        auc = np.stack([weighted_auc(labels == c, probabilities[:, c], weights) for c in one_versus_rest], axis=1)
    values = {
        "accuracy": accuracy,
        "auc": auc.mean(axis=1),
        "f1": f1.mean(axis=1),
        "precision": precision.mean(axis=1),
        "recall": recall.mean(axis=1),
        "sensitivity": recall[:, one_versus_rest].mean(axis=1),
        "specificity": specificity[:, one_versus_rest].mean(axis=1),
    }
    table = np.stack([values[name] for name in METRICS], axis=1)
    table[(actual == 0).any(axis=1)] = np.nan
    return table


def weighted_auc(positive: NDArray[np.bool_], scores: FloatArray, weights: NDArray[np.float64]) -> FloatArray:
    """Share of (positive, negative) pairs in the right order, ties half, for each row of ``weights``: (B,)."""
    rest = np.flatnonzero(~positive)
    rest = rest[np.argsort(scores[rest], kind="stable")]
    first = np.searchsorted(scores[rest], scores[positive], side="left")
    last = np.searchsorted(scores[rest], scores[positive], side="right")
    weight_below = np.zeros((len(weights), len(rest) + 1))
    np.cumsum(weights[:, rest], axis=1, out=weight_below[:, 1:])
    positives = weights[:, positive]
    ordered_pairs = np.einsum("bn,bn->b", positives, (weight_below[:, first] + weight_below[:, last]) / 2)
    return np.asarray(ordered_pairs / (positives.sum(axis=1) * weight_below[:, -1]))
