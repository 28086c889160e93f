"""Tasks that a user states for a source of their own: grades, or several labels to an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from hybridq.data.manifest import UNLABELLED, Task
from hybridq.data.sources.registry import Options, Request
from hybridq.data.sources.support.labels import order_classes
from hybridq.data.tables import as_number, plain_number
from hybridq.errors import UserError

BETWEEN: Final = "|"
"""What stands between names in an option."""
TRUE: Final = ("1", "true", "yes")
FALSE: Final = ("0", "false", "no")
MOST_NAMED: Final = 10


class TaskOptions(Options):
    """Options of a source whose labels are the user's own."""

    path: str
    """The folder around the split or class folders, or the table."""
    positive: str | None = None
    """The positive one of two classes; else ``data.positive`` says, or the classes' names."""
    task: Literal["ordinal", "multi-label"] | None = None
    """None: every image is of one class."""
    order: str | None = None
    """Grades from the lowest to the highest, with ``|`` between them; numbers need none."""
    separator: str | None = None
    """Stands between the labels of one image; the default is ``|``."""
    none: str | None = None
    """Name that stands for an image without any label."""

    @model_validator(mode="after")
    def _of_one_task(self) -> TaskOptions:
        for task, names in (("ordinal", ("order",)), ("multi-label", ("separator", "none"))):
            for name in names:
                if getattr(self, name) is not None and self.task != task:
                    raise ValueError(f"{name}= is for task={task}")
        if self.task is not None and self.positive is not None:
            raise ValueError(f"positive= is for two classes, not for task={self.task}")
        return self


@dataclass(frozen=True)
class Labelled:
    """Labels of N images as a manifest holds them."""

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    """(N,); -1 throughout with ``targets``."""
    task: Task | None = None
    targets: NDArray[np.uint8] | None = None
    """(N, K) of a multi-label task."""
    notes: tuple[str, ...] = ()


def understand(cells: Sequence[str], request: Request, options: TaskOptions) -> Labelled:
    """Return the classes of ``cells`` (N,), one for each image, for the task that the options state.

    Raises :class:`UserError` for grades without an order, and for an order that is not that of the classes.
    """
    if options.task == "multi-label":
        return _separated(cells, request, options)
    classes = order_classes(cells, request)
    if options.task == "ordinal":
        classes = _grades(classes, request, options)
    index = {name: number for number, name in enumerate(classes)}
    return Labelled(
        classes, np.array([index[cell] for cell in cells], np.int64), options.task, notes=_said(classes, options)
    )


def understand_columns(
    columns: Sequence[Sequence[str]], names: Sequence[str], request: Request, options: TaskOptions
) -> Labelled:
    """Return the labels of a column each: ``columns`` (K, N) of cells that say 0 or 1.

    Raises :class:`UserError` naming column, row and cell for anything else.
    """
    if options.separator is not None or options.none is not None:
        raise UserError(f"{request.source}: separator= and none= are for labels in one column, here are {len(names)}")
    for name, cells in zip(names, columns, strict=True):
        wrong = [
            f"row {row}: {cell or 'empty'}"
            for row, cell in enumerate(cells, start=1)
            if plain_number(cell).lower() not in (*TRUE, *FALSE)
        ]
        if wrong:
            more = f" and {len(wrong) - MOST_NAMED} more" if len(wrong) > MOST_NAMED else ""
            found = ", ".join(wrong[:MOST_NAMED]) + more
            raise UserError(f"{request.source}: the column {name} has {found}; of several labels each cell is 0 or 1")
    targets = np.array([[plain_number(cell).lower() in TRUE for cell in cells] for cells in columns], np.uint8).T
    return _multi_label(tuple(names), targets)


def _separated(cells: Sequence[str], request: Request, options: TaskOptions) -> Labelled:
    separator = options.separator or BETWEEN
    found = [
        {plain_number(part.strip()) for part in cell.split(separator)} - {"", options.none or ""} for cell in cells
    ]
    names = order_classes(sorted(set().union(*found)) or [""], request)
    targets = np.array([[name in some for name in names] for some in found], np.uint8)
    return _multi_label(names, targets)


def _multi_label(names: tuple[str, ...], targets: NDArray[np.uint8]) -> Labelled:
    empty = int((targets.sum(axis=1) == 0).sum())
    notes = (f"{empty} of {len(targets)} images have none of the labels.",) if empty else ()
    return Labelled(names, np.full(len(targets), UNLABELLED, np.int64), "multi-label", targets, notes)


def _grades(classes: tuple[str, ...], request: Request, options: TaskOptions) -> tuple[str, ...]:
    if len(classes) < 3:
        raise UserError(f"{request.source}: task=ordinal is for three grades or more, here are {', '.join(classes)}")
    if options.order is None:
        if any(as_number(name) is None for name in classes):
            raise UserError(
                f"{request.source}: task=ordinal needs the order of {', '.join(classes)}, from the lowest grade to the "
                f"highest, such as order={BETWEEN.join(classes)}"
            )
        return classes
    order = tuple(plain_number(name.strip()) for name in options.order.split(BETWEEN))
    if sorted(order) != sorted(classes):
        raise UserError(f"{request.source}: order = {options.order}; the classes are {', '.join(classes)}, each once")
    return order


def _said(classes: tuple[str, ...], options: TaskOptions) -> tuple[str, ...]:
    if options.task != "ordinal":
        return ()
    return (f"The grades are, from the lowest to the highest, {', '.join(classes)}.",)
