"""Progress where somebody watches: bars on a terminal, a line that counts in a notebook, nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress

if TYPE_CHECKING:  # it loads numpy, and the command line shows progress before anything is loaded
    from hybridq.typing import Progress


class Bars:
    """Progress bars by what is being done: ``bars(what, done, total)``."""

    def __init__(self, progress: RichProgress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total)
        self._progress.update(self._tasks[what], completed=done)
        if done >= total:
            self._progress.stop_task(self._tasks[what])


@contextmanager
def bars_on(console: Console, *, shown: bool) -> Iterator[Bars]:
    """Show bars on a console while the block runs."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with RichProgress(*columns, console=console, disable=not shown) as progress:
        yield Bars(progress)


@contextmanager
def shown(progress: Progress | None) -> Iterator[Progress]:
    """Give what is to be told of progress: ``progress``, or if None what suits the place."""
    if progress is not None:
        yield progress
    elif _in_notebook():
        yield _line
    else:
        console = Console(stderr=True)
        with bars_on(console, shown=console.is_terminal) as bars:
            yield bars


def announce(line: str) -> None:
    """Print a line that stays, over one that counts."""
    print(f"\r{line}")


def _line(what: str, done: int, total: int) -> None:
    print(f"\r{what}: {done} of {total}", end="" if done < total else "\n")


def _in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"
