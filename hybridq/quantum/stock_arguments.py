"""Arguments of the stock classes that have no meaning here: taken, so that classes can be exchanged, and said."""

from __future__ import annotations

import warnings
from collections.abc import Mapping


def warn_of_unused(what: str, given: Mapping[str, bool], reason: str, *, stacklevel: int = 3) -> None:
    """Warn once of all arguments that were given and do not apply.

    Args:
        what: the class.
        given: for each argument by name: whether it was given.
        reason: why they do not apply.
        stacklevel: as in :func:`warnings.warn`; default: the caller of the constructor that calls this.
    """
    names = [name for name, present in given.items() if present]
    if names:
        verb = "does" if len(names) == 1 else "do"
        warnings.warn(f"{what}: {', '.join(names)} {verb} not apply; {reason}", stacklevel=stacklevel)
