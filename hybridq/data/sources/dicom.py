"""DICOM files: ``dicom:path=study`` with class folders, or ``dicom:path=study,labels=labels.csv``.

Images of one patient stay together; ``group=study``, ``series`` or ``folder`` goes by these where PatientIDs were
replaced. Neither patients nor files are named: ids and groups are hashes, and errors count files in order of name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import pandas as pd

from hybridq.data.formats.dicom_header import (
    DIRECTORY,
    PURPOSE_PATIENT,
    DicomFacts,
    dicom_files,
    hashed,
    listed_files,
    read_facts,
    words_of,
)
from hybridq.data.manifest import COLUMNS, SPLITS, UNLABELLED, Manifest
from hybridq.data.sources.registry import Options, Request, source
from hybridq.data.sources.support.labels import order_classes
from hybridq.data.sources.support.layout import class_folders, labelled_files
from hybridq.data.tables import read_table
from hybridq.errors import UnusableFilesError, UserError

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
    group: Literal["study", "series", "folder"] | None = None
    """What stays in one split in place of the patient; a folder is the first below the class, or below ``path``."""

    @property
    def table(self) -> str | None:
        return self.labels


@dataclass(frozen=True)
class _Labelled:
    path: Path
    label: str
    split: str
    facts: DicomFacts
    folder: str = ""
    """Hash of the first folder below the class, "" where it lies beside others of its class."""


@source("dicom", DicomOptions)
def dicom(request: Request[DicomOptions]) -> Manifest:
    """DICOM files, kept together by patient.

    Labels are ``class`` or ``split/class`` folders or a CSV file; groups are hashed PatientIDs. Every frame of a
    multi-frame file is an image; what is no picture of a patient, such as a report or a segmentation, is left out.
    Without labels the source is unlabelled. Raises :class:`UserError` for files that are no DICOM images, and where one
    PatientID stands for all.
    """
    root = Path(request.options.path).expanduser()
    if not root.is_dir():
        raise UserError(f"{request.source}: {root} is no folder; it holds DICOM files")
    root = root.resolve()
    files, notes = _files(request, root)
    if not files:
        raise UserError(f"{request.source}: {root} holds no DICOM files")
    labelled, without = _described(request, root, sorted(files))
    if without:
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in sorted(without.items()))
        total = sum(without.values())
        are = "object is" if total == 1 else "objects are"
        notes.append(f"{total:,} DICOM {are} left out as no picture of a patient ({kinds}).")
    labels = any(item.label for item in labelled)
    if labels and request.options.labels is None:
        _refuse_patients_as_classes(request, labelled)
    if labels and not (request.as_released and all(item.split for item in labelled)):
        _refuse_one_group(request, labelled)
    table = _table(labelled, request.options.group)
    notes += [*_group_notes(labelled, request.options.group), *_image_notes(table, labelled)]
    classes: tuple[str, ...] = ()
    if any(item.label for item in labelled):
        classes = order_classes(table["label"].tolist(), request)
        table["label"] = table["label"].map({name: index for index, name in enumerate(classes)})
    else:
        table = table.assign(label=UNLABELLED, split="train")
    groups = (request.options.group or "patient") if (table["group"] != "").any() else "none"
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


def _described(
    request: Request[DicomOptions], root: Path, files: Sequence[tuple[Path, str, str]]
) -> tuple[list[_Labelled], Counter[str]]:
    """The images among the files with their facts, and how many objects of each kind are no pictures.

    Every file is looked at before the unusable ones are named, in order of name.
    """
    labelled: list[_Labelled] = []
    problems: list[tuple[Path, str]] = []
    without: Counter[str] = Counter()
    for number, (path, label, split) in enumerate(files, start=1):
        try:
            facts = read_facts(path)
            # A run that was trained on such objects goes on finding them.
            if facts.no_picture and not (request.again and facts.width):
                without[facts.no_picture] += 1
            elif facts.problem:
                raise UserError(facts.problem)
            else:
                labelled.append(_Labelled(path, label, split, facts, _folder(root, path, label, split)))
        except UserError as error:
            problems.append((path, f"file {number:,} ({_size(path)}) {error}"))
        if request.progress and (number % REPORTED == 0 or number == len(files)):
            request.progress(number, len(files))
    if problems:
        more = f"; and {len(problems) - MOST_NAMED:,} more" if len(problems) > MOST_NAMED else ""
        shown = "; ".join(reason for _, reason in problems[:MOST_NAMED]) + more
        raise UnusableFilesError(
            f"{request.source}: {len(problems):,} of {len(files):,} files cannot be used: in order of name, {shown} "
            "(hybridq data show … --show-names names them on the terminal)",
            [path for path, _ in problems],
        )
    if not labelled:
        raise UserError(f"{request.source}: none of its {len(files)} DICOM files holds a picture of a patient")
    return labelled, without


def _size(path: Path) -> str:
    try:
        return f"{path.stat().st_size:,} bytes"
    except OSError:
        return "gone"


def _folder(root: Path, path: Path, label: str, split: str) -> str:
    """Hash of the first folder below ``root`` that stands neither for a split nor for a class; "" without one."""
    above = path.relative_to(root).parts[:-1] if path.is_relative_to(root) else ()
    if label and label in above[:2]:
        above = above[above.index(label) + 1 :]
    return hashed(above[0].encode("utf-8", "surrogateescape"), PURPOSE_PATIENT) if above else ""


def _refuse_patients_as_classes(request: Request[DicomOptions], labelled: Sequence[_Labelled]) -> None:
    """Folders by patient are not classes, and their names must not get into a report."""
    if len({item.facts.patient for item in labelled}) == 1 and len({item.label for item in labelled}) > 1:
        return  # of one PatientID for all, folders say nothing
    patients: dict[str, set[str]] = {}
    named: dict[str, bool] = {}
    for item in labelled:
        patients.setdefault(item.label, set()).add(item.facts.patient)
        named[item.label] = named.get(item.label, True) and bool(words_of(item.label) & item.facts.words)
    single = all(len(ids) == 1 and "" not in ids for ids in patients.values())
    if (single and request.options.group is None) or any(named.values()):
        raise UserError(
            f"{request.source}: its folders are patients, not classes; labels=FILE.csv gives every file its label "
            "(where each class has one PatientID of its own, group=study, series or folder keeps images together)"
        )


def _refuse_one_group(request: Request[DicomOptions], labelled: Sequence[_Labelled]) -> None:
    """One PatientID on all files, as de-identification leaves it, is no group to draw splits by."""
    by, count = request.options.group, len(labelled)
    if (
        count < 2
        or len({_group(item, by) for item in labelled} - {""}) != 1
        or any(not _group(i, by) for i in labelled)
    ):
        return
    ways: dict[str, Callable[[_Labelled], str]] = {
        "study": lambda item: item.facts.study,
        "series": lambda item: item.facts.series,
        "folder": lambda item: item.folder,
    }
    numbers = {name: len({one for item in labelled if (one := way(item))}) for name, way in ways.items()}
    possible = [f"group={name} ({numbers[name]:,} groups)" for name in ways if numbers[name] > 1 and name != by]
    advice = f"; the ways on: {', '.join(possible)}" if possible else "; files of several patients are needed"
    what = "PatientID, as after de-identification" if by is None else by
    raise UserError(
        f"{request.source}: all {count:,} files have the same {what}, so that no split keeps patients apart{advice}"
    )


def _group(item: _Labelled, by: str | None) -> str:
    facts = item.facts
    if by is not None:
        chosen = {"study": facts.study, "series": facts.series, "folder": item.folder}[by]
        return chosen or (facts.image if facts.frames > 1 else "")
    # Without a patient, images of one study are still of one patient, and frames of one file are.
    return facts.patient or facts.study or (facts.image if facts.frames > 1 else "")


def _table(labelled: Sequence[_Labelled], by: str | None) -> pd.DataFrame:
    seen: Counter[str] = Counter()
    rows = []
    for item in labelled:
        facts = item.facts
        seen[facts.image] += 1
        name = facts.image if seen[facts.image] == 1 else f"{facts.image}-{seen[facts.image]}"
        group = _group(item, by)
        for frame in range(facts.frames):
            identity = name if facts.frames == 1 else f"{name}/{frame}"
            size = (facts.width, facts.height)
            rows.append(
                (identity, str(item.path), item.label, group, item.split, frame, *size, facts.modality, facts.contrast)
            )
    return pd.DataFrame(rows, columns=[*COLUMNS, "frame", "width", "height", "modality", "contrast"])


def _group_notes(labelled: Sequence[_Labelled], by: str | None) -> list[str]:
    unknown = sum(not item.facts.patient for item in labelled)
    if by is not None:
        return [f"The images are kept together by {by}: that the splits keep patients apart cannot be shown."]
    if unknown:
        return [
            f"{unknown} of {len(labelled)} files name no patient: that the splits keep those patients apart cannot be "
            "shown."
        ]
    if len({item.facts.patient for item in labelled}) == 1 and len(labelled) > 1:
        return [f"All {len(labelled):,} files have the same PatientID, as after de-identification."]
    return []


def _image_notes(table: pd.DataFrame, labelled: Sequence[_Labelled]) -> list[str]:
    notes = []
    copies = len(labelled) - len({item.facts.image for item in labelled})
    if copies:
        notes.append(f"{copies} files have the SOPInstanceUID of another file.")
    kinds = sorted(set(table["modality"]) - {""})
    if len(kinds) > 1:
        notes.append(f"The images are of different modalities: {', '.join(kinds)}.")
    for of, said in (
        ([item for item in labelled if item.facts.localizer], "localizers (ImageType)"),
        ([item for item in labelled if item.facts.derived], "derived from other images (ImageType)"),
        (
            [item for item in labelled if item.facts.unusable_window],
            "given a window that cannot be applied, as of width below 1, and are shown without",
        ),
    ):
        if of:
            notes.append(f"{len(of):,} of {len(labelled):,} files are {said}{_by_class(of, labelled)}.")
    shown = Counter(item.facts.contrast for item in labelled if item.facts.contrast)
    if len(shown) > 1:
        parts = ", ".join(f"{count:,} by {name}" for name, count in shown.most_common())
        plain = [item for item in labelled if item.facts.contrast == "bits stored"]
        by_class = _by_class(plain, labelled).replace(": ", ": without window or LUT ", 1) if plain else ""
        notes.append(f"Grey values are shown in different ways, {parts}{by_class}.")
    return notes


def _by_class(some: Iterable[_Labelled], labelled: Sequence[_Labelled]) -> str:
    """Their share of each class."""
    of, total = Counter(item.label for item in some), Counter(item.label for item in labelled)
    if "" in total:
        return ""
    return ": " + ", ".join(f"{of[name] / count:.0%} of {name}" for name, count in sorted(total.items()))
