"""Medians and quartiles of calls that take turns."""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

CHEAP = 0.1  # seconds; below it a turn begins with an untimed call, since what ran before it has emptied the caches
LONG = 5.0  # seconds; above it a call is made once

Call = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """Milliseconds: median and quartiles of so many calls."""

    median_ms: float
    low_ms: float
    high_ms: float
    repeats: int

    @classmethod
    def of(cls, seconds: list[float], scale: float = 1.0) -> Timing:
        """From seconds of each call; a part of a batch is scaled to the whole."""
        if len(seconds) == 1:
            low = median = high = seconds[0]
        else:
            low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
        return cls(1e3 * scale * median, 1e3 * scale * low, 1e3 * scale * high, len(seconds))


def seconds_of(call: Call) -> float:
    """Wall-clock time of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def interleaved(
    calls: Mapping[str, Call],
    *,
    seconds: float,
    most: int,
    once: Mapping[str, float] | None = None,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, list[float]]:
    """Seconds of every call, taken in turns in a random order that differs from round to round.

    Each is called twice first, to warm up and to plan: it then gets about ``seconds`` in all, at least 3 and at most
    ``most`` repeats spread evenly over the rounds. What took longer than :data:`LONG` is not called again.

    Args:
        calls: by name.
        seconds: for each.
        most: repeats.
        once: seconds of calls that were made already and were too long to be repeated.
        tick: told the rounds done and their number.
    """
    taken: dict[str, list[float]] = {name: [spent] for name, spent in (once or {}).items()}
    expected: dict[str, float] = {}
    for name, call in calls.items():
        first = seconds_of(call)
        if first > LONG:
            taken[name] = [first]
        else:
            expected[name] = seconds_of(call)
            taken[name] = []
    gc.collect()
    gc.freeze()  # what the peers keep alive is not searched for garbage on our time, nor ours on theirs
    repeats = {name: min(most, max(3, int(seconds / spent))) for name, spent in expected.items()}
    rounds = max(repeats.values(), default=0)
    order = random.Random(0)
    for done in range(rounds):
        names = [n for n, count in repeats.items() if (done + 1) * count // rounds > done * count // rounds]
        order.shuffle(names)
        for name in names:
            if expected[name] < CHEAP:
                calls[name]()
            taken[name].append(seconds_of(calls[name]))
        tick(done + 1, rounds)
    gc.unfreeze()
    return taken
