"""What is timed: a name, a precision, and how it is made ready for a point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.quantum.cases import Point
from benchmarks.quantum.steps import Step
from benchmarks.quantum.timing import LONG, seconds_of


class NotInstalledError(Exception):
    """A peer's package is missing; its row says so."""


@dataclass(frozen=True)
class Candidate:
    """Something that computes values and gradients."""

    name: str
    precision: str
    """Of the arithmetic: ``float32`` or ``float64``."""
    prepare: Callable[[Point], Step]
    """Compiles and returns the step; raises :class:`NotInstalledError`."""
    tolerance: float
    """Largest difference from the float64 reference, see :func:`benchmarks.quantum.steps.largest_difference`."""
    per_sample: bool = False
    """Whether its time is proportional to the batch, so that a part of the batch tells the whole."""
    sample_seconds: Callable[[Point], float] | None = None
    """Estimates the seconds of one sample, for those that may take minutes."""
    device: str = "cpu"


@dataclass(frozen=True)
class Ready:
    """A step for as many samples as fit the time."""

    step: Step
    samples: int
    seconds: float | None
    """Of the only call, where it was too long to be repeated."""


def make_ready(candidate: Candidate, point: Point, *, turn: float, patience: float) -> Ready | float:
    """The step for the whole point, or for a part that takes about ``turn`` seconds.

    Returns the estimated seconds of one sample instead where they exceed ``patience``.
    """
    batch = len(point.inputs)
    if not candidate.per_sample:
        return Ready(candidate.prepare(point), batch, None)
    if candidate.sample_seconds is not None:
        estimate = candidate.sample_seconds(point.part(1))
        if estimate > patience:
            return estimate
    samples, step = 1, candidate.prepare(point.part(1))
    first = seconds_of(step)
    if first > LONG:
        return Ready(step, 1, first)
    while samples < batch and 2 * seconds_of(step) <= turn:
        samples = min(2 * samples, batch)
        step = candidate.prepare(point.part(samples))
        step()
    return Ready(step, samples, None)
