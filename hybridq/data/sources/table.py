"""A CSV manifest: ``manifest:path=images.csv`` with the columns ``path,label,patient[,split]``."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Final

import pandas as pd

from hybridq.data.manifest import COLUMNS, SPLITS, UNLABELLED, Manifest
from hybridq.data.sources.labels import order_classes
from hybridq.data.sources.registry import Options, Request, source
from hybridq.data.splits import draw_missing
from hybridq.errors import UserError

KNOWN_COLUMNS: Final = ("path", "label", "patient", "split")
MOST_NAMED: Final = 10


class TableOptions(Options):
    path: str
    """The CSV file; image paths in it are relative to its folder."""
    positive: str | None = None
    """Which of two classes is the positive one; the default is the last in order."""


@source("manifest", TableOptions)
def manifest(request: Request[TableOptions]) -> Manifest:
    """Images listed in a CSV file, kept together by patient where the file names patients.

    ``path`` is needed. Without ``label`` the source is unlabelled. An empty ``patient`` is an unknown one. ``split`` is
    train, validation (or val) or test; without it, or without validation, splits are drawn by patient. Raises
    :class:`UserError` for missing columns or files, repeated paths, and patients that cross splits.
    """
    file = Path(request.options.path).expanduser()
    given = _read(file)
    folder = file.resolve().parent
    given["path"] = [os.path.normpath(path) for path in given["path"]]
    _check_paths(file, folder, given["path"])
    table = pd.DataFrame(
        {
            "id": [Path(path).as_posix() for path in given["path"]],
            "path": [str(folder / path) for path in given["path"]],
            "label": UNLABELLED,
            "group": given.get("patient", ""),
            "split": given["split"].replace("val", "validation") if "split" in given else "",
        }
    )[list(COLUMNS)]
    foreign = sorted(set(table["split"]) - {*SPLITS, ""})
    if foreign:
        raise UserError(f"{file}: split = {foreign[0]}; allowed: {', '.join(SPLITS)}")
    if "label" not in given:
        return Manifest(request.source, table.assign(split="train"), (), groups=_groups(table))
    unnamed = given.loc[given["label"] == "", "path"]
    if len(unnamed):
        raise UserError(f"{file}: {unnamed.iloc[0]} has no label; give every image one, or leave the column out")
    classes, notes = order_classes(given["label"], request.options.positive, where=request.source)
    table["label"] = given["label"].map({name: index for index, name in enumerate(classes)})
    table = draw_missing(table, classes, request.data, request.seed, source=request.source)
    return Manifest(request.source, table, classes, groups=_groups(table), notes=(*notes, *_patient_notes(table)))


def _read(file: Path) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            # A row with more fields than the header is a mistake; pandas would drop what it does not expect.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            given = pd.read_csv(
                file, dtype=str, keep_default_na=False, skipinitialspace=True, index_col=False, encoding="utf-8-sig"
            )
    except FileNotFoundError:
        raise UserError(f"{file}: no such file") from None
    except pd.errors.EmptyDataError:
        raise UserError(f"{file}: is empty; a manifest has the columns {', '.join(KNOWN_COLUMNS)}") from None
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise UserError(f"{file}: is not a readable CSV file ({' '.join(str(error).split())})") from None
    if "path" not in given:
        raise UserError(
            f"{file}: has no column path; a manifest has the columns {', '.join(KNOWN_COLUMNS)} (the last two optional)"
        )
    if given.empty:
        raise UserError(f"{file}: lists no images")
    return given.fillna("").apply(lambda column: column.str.strip())


def _check_paths(file: Path, folder: Path, paths: pd.Series) -> None:
    absolute = [path for path in paths if Path(path).is_absolute()]
    if absolute:
        raise UserError(f"{file}: {absolute[0]} is an absolute path; paths are relative to the folder of the CSV file")
    repeated = paths[paths.duplicated()]
    if len(repeated):
        raise UserError(f"{file}: {repeated.iloc[0]} is listed more than once")
    missing = [path for path in paths if not (folder / path).is_file()]
    if missing:
        shown = ", ".join(missing[:MOST_NAMED]) + (", …" if len(missing) > MOST_NAMED else "")
        raise UserError(f"{file}: {len(missing)} of {len(paths)} files do not exist in {folder}: {shown}")


def _groups(table: pd.DataFrame) -> str:
    return "patient" if (table["group"] != "").any() else "none"


def _patient_notes(table: pd.DataFrame) -> tuple[str, ...]:
    unknown = int((table["group"] == "").sum())
    if not unknown:
        return ()
    return (
        f"{unknown} of {len(table)} images name no patient: that the splits keep those patients apart cannot be shown.",
    )
