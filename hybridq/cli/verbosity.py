"""How much a command says: -q results alone, -v what is done within; warnings once, in one line each."""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import TextIO

import backends
import hybridq
from hybridq.errors import printable

LOGGED = ("hybridq", "backends", "py.warnings")
PACKAGES = tuple(Path(str(package.__file__)).parent for package in (hybridq, backends))
ANYWHERE = ("-q", "--quiet", "-v", "--verbose")
"""Options of ``hybridq`` itself that may stand anywhere on the command line."""


def to_the_front(arguments: list[str]) -> list[str]:
    """Return the arguments with ``ANYWHERE`` before the command; what follows ``--`` stays."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    own = [argument for argument in arguments[:end] if argument in ANYWHERE]
    return [*own, *(argument for argument in arguments[:end] if argument not in ANYWHERE), *arguments[end:]]


def choose(*, quiet: bool, verbose: bool) -> None:
    """Decide for this command; ``verbose`` logs to standard error."""
    from hybridq.cli import console

    console.be_quiet(quiet)
    for name in LOGGED:
        logger = logging.getLogger(name)
        logger.handlers = [one for one in logger.handlers if not isinstance(one, _ToPerson)]
        if verbose:
            logger.addHandler(_ToPerson(sys.stderr))
        logger.setLevel(logging.DEBUG if verbose else logging.NOTSET)
        logger.propagate = not verbose
    _show_warnings()


class _ToPerson(logging.StreamHandler[TextIO]):
    """Lines with time and place."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s", "%H:%M:%S"))


def _show_warnings() -> None:
    """Show each warning once, as one line without the place in the program; what is for developers is logged."""
    shown: set[str] = set()

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        of = _package(filename)
        said = f"warning{'' if of is None else f' of {of}'}: {printable(str(message).strip().splitlines()[0])}"
        for_developers = issubclass(category, (DeprecationWarning, PendingDeprecationWarning, FutureWarning))
        if of is not None and for_developers:
            logging.getLogger("py.warnings").debug("%s (%s:%d)", said, filename, lineno)
        elif said not in shown:
            shown.add(said)
            print(f"hybridq: {said}", file=sys.stderr)

    module: ModuleType = warnings
    module.showwarning = show  # type: ignore[attr-defined]


def _package(filename: str) -> str | None:
    """The library that warns; None of this project."""
    path = Path(filename)
    if any(path.is_relative_to(package) for package in PACKAGES):
        return None
    parts = path.parts
    return parts[parts.index("site-packages") + 1] if "site-packages" in parts[:-1] else path.stem
