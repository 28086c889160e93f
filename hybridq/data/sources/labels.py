"""The order of class names, which decides the positive class."""

from __future__ import annotations

from collections.abc import Iterable

from hybridq.data.sources.registry import Request
from hybridq.errors import UserError


def order_classes(
    labels: Iterable[str], positive: str | None, request: Request
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The distinct names in order (numbers by value, else alphabetical), and what a reader must know about that order.

    Of two classes the last is the positive one unless ``positive`` names it. Raises :class:`UserError` where that
    class does not exist, and where there is one class only.
    """
    names = sorted(set(labels), key=lambda name: (0, int(name), name) if name.isdecimal() else (1, 0, name))
    if len(names) < 2:
        raise UserError(f"{request.source}: all images are of the class {names[0]}; at least two classes are needed")
    if positive is not None:
        if len(names) != 2 or positive not in names:
            allowed = " or ".join(names) if len(names) == 2 else f"only for two classes, here are {len(names)}"
            raise UserError(f"{request.source}: positive = {positive}; {allowed}")
        names.sort(key=lambda name: name == positive)
    elif request.data.classes is None and len(names) == 2 and names != ["negative", "positive"]:
        return tuple(names), (f"The positive class is {names[1]}, the last in order; positive=NAME chooses another.",)
    return tuple(names), ()
