"""Some of a source's classes as a binary task: ``data.classes: {0: [..], 1: [..]}``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hybridq.data.manifest import Manifest
from hybridq.data.tables import as_number, plain_number
from hybridq.errors import UserError


def merge_classes(
    manifest: Manifest,
    classes: tuple[Sequence[int | str], Sequence[int | str]],
    kept: tuple[str, ...] | None = None,
) -> Manifest:
    """Return the images of the named classes, labelled 0 and 1.

    A number is a class's index, but its name if names are numbers; a run that was made when it was an index keeps that
    (``kept`` are its classes). The merged classes are called by their members, joined with "/"; groups and splits stay.
    Raises :class:`UserError` for classes that do not exist or are given twice, and for sources whose images have no
    class or several.
    """
    where = f"{manifest.source}: data.classes"
    if not manifest.classes or manifest.targets is not None:
        kind = "have no labels" if not manifest.classes else "may have several labels at once"
        raise UserError(f"{where} needs images of one class each; these {kind}")
    by_name = any(as_number(name) is not None for name in manifest.classes)
    members = _by_index(manifest, classes)
    if members is None or not (by_name and kept == _names(manifest, members)):
        members = [[_index(manifest, name, where, by_name) for name in names] for names in classes]
    both = members[0] + members[1]
    twice = next((index for index in both if both.count(index) > 1), None)
    if twice is not None:
        raise UserError(f"{where} names {manifest.classes[twice]} twice")
    new = np.full(len(manifest.classes), -1)
    for label, indices in enumerate(members):
        new[indices] = label
    labels = new[manifest.table["label"].to_numpy()]
    table = manifest.table.assign(label=labels)[labels >= 0]
    if table.empty:
        raise UserError(f"{where}: none of these classes has an image")
    left_out = len(manifest.table) - len(table)
    note = (f"{left_out} images of other classes are left out.",) if left_out else ()
    return replace(
        manifest,
        table=table,
        classes=_names(manifest, members),
        task="binary",
        positive_by="data.classes",
        notes=(*manifest.notes, *note),
    )


def _names(manifest: Manifest, members: Sequence[Sequence[int]]) -> tuple[str, ...]:
    return tuple("/".join(manifest.classes[index] for index in indices) for indices in members)


def _by_index(manifest: Manifest, classes: Sequence[Sequence[int | str]]) -> list[list[int]] | None:
    """Return the members with every number taken as an index, or None if some then does not exist."""
    names = manifest.classes
    try:
        return [
            [name if isinstance(name, int) and 0 <= name < len(names) else names.index(str(name)) for name in some]
            for some in classes
        ]
    except ValueError:
        return None


def _index(manifest: Manifest, name: int | str, where: str, by_name: bool) -> int:
    if isinstance(name, int) and not by_name and 0 <= name < len(manifest.classes):
        return name
    if (plain := plain_number(str(name))) in manifest.classes:
        return manifest.classes.index(plain)
    if str(name) in manifest.classes:
        return manifest.classes.index(str(name))
    known = ", ".join(known if by_name else f"{index} ({known})" for index, known in enumerate(manifest.classes))
    raise UserError(f"{where}: there is no class {name}; known: {known}")
