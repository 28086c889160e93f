"""Metrics of any model's probabilities, with the intervals and the checks of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from numpy.typing import ArrayLike

from hybridq.results.evaluation import metrics_table
from hybridq.statistics.scored import scored_of
from hybridq.statistics.tasks import task_named


def score(
    truth: ArrayLike,
    probabilities: ArrayLike,
    *,
    groups: Sequence[str] | None = None,
    task: str | None = None,
    classes: Sequence[str] | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the metrics of a model's probabilities, one row per metric, with 95 % intervals.

    Args:
        truth: class of each of N images from 0, (N,); or of several labels 0 and 1, (N, C).
        probabilities: (N, C), or (N,) of class 1 of two.
        groups: patient of each image; the images of one are resampled together.
        task: ``binary``, ``multi-class``, ``ordinal`` or ``multi-label``; None: by the shapes.
        classes: names, for errors and remarks.
        seed: of the resamples.

    Raises:
        UserError: shapes that do not fit, or values that are no probabilities.
    """
    scored, known = scored_of(truth, probabilities, groups=groups, task=task, classes=classes, seed=seed)
    return metrics_table(task_named(known).evaluate(scored))
