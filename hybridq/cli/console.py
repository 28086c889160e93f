"""What a person sees: progress bars, lines, tables.

Names of classes, files and runs are shown as they are: nothing in them is markup or a command to the terminal.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.status import Status as Spinner
from rich.text import Text

from hybridq.errors import UnusableFilesError, printable
from hybridq.progress import Bars, bars_on

if TYPE_CHECKING:
    from backends.ibm.execution import Status


class _Plain(Console):
    """A console on which a text is a text: cells, titles and lines alike."""

    def render_str(self, text: str, **options: Any) -> Text:
        lines = map(printable, text.split("\n"))
        return super().render_str("\n".join(lines), **options | {"markup": False, "emoji": False})


console = _Plain(highlight=False, soft_wrap=True)
_quiet = False


def be_quiet(quiet: bool) -> None:
    """Show results, questions, warnings and errors alone, or also what is being done."""
    global _quiet
    _quiet = quiet


def narrate(line: str) -> None:
    """One line on what is being done, which is no result: nothing with ``-q``."""
    if not _quiet:
        announce(line)


def bars() -> AbstractContextManager[Bars]:
    """Bars on a terminal; nothing where the output goes to a file."""
    return bars_on(console, shown=console.is_terminal and not _quiet)


def working(what: str) -> AbstractContextManager[object]:
    """A spinner beside ``what`` on a terminal, for what has no steps to count."""
    return console.status(Text(what)) if console.is_terminal and not _quiet else nullcontext()


@contextmanager
def names_of_unusable_files(asked: bool) -> Iterator[None]:
    """Where files cannot be used and their names are ``asked`` for: names on a terminal, and nowhere else."""
    try:
        yield
    except UnusableFilesError as error:
        if asked:
            name_files(error.paths)
        raise


def name_files(paths: Sequence[Path]) -> None:
    """Names, which may be those of patients: on a terminal alone, not into a file or a pipe."""
    if not console.is_terminal:
        announce("--show-names: names of files are shown on a terminal alone")
        return
    for path in paths:
        announce(f"  {printable(str(path))}")


def announce(line: str) -> None:
    """One line to the person."""
    console.print(line)


def print_json(content: Any) -> None:
    """The content as indented JSON; in ASCII where the output cannot show every letter, so that none is lost."""
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    print(json.dumps(content, indent=2, ensure_ascii=not unicode))


class Waiting:
    """How an evaluation on hardware stands: a live line on a terminal, else a line whenever something has changed."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._spinner = Spinner(device, console=console) if console.is_terminal and not _quiet else None
        self._trouble = ""
        self._last = ""

    def __enter__(self) -> Self:
        if self._spinner is not None:
            self._spinner.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._spinner is not None:
            self._spinner.stop()

    def __call__(self, status: Status) -> None:
        if status.phase == "trouble" and status.message != self._trouble:
            announce(f"{datetime.now():%H:%M:%S} {status.message}; trying again, and nothing is lost")
        elif status.phase != "trouble" and self._trouble:
            announce(f"{datetime.now():%H:%M:%S} the service answers again")
        self._trouble = status.message if status.phase == "trouble" else ""
        line = self._line(status)
        if self._spinner is not None:
            look = datetime.now() + timedelta(seconds=status.pause_seconds)
            again = f", next look {look:%H:%M:%S}" if status.pause_seconds >= 1 else ""
            # Longer than the terminal it would scroll.
            self._spinner.update(Text(line + again, overflow="ellipsis", no_wrap=True))
        elif line != self._last:
            narrate(line)
        self._last = line

    def _line(self, status: Status) -> str:
        if status.submitted < status.chunks:
            done = f"{status.submitted} of {status.chunks} jobs submitted"
        else:
            done = f"{status.finished} of {status.chunks} jobs done"
        failed = f", {status.failed} failed" if status.failed else ""
        ahead = f", {status.queue_position} ahead in the queue" if status.queue_position else ""
        return f"{self._device}: {done}{failed}{ahead}, {status.quantum_seconds:,.1f} quantum s used"
