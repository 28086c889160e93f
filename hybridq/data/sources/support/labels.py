"""The classes of a source that finds their names in folders or cells, and their order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hybridq.data.sources.registry import Request
from hybridq.data.tables import as_number
from hybridq.errors import UserError


def order_classes(labels: Sequence[str], request: Request) -> tuple[str, ...]:
    """Return the distinct names in order: numbers by value, else alphabetical.

    Raises :class:`UserError` for a single class, and for names that differ in case only, unless the images are those of
    a finished run.
    """
    names = sorted(set(labels))
    if all(as_number(name) is not None for name in names):
        names.sort(key=lambda name: as_number(name) or 0.0)
    else:
        names.sort(key=lambda name: (0, int(name), name) if name.isdecimal() else (1, 0, name))
    if len(names) < 2:
        raise UserError(f"{request.source}: all images are of the class {names[0]}; at least two classes are needed")
    folded = Counter(name.casefold() for name in names)
    alike = [name for name in names if folded[name.casefold()] > 1]
    if alike and not request.again:
        raise UserError(f"{request.source}: the classes {' and '.join(alike)} differ in case only; write them alike")
    return tuple(names)
