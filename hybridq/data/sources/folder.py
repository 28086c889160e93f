"""Folders of image files: ``folder:path=images`` with ``split/class/*``, ``class/*`` or, unlabelled, just files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import pandas as pd

from hybridq.data.decoding import IMAGE_ENDINGS
from hybridq.data.manifest import COLUMNS, UNLABELLED, Manifest
from hybridq.data.sources.registry import Request, source
from hybridq.data.sources.support.layout import class_folders, image_files, is_folder, split_folders, visible
from hybridq.data.sources.support.tasks import TaskOptions, understand
from hybridq.errors import UserError

MASK: Final = re.compile(r"(?i)[ ._-](mask|seg|segmentation|label|gt|annotation|contour)s?([ ._-]?\d+)?$")
"""The end of a name that says that the file marks something in the image of the same name."""
MOST_NAMED: Final = 10


class FolderOptions(TaskOptions):
    groups: Literal["patient", "none"] | None = None
    """Meaning of folders within class folders. None: patients, if all images lie in such folders."""
    masks: Literal["keep"] | None = None
    """``keep``: files named like masks of others are images as well."""


@dataclass
class _Found:
    """Image files as they are found, and what is not one."""

    files: list[tuple[Path, str, str, str]] = field(default_factory=list)
    """File, class, split, and the folder within the class folder or ""."""
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Files by what they are and where they lie."""
    masks: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    """Class folders without images."""

    def counted(self) -> list[str]:
        """List what is left out by number, kind and place."""
        words = {"images": "image", "links": "link"}
        return [
            f"{count} {words.get(kind, kind) if count == 1 else kind} in {place}"
            for (kind, place), count in sorted(self.left_out.items())
        ]

    def notes(self) -> tuple[str, ...]:
        notes = []
        endings = Counter(path.suffix.lower() for path, *_ in self.files)
        if len(endings) > 1:
            notes.append(f"The files are {', '.join(f'{count} {name}' for name, count in sorted(endings.items()))}.")
        if self.left_out:
            counted = self.counted()
            more = f" and {len(counted) - MOST_NAMED} places more" if len(counted) > MOST_NAMED else ""
            notes.append(f"Left out: {', '.join(counted[:MOST_NAMED])}{more}.")
        if self.masks:
            one = len(self.masks) == 1
            notes.append(
                f"{len(self.masks)} file{'' if one else 's'} named like {'a mask' if one else 'masks'} of others, such "
                f"as {self.masks[0]}, {'is' if one else 'are'} left out; masks=keep takes them as images."
            )
        if self.empty:
            notes.append(f"Folders without images, which are no classes: {', '.join(sorted(self.empty))}.")
        return tuple(notes)


@source("folder", FolderOptions)
def folder(request: Request[FolderOptions]) -> Manifest:
    """Image files in class or split/class folders.

    PNG, JPEG, TIFF, BMP, WebP, GIF, JPEG 2000 and PNM files. Split folders are train, validation and test, or other
    words for them. Folders in class folders are patients, if all images lie in such; else every image is its own group.
    A folder of nothing but files is an unlabelled source. Raises :class:`UserError` for folders that may be read in two
    ways.
    """
    root = Path(request.options.path).expanduser()
    if not root.is_dir():
        raise UserError(f"{request.source}: {root} is no folder; it holds class folders, or split folders around them")
    root = root.resolve()
    found = _Found()
    if not class_folders(root) and image_files(root):
        for path in _images(root, root, found, request):
            found.files.append((path, "", "train", ""))
        return _unlabelled(request, root, found)
    splits = split_folders(root, where=request.source)
    if splits is not None:
        _count_beside(root, root, found)
    for split, around in (splits or {"": root}).items():
        _scan(root, around, split, found, request)
    patients = _take_folders(found, request)
    if not found.files:
        raise _nothing(request, root, found)
    table = pd.DataFrame(
        [
            (path.relative_to(root).as_posix(), str(path), UNLABELLED, inner if patients else "", split)
            for path, _, split, inner in found.files
        ],
        columns=list(COLUMNS),
    )
    labelled = understand([label for _, label, _, _ in found.files], request, request.options)
    table["label"] = labelled.labels
    unknown = "The files name no patients: that the splits keep patients apart cannot be shown."
    count = table["group"].nunique()
    return Manifest(
        request.source,
        table,
        labelled.classes,
        groups="patient" if patients else "none",
        notes=(
            *found.notes(),
            *labelled.notes,
            f"The folders within class folders are taken for {count} patients (groups=none: for none)."
            if patients
            else unknown,
        ),
        task=labelled.task,
        targets=labelled.targets,
        checked=False,
    )


def _unlabelled(request: Request[FolderOptions], root: Path, found: _Found) -> Manifest:
    if request.options.task is not None:
        raise UserError(f"{request.source}: task={request.options.task} needs class folders; {root} holds only files")
    rows = [(path.name, str(path), UNLABELLED, "", split) for path, _, split, _ in found.files]
    return Manifest(request.source, pd.DataFrame(rows, columns=list(COLUMNS)), (), notes=found.notes(), checked=False)


def _scan(root: Path, around: Path, split: str, found: _Found, request: Request[FolderOptions]) -> None:
    """Add the images of the class folders in ``around``, and count what is none."""
    _count_beside(root, around, found)
    for kind in class_folders(around):
        before = len(found.files)
        found.files += [(path, kind.name, split, "") for path in _images(root, kind, found, request)]
        for inner in sorted(filter(is_folder, visible(kind))):
            found.files += [(path, kind.name, split, inner.name) for path in _images(root, inner, found, request)]
            for deeper in filter(is_folder, visible(inner)):
                if some := sum(len(image_files(path)) for path in (deeper, *filter(is_folder, deeper.rglob("*")))):
                    found.left_out["images", f"folders within {_place(root, inner)}"] += some
        if len(found.files) == before:
            found.empty.append(_place(root, kind))


def _images(root: Path, within: Path, found: _Found, request: Request[FolderOptions]) -> list[Path]:
    """The images of one folder, without masks; other files are counted."""
    images = image_files(within)
    for path in visible(within):
        if path.suffix.lower() not in IMAGE_ENDINGS and not is_folder(path):
            kind = "links" if path.is_dir() else path.suffix.lower() or "without an ending"
            found.left_out[kind, _place(root, within)] += 1
    if request.options.masks == "keep" or request.again:
        return images
    stems = {path.stem for path in images}
    masks = [path for path in images if (end := MASK.search(path.stem)) and path.stem[: end.start()] in stems]
    found.masks += [path.relative_to(root).as_posix() for path in masks]
    return [path for path in images if path not in set(masks)]


def _count_beside(root: Path, around: Path, found: _Found) -> None:
    for path in visible(around):
        if path.is_file():
            kind = "images" if path.suffix.lower() in IMAGE_ENDINGS else path.suffix.lower() or "without an ending"
            found.left_out[kind, f"{_place(root, around)}, beside the folders"] += 1


def _take_folders(found: _Found, request: Request[FolderOptions]) -> bool:
    """Decide for folders within class folders, and say whether they are patients."""
    of_folder = [file for file in found.files if file[3]]
    if not of_folder:
        return False
    asked = request.options.groups
    if asked is None and len(of_folder) < len(found.files):
        apart = {label for _, label, _, _ in found.files} - {label for _, label, _, inner in found.files if not inner}
        if apart and not request.again:
            raise UserError(
                f"{request.source}: all images of {min(apart)} lie in folders within it, those of others do not; "
                "groups=patient takes these folders for patients, groups=none takes their images alone"
            )
        for path, *_ in of_folder:
            found.left_out["images", f"folders within {path.parent.parent.name}"] += 1
        found.files[:] = [file for file in found.files if not file[3]]
        return False
    if asked is None and not request.again:
        _refuse_ambiguous(of_folder, request)
    return asked != "none"


def _refuse_ambiguous(files: Sequence[tuple[Path, str, str, str]], request: Request[FolderOptions]) -> None:
    """Refuse folders that have the same names in several classes: they may be the classes themselves."""
    classes: dict[str, set[str]] = {}
    for _, label, _, inner in files:
        classes.setdefault(inner, set()).add(label)
    shared = sorted(inner for inner, labels in classes.items() if len(labels) > 1)
    names = sorted({label for _, label, _, _ in files})
    if len(names) == 1:
        raise UserError(
            f"{request.source}: all images lie in folders of {names[0]} ({_listed(sorted(classes))}); if these are the "
            f"classes, path= has to name {names[0]}"
        )
    if len(shared) * 2 >= len(classes):
        raise UserError(
            f"{request.source}: the folders {_listed(names)} hold folders of the same names ({_listed(shared)}), which "
            "may be classes or patients; groups=patient or groups=none says that they are no classes"
        )


def _nothing(request: Request[FolderOptions], root: Path, found: _Found) -> UserError:
    here = [path.name for path in class_folders(root)]
    seen = f"; it has the folders {_listed(here)}" if here else ""
    if found.left_out:
        seen += f" and {', '.join(found.counted())}"
    return UserError(
        f"{request.source}: {root} holds no images; expected split/class/* or class/* with files that end in "
        f"{', '.join(IMAGE_ENDINGS)} (dicom:path= reads DICOM files){seen}"
    )


def _place(root: Path, folder: Path) -> str:
    return folder.relative_to(root).as_posix() if folder != root else root.name


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:MOST_NAMED]) + (", …" if len(names) > MOST_NAMED else "")
