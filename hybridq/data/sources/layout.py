"""The folder layout ``class/*`` of image files."""

from __future__ import annotations

from pathlib import Path
from typing import Final

ENDINGS: Final = (".png", ".jpg", ".jpeg")


def class_folders(folder: Path) -> list[Path]:
    """The subfolders of ``folder`` in order of name, hidden ones left out."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def image_files(folder: Path) -> list[Path]:
    """The PNG and JPEG files directly in ``folder``, in order of name, hidden ones left out."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in ENDINGS and not path.name.startswith(".") and path.is_file()
    )
