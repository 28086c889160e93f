"""Calibration: do predicted probabilities match observed frequencies?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hybridq.statistics.bootstrap import draw
from hybridq.statistics.intervals import Interval, interval_about, percentile_interval, proportion_with_interval
from hybridq.statistics.scored import Scored
from hybridq.typing import FloatArray, IntArray

BINS: Final = 10
"""Of about as many images each: bins of equal width leave some with a handful, whose share is chance."""
_IMITATIONS: Final = 1000


@dataclass(frozen=True)
class Bin:
    """Images with similar probabilities."""

    predicted: float
    """Their mean probability."""
    observed: Interval
    """The share of them that are what the probability says."""
    images: int


@dataclass(frozen=True)
class Calibration:
    """How well probabilities are meant. Of two classes they are those of the positive one, of more the highest."""

    bins: tuple[Bin, ...]
    ece: float
    """Expected calibration error: mean distance between predicted and observed over the bins, weighted by images."""
    ece_by_chance: float
    ece_by_chance_high: float
    """Mean and 95 % quantile of the error that a perfectly calibrated model would show on as many images (and groups):
    an error is never 0, and one below this quantile shows nothing."""
    brier: Interval
    """Mean squared distance between probabilities and truth (Brier, 1950): of the positive class where there are two,
    in [0, 1]; summed over classes where there are more, in [0, 2]. 0 is best."""
    brier_of_shares: float
    """What it would be if every image got the shares of the classes."""

    @property
    def shown(self) -> bool:
        """Whether a miscalibration is shown."""
        return self.ece > self.ece_by_chance_high


def calibration(scored: Scored) -> Calibration:
    """Return how well the probabilities of images with one class each are meant; the seed also decides imitations.

    Raises ``ValueError`` where images may have several labels.
    """
    labels, probabilities, codes = scored.truth, scored.probabilities, scored.codes
    if labels.ndim != 1:
        raise ValueError("images with several labels have no calibration of one probability")
    binary = probabilities.shape[1] == 2
    decided = probabilities.argmax(axis=1)
    scores = probabilities[:, 1] if binary else probabilities.max(axis=1)
    happened = labels == 1 if binary else labels == decided
    place, counts = _places(scores)
    predicted = np.bincount(place, scores) / counts
    chance = _errors_by_chance(scores, place, counts, codes, scored.seed)
    truth = np.eye(probabilities.shape[1])[labels]
    shares = np.tile(truth.mean(axis=0), (len(labels), 1))
    observed = [
        proportion_with_interval(happened[inside], scored.take(inside).groups, scored.seed)
        for inside in (place == k for k in range(len(counts)))
    ]
    return Calibration(
        bins=tuple(Bin(float(predicted[k]), observed[k], int(counts[k])) for k in range(len(counts))),
        ece=_error(happened, scores, place, len(counts)),
        ece_by_chance=float(chance.mean()),
        ece_by_chance_high=float(np.quantile(chance, 0.95)),
        brier=_mean(_brier(truth, probabilities, binary), labels, codes, scored.seed),
        brier_of_shares=float(_brier(truth, shares, binary).mean()),
    )


def _places(scores: FloatArray) -> tuple[IntArray, IntArray]:
    """The bin of each image, (N,), and the number of images in each; images of one probability stay together."""
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, BINS + 1)[1:-1]))
    _, place = np.unique(np.searchsorted(edges, scores, side="right"), return_inverse=True)
    return place.astype(np.int64), np.bincount(place).astype(np.int64)


def _error(happened: NDArray[np.bool_], scores: FloatArray, place: IntArray, bins: int) -> float:
    return float(np.abs(np.bincount(place, happened - scores, minlength=bins)).sum() / len(scores))


def _errors_by_chance(
    scores: FloatArray, place: IntArray, counts: IntArray, codes: IntArray | None, seed: int
) -> FloatArray:
    """The error of imitations in which every image is positive with its own probability.

    Images of a group share one random number: each keeps its probability, and they are as alike as that allows.
    """
    random = np.random.default_rng([seed, 7])
    units = len(scores) if codes is None else int(codes.max()) + 1
    errors = np.empty(_IMITATIONS)
    for i in range(_IMITATIONS):
        drawn = random.random(units)
        happened = (drawn if codes is None else drawn[codes]) < scores
        errors[i] = _error(happened, scores, place, len(counts))
    return errors


def _brier(truth: FloatArray, probabilities: FloatArray, binary: bool) -> FloatArray:
    """Of each image, (N,)."""
    squares = (probabilities - truth) ** 2
    return np.asarray(squares[:, 1] if binary else squares.sum(axis=1))


def _mean(values: FloatArray, labels: IntArray, codes: IntArray | None, seed: int) -> Interval:
    drawn = np.concatenate([w @ values / w.sum(axis=1) for w in draw(labels, codes, seed)])
    method = "stratified bootstrap" if codes is None else "bootstrap over groups"
    value = float(values.mean())
    return interval_about(value, *(percentile_interval(drawn) or (value, value)), method)
