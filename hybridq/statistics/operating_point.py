"""The operating point: the probability from which on an image of two classes is called positive.

It is chosen on validation images and applied to others. One threshold, from the noiseless simulator, holds for every
backend: so a model is handed over before anyone has seen the device. Where validation images were evaluated on a
backend too, that backend gets a second threshold of its own. No test image takes part in either.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridq.errors import UserError
from hybridq.statistics.bootstrap import draw
from hybridq.statistics.intervals import (
    Interval,
    difference_intervals,
    metrics_with_intervals,
    proportion_with_interval,
)
from hybridq.statistics.scored import Scored
from hybridq.typing import FloatArray

RATES = ("sensitivity", "specificity")
_ALLOWED = (
    "allowed are youden, sensitivity=S with 0 < S ≤ 1, and cost=M:F with the positive costs of a missed positive and "
    "of a false alarm, such as cost=10:1"
)


@dataclass(frozen=True)
class Rule:
    """How a threshold is chosen; Youden's, where neither a sensitivity nor costs are given."""

    text: str
    """As it is written on the command line."""
    sensitivity: float | None = None
    """At least so much on the images it is chosen on."""
    costs: tuple[float, float] | None = None
    """Of a missed positive and of a false alarm; only their ratio matters."""

    @property
    def sentence(self) -> str:
        """What the rule asks for."""
        if self.sensitivity is not None:
            return f"the highest threshold with a sensitivity of {self.sensitivity:g} or more"
        if self.costs is not None:
            missed, alarm = self.costs
            return (
                f"the lowest cost where a missed positive costs {missed:g} and a false alarm {alarm:g}, with as many "
                "positives as the validation images have"
            )
        return "the largest sum of sensitivity and specificity (Youden)"


YOUDEN = Rule("youden")


def parse_rule(text: str) -> Rule:
    """The rule that ``text`` names: ``youden``, ``sensitivity=0.95`` or ``cost=10:1``; else :class:`UserError`.

    >>> parse_rule("cost=10:1").costs
    (10.0, 1.0)
    """
    name, _, value = text.strip().partition("=")
    try:
        if name == "youden" and not value:
            return YOUDEN
        if name == "sensitivity" and 0 < (least := float(value)) <= 1:
            return Rule(f"sensitivity={least:g}", sensitivity=least)
        if name == "cost":
            missed, alarm = map(float, value.split(":"))
            if 0 < missed < np.inf and 0 < alarm < np.inf:
                return Rule(f"cost={missed:g}:{alarm:g}", costs=(missed, alarm))
    except ValueError:
        pass
    raise UserError(f"--threshold {text}: {_ALLOWED}")


@dataclass(frozen=True)
class Threshold:
    """An image is called positive where the probability of class 1 is ``value`` or more."""

    rule: Rule
    value: float
    low: float
    high: float
    """95 % interval over the choice of validation images (bootstrap)."""
    backend: str
    """That the validation images were evaluated on."""
    images: int
    positives: int
    rates: dict[str, float]
    """Sensitivity and specificity on the validation images, which are the better for being chosen on them."""


@dataclass(frozen=True)
class Point:
    """What an evaluation decides at a threshold. Intervals are over its images, the threshold being given."""

    backend: str
    kind: str
    threshold: Threshold
    rates: dict[str, Interval]
    changes: dict[str, Interval] | None
    """Change of the rates from the reference at the same threshold, paired; None for the reference itself."""
    called: int
    """Images called positive."""
    predictive: dict[str, Interval | None]
    """Share of those called positive (negative) that are; at another share of positives these are others. None where
    no image is called so."""


@dataclass(frozen=True)
class OperatingPoint:
    """The operating point of a run on one set of images."""

    rule: Rule
    threshold: Threshold
    """From the noiseless simulator."""
    points: tuple[Point, ...]
    """Every backend at that threshold, and then those with one of their own."""

    @property
    def own(self) -> tuple[Point, ...]:
        """The points at a backend's own threshold."""
        return tuple(point for point in self.points if point.threshold is not self.threshold)

    def as_dict(self) -> dict[str, Any]:
        """The content of operating_point.json."""
        return {
            "rule": self.rule.text,
            "threshold": _described(self.threshold),
            "points": [asdict(point) | {"threshold": _described(point.threshold)} for point in self.points],
        }


def is_binary(scored: Scored) -> bool:
    """Return whether there is one threshold to choose: one of two classes, of which class 1 is the positive one."""
    return scored.truth.ndim == 1 and scored.probabilities.shape[1] == 2


def choose(validation: Scored, rule: Rule, backend: str) -> Threshold:
    """Return the threshold that ``rule`` takes on these images, which were evaluated on ``backend``.

    Every cut between two different probabilities is tried; of equally good ones the lowest is taken, which misses the
    fewest.
    """
    positive, scores = validation.truth == 1, validation.probabilities[:, 1]
    cuts = _Cuts(positive, scores)
    value = float(cuts.best(rule, np.ones((1, len(scores))))[0])
    resamples = draw(validation.truth, validation.codes, validation.seed)
    drawn = np.concatenate([cuts.best(rule, weights) for weights in resamples])
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    called = scores >= value
    return Threshold(
        rule=rule,
        value=value,
        low=min(float(low), value),
        high=max(float(high), value),
        backend=backend,
        images=len(scores),
        positives=int(positive.sum()),
        rates={"sensitivity": float(called[positive].mean()), "specificity": float((~called[~positive]).mean())},
    )


def apply(
    scored: Scored, threshold: Threshold, paired: tuple[Scored, Scored] | None, *, backend: str, kind: str
) -> Point:
    """Return the decisions at ``threshold``, with their changes from a reference.

    ``paired`` has the reference's images and the same images as scored here, in one order; None: no changes.
    """
    called = scored.probabilities[:, 1] >= threshold.value
    decided = _decided(scored, threshold)
    found = metrics_with_intervals(scored.truth, decided, scored.groups, scored.seed, split=scored.split)["metrics"]
    changes = None
    if paired is not None:
        before, now = paired
        given = before.truth, _decided(now, threshold), _decided(before, threshold), before.groups
        changes = difference_intervals(*given, scored.seed, split=scored.split)
    return Point(
        backend=backend,
        kind=kind,
        threshold=threshold,
        rates={name: found[name] for name in RATES},
        changes=None if changes is None else {name: changes[name] for name in RATES},
        called=int(called.sum()),
        predictive={
            "positive": _share(scored, scored.truth == 1, called),
            "negative": _share(scored, scored.truth == 0, ~called),
        },
    )


class _Cuts:
    """Every way of calling the highest probabilities positive, from none to all."""

    def __init__(self, positive: NDArray[np.bool_], scores: FloatArray) -> None:
        self._order = np.argsort(-scores, kind="stable")
        self._positive = positive[self._order]
        falling = scores[self._order]
        # Images of one probability are called together.
        self._last = np.append(np.flatnonzero(np.diff(falling)), len(scores) - 1)
        highest = falling[0]
        none = (highest + 1) / 2 if highest < 1 else np.nextafter(1.0, 2.0)
        between = (falling[self._last[:-1]] + falling[self._last[:-1] + 1]) / 2
        self._thresholds = np.concatenate([[none], between, [0.0]])

    def best(self, rule: Rule, weights: NDArray[np.float64]) -> FloatArray:
        """The threshold for each resample (B, N) of the images, (B,); NaN where one has no positive or no negative."""
        drawn = weights[:, self._order]
        start = np.zeros((len(drawn), 1))
        found, alarms = (
            np.hstack([start, np.cumsum(drawn * of, axis=1)[:, self._last]]) for of in (self._positive, ~self._positive)
        )
        positives, negatives = found[:, -1:], alarms[:, -1:]
        if rule.sensitivity is not None:
            enough = found >= rule.sensitivity * positives - 1e-9
            chosen = enough.argmax(axis=1)
        else:
            # Youden's in whole numbers, so that ties are ties: its costs are the other class's size.
            missed, alarm = rule.costs or (negatives, positives)
            gain = missed * found - alarm * alarms
            chosen = gain.shape[1] - 1 - gain[:, ::-1].argmax(axis=1)
        usable = ((positives > 0) & (negatives > 0))[:, 0]
        return np.asarray(np.where(usable, self._thresholds[chosen], np.nan))


def _decided(scored: Scored, threshold: Threshold) -> FloatArray:
    """Return decisions as probabilities of 0 and 1, (N, 2), for what takes probabilities."""
    called = scored.probabilities[:, 1] >= threshold.value
    return np.column_stack([~called, called]).astype(np.float64)


def _share(scored: Scored, right: NDArray[np.bool_], called: NDArray[np.bool_]) -> Interval | None:
    if not called.any():
        return None
    return proportion_with_interval(right[called], scored.take(called).groups, scored.seed)


def _described(threshold: Threshold) -> dict[str, Any]:
    return asdict(threshold) | {"rule": threshold.rule.text}
