"""Folders of image files: ``folder:path=images`` with ``split/class/*``, ``class/*`` or, unlabelled, just files."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from hybridq.data.manifest import COLUMNS, UNLABELLED, Manifest
from hybridq.data.sources.labels import order_classes
from hybridq.data.sources.layout import ENDINGS, class_folders, image_files
from hybridq.data.sources.registry import Options, Request, source
from hybridq.data.splits import draw_missing
from hybridq.errors import UserError

SPLIT_FOLDERS: Final = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}


class FolderOptions(Options):
    path: str
    """The folder around the split or class folders."""
    positive: str | None = None
    """Which of two classes is the positive one; the default is the last in order of name."""


@source("folder", FolderOptions)
def folder(request: Request[FolderOptions]) -> Manifest:
    """PNG and JPEG files in ``split/class`` (train, validation or val, test) or ``class`` folders.

    Missing splits are drawn (:func:`hybridq.data.splits.draw_missing`); the files name no patients, so every image is
    its own group. A folder of nothing but files is an unlabelled source.
    """
    root = Path(request.options.path).expanduser()
    if not root.is_dir():
        raise UserError(f"{request.source}: {root} is no folder; it holds class folders, or split folders around them")
    root = root.resolve()
    inside = class_folders(root)
    if not inside and image_files(root):
        return _unlabelled(request, root)
    rows = _split_rows(request, root, inside) if _has_splits(request, inside) else _class_rows(root, root, "")
    if not rows:
        raise UserError(
            f"{request.source}: {root} holds no images; expected split/class/* or class/* with files that end in "
            f"{', '.join(ENDINGS)}"
        )
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    classes, notes = order_classes(table["label"], request.options.positive, where=request.source)
    table["label"] = table["label"].map({name: index for index, name in enumerate(classes)})
    table = draw_missing(table, classes, request.data, request.seed, source=request.source)
    return Manifest(
        request.source,
        table,
        classes,
        notes=(
            *notes,
            "The files name no patients: that the splits keep patients apart cannot be shown.",
        ),
    )


def _has_splits(request: Request[FolderOptions], inside: list[Path]) -> bool:
    names = [path.name for path in inside]
    if not {"train", "test"} & set(names):
        return False
    foreign = [name for name in names if name not in SPLIT_FOLDERS]
    if foreign:
        raise UserError(
            f"{request.source}: the folder {foreign[0]} stands beside split folders; allowed there: "
            f"{', '.join(SPLIT_FOLDERS)}"
        )
    if {"val", "validation"} <= set(names):
        raise UserError(f"{request.source}: has both val and validation; one of them is the validation part")
    return True


def _split_rows(request: Request[FolderOptions], root: Path, inside: list[Path]) -> list[tuple[str, ...]]:
    rows = []
    for part in inside:
        rows += _class_rows(root, part, SPLIT_FOLDERS[part.name])
    return rows


def _class_rows(root: Path, around: Path, split: str) -> list[tuple[str, ...]]:
    return [
        (path.relative_to(root).as_posix(), str(path), kind.name, "", split)
        for kind in class_folders(around)
        for path in image_files(kind)
    ]


def _unlabelled(request: Request[FolderOptions], root: Path) -> Manifest:
    rows = [(path.name, str(path), UNLABELLED, "", "train") for path in image_files(root)]
    return Manifest(request.source, pd.DataFrame(rows, columns=list(COLUMNS)), ())
