"""What a person sees: progress bars, lines, tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

console = Console(highlight=False, soft_wrap=True)


class Bars:
    """Progress bars by what is being done: ``bars(what, done, total)``."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total)
        self._progress.update(self._tasks[what], completed=done)
        if done >= total:
            self._progress.stop_task(self._tasks[what])


@contextmanager
def bars() -> Iterator[Bars]:
    """Bars on a terminal; nothing where the output goes to a file."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield Bars(progress)


def working(what: str) -> AbstractContextManager[object]:
    """A spinner beside ``what`` on a terminal, for what has no steps to count."""
    return console.status(what) if console.is_terminal else nullcontext()


def announce(line: str) -> None:
    """One line to the person."""
    console.print(line, markup=False)
