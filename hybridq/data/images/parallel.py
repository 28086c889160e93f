"""A function of many items, on all cores where that pays."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

MEASURED_SECONDS: Final = 0.25
"""Work done here before the rest is estimated."""
WORTH_SECONDS: Final = 4.0
"""Estimated rest from which processes pay: they take a second or two to start."""
CHUNK_SECONDS: Final = 0.1
MOST_IN_CHUNK: Final = 256
CHUNKS_AHEAD: Final = 2
"""Per process: what bounds the memory of results that wait for their turn."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_order(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """``function`` of every item, in order; at most some chunks of results wait in memory.

    Begins in this process and goes on in one process a core once the rest is known to take seconds, so ``function`` has
    to be picklable: a function of a module, or a ``functools.partial`` of one.
    """
    spent = 0.0
    for done, item in enumerate(items):
        if spent > MEASURED_SECONDS and spent / done * (len(items) - done) > WORTH_SECONDS:
            yield from _in_processes(function, items[done:], spent / done)
            return
        before = time.perf_counter()
        result = function(item)
        spent += time.perf_counter() - before
        yield result


def _in_processes(function: Callable[[Item], Result], items: Sequence[Item], seconds_each: float) -> Iterator[Result]:
    # Unlike the standard library's, these processes do not import the program's main module again.
    from joblib.externals.loky import ProcessPoolExecutor, cpu_count

    workers = min(cpu_count(), len(items))
    if workers == 1:
        yield from map(function, items)
        return
    size = min(max(int(CHUNK_SECONDS / seconds_each), 1), MOST_IN_CHUNK)
    pool = ProcessPoolExecutor(workers)
    try:
        waiting: deque = deque()
        for at in range(0, len(items), size):
            waiting.append(pool.submit(_chunk, function, items[at : at + size]))
            if len(waiting) > CHUNKS_AHEAD * workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        pool.shutdown(kill_workers=True)


def _chunk(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    return [function(item) for item in items]
