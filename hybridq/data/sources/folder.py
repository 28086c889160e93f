"""Folders of image files: ``folder:path=images`` with ``split/class/*``, ``class/*`` or, unlabelled, just files."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from hybridq.data.manifest import COLUMNS, UNLABELLED, Manifest
from hybridq.data.sources.labels import order_classes
from hybridq.data.sources.layout import ENDINGS, class_folders, image_files, labelled_files
from hybridq.data.sources.registry import Options, Request, source
from hybridq.errors import UserError


class FolderOptions(Options):
    path: str
    """The folder around the split or class folders."""
    positive: str | None = None
    """Which of two classes is the positive one; the default is the last in order of name."""


@source("folder", FolderOptions)
def folder(request: Request[FolderOptions]) -> Manifest:
    """Image files in class or split/class folders.

    PNG, JPEG and TIFF files; split folders are train, validation (or val) and test. The files name no patients, so
    every image is its own group. A folder of nothing but files is an unlabelled source.
    """
    root = Path(request.options.path).expanduser()
    if not root.is_dir():
        raise UserError(f"{request.source}: {root} is no folder; it holds class folders, or split folders around them")
    root = root.resolve()
    if not class_folders(root) and image_files(root):
        return _unlabelled(request, root)
    rows = [
        (path.relative_to(root).as_posix(), str(path), label, "", split)
        for path, label, split in labelled_files(root, image_files, where=request.source)
    ]
    if not rows:
        raise UserError(
            f"{request.source}: {root} holds no images; expected split/class/* or class/* with files that end in "
            f"{', '.join(ENDINGS)} (dicom:path= reads DICOM files)"
        )
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    classes, notes = order_classes(table["label"], request.options.positive, request)
    table["label"] = table["label"].map({name: index for index, name in enumerate(classes)})
    return Manifest(
        request.source,
        table,
        classes,
        notes=(
            *notes,
            "The files name no patients: that the splits keep patients apart cannot be shown.",
        ),
        checked=False,
    )


def _unlabelled(request: Request[FolderOptions], root: Path) -> Manifest:
    rows = [(path.name, str(path), UNLABELLED, "", "train") for path in image_files(root)]
    return Manifest(request.source, pd.DataFrame(rows, columns=list(COLUMNS)), (), checked=False)
