"""What every source yields: one row an image, with label, group and split."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridq.data.pixels import Pixels
from hybridq.errors import UserError

COLUMNS: Final = ("id", "path", "label", "group", "split")
"""The columns every source gives."""
OPTIONAL: Final[dict[str, str | int]] = {"frame": 0, "width": 0, "height": 0, "modality": "", "contrast": ""}
"""The columns it may give, with what stands for unknown."""
SPLITS: Final = ("train", "validation", "test")
UNLABELLED: Final = -1


Read = Callable[[pd.DataFrame], Iterable[Pixels]]
"""Rows of the table to their images in order, for sources whose images are not one file each."""

Task = Literal["binary", "multi-class", "ordinal", "multi-label"]


@dataclass(frozen=True, eq=False)
class Manifest:
    """The images of one source; checked when built, so that one that exists can be trained on.

    ``table`` has the columns ``id`` (unique, never an absolute path), ``path`` (absolute; "" where ``read`` makes the
    image), ``label`` (index into ``classes``, or -1 for all where there are none or several to an image), ``group``
    (images of one group stay in one split; "" where the group is unknown or the image stands for itself), ``split``
    ("train", "validation" or "test"), ``frame`` (position in a file or array of several images), ``width`` and
    ``height`` (pixels; 0 is unknown), ``modality`` ("" is unknown) and ``contrast`` (by what the grey values of a DICOM
    file are shown; "" elsewhere).

    Raises :class:`UserError` when groups cross splits, there are fewer than two classes, or a split lacks a class;
    ``checked=False`` leaves out these three, for data that is looked at and not trained on, and a split may be "", that
    is still to be drawn.
    """

    source: str
    """Canonical source string, such as ``adsss:fold=0``."""
    table: pd.DataFrame
    classes: tuple[str, ...]
    """Names by label; of two, index 1 is the positive class."""
    groups: str = "none"
    """What a group is: "patient", "synthetic patient", "none", …"""
    notes: tuple[str, ...] = ()
    """One sentence each: what was removed, what is known to be wrong."""
    simulated: bool = False
    """The images are synthetic."""
    task: Task | None = None
    """None: ``binary`` or ``multi-class``, by the number of classes."""
    positive_by: str = ""
    """How the positive class of a binary task was chosen, such as "data.positive"; "" if it was not."""
    targets: NDArray[np.uint8] | None = None
    """(N, K) in {0, 1}, aligned with ``table``, of a multi-label task; else None."""
    read: Read | None = None
    """None: every row is a file."""
    content: str = ""
    """What ``read`` depends on, such as a checksum: a cache made under another value is stale."""
    checked: bool = True

    def __post_init__(self) -> None:
        table = self.table.reset_index(drop=True)
        for name in set(OPTIONAL) - set(table):
            table[name] = OPTIONAL[name]
        table = table.loc[:, [*COLUMNS, *OPTIONAL]]
        kinds = dict.fromkeys(("label", "frame", "width", "height"), "int64")
        object.__setattr__(self, "table", table.astype(kinds))
        if self.task is None:
            object.__setattr__(self, "task", "binary" if len(self.classes) == 2 else "multi-class")
        _check_ids(self)
        if self.checked:
            _check_groups(self)
            if self.targets is not None:
                _check_targets(self)
            elif self.classes:
                _check_labels(self)

    @property
    def labelled(self) -> bool:
        return bool(self.classes)

    def part(self, split: str) -> pd.DataFrame:
        """The rows of one split, in table order; the index keeps the position in ``table``."""
        if split not in SPLITS:
            raise UserError(f"split {split!r} does not exist; known: {', '.join(SPLITS)}")
        return self.table[self.table["split"] == split]

    def truth(self, split: str) -> NDArray[np.integer]:
        """What is true of the images of one split: their labels (n,), or their targets (n, K) of a multi-label task."""
        rows = self.part(split)
        return rows["label"].to_numpy(np.int64) if self.targets is None else self.targets[rows.index]

    def listing(self) -> pd.DataFrame:
        """Columns id, group, split, label, and of a multi-label task true_0, true_1, … in {0, 1}."""
        table = self.table[["id", "group", "split", "label"]]
        if self.targets is None:
            return table
        names = [f"true_{index}" for index in range(len(self.classes))]
        return table.join(pd.DataFrame(self.targets, columns=names))

    def counts(self) -> pd.DataFrame:
        """Images by split (rows) and class name (columns); an image with several labels counts for each of them."""
        if self.targets is not None:
            targets = pd.DataFrame(self.targets, columns=list(self.classes))
            return targets.groupby(self.table["split"]).sum().reindex(list(SPLITS), fill_value=0)
        names = list(self.classes) or ["unlabelled"]
        labels = self.table["label"].map(lambda label: names[max(label, 0)])
        return pd.crosstab(self.table["split"], labels).reindex(index=list(SPLITS), columns=names, fill_value=0)


def _check_ids(manifest: Manifest) -> None:
    table = manifest.table
    if table.empty:
        raise UserError(f"{manifest.source}: holds no images")
    repeated = table.loc[table["id"].duplicated(), "id"]
    if len(repeated):
        raise UserError(f"{manifest.source}: the id {repeated.iloc[0]} stands for more than one image")
    absolute = [name for name in table["id"] if PurePath(name).is_absolute()]
    if absolute:
        raise ValueError(f"{manifest.source}: the id {absolute[0]} is an absolute path")
    if manifest.read is None and (table["path"] == "").any():
        raise ValueError(f"{manifest.source}: an image has no path and nothing reads it")
    foreign = set(table["split"]) - set(SPLITS) - (set() if manifest.checked else {""})
    if foreign:
        raise UserError(f"{manifest.source}: unknown split {min(foreign)!r}; allowed: {', '.join(SPLITS)}")


def _check_groups(manifest: Manifest) -> None:
    grouped = manifest.table[manifest.table["group"] != ""]
    splits = grouped.groupby("group")["split"].nunique()
    crossing = sorted(str(name) for name in splits.index[splits > 1])
    if crossing:
        what = manifest.groups if manifest.groups != "none" and " of " not in manifest.groups else "group"
        shown = ", ".join(crossing[:10]) + (", …" if len(crossing) > 10 else "")
        raise UserError(
            f"{manifest.source}: {len(crossing)} {what}{'' if len(crossing) == 1 else 's'} with images in more than "
            f"one split ({shown}); every {what} belongs to one split"
        )


def _check_targets(manifest: Manifest) -> None:
    targets = manifest.targets
    if targets is None or targets.shape != (len(manifest.table), len(manifest.classes)) or (targets > 1).any():
        raise ValueError(f"{manifest.source}: targets must be 0 or 1, a row an image and a column a class")
    for split in SPLITS:
        if not (manifest.table["split"] == split).any():
            raise UserError(f"{manifest.source}: split {split} holds no images")


def _check_labels(manifest: Manifest) -> None:
    table, classes = manifest.table, manifest.classes
    if len(classes) < 2:
        raise UserError(f"{manifest.source}: all images are of the class {classes[0]}; at least two classes are needed")
    if not table["label"].between(0, len(classes) - 1).all():
        raise ValueError(f"{manifest.source}: labels must lie in 0 … {len(classes) - 1}")
    for split in SPLITS:
        present = set(table.loc[table["split"] == split, "label"])
        if not present:
            raise UserError(f"{manifest.source}: split {split} holds no images")
        for label, name in enumerate(classes):
            if label not in present:
                raise UserError(f"{manifest.source}: split {split} holds no {name} image")
