"""What ordered classes have beside the seven metrics: quadratic weighted kappa and the mean absolute error.

Both take the distance between grades into account: grade 4 called 0 counts more than grade 1 called 0.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from hybridq.statistics.bootstrap import draw, group_codes
from hybridq.statistics.intervals import Interval, interval_about, percentile_interval, wilson
from hybridq.statistics.metrics import checked, confusion_matrix, decide
from hybridq.typing import FloatArray, IntArray

METRICS: Final = ("kappa", "mae")
"""Quadratic weighted kappa in [-1, 1], 0 by chance (doi:10.1037/h0026256); mean absolute error in grades, 0 is best."""


def compute_metrics(confusion: ArrayLike) -> FloatArray:
    """Kappa and mean absolute error, (…, 2), of confusion matrices (…, C, C) with true classes in rows.

    κ = 1 − Σ (i−j)² O_ij / Σ (i−j)² E_ij, with the counts E_ij that the margins of O give by chance.

    >>> compute_metrics([[2, 0], [1, 1]]).round(2).tolist()
    [0.5, 0.25]
    """
    observed = np.asarray(confusion, dtype=np.float64)
    distance = np.abs(np.subtract.outer(*[np.arange(observed.shape[-1])] * 2))
    total = observed.sum(axis=(-2, -1))
    by_chance = observed.sum(axis=-1)[..., :, None] * observed.sum(axis=-2)[..., None, :] / total[..., None, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        kappa = 1 - (distance**2 * observed).sum(axis=(-2, -1)) / (distance**2 * by_chance).sum(axis=(-2, -1))
    return np.stack([kappa, (distance * observed).sum(axis=(-2, -1)) / total], axis=-1)


def intervals(
    labels: ArrayLike, probabilities: ArrayLike, groups: ArrayLike | None, seed: int, *, split: str = "evaluated"
) -> dict[str, Interval]:
    """Kappa and mean absolute error with 95 % intervals; arguments and errors as
    :func:`hybridq.statistics.intervals.metrics_with_intervals`.

    The interval is that of a bootstrap, stratified by class or over groups. Where every resample gives the same value,
    it is the widest that the Wilson limit of so many samples allows if every further error were the largest possible.
    """
    y, p = checked(labels, probabilities, split=split)
    codes = group_codes(groups, len(y))
    classes = p.shape[1]
    confusion = confusion_matrix(y, decide(p), classes)
    method = "stratified bootstrap" if codes is None else "bootstrap over groups"
    return _intervals(
        compute_metrics(confusion),
        _resampled(y, p, codes, seed),
        reach=_reach(confusion, len(y) if codes is None else int(codes.max()) + 1),
        method=method,
        bound="widest for 0 errors, Wilson",
        lowest=(-1.0, 0.0),
        highest=(1.0, classes - 1.0),
    )


def difference_intervals(
    labels: ArrayLike,
    probabilities: ArrayLike,
    reference: ArrayLike,
    groups: ArrayLike | None,
    seed: int,
    *,
    split: str = "evaluated",
) -> dict[str, Interval]:
    """Change of both from ``reference`` to ``probabilities`` (N, C), with paired 95 % intervals."""
    y, p = checked(labels, probabilities, split=split)
    y, r = checked(labels, reference, split=split)
    codes = group_codes(groups, len(y))
    classes = p.shape[1]
    then = confusion_matrix(y, decide(r), classes)
    return _intervals(
        compute_metrics(confusion_matrix(y, decide(p), classes)) - compute_metrics(then),
        _resampled(y, p, codes, seed) - _resampled(y, r, codes, seed),
        reach=_reach(then, len(y)),
        method="paired stratified bootstrap" if codes is None else "paired bootstrap over groups",
        bound="limit of 0 changes, Wilson",
        lowest=(-2.0, 1.0 - classes),
        highest=(2.0, classes - 1.0),
    )


def _resampled(y: IntArray, p: FloatArray, codes: IntArray | None, seed: int) -> FloatArray:
    """Both metrics of every resample, (B, 2)."""
    classes = p.shape[1]
    cells = np.eye(classes * classes)[y * classes + decide(p)]
    return np.concatenate([compute_metrics((w @ cells).reshape(-1, classes, classes)) for w in draw(y, codes, seed)])


def _reach(confusion: IntArray, observations: int) -> tuple[float, float]:
    """How far each metric moves if as many samples are wrong as Wilson allows after none was, each by C − 1 grades."""
    wrong = 1 - wilson(1.0, observations)[0]
    classes = len(confusion)
    # One sample wrong by C - 1 grades costs kappa its (C - 1)² over the disagreement by chance.
    true = confusion.sum(axis=1) / confusion.sum()
    distance = np.subtract.outer(np.arange(classes), np.arange(classes)) ** 2
    return wrong * (classes - 1) ** 2 / float(true @ distance @ true), wrong * (classes - 1)


def _intervals(
    values: FloatArray,
    resampled: FloatArray,
    *,
    reach: tuple[float, float],
    method: str,
    bound: str,
    lowest: tuple[float, float],
    highest: tuple[float, float],
) -> dict[str, Interval]:
    found: dict[str, Interval] = {}
    for column, name in enumerate(METRICS):
        value, drawn = float(values[column]), resampled[:, column]
        limits = percentile_interval(drawn[np.isfinite(drawn)])
        if limits is None:
            low, high = max(value - reach[column], lowest[column]), min(value + reach[column], highest[column])
            found[name] = interval_about(value, low, high, bound)
        else:
            found[name] = interval_about(value, *limits, method)
    return found
