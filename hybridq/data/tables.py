"""Tables of images: every column found by its role, and one sentence for whatever is wrong.

Manifests, tables of labels and split manifests are read alike.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from hybridq.config import IGNORE
from hybridq.data.delimited import read_delimited
from hybridq.errors import UserError

ALIASES: Final[dict[str, tuple[str, ...]]] = {
    "path": ("path", "filepath", "imagepath"),
    "label": ("label", "labels"),
    "patient": ("patient", "patientid", "group", "groupid"),
    "split": ("split", "splits"),
    "id": ("id",),
    "cluster": ("cluster", "clusterid"),
}
"""Names of a role's column, in lower case and without blanks, hyphens and underscores."""
OF_SPLITS: Final = ("id", "cluster")
"""Roles in split manifests alone."""
LOOKALIKES: Final[dict[str, tuple[str, ...]]] = {
    "label": (
        *("label", "class", "classes", "target", "diagnosis", "diagnoses", "dx", "category", "categories", "outcome"),
        *("truth", "gt", "finding", "pathology", "annotation"),
    ),
    "patient": (
        *("patient", "subject", "case", "participant", "person", "individual", "mrn", "pid", "study", "exam"),
        *("accession", "lesion", "specimen", "slide", "donor", "group"),
    ),
    "split": ("split", "fold", "set", "subset", "partition", "phase"),
}
"""Last words of columns that may hold a role under another name."""
IDENTIFYING: Final = frozenset(
    ("id", "ids", "uid", "no", "nr", "number", "num", "key", "code", "index", "name", "hash")
)
"""Words after which the word before counts as the last one."""
SPLIT_WORDS: Final[dict[str, str]] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Parts of a data set by what folders and cells call them, in lower case."""
MISSING: Final = frozenset(("", "nan", "<na>", "n/a", "#n/a", "null"))
"""Cells without a value, in lower case. ``NA`` and ``None`` are such cells as well, and other cases of them names."""
MOST_NAMED: Final = 10

Columns = Sequence[tuple[str, tuple[str, ...]]]
"""Columns by role as ``data.columns`` gives them."""


@dataclass(frozen=True)
class Table:
    """Rows of text by role, with ``columns`` naming the column of each role."""

    rows: pd.DataFrame
    columns: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Reading:
    """How one table is read, as its caller asked."""

    file: Path
    what: str
    needed: Sequence[str]
    optional: Sequence[str]
    judged: bool

    @property
    def roles(self) -> tuple[str, ...]:
        return (*self.needed, *self.optional)

    @property
    def expected(self) -> str:
        columns = f"{self.what} has the columns {', '.join(self.needed)}"
        return f"{columns} and may have {', '.join(self.optional)}" if self.optional else columns


def read_table(
    file: Path,
    needed: Sequence[str],
    *,
    what: str,
    optional: Sequence[str] = (),
    columns: Columns = (),
    strict: bool = True,
    several: bool = False,
    judged: bool = True,
) -> Table:
    """Read a text table, or a Parquet one if its name says so, into one column per role.

    ``what`` says in errors what the file should be. ``columns`` maps roles to columns that the aliases do not find, and
    columns to ``ignore``; with ``strict`` the columns of roles have to exist. Several labels of an image come as
    ``label_0``, ``label_1``, …, or in one column that may have empty cells, if ``several``. Not ``judged`` is a table
    that a finished run was made of: nothing in it is refused but a missing column.

    Cells are stripped. A missing patient or split is "", a whole number has no fraction (``1.0`` is ``1``), and a split
    that :data:`SPLIT_WORDS` knows has its name there. Raises :class:`UserError` for files
    that cannot be read, for a role with no column or two, for a column that looks like a role, and for missing labels.
    """
    reading = _Reading(file, what, needed, optional, judged)
    header, cells, notes = _read(reading, columns)
    chosen, ignored = _mapped(reading, header, columns, strict)
    explicit = frozenset(chosen)
    for role in reading.roles:
        if role not in explicit:
            _find(reading, role, header, chosen, ignored)
    _check_needed(reading, header, chosen)
    used = {index for indices in chosen.values() for index in indices} | ignored
    unused = [index for index in range(len(header)) if index not in used and (header[index] or any(cells[index]))]
    if judged:
        _refuse_lookalikes(reading, header, cells, unused, explicit)
    if not len(cells[0]):
        raise UserError(f"{file}: lists no images")
    rows = pd.DataFrame({name: cells[index] for name, index in _named(chosen, several)}, dtype=str)
    if unused:
        names = ", ".join(header[index] or "(without a name)" for index in unused)
        notes.append(f"{file.name}: not used {'are' if len(unused) > 1 else 'is'} {names}.")
    return Table(
        _values(reading, rows, several),
        {role: tuple(header[index] for index in indices) for role, indices in chosen.items()},
        tuple(notes),
    )


def group_noun(columns: Mapping[str, Sequence[str]]) -> str:
    """Say what the column of patients holds, by its name."""
    return "group" if _key(columns.get("patient", ("",))[0]).startswith("group") else "patient"


def plain_number(text: str) -> str:
    """Return a whole number without a zero fraction, and any other text as it is."""
    return re.sub(r"^([+-]?\d+)[.,]0*$", r"\1", text)


def as_number(name: str) -> float | None:
    """Return the value of a finite number written plainly, else None."""
    try:
        value = float(name)
    except ValueError:
        return None
    return value if abs(value) < float("inf") and name.strip("+-0123456789.") == "" else None


def is_missing(text: str) -> bool:
    return text.lower() in MISSING or text in ("NA", "None")


def _read(reading: _Reading, columns: Columns) -> tuple[list[str], list[list[str]], list[str]]:
    """Return header, cells by column, and notes."""
    file = reading.file
    known = {_key(name) for _, names in columns for name in names}
    known |= {name for role in reading.roles for name in ALIASES[role]}
    try:
        if file.suffix.lower() == ".parquet":
            given = pd.read_parquet(file)
            header = [_header(str(name)) for name in given.columns]
            return header, [[_cell(value) for value in given.iloc[:, at].tolist()] for at in range(len(header))], []
        read = read_delimited(file, lambda name: _key(name) in known)
    except FileNotFoundError:
        raise UserError(f"{file}: no such file") from None
    except (OSError, ValueError) as error:
        kind = "Parquet" if file.suffix.lower() == ".parquet" else "CSV"
        raise UserError(f"{file}: is not a readable {kind} file ({' '.join(str(error).split())})") from None
    if not read.header:
        raise UserError(f"{file}: is empty; {reading.expected}")
    cells = [list(column) for column in zip(*read.rows, strict=True)] or [[] for _ in read.header]
    return [_header(name) for name in read.header], cells, list(read.notes)


def _cell(value: object) -> str:
    if value is None or value is pd.NA or value != value:
        return ""
    return str(value).strip()


def _header(name: str) -> str:
    return unicodedata.normalize("NFC", " ".join(name.split()))


def _key(name: str) -> str:
    return re.sub(r"[\W_]+", "", _header(name).lower())


def _mapped(
    reading: _Reading, header: Sequence[str], columns: Columns, strict: bool
) -> tuple[dict[str, list[int]], set[int]]:
    """Return the columns that are mapped, by role, and those that are ignored."""
    chosen: dict[str, list[int]] = {}
    ignored: set[int] = set()
    for key, names in columns:
        ignore = names == (IGNORE,)
        role = next((role for role, aliases in ALIASES.items() if _key(key) in aliases), "")
        wanted = strict or key in OF_SPLITS
        if not ignore and role not in reading.roles:
            if not wanted:
                continue
            raise UserError(
                f"{reading.file}: columns = {{{key}: …}}; roles of {reading.what}: {_listed(reading.roles)}"
            )
        found: list[int] = []
        for name in (key,) if ignore else names:
            same = [index for index in range(len(header)) if header[index] == _header(name)]
            same = same or [index for index in range(len(header)) if _key(header[index]) == _key(name)]
            if len(same) > 1 and not ignore:
                raise UserError(f"{reading.file}: has {len(same)} columns {name}; give each a name of its own")
            if not same and wanted and not ignore:
                raise UserError(f"{reading.file}: has no column {name}; it has {_listed(header)}")
            found += same
        if ignore:
            ignored |= set(found)
        elif found:
            taken = {index for indices in chosen.values() for index in indices}
            if role in chosen or taken & set(found) or len(set(found)) < len(found):
                raise UserError(
                    f"{reading.file}: columns = {{{key}: {', '.join(names)}}}; a role or a column given twice"
                )
            chosen[role] = found
    return chosen, ignored


def _find(reading: _Reading, role: str, header: Sequence[str], chosen: dict[str, list[int]], ignored: set[int]) -> None:
    """Choose the column of a role by its aliases."""
    taken = {index for indices in chosen.values() for index in indices} | ignored
    found = [index for index, name in enumerate(header) if index not in taken and _key(name) in ALIASES[role]]
    if len(found) > 1 and reading.judged:
        names = _listed([header[index] for index in found])
        raise UserError(
            f"{reading.file}: the columns {names} may each be the {role}; name one in data.columns, {{{role}: "
            f"{header[found[0]]}}}, or leave one out, {{{header[found[1]]}: {IGNORE}}}"
        )
    found.sort(key=lambda index: header[index] != role)
    if found:
        chosen[role] = found[:1]


def _check_needed(reading: _Reading, header: Sequence[str], chosen: Mapping[str, Sequence[int]]) -> None:
    for role in reading.needed:
        if role not in chosen:
            raise UserError(
                f"{reading.file}: has no column {role}; {reading.expected}, this one has {_listed(header)}; "
                f"data.columns maps others, such as {{{role}: {header[0] or 'NAME'}}}"
            )


def _refuse_lookalikes(
    reading: _Reading,
    header: Sequence[str],
    cells: Sequence[Sequence[str]],
    unused: Sequence[int],
    explicit: frozenset[str],
) -> None:
    """Refuse unused columns that may be a role, unless that role's column was named by the user."""
    for index in unused:
        for role, words in LOOKALIKES.items():
            if role not in reading.roles or role in explicit:
                continue
            if _last_word(header[index]) in words or (role == "split" and _are_splits(cells[index])):
                name = header[index] or f"number {index + 1}"
                raise UserError(
                    f"{reading.file}: the column {name} looks like the {role}; say what it is in data.columns, "
                    f"{{{role}: {name}}} or {{{name}: {IGNORE}}}"
                )


def _last_word(name: str) -> str:
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
    while len(words) > 1 and words[-1] in IDENTIFYING:
        words.pop()
    last = words[-1] if words else ""
    known = {word for role in LOOKALIKES.values() for word in role}
    for word in (last, last.removesuffix("s"), *(last.removesuffix(ending) for ending in ("id", "no", "name"))):
        if word in known:
            return word
    return last


def _are_splits(cells: Sequence[str]) -> bool:
    words = {cell.lower() for cell in cells} - {""}
    return len(words) > 1 and words <= set(SPLIT_WORDS)


def _named(chosen: Mapping[str, Sequence[int]], several: bool) -> list[tuple[str, int]]:
    named = []
    for role, indices in chosen.items():
        if role == "label" and several and len(indices) > 1:
            named += [(f"label_{number}", index) for number, index in enumerate(indices)]
        else:
            named.append((role, indices[0]))
    return named


def _values(reading: _Reading, rows: pd.DataFrame, several: bool) -> pd.DataFrame:
    for role in set(rows) & {"patient", "split", "cluster"}:
        rows[role] = ["" if is_missing(cell) else plain_number(cell) for cell in rows[role]]
    if "split" in rows:
        rows["split"] = [SPLIT_WORDS.get(cell.lower(), cell) for cell in rows["split"]]
    if "label" in rows:
        if reading.judged:
            _refuse_missing_labels(reading, rows, several)
        rows["label"] = [plain_number(unicodedata.normalize("NFC", cell)) for cell in rows["label"]]
    return rows


def _refuse_missing_labels(reading: _Reading, rows: pd.DataFrame, several: bool) -> None:
    missing = [at for at, cell in enumerate(rows["label"]) if is_missing(cell) and not (several and cell == "")]
    if not missing:
        return
    places = [f"row {at + 1}: {rows['label'].iloc[at] or 'empty'}" for at in missing[:MOST_NAMED]]
    more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
    one = len(missing) == 1
    raise UserError(
        f"{reading.file}: {len(missing)} of {len(rows)} images {'has' if one else 'have'} no label ({', '.join(places)}"
        f"{more}); give every image one, or leave the column out"
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(name or "(without a name)" for name in names[:MOST_NAMED])
    return shown + (", …" if len(names) > MOST_NAMED else "")
