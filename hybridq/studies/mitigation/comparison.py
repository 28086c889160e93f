"""Decisions of each method beside those without noise: flips and changes of AUC, with intervals.

Each resample of the images (or groups) goes with one repetition of the experiment, so that the intervals hold both:
what other images, and what other shots would give.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hybridq.statistics.bootstrap import RESAMPLES, draw, weighted_auc
from hybridq.statistics.intervals import Interval, interval_about, percentile_interval, wilson
from hybridq.statistics.scored import Scored
from hybridq.statistics.tasks import Task
from hybridq.studies.mitigation.methods import NONE, Method
from hybridq.typing import FloatArray


class Comparison:
    """Methods on the same images and shots.

    Args:
        task: what was decided.
        ideal: the N images with their probabilities without noise.
        probabilities: of each method those of each repetition, (N, C); every method has as many repetitions.
    """

    def __init__(self, task: Task, ideal: Scored, probabilities: Mapping[Method, Sequence[FloatArray]]) -> None:
        self._task, self._ideal, self._probabilities = task, ideal, probabilities
        self._differs = {method: [self._decided_otherwise(p) for p in each] for method, each in probabilities.items()}
        once = np.ones((1, len(ideal.truth)))
        self._auc_without_noise = float(self._aucs_of(ideal.probabilities, once)[0])
        self._aucs = {
            method: [float(self._aucs_of(p, once)[0]) for p in each] for method, each in probabilities.items()
        }
        self._resample()

    def flips(self, method: Method) -> Interval:
        """Share of images that are decided otherwise than without noise, mean of the repetitions."""
        value = float(np.mean(self._differs[method]))
        limits = percentile_interval(self._resampled_flips[method]) or wilson(value, len(self._ideal.truth))
        return interval_about(value, *limits, "bootstrap")

    def auc_change(self, method: Method) -> Interval:
        """From no noise, mean of the repetitions."""
        value = float(np.mean(self._aucs[method])) - self._auc_without_noise
        return self._interval(value, self._resampled_changes[method], method, self._ideal.probabilities)

    def auc_gain(self, method: Method) -> Interval:
        """From no mitigation, mean of the repetitions; certainly 0 for that itself."""
        if method == NONE:
            return interval_about(0.0, 0.0, 0.0, "by definition")
        value = float(np.mean(self._aucs[method]) - np.mean(self._aucs[NONE]))
        gains = self._resampled_changes[method] - self._resampled_changes[NONE]
        return self._interval(value, gains, method, self._probabilities[NONE][0])

    def auc_scatter(self, method: Method) -> float:
        """Standard deviation of AUC over the repetitions; 0 where there is one."""
        aucs = self._aucs[method]
        return float(np.std(aucs, ddof=1)) if len(aucs) > 1 else 0.0

    def _resample(self) -> None:
        changes: dict[Method, list[FloatArray]] = {method: [] for method in self._probabilities}
        flips: dict[Method, list[FloatArray]] = {method: [] for method in self._probabilities}
        codes, strata, seed = self._ideal.codes, self._task.strata(self._ideal.truth), self._ideal.seed
        repetitions = len(self._probabilities[NONE])
        for number in range(repetitions):
            for weights in draw(strata, codes, seed + number, RESAMPLES // repetitions):
                reference = self._aucs_of(self._ideal.probabilities, weights)
                for method, each in self._probabilities.items():
                    changes[method].append(self._aucs_of(each[number], weights) - reference)
                    flips[method].append(weights @ self._differs[method][number] / weights.sum(axis=1))
        self._resampled_changes = {method: np.concatenate(pieces) for method, pieces in changes.items()}
        self._resampled_flips = {method: np.concatenate(pieces) for method, pieces in flips.items()}

    def _interval(self, value: float, resampled: FloatArray, method: Method, reference: FloatArray) -> Interval:
        limits = percentile_interval(resampled[np.isfinite(resampled)])
        if limits is not None:
            return interval_about(value, *limits, "bootstrap")
        # Where nothing changes in any resample, the task knows how large a change could hide among so many images.
        first = self._probabilities[method][0]
        return self._task.changes(self._ideal.saying(first), reference)["auc"]

    def _decided_otherwise(self, probabilities: FloatArray) -> NDArray[np.bool_]:
        decided, ideal = self._task.decide(probabilities), self._task.decide(self._ideal.probabilities)
        return (decided != ideal).reshape(len(decided), -1).any(axis=1)

    def _aucs_of(self, probabilities: FloatArray, weights: FloatArray) -> FloatArray:
        """Of each row of ``weights`` (B, N), (B,); not a number where a resample of groups lacks a class."""
        with np.errstate(divide="ignore", invalid="ignore"):
            each = [
                weighted_auc(positive, scores, weights)
                for positive, scores in self._task.against_rest(self._ideal.truth, probabilities)
            ]
        return np.asarray(np.mean(each, axis=0))
