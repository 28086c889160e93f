"""DICOM files: ``dicom:path=study`` with class folders, or ``dicom:path=study,labels=labels.csv``.

Images of one patient stay together. Neither patients nor files are named: ids and groups are hashes, and errors count
files in order of name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from hybridq.data.dicom_facts import DIRECTORY, DicomFacts, dicom_files, listed_files, read_facts, words_of
from hybridq.data.manifest import COLUMNS, SPLITS, UNLABELLED, Manifest
from hybridq.data.sources.labels import order_classes
from hybridq.data.sources.layout import class_folders, labelled_files
from hybridq.data.sources.registry import Options, Request, source
from hybridq.data.tables import read_table
from hybridq.errors import UserError

MOST_NAMED: Final = 10
REPORTED: Final = 64
"""Files between two reports of progress."""


class DicomOptions(Options):
    path: str
    """The folder: with a DICOMDIR, with class folders, with split folders around class folders, or of files."""
    labels: str | None = None
    """A CSV file with the columns path (relative to the folder), label and, where splits are given, split."""
    positive: str | None = None
    """The positive one of two classes; else ``data.positive`` says, or the classes' names."""

    @property
    def table(self) -> str | None:
        return self.labels


@dataclass(frozen=True)
class _Labelled:
    path: Path
    label: str
    split: str
    facts: DicomFacts


@source("dicom", DicomOptions)
def dicom(request: Request[DicomOptions]) -> Manifest:
    """DICOM files, kept together by patient.

    Labels are ``class`` or ``split/class`` folders or a CSV file; groups are hashed PatientIDs. Every frame of a
    multi-frame file is an image; objects without images, such as reports, are left out. Without labels the source is
    unlabelled. Raises :class:`UserError` for files that are no DICOM images.
    """
    root = Path(request.options.path).expanduser()
    if not root.is_dir():
        raise UserError(f"{request.source}: {root} is no folder; it holds DICOM files")
    root = root.resolve()
    files, notes = _files(request, root)
    if not files:
        raise UserError(f"{request.source}: {root} holds no DICOM files")
    labelled, without = _described(request, sorted(files))
    if without:
        notes.append(f"{without} DICOM objects that are no images (reports, presentations, …) are left out.")
    if any(item.label for item in labelled) and request.options.labels is None:
        _refuse_patients_as_classes(request, labelled)
    table = _table(labelled)
    notes += _patient_notes(table, labelled)
    classes: tuple[str, ...] = ()
    if any(item.label for item in labelled):
        classes = order_classes(table["label"].tolist(), request)
        table["label"] = table["label"].map({name: index for index, name in enumerate(classes)})
    else:
        table = table.assign(label=UNLABELLED, split="train")
    groups = "patient" if (table["group"] != "").any() else "none"
    return Manifest(request.source, table, classes, groups=groups, notes=tuple(notes), checked=False)


def _files(request: Request[DicomOptions], root: Path) -> tuple[list[tuple[Path, str, str]], list[str]]:
    """The files with label and split ("" where unknown), and notes."""
    listed = listed_files(root) if (root / DIRECTORY).is_file() else None
    if request.options.labels is not None:
        return _from_table(request, root, dicom_files(root) if listed is None else listed)
    # Without a DICOMDIR, folders are classes; with one they are whatever the device made.
    if listed is not None or not class_folders(root):
        return [(path, "", "") for path in (dicom_files(root) if listed is None else listed)], []
    files = labelled_files(root, dicom_files, where=request.source)
    beside = len(dicom_files(root)) - len(files)
    if beside:
        raise UserError(
            f"{request.source}: {beside} DICOM files lie beside the class folders instead of in one of them"
        )
    return files, []


def _from_table(
    request: Request[DicomOptions], root: Path, files: Sequence[Path]
) -> tuple[list[tuple[Path, str, str]], list[str]]:
    labels = Path(str(request.options.labels)).expanduser()
    read = read_table(
        labels,
        ("path", "label"),
        what="a table of DICOM labels",
        optional=("split",),
        columns=request.columns,
        judged=not request.again,
    )
    known = {path.resolve(): path for path in files}
    rows = []
    for number, row in enumerate(read.rows.to_dict("records"), start=1):
        path = known.pop((root / row["path"]).resolve(), None)
        if path is None:
            raise UserError(f"{labels}: row {number} names no DICOM file in {root}, or one that is named before")
        split = row.get("split", "")
        if split not in (*SPLITS, ""):
            raise UserError(f"{labels}: row {number} has the split {split}; allowed: {', '.join(SPLITS)}")
        rows.append((path, row["label"], split))
    left_out = [f"{len(known)} DICOM files that {labels.name} does not list are left out."] if known else []
    return rows, [*read.notes, *left_out]


def _described(request: Request[DicomOptions], files: Sequence[tuple[Path, str, str]]) -> tuple[list[_Labelled], int]:
    """The images among the files with their facts, and how many objects are no images."""
    labelled: list[_Labelled] = []
    problems: list[str] = []
    without = 0
    for number, (path, label, split) in enumerate(files, start=1):
        try:
            facts = read_facts(path)
            if not facts.is_image:
                without += 1
                continue
            _check(facts)
            labelled.append(_Labelled(path, label, split, facts))
        except UserError as error:
            problems.append(f"file {number} of {len(files)} {error}")
        if request.progress and (number % REPORTED == 0 or number == len(files)):
            request.progress(number, len(files))
    if problems:
        more = f"; and {len(problems) - MOST_NAMED} more" if len(problems) > MOST_NAMED else ""
        shown = "; ".join(problems[:MOST_NAMED]) + more
        raise UserError(f"{request.source}: in order of name, {shown}")
    if not labelled:
        raise UserError(f"{request.source}: none of its {len(files)} DICOM files holds an image")
    return labelled, without


def _check(facts: DicomFacts) -> None:
    if not facts.pixels or not facts.width or not facts.height:
        raise UserError("is of an image and holds no pixels")
    if facts.syntax:
        raise UserError(f"is compressed as {facts.syntax}, which nothing installed decodes")
    if facts.frames < 1:
        raise UserError(f"claims {facts.frames} frames")


def _refuse_patients_as_classes(request: Request[DicomOptions], labelled: Sequence[_Labelled]) -> None:
    """Folders by patient are not classes, and their names must not get into a report."""
    patients: dict[str, set[str]] = {}
    named: dict[str, bool] = {}
    for item in labelled:
        patients.setdefault(item.label, set()).add(item.facts.patient)
        named[item.label] = named.get(item.label, True) and bool(words_of(item.label) & item.facts.words)
    single = [label for label, ids in patients.items() if len(ids) == 1]
    if (len(single) == len(patients) and "" not in set.union(*patients.values())) or any(named[s] for s in single):
        raise UserError(
            f"{request.source}: its folders are patients, not classes; labels=FILE.csv gives every file its label"
        )


def _table(labelled: Sequence[_Labelled]) -> pd.DataFrame:
    seen: Counter[str] = Counter()
    rows = []
    for item in labelled:
        facts = item.facts
        seen[facts.image] += 1
        name = facts.image if seen[facts.image] == 1 else f"{facts.image}-{seen[facts.image]}"
        # Without a patient, images of one study are still of one patient, and frames of one file are.
        group = facts.patient or facts.study or (facts.image if facts.frames > 1 else "")
        for frame in range(facts.frames):
            identity = name if facts.frames == 1 else f"{name}/{frame}"
            size = (facts.width, facts.height)
            rows.append((identity, str(item.path), item.label, group, item.split, frame, *size, facts.modality))
    return pd.DataFrame(rows, columns=[*COLUMNS, "frame", "width", "height", "modality"])


def _patient_notes(table: pd.DataFrame, labelled: Sequence[_Labelled]) -> list[str]:
    notes = []
    unknown = sum(not item.facts.patient for item in labelled)
    if unknown:
        notes.append(
            f"{unknown} of {len(labelled)} files name no patient: that the splits keep those patients apart cannot be "
            "shown."
        )
    copies = len(labelled) - len({item.facts.image for item in labelled})
    if copies:
        notes.append(f"{copies} files have the SOPInstanceUID of another file.")
    kinds = sorted(set(table["modality"]) - {""})
    if len(kinds) > 1:
        notes.append(f"The images are of different modalities: {', '.join(kinds)}.")
    return notes
