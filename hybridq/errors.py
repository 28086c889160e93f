"""Mistakes of the user's: one sentence each, exit code 2."""

from __future__ import annotations


class UserError(Exception):
    """What was wrong, where, and what is allowed, in one sentence without a traceback.

    It is one line whatever stands in it: line breaks and what else cannot be printed, such as a damaged file name, are
    shown escaped.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(printable(sentence))


def printable(text: str) -> str:
    """``text`` with its control characters, line breaks and undecodable bytes escaped as in Python."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii") for sign in text)
