"""Some of a source's classes as a binary task: ``data.classes: {0: [..], 1: [..]}``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hybridq.data.manifest import Manifest
from hybridq.errors import UserError


def merge_classes(manifest: Manifest, classes: tuple[Sequence[int | str], Sequence[int | str]]) -> Manifest:
    """The images of the named classes (by name, or by index where a number is given), labelled 0 and 1.

    The merged classes are called by their members, joined with "/"; groups and splits stay. Raises :class:`UserError`
    for classes that do not exist or are given twice, and for sources whose images have no class or several.
    """
    where = f"{manifest.source}: data.classes"
    if not manifest.classes or manifest.targets is not None:
        kind = "have no labels" if not manifest.classes else "may have several labels at once"
        raise UserError(f"{where} needs images of one class each; these {kind}")
    members = [[_index(manifest, name, where) for name in names] for names in classes]
    both = members[0] + members[1]
    twice = next((index for index in both if both.count(index) > 1), None)
    if twice is not None:
        raise UserError(f"{where} names {manifest.classes[twice]} twice")
    new = np.full(len(manifest.classes), -1)
    for label, indices in enumerate(members):
        new[indices] = label
    labels = new[manifest.table["label"].to_numpy()]
    kept = manifest.table.assign(label=labels)[labels >= 0]
    if kept.empty:
        raise UserError(f"{where}: none of these classes has an image")
    names = tuple("/".join(manifest.classes[index] for index in indices) for indices in members)
    left_out = len(manifest.table) - len(kept)
    note = (f"{left_out} images of other classes are left out.",) if left_out else ()
    return replace(manifest, table=kept, classes=names, task="binary", notes=(*manifest.notes, *note))


def _index(manifest: Manifest, name: int | str, where: str) -> int:
    if isinstance(name, int) and 0 <= name < len(manifest.classes):
        return name
    if name in manifest.classes:
        return manifest.classes.index(str(name))
    known = ", ".join(f"{index} ({known})" for index, known in enumerate(manifest.classes))
    raise UserError(f"{where}: there is no class {name}; known: {known}")
