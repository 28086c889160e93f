"""95 % intervals where an image may have several labels: of the means over labels, of each label, and of changes.

Samples, or whole groups where there are groups, are resampled (percentile bootstrap) with all their labels, since the
labels of one image are not independent. A rare label may have no positive image in a resample: in the means it then
keeps the value that it has on all images, since leaving it out would average over other labels. A label by itself is a
binary task: without groups its AUC, sensitivity and specificity get the score intervals of
:mod:`hybridq.statistics.intervals`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from hybridq.statistics.bootstrap import RESAMPLES, draw, group_codes
from hybridq.statistics.intervals import (
    EvaluatedMetrics,
    Independent,
    Interval,
    LabelMetrics,
    interval_about,
    percentile_interval,
    wilson,
)
from hybridq.statistics.multilabel import (
    METRICS,
    OF_LABELS,
    checked,
    compute_metrics,
    defined_labels,
    resampled_metrics,
)
from hybridq.typing import FloatArray, IntArray

FEW = 10
"""Below so many positive images, resampling them says little about others."""


def metrics_with_intervals(
    targets: ArrayLike,
    probabilities: ArrayLike,
    groups: ArrayLike | None,
    seed: int,
    *,
    names: Sequence[str],
    split: str = "evaluated",
) -> EvaluatedMetrics:
    """The metrics of :mod:`hybridq.statistics.multilabel` with 95 % intervals, and those of each label, JSON-ready.

    ``targets`` and ``probabilities`` are (N, K), ``names`` the K labels, ``groups`` (N,) names or None. ``seed``
    decides the resamples. Raises as :func:`hybridq.statistics.multilabel.checked`.
    """
    y, p = checked(targets, probabilities, split=split)
    codes = group_codes(groups, len(y))
    values = compute_metrics(y, p, split=split)
    of_images, of_labels = _resampled(y, p, codes, seed)
    own = _each(y, p)
    means = _means(of_images, of_labels, own, y)
    method = "bootstrap" if codes is None else "bootstrap over groups"
    smallest = _rarest(y, codes)
    total = smallest.total
    over = "" if codes is None else f" over {total} groups"
    alone = "; of a label alone Wilson for proportions, Newcombe for AUC" if codes is None else ""
    metrics: dict[str, Interval] = {}
    for column, name in enumerate(METRICS):
        limits = percentile_interval(means[:, column])
        if name == "exact_match" and codes is None:
            metrics[name] = interval_about(values[name], *wilson(values[name], total), "Wilson")
        elif limits is not None:
            metrics[name] = interval_about(values[name], *limits, method)
        else:
            metrics[name] = _bound(smallest, name, values[name])
    single = of_labels.transpose(1, 2, 0)
    defined = set(defined_labels(y).tolist())
    labels: list[LabelMetrics] = [
        {
            "label": name,
            "positives": int(y[:, k].sum()),
            "metrics": _label(y[:, k], codes, own[k], single[k], method) if k in defined else None,
        }
        for k, name in enumerate(names)
    ]
    return {
        "metrics": metrics,
        "labels": labels,
        "notes": remarks(labels, len(y)),
        "n": len(y),
        "positives": None,
        "groups": None if codes is None else total,
        "interval": f"95 %, bootstrap{over} ({RESAMPLES} resamples){alone}",
    }


def difference_intervals(
    targets: ArrayLike,
    probabilities: ArrayLike,
    reference: ArrayLike,
    groups: ArrayLike | None,
    seed: int,
    *,
    split: str = "evaluated",
) -> dict[str, Interval]:
    """Change of each metric from ``reference`` to ``probabilities``, both (N, K), with paired 95 % intervals.

    As :func:`hybridq.statistics.intervals.difference_intervals`; where no resample shows a change, the limit is the
    one that 0 changes among the images of the rarest label allow.
    """
    y, p = checked(targets, probabilities, split=split)
    y, r = checked(targets, reference, split=split)
    codes = group_codes(groups, len(y))
    now, then = compute_metrics(y, p, split=split), compute_metrics(y, r, split=split)
    changes = _means(*_resampled(y, p, codes, seed), _each(y, p), y)
    changes -= _means(*_resampled(y, r, codes, seed), _each(y, r), y)
    smallest = _rarest(y, None)
    intervals: dict[str, Interval] = {}
    for column, name in enumerate(METRICS):
        change = now[name] - then[name]
        limits = percentile_interval(changes[:, column])
        if limits is None:
            bound = _bound(smallest, name, 1.0)
            reach = 1 - bound["low"]
            said = f"limit of 0 changes, {bound['method']}"
            intervals[name] = interval_about(change, max(change - reach, -1.0), min(change + reach, 1.0), said)
        else:
            method = "paired bootstrap" if codes is None else "paired bootstrap over groups"
            intervals[name] = interval_about(change, *limits, method)
    return intervals


def remarks(labels: Sequence[LabelMetrics], samples: int) -> list[str]:
    """Which labels the means over labels leave out, and which are too rare for their intervals; sentences, or none."""
    rare = [f"{each['label']} ({each['positives']})" for each in labels if 0 < each["positives"] < FEW]
    without = {
        "positive": [each["label"] for each in labels if each["positives"] == 0],
        "negative": [each["label"] for each in labels if each["positives"] == samples],
    }
    said = [
        f"No {what} image of {', '.join(names)}: left out of the means over labels."
        for what, names in without.items()
        if names
    ]
    if rare:
        said.append(
            f"Fewer than {FEW} positive images of {', '.join(rare)}: too few to resample, so that bootstrap intervals "
            "which rest on them are too narrow."
        )
    return said


def _resampled(y: IntArray, p: FloatArray, codes: IntArray | None, seed: int) -> tuple[FloatArray, FloatArray]:
    together = np.zeros(len(y), dtype=np.int64)
    parts = [resampled_metrics(y, p, weights) for weights in draw(together, codes, seed)]
    return np.concatenate([images for images, _ in parts]), np.concatenate([labels for _, labels in parts])


def _means(of_images: FloatArray, of_labels: FloatArray, own: FloatArray, y: IntArray) -> FloatArray:
    """The columns of ``METRICS`` for each resample, (B, 7); ``own`` (K, 5) is what labels have on all images."""
    labels = defined_labels(y)
    kept = of_labels[:, labels]
    means = np.where(np.isfinite(kept), kept, own[labels]).mean(axis=1)
    return np.concatenate([of_images, means], axis=1)


def _each(y: IntArray, p: FloatArray) -> FloatArray:
    """The metrics ``OF_LABELS`` of each label, (K, 5)."""
    return np.asarray(resampled_metrics(y, p, np.ones((1, len(y))))[1][0])


def _label(
    y: IntArray, codes: IntArray | None, values: FloatArray, resampled: FloatArray, method: str
) -> dict[str, Interval]:
    """Intervals of one label, ``y`` (N,), from its resampled metrics (5, B)."""
    independent = Independent(y, codes, 2)
    metrics: dict[str, Interval] = {}
    for name, value, drawn in zip(OF_LABELS, map(float, values), resampled, strict=True):
        exact = independent.has_score_interval(name)
        limits = None if exact else percentile_interval(drawn[np.isfinite(drawn)])
        if limits is None:
            metrics[name] = independent.score_interval(name, value)
        else:
            metrics[name] = interval_about(value, *limits, method)
    return metrics


def _rarest(y: IntArray, codes: IntArray | None) -> Independent:
    """The label with the fewest independent observations of its smaller side, among those that are defined."""
    labels = [Independent(y[:, k], codes, 2) for k in defined_labels(y)]
    return min(labels, key=lambda label: min(label.of_class))


def _bound(smallest: Independent, name: str, value: float) -> Interval:
    """The way out where resampling says nothing: what the rarest label alone would allow, or all images."""
    if name in {"accuracy", "exact_match"}:
        suffix = ", each group counted once" if smallest.grouped else ""
        return interval_about(value, *wilson(value, smallest.total), f"Wilson{suffix}")
    if name == "auc":
        return smallest.score_interval("auc", value)
    return interval_about(value, *wilson(value, min(smallest.of_class)), "Wilson, rarest label")
