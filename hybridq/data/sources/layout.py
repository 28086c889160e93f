"""Folder layouts ``split/class/*`` and ``class/*``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from hybridq.errors import UserError

ENDINGS: Final = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
SPLIT_FOLDERS: Final = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}

LabelledFile = tuple[Path, str, str]
"""A file, its class and its split ("" where it is to be drawn)."""


def class_folders(folder: Path) -> list[Path]:
    """The subfolders of ``folder`` in order of name, hidden ones left out.

    Raises :class:`UserError` for a link that leads nowhere, since a class may be missing.
    """
    seen = _visible(folder)
    for path in seen:
        if path.is_symlink() and not path.exists():
            raise UserError(f"{path} is a link that leads nowhere")
    return sorted(path for path in seen if path.is_dir())


def image_files(folder: Path) -> list[Path]:
    """What is named as a PNG, JPEG or TIFF file in ``folder``, in order of name, hidden ones and folders left out.

    Broken links and pipes are among them, so that decoding names them.
    """
    return sorted(
        path for path in _visible(folder) if path.suffix.lower() in ENDINGS and (path.is_symlink() or not path.is_dir())
    )


def _visible(folder: Path) -> list[Path]:
    found = [path for path in folder.iterdir() if not path.name.startswith(".")]
    for path in found:
        if any("\ud800" <= sign <= "\udfff" for sign in path.name):  # so Python shows bytes that are no text
            raise UserError(f"{path}: its name is not UTF-8, as the names of images are written in a run")
    return found


def labelled_files(root: Path, files_in: Callable[[Path], list[Path]], *, where: str) -> list[LabelledFile]:
    """The files of class folders, or of split folders around class folders; ``files_in`` lists those of one class.

    Raises :class:`UserError` beginning with ``where`` for split folders beside others, or twice for validation.
    """
    inside = class_folders(root)
    if not _are_splits([path.name for path in inside], where):
        return _of_classes(root, "", files_in)
    return [found for part in inside for found in _of_classes(part, SPLIT_FOLDERS[part.name], files_in)]


def _of_classes(around: Path, split: str, files_in: Callable[[Path], list[Path]]) -> list[LabelledFile]:
    return [(path, kind.name, split) for kind in class_folders(around) for path in files_in(kind)]


def _are_splits(names: list[str], where: str) -> bool:
    if not {"train", "test"} & set(names):
        return False
    foreign = [name for name in names if name not in SPLIT_FOLDERS]
    if foreign:
        allowed = ", ".join(SPLIT_FOLDERS)
        raise UserError(f"{where}: the folder {foreign[0]} stands beside split folders; allowed there: {allowed}")
    if {"val", "validation"} <= set(names):
        raise UserError(f"{where}: has both val and validation; one of them is the validation part")
    return True
