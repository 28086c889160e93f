"""A CSV or Parquet manifest: ``manifest:path=images.csv`` with the columns ``path,label,patient[,split]``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from hybridq.data.manifest import COLUMNS, SPLITS, UNLABELLED, Manifest
from hybridq.data.sources.labels import order_classes
from hybridq.data.sources.registry import Options, Request, source
from hybridq.data.tables import read_table
from hybridq.errors import UserError

MOST_NAMED: Final = 10


class TableOptions(Options):
    path: str
    """The CSV or Parquet file; image paths in it are relative to its folder."""
    positive: str | None = None
    """Which of two classes is the positive one; the default is the last in order."""


@source("manifest", TableOptions)
def manifest(request: Request[TableOptions]) -> Manifest:
    """Images listed in a CSV or Parquet file.

    They are kept together by patient where the file names patients. ``path`` is needed. Without ``label`` the source is
    unlabelled. An empty ``patient`` is an unknown one. ``split`` is
    train, validation (or val) or test; without it, or without validation, splits are drawn by patient. Raises
    :class:`UserError` for missing columns or files, repeated paths, and patients that cross splits.
    """
    file = Path(request.options.path).expanduser()
    given = read_table(file, ("path",), what="a manifest", optional=("label", "patient", "split"))
    folder = file.resolve().parent
    _check_rows(file, folder, given)
    given["path"] = [os.path.normpath(path) for path in given["path"]]
    table = pd.DataFrame(
        {
            "id": [Path(path).as_posix() for path in given["path"]],
            "path": [str(folder / path) for path in given["path"]],
            "label": UNLABELLED,
            "group": given.get("patient", ""),
            "split": given["split"].replace("val", "validation") if "split" in given else "",
        }
    )[list(COLUMNS)]
    if "label" not in given:
        return Manifest(request.source, table.assign(split="train"), (), groups=_groups(table), checked=False)
    classes, notes = order_classes(given["label"], request.options.positive, request)
    table["label"] = given["label"].map({name: index for index, name in enumerate(classes)})
    notes = (*notes, *_patient_notes(table))
    return Manifest(request.source, table, classes, groups=_groups(table), notes=notes, checked=False)


def _check_rows(file: Path, folder: Path, given: pd.DataFrame) -> None:
    """Raise one :class:`UserError` about everything that is wrong with the rows."""
    named = given[given["path"] != ""]
    paths = pd.Series([os.path.normpath(path) for path in named["path"]], dtype=object)
    absolute = [path for path in paths if Path(path).is_absolute()]
    outside = [path for path in paths if path not in absolute and _leads_out(folder, path)]
    missing = [path for path in paths if path not in {*absolute, *outside} and not (folder / path).is_file()]
    unlabelled = named.loc[named["label"] == "", "path"].tolist() if "label" in given else []
    splits = sorted(set(given["split"]) - {*SPLITS, "val", ""}) if "split" in given else []
    rows = [f"row {number}" for number in np.flatnonzero(given["path"] == "") + 1]
    problems = [
        _problem(rows, "has no path", "have no path"),
        _problem(absolute, "is an absolute path", "are absolute paths", "paths are relative to the folder of the file"),
        _problem(outside, "lies outside the folder of the file", "lie outside the folder of the file"),
        _problem(paths[paths.duplicated()].tolist(), "is listed more than once", "are listed more than once"),
        _problem(unlabelled, "has no label", "have no label", "give every image one, or leave the column out"),
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


def _groups(table: pd.DataFrame) -> str:
    return "patient" if (table["group"] != "").any() else "none"


def _patient_notes(table: pd.DataFrame) -> tuple[str, ...]:
    unknown = int((table["group"] == "").sum())
    if not unknown:
        return ()
    return (
        f"{unknown} of {len(table)} images name no patient: that the splits keep those patients apart cannot be shown.",
    )
