"""A CSV or Parquet manifest: ``manifest:path=images.csv`` with the columns ``path,label,patient[,split]``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from hybridq.config import IGNORE
from hybridq.data.manifest import COLUMNS, SPLITS, UNLABELLED, Manifest
from hybridq.data.sources.registry import Request, source
from hybridq.data.sources.support.tasks import BETWEEN, Labelled, TaskOptions, understand, understand_columns
from hybridq.data.tables import Columns, Table, group_noun, read_table
from hybridq.errors import UserError

MOST_NAMED: Final = 10


class TableOptions(TaskOptions):
    image: str | None = None
    """Column of the paths, if it is not called path."""
    label: str | None = None
    """Column of the labels; of a multi-label task it may be several, with ``|`` between them."""
    patient: str | None = None
    """Column of the patients."""
    split: str | None = None
    """Column of the splits."""
    ignore: str | None = None
    """Columns that are left out, with ``|`` between them."""

    @property
    def table(self) -> str:
        return self.path

    @property
    def columns(self) -> Columns:
        """The same as ``data.columns`` gives them."""
        roles = {"path": self.image, "label": self.label, "patient": self.patient, "split": self.split}
        mapped = [(role, tuple(given.split(BETWEEN))) for role, given in roles.items() if given is not None]
        return (*mapped, *((name, (IGNORE,)) for name in (self.ignore or "").split(BETWEEN) if name))


@source("manifest", TableOptions)
def manifest(request: Request[TableOptions]) -> Manifest:
    """Images listed in a CSV or Parquet file.

    They are kept together by patient where the file names patients. ``path`` is needed. Without ``label`` the source is
    unlabelled. An empty ``patient`` is an unknown one. ``split`` is train, validation or test, or another word for
    them; without it, or without validation, splits are drawn by patient. Columns are found as
    :mod:`hybridq.data.tables` says. Raises :class:`UserError` for missing columns or files, repeated paths, and
    patients that cross splits.
    """
    options = request.options
    file = Path(options.path).expanduser()
    read = read_table(
        file,
        ("path",),
        what="a manifest",
        optional=("label", "patient", "split"),
        columns=_columns(request),
        several=options.task == "multi-label",
        judged=not request.again,
    )
    given = read.rows
    folder = file.resolve().parent
    _check_rows(file, folder, given)
    given["path"] = [os.path.normpath(path) for path in given["path"]]
    table = pd.DataFrame(
        {
            "id": [Path(path).as_posix() for path in given["path"]],
            "path": [str(folder / path) for path in given["path"]],
            "label": UNLABELLED,
            "group": given.get("patient", ""),
            "split": given.get("split", ""),
        }
    )[list(COLUMNS)]
    groups = group_noun(read.columns) if (table["group"] != "").any() else "none"
    if "label" not in read.columns:
        if options.task is not None:
            raise UserError(f"{file}: task={options.task} needs a column of labels")
        return Manifest(request.source, table.assign(split="train"), (), groups=groups, notes=read.notes, checked=False)
    labelled = _labelled(read, request)
    table["label"] = labelled.labels
    return Manifest(
        request.source,
        table,
        labelled.classes,
        groups=groups,
        notes=(*read.notes, *labelled.notes, *_patient_notes(table)),
        task=labelled.task,
        targets=labelled.targets,
        checked=False,
    )


def _columns(request: Request[TableOptions]) -> Columns:
    """Return the columns that the source's name and ``data.columns`` map, each role once."""
    of_name = request.options.columns
    both = {key for key, _ in of_name} & {key for key, _ in request.columns}
    if both:
        raise UserError(f"{request.source}: {min(both)} is given here and in data.columns; give it once")
    return (*of_name, *request.columns)


def _labelled(read: Table, request: Request[TableOptions]) -> Labelled:
    names = read.columns["label"]
    if len(names) == 1:
        return understand(read.rows["label"].tolist(), request, request.options)
    if request.options.task != "multi-label":
        raise UserError(f"{request.source}: label = {', '.join(names)}; several columns are for task=multi-label")
    cells = [read.rows[f"label_{number}"].tolist() for number in range(len(names))]
    return understand_columns(cells, names, request, request.options)


def _check_rows(file: Path, folder: Path, given: pd.DataFrame) -> None:
    """Raise one :class:`UserError` about everything that is wrong with the rows."""
    named = given[given["path"] != ""]
    paths = pd.Series([os.path.normpath(path) for path in named["path"]], dtype=object)
    absolute = [path for path in paths if Path(path).is_absolute()]
    outside = [path for path in paths if path not in absolute and _leads_out(folder, path)]
    missing = [path for path in paths if path not in {*absolute, *outside} and not (folder / path).is_file()]
    splits = sorted(set(given["split"]) - {*SPLITS, ""}) if "split" in given else []
    rows = [f"row {number}" for number in np.flatnonzero(given["path"] == "") + 1]
    problems = [
        _problem(rows, "has no path", "have no path"),
        _problem(absolute, "is an absolute path", "are absolute paths", "paths are relative to the folder of the file"),
        _problem(outside, "lies outside the folder of the file", "lie outside the folder of the file"),
        _problem(paths[paths.duplicated()].tolist(), "is listed more than once", "are listed more than once"),
        f"split = {_some(splits)}; allowed: {', '.join(SPLITS)}" if splits else "",
        f"{len(missing)} of {len(paths)} files do not exist in {folder}: {_some(missing)}" if missing else "",
    ]
    if any(problems):
        raise UserError(f"{file}: {'; '.join(filter(None, problems))}")


def _problem(names: list[str], of_one: str, of_several: str, advice: str = "") -> str:
    if not names:
        return ""
    return f"{_some(names)} {of_one if len(names) == 1 else of_several}" + (f"; {advice}" if advice else "")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _leads_out(folder: Path, path: str) -> bool:
    """By itself or through links."""
    try:
        return not (folder / path).resolve().is_relative_to(folder)
    except (OSError, ValueError, RuntimeError):  # a loop of links or a NUL: no file, which is said of it later
        return False


def _patient_notes(table: pd.DataFrame) -> tuple[str, ...]:
    unknown = int((table["group"] == "").sum())
    if not unknown:
        return ()
    return (
        f"{unknown} of {len(table)} images name no patient: that the splits keep those patients apart cannot be shown.",
    )
