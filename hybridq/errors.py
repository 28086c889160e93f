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


def printable(text: str) -> str:
    """``text`` with its control characters, line breaks and undecodable bytes escaped as in Python."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii") for sign in text)
