"""Mistakes of the user's: one sentence each, exit code 2."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class UserError(Exception):
    """What was wrong, where, and what is allowed, in one sentence without a traceback.

    It is one line whatever stands in it: line breaks and what else cannot be printed, such as a damaged file name, are
    shown escaped.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(printable(sentence))


class UnusableFilesError(UserError):
    """Files that cannot be used and may be called after patients: the sentence says where they stand, without names."""

    def __init__(self, sentence: str, paths: Sequence[Path]) -> None:
        super().__init__(sentence)
        self.paths = tuple(paths)


class WritingError(UserError, OSError):
    """A place that cannot be written, or that has no room left; ``errno`` and ``strerror`` are those of the system."""

    def __init__(self, sentence: str, errno: int | None = None, strerror: str | None = None) -> None:
        super().__init__(sentence)
        self.errno = errno
        self.strerror = strerror

    def __str__(self) -> str:  # and not the system's words
        return str(self.args[0])


def printable(text: str) -> str:
    """``text`` with its control characters, line breaks and undecodable bytes escaped as in Python."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii") for sign in text)
