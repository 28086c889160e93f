"""95 % intervals of metrics, of their differences between two backends, and of proportions.

Samples of one group (patient) are not independent: where there are groups, whole groups are resampled (percentile
bootstrap). Without groups

- proportions (accuracy; sensitivity and specificity of two classes) get Wilson's score interval
  (doi:10.1080/01621459.1927.10502953), which stays below 1 for 25 of 25;
- AUC of two classes gets Newcombe's score interval with the variance of Hanley and McNeil (doi:10.1002/sim.2324,
  method 5), which does not collapse when positives and negatives are perfectly separated;
- everything else is resampled within classes (percentile bootstrap).

A bootstrap collapses to one point where every resample gives the same value, which would claim certainty from a few
samples. The interval is then Wilson's (Newcombe's for AUC) with as many observations as there are independent ones:
each group counts once, and an average over classes counts its smallest class. That errs on the wide side.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint

from hybridq.statistics.bootstrap import RESAMPLES, draw, group_codes, resampled_metrics
from hybridq.statistics.metrics import METRICS, checked, compute_metrics, confusion_matrix, decide
from hybridq.typing import IntArray

_Z = float(norm.ppf(0.975))
_FEWEST_RESAMPLES = 100
"""Below so many resamples that hold every class, percentiles are left to chance."""


class Interval(TypedDict):
    """A value with its 95 % interval, ``low <= value <= high``."""

    value: float
    low: float
    high: float
    method: str


NO_DIFFERENCE = "no difference shown"


def verdict_of(change: Interval) -> str:
    """``lower``, ``higher``, or that no difference is shown: the interval of the change holds 0."""
    if change["low"] <= 0 <= change["high"]:
        return NO_DIFFERENCE
    return "higher" if change["value"] > 0 else "lower"


def signed(value: float, decimals: int = 3) -> str:
    """A change with its sign; a true minus sign, none on zero."""
    text = f"{value:+.{decimals}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")


class LabelMetrics(TypedDict):
    """One label of images that have several."""

    label: str
    positives: int
    metrics: dict[str, Interval] | None
    """None where there is no positive or no negative image."""


class EvaluatedMetrics(TypedDict):
    """The content of metrics.json."""

    metrics: dict[str, Interval]
    confusion: NotRequired[list[list[int]]]
    """Rows are true classes, columns are predicted ones; absent where images have several labels."""
    n: int
    positives: int | None
    """Samples of class 1; None with more than two classes."""
    labels: NotRequired[list[LabelMetrics]]
    """Each label by itself, where images have several."""
    notes: NotRequired[list[str]]
    """What has to be said with the numbers, a sentence each."""
    groups: int | None
    """Number of groups that were resampled; None where every sample counts as independent."""
    interval: str


def metrics_with_intervals(
    labels: ArrayLike, probabilities: ArrayLike, groups: ArrayLike | None, seed: int, *, split: str = "evaluated"
) -> EvaluatedMetrics:
    """The seven metrics with 95 % intervals and the confusion matrix, JSON-ready.

    ``labels`` (N,), ``probabilities`` (N, C), ``groups`` (N,) names or None; an empty name is an unknown group, which
    counts as one of its own. ``seed`` decides the resamples. Raises as :func:`compute_metrics`.
    """
    y, p = checked(labels, probabilities, split=split)
    codes = group_codes(groups, len(y))
    values = compute_metrics(y, p, split=split)
    resampled = np.concatenate([resampled_metrics(y, p, weights) for weights in draw(y, codes, seed)])
    resampled = resampled[np.isfinite(resampled).all(axis=1)]
    independent = Independent(y, codes, p.shape[1])
    metrics: dict[str, Interval] = {}
    for column, name in enumerate(METRICS):
        exact = independent.has_score_interval(name)
        percentiles = None if exact else percentile_interval(resampled[:, column])
        if percentiles is None:
            metrics[name] = independent.score_interval(name, values[name])
        else:
            method = "stratified bootstrap" if codes is None else "bootstrap over groups"
            metrics[name] = interval_about(values[name], *percentiles, method)
    return {
        "metrics": metrics,
        "confusion": confusion_matrix(y, decide(p), p.shape[1]).tolist(),
        "n": len(y),
        "positives": int((y == 1).sum()) if p.shape[1] == 2 else None,
        "groups": None if codes is None else independent.total,
        "interval": _describe(codes, independent.total),
    }


def difference_intervals(
    labels: ArrayLike,
    probabilities: ArrayLike,
    reference: ArrayLike,
    groups: ArrayLike | None,
    seed: int,
    *,
    split: str = "evaluated",
) -> dict[str, Interval]:
    """Change of each metric from ``reference`` to ``probabilities``, both (N, C), with 95 % intervals.

    Both are resampled together (paired), so that what is hard for both does not count. Where no resample shows a
    change, the limit is the one that 0 changes among so many samples allow (Wilson; Newcombe for AUC): without a change
    nothing is known about how changes cluster in groups.
    """
    y, p = checked(labels, probabilities, split=split)
    y, r = checked(labels, reference, split=split)
    if p.shape != r.shape:
        raise ValueError(f"probabilities {p.shape} and reference {r.shape} must have the same shape")
    codes = group_codes(groups, len(y))
    now, then = compute_metrics(y, p, split=split), compute_metrics(y, r, split=split)
    changes = np.concatenate(
        [resampled_metrics(y, p, weights) - resampled_metrics(y, r, weights) for weights in draw(y, codes, seed)]
    )
    changes = changes[np.isfinite(changes).all(axis=1)]
    samples = Independent(y, None, p.shape[1])
    method = "paired stratified bootstrap" if codes is None else "paired bootstrap over groups"
    intervals: dict[str, Interval] = {}
    for column, name in enumerate(METRICS):
        change = now[name] - then[name]
        percentiles = percentile_interval(changes[:, column])
        if percentiles is None:
            limit = samples.score_interval(name, 1.0)
            reach = 1 - limit["low"]
            bound = f"limit of 0 changes, {limit['method']}"
            intervals[name] = interval_about(change, max(change - reach, -1.0), min(change + reach, 1.0), bound)
        else:
            intervals[name] = interval_about(change, *percentiles, method)
    return intervals


def proportion_with_interval(hits: ArrayLike, groups: ArrayLike | None, seed: int) -> Interval:
    """The share of true values in ``hits`` (N,) with its 95 % interval: bootstrap over groups, else Wilson.

    Wilson also where all values are equal: how they cluster in groups is then unknown.
    """
    hit = np.asarray(hits, dtype=bool)
    codes = group_codes(groups, len(hit))
    value = float(hit.mean())
    score = interval_about(value, *wilson(value, len(hit)), "Wilson")
    if codes is None:
        return score
    labels = np.zeros(len(hit), dtype=np.int64)
    shares = np.concatenate([weights @ hit / weights.sum(axis=1) for weights in draw(labels, codes, seed)])
    percentiles = percentile_interval(shares)
    return score if percentiles is None else interval_about(value, *percentiles, "bootstrap over groups")


def wilson(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a proportion ``share`` among ``n`` independent observations.

    >>> [round(limit, 3) for limit in wilson(25 / 25, 25)]
    [0.867, 1.0]
    """
    low, high = proportion_confint(share * n, n, alpha=0.05, method="wilson")
    return float(max(low, 0.0)), float(min(high, 1.0))


def newcombe(auc: float, positives: int, negatives: int) -> tuple[float, float]:
    """Newcombe's 95 % score interval of an AUC (doi:10.1002/sim.2324, method 5).

    The limits are the values θ whose own standard error, after Hanley and McNeil with both sample sizes replaced by
    their mean, puts ``auc`` 1.96 of them away.

    >>> [round(limit, 3) for limit in newcombe(1.0, 25, 25)]
    [0.919, 1.0]
    """

    def lower(area: float) -> float:
        if area <= 0:
            return 0.0
        spread = (positives + negatives) / 2 - 1

        def excess(theta: float) -> float:
            shape = 1 + spread * ((1 - theta) / (2 - theta) + theta / (1 + theta))
            return (area - theta) ** 2 - _Z**2 * theta * (1 - theta) * shape / (positives * negatives)

        return float(brentq(excess, 0.0, area - 1e-9 * area))

    return lower(auc), 1 - lower(1 - auc)


class Independent:
    """How many independent observations each metric rests on: samples, or groups where there are groups."""

    def __init__(self, labels: IntArray, codes: IntArray | None, classes: int) -> None:
        units = np.arange(len(labels)) if codes is None else codes
        self.grouped = codes is not None
        self.classes = classes
        self.total = len(np.unique(units))
        self.of_class = [len(np.unique(units[labels == c])) for c in range(classes)]
        self.of_rest = [len(np.unique(units[labels != c])) for c in range(classes)]

    def has_score_interval(self, metric: str) -> bool:
        """Whether a score interval is the method of choice for ``metric``, and not only the way out."""
        binary = metric in {"auc", "sensitivity", "specificity"} and self.classes == 2
        return not self.grouped and (binary or metric == "accuracy")

    def score_interval(self, metric: str, value: float) -> Interval:
        suffix = ", each group counted once" if self.grouped else ""
        if metric == "auc":
            smallest = 1 if self.classes == 2 else int(np.argmin(self.of_class))
            limits = newcombe(value, self.of_class[smallest], self.of_rest[smallest])
            return interval_about(value, *limits, f"Newcombe{suffix}")
        if self.classes == 2 and metric in {"sensitivity", "specificity"}:
            n = self.of_class[1] if metric == "sensitivity" else self.of_class[0]
        else:
            n = self.total if metric == "accuracy" else min(self.of_class)
        exact = self.has_score_interval(metric) or self.grouped
        return interval_about(value, *wilson(value, n), f"Wilson{suffix}" if exact else "Wilson, smallest class")


def percentile_interval(resampled: NDArray[np.float64]) -> tuple[float, float] | None:
    """The middle 95 %, or None where resampling says nothing: too few usable resamples, or all alike."""
    if len(resampled) < _FEWEST_RESAMPLES:
        return None
    low, high = (float(limit) for limit in np.percentile(resampled, [2.5, 97.5]))
    return None if high - low < 1e-12 else (low, high)


def interval_about(value: float, low: float, high: float, method: str) -> Interval:
    """Percentiles of few resamples may miss the value itself; the interval then reaches to it."""
    return {"value": value, "low": min(low, value), "high": max(high, value), "method": method}


def _describe(codes: IntArray | None, groups: int) -> str:
    if codes is not None:
        return f"95 %, bootstrap over {groups} groups ({RESAMPLES} resamples)"
    return f"95 %, Wilson for proportions, Newcombe for AUC, else stratified bootstrap ({RESAMPLES} resamples)"
