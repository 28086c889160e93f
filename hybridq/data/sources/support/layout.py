"""Folder layouts ``split/class/*`` and ``class/*``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from hybridq.data.decoding import IMAGE_ENDINGS
from hybridq.data.tables import SPLIT_WORDS
from hybridq.errors import UserError

PASSED_OVER: Final = ("__MACOSX", "Thumbs.db", "desktop.ini")
"""Files and folders that systems leave behind; hidden ones are passed over as well."""

LabelledFile = tuple[Path, str, str]
"""A file, its class and its split ("" where it is to be drawn)."""


def class_folders(folder: Path) -> list[Path]:
    """The subfolders of ``folder`` in order of name, hidden ones left out.

    Raises :class:`UserError` for a link that leads nowhere, since a class may be missing.
    """
    seen = visible(folder)
    for path in seen:
        if path.is_symlink() and not path.exists():
            raise UserError(f"{path} is a link that leads nowhere")
    return sorted(path for path in seen if path.is_dir())


def image_files(folder: Path) -> list[Path]:
    """What is named as an image file in ``folder``, in order of name, hidden ones and folders left out.

    Broken links and pipes are among them, so that decoding names them.
    """
    return sorted(path for path in visible(folder) if path.suffix.lower() in IMAGE_ENDINGS and not is_folder(path))


def is_folder(path: Path) -> bool:
    """Tell a folder from a file, and from a link, which may lead nowhere."""
    return path.is_dir() and not path.is_symlink()


def visible(folder: Path) -> list[Path]:
    """The content of ``folder``, without what is hidden or left behind by a system."""
    found = [path for path in folder.iterdir() if not path.name.startswith(".") and path.name not in PASSED_OVER]
    for path in found:
        if any("\ud800" <= sign <= "\udfff" for sign in path.name):  # so Python shows bytes that are no text
            raise UserError(f"{path}: its name is not UTF-8, as the names of images are written in a run")
    return found


def split_folders(root: Path, *, where: str) -> dict[str, Path] | None:
    """The folders of ``root`` by split, whatever the case of their names, or None if they are no split folders.

    Raises :class:`UserError` beginning with ``where`` for split folders beside others, or two for one split.
    """
    inside = class_folders(root)
    splits = [SPLIT_WORDS.get(path.name.lower(), "") for path in inside]
    if not {"train", "test"} & set(splits):
        return None
    found: dict[str, Path] = {}
    for path, split in zip(inside, splits, strict=True):
        if not split:
            allowed = ", ".join(SPLIT_WORDS)
            raise UserError(f"{where}: the folder {path.name} stands beside split folders; allowed there: {allowed}")
        if split in found:
            raise UserError(f"{where}: has both {found[split].name} and {path.name}; one of them is the {split} part")
        found[split] = path
    return found


def labelled_files(root: Path, files_in: Callable[[Path], list[Path]], *, where: str) -> list[LabelledFile]:
    """The files of class folders, or of split folders around class folders; ``files_in`` lists those of one class.

    Raises :class:`UserError` beginning with ``where`` for split folders beside others, or twice for one split.
    """
    splits = split_folders(root, where=where) or {"": root}
    return [
        (path, kind.name, split)
        for split, around in splits.items()
        for kind in class_folders(around)
        for path in files_in(kind)
    ]
