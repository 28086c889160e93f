"""What several seeds on the same test images say: intervals over seeds, and paired tests of two models.

The main test is :func:`two_level`. Trainings with other seeds and other patients would both have given another
difference, so that both are resampled; neither paired DeLong nor McNemar does, which makes them descriptions of single
trainings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest, norm, t
from statsmodels.stats.multitest import multipletests

from hybridq.typing import FloatArray

LEVEL = 0.05
"""Of all tests; intervals are those of 1 − LEVEL."""
_NOTHING = 1e-20
"""A variance below this is rounding."""


@dataclass(frozen=True)
class Difference:
    """Of a metric between two models, with what is needed to test it against any other value."""

    value: float
    standard_error: float
    degrees: float
    """Degrees of freedom of the t distribution to which value / standard_error is referred."""
    collapsed: bool = False
    """Whether no resample showed a difference, and the standard error is an upper limit instead."""

    @property
    def reach(self) -> float:
        """Half the width of the 95 % interval."""
        return float(t.ppf(1 - LEVEL / 2, self.degrees)) * self.standard_error

    @property
    def p(self) -> float:
        """Two-sided, of no difference."""
        return float(2 * t.sf(abs(self.value) / self.standard_error, self.degrees))

    def p_equivalence(self, margin: float) -> float:
        """Of a difference of ``margin`` or more: the larger of two one-sided tests (TOST)."""
        return float(t.sf((margin - abs(self.value)) / self.standard_error, self.degrees))


def two_level(observed: ArrayLike, resampled: ArrayLike, units: int, limit: float) -> Difference:
    """The mean difference over S paired seeds on test images from ``units`` groups, both of which are samples.

    Args:
        observed: differences (S,), one a seed.
        resampled: the same differences (R, S) on R resamples of the groups, each shared by all seeds.
        units: groups, or images where each is its own group.
        limit: of the absolute difference, where no resample shows any; see :attr:`Difference.collapsed`.

    A difference is d_sg = μ + a_s + b_g + e_sg with the variances of seeds, groups, and of what belongs to one seed and
    group. The variance of the mean, σ_a²/S + σ_b²/G + σ_e²/(SG), is estimated without bias: the spread of the seeds
    gives σ_a²/S + σ_e²/(SG), resampled groups give σ_b²/G + σ_e²/(SG), and their spread in single seeds tells σ_e².
    Drawing seeds and groups in the same resample and taking percentiles would count σ_e² three times
    (doi:10.1214/07-AOAS122) and take the spread of a few seeds as known; here the degrees of freedom are
    Satterthwaite's. With one seed only the groups vary.
    """
    of_seeds = np.asarray(observed, dtype=np.float64)
    of_resamples = np.asarray(resampled, dtype=np.float64)
    seeds = len(of_seeds)
    value = float(of_seeds.mean())
    small = units / (units - 1)
    groups = small * float(of_resamples.mean(axis=1).var())
    if seeds == 1:
        total, degrees = groups, units - 1.0
    else:
        single = small * float(of_resamples.var(axis=0).mean())
        both = max(single - groups, 0.0) / (seeds - 1)
        between = float(of_seeds.var(ddof=1)) / seeds
        total = max(between + max(groups - both, 0.0), groups)
        rest = total - between
        spread = between**2 / (seeds - 1) + rest**2 / (units - 1)
        degrees = total**2 / spread if spread > 0 else units - 1.0
    if total < _NOTHING:
        return Difference(value, limit / float(norm.ppf(1 - LEVEL / 2)), np.inf, collapsed=True)
    return Difference(value, float(np.sqrt(total)), float(degrees))


def interval_over_seeds(values: ArrayLike) -> tuple[float, float]:
    """Mean of n ≥ 2 values and half the width of its 95 % t interval."""
    array = np.asarray(values, dtype=np.float64)
    error = float(array.std(ddof=1)) / np.sqrt(len(array))
    return float(array.mean()), float(t.ppf(1 - LEVEL / 2, len(array) - 1) * error)


def holm(p: Sequence[float]) -> list[float]:
    """p values corrected for their number (Holm 1979)."""
    return [float(value) for value in multipletests(list(p), method="holm")[1]] if p else []


def paired_delong(positive: NDArray[np.bool_], scores: ArrayLike, others: ArrayLike) -> tuple[float, float]:
    """Difference of two AUC on the same images and its two-sided p (DeLong 1988, doi:10.2307/2531595).

    ``positive``, ``scores`` and ``others`` have shape (N,). Takes images as independent and both models as given.
    """
    of_positives, of_negatives = (
        first - second
        for first, second in zip(_placements(positive, scores), _placements(positive, others), strict=True)
    )
    value = float(of_positives.mean())
    if min(len(of_positives), len(of_negatives)) < 2:
        return value, float("nan")
    variance = of_positives.var(ddof=1) / len(of_positives) + of_negatives.var(ddof=1) / len(of_negatives)
    if variance < _NOTHING:
        return value, 1.0
    return value, float(2 * norm.sf(abs(value) / np.sqrt(variance)))


def mcnemar(right: NDArray[np.bool_], others: NDArray[np.bool_]) -> tuple[int, int, float]:
    """Images (N,) that only the first and only the second decides rightly, and the exact two-sided p."""
    only, only_other = int((right & ~others).sum()), int((~right & others).sum())
    decided = only + only_other
    return only, only_other, float(binomtest(only, decided).pvalue) if decided else 1.0


def _placements(positive: NDArray[np.bool_], scores: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Of each positive the share of negatives below it, of each negative the share of positives above; ties half."""
    values = np.asarray(scores, dtype=np.float64)
    high, low = values[positive], values[~positive]
    ordered_low, ordered_high = np.sort(low), np.sort(high)
    below = np.searchsorted(ordered_low, high, "left") + np.searchsorted(ordered_low, high, "right")
    under = np.searchsorted(ordered_high, low, "left") + np.searchsorted(ordered_high, low, "right")
    return below / (2 * len(low)), 1 - under / (2 * len(high))
