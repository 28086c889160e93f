"""Mistakes of the user's: one sentence each, exit code 2."""


class UserError(Exception):
    """What was wrong, where, and what is allowed, in one sentence without a traceback."""
