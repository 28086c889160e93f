"""Risk and coverage: how often decisions are wrong when the unsure ones are handed to a human.

Decisions are ranked by confidence and the least confident are handed over. Coverage is the share of images that the
model keeps, risk the share of wrong decisions among them (El-Yaniv and Wiener, 2010, jmlr.org/papers/v11/el-yaniv10a).
The human is not modelled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybridq.statistics.bootstrap import draw
from hybridq.statistics.intervals import Interval, interval_about, percentile_interval, wilson
from hybridq.statistics.scored import Scored
from hybridq.typing import FloatArray

COVERAGES: Final = np.round(np.arange(1.0, 0.09, -0.02), 2)
"""Where the curve is computed, from all images down to a tenth."""


@dataclass(frozen=True, eq=False)
class RiskCoverage:
    """The curve at ``coverage`` (K,), shares from 1 downwards, with 95 % intervals over images or groups."""

    coverage: FloatArray
    risk: FloatArray
    low: FloatArray
    high: FloatArray
    method: str

    def at(self, coverage: float) -> Interval:
        """The risk at one of the computed coverages."""
        place = int(np.flatnonzero(np.isclose(self.coverage, coverage))[0])
        return interval_about(float(self.risk[place]), float(self.low[place]), float(self.high[place]), self.method)


def risk_coverage(scored: Scored, wrong: ArrayLike, confidence: ArrayLike) -> RiskCoverage:
    """Return the curve of decisions of which ``wrong`` (N,) are wrong, ranked by ``confidence`` (N,).

    Of decisions with equal confidence any may be handed over first: the risk is the mean over their orders. Without
    groups samples are resampled within classes. Where no resample has an error, the upper limit is Wilson's for
    none among the images that are kept.
    """
    mistakes, sureness = np.asarray(wrong, dtype=bool), np.asarray(confidence, dtype=np.float64)
    codes = scored.codes
    order = np.argsort(-sureness, kind="stable")
    last = np.append(np.flatnonzero(np.diff(sureness[order])), len(order) - 1)

    def risks(weights: NDArray[np.float64]) -> FloatArray:
        """(B, K) of resamples (B, N)."""
        drawn = weights[:, order]
        kept, errors = (np.cumsum(part, axis=1)[:, last] for part in (drawn, drawn * mistakes[order]))
        wanted = kept[:, -1:] * COVERAGES
        start = [0.0]
        among = [np.interp(w, [*start, *k], [*start, *e]) for w, k, e in zip(wanted, kept, errors, strict=True)]
        return np.asarray(among) / wanted

    risk = risks(np.ones((1, len(mistakes))))[0]
    drawn = np.concatenate([risks(weights) for weights in draw(scored.truth, codes, scored.seed)])
    units = len(mistakes) if codes is None else int(codes.max()) + 1
    limits = [
        percentile_interval(column) or _degenerate(float(value), max(1, round(units * share)))
        for column, value, share in zip(drawn.T, risk, COVERAGES, strict=True)
    ]
    low, high = np.asarray(limits).T
    return RiskCoverage(
        coverage=COVERAGES,
        risk=risk,
        low=np.minimum(low, risk),
        high=np.maximum(high, risk),
        method="stratified bootstrap" if codes is None else "bootstrap over groups",
    )


def confidence_of(probabilities: FloatArray, threshold: float | None = None) -> FloatArray:
    """How sure the decision on each image is, (N,), of probabilities (N, C).

    The highest probability; with a ``threshold`` on the probability of the second of two classes, how far its log odds
    are from those of the threshold, in either direction.
    """
    if threshold is None:
        return np.asarray(probabilities.max(axis=1))
    return np.asarray(np.abs(_log_odds(probabilities[:, 1]) - _log_odds(np.asarray(threshold))))


def _log_odds(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    tiny = np.finfo(np.float64).tiny
    return np.asarray(np.log(np.maximum(probability, tiny)) - np.log(np.maximum(1 - probability, tiny)))


def _degenerate(value: float, units: int) -> tuple[float, float]:
    return wilson(value, units)
