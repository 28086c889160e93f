"""Delimited text as spreadsheets and programs write it: any of four separators, in Unicode or Windows-1252."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hybridq.errors import UserError

SEPARATORS: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks; UTF-32's begins like UTF-16's."""
WORKBOOK: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""First bytes of .xlsx and .xls files."""


@dataclass(frozen=True)
class Delimited:
    """Header and rows of stripped cells, each row as long as the header."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    """Sentences about what had to be guessed."""


def read_delimited(file: Path, recognised: Callable[[str], bool]) -> Delimited:
    """Read a text file with the separator that shows most ``recognised`` names in its header.

    Raises :class:`UserError` for files that are empty, no text, or have a row longer than the header, and ``OSError``
    for those that cannot be opened.
    """
    text, encoding = _text(file)
    separator = ""
    if text.startswith("sep="):  # a first line that Excel writes and reads
        first, _, text = text.partition("\n")
        separator = first[4:5].strip("\r")
    separator = separator or _separator(text, recognised)
    try:
        records = [
            tuple(" ".join(cell.split()) if index == 0 else cell.strip() for cell in record)
            for index, record in enumerate(_records(text, separator))
        ]
    except csv.Error as error:
        raise UserError(f"{file}: is not a readable CSV file ({error})") from None
    if not records:
        return Delimited((), ())
    header, rows = records[0], records[1:]
    for number, row in enumerate(rows, start=1):
        if any(row[len(header) :]):
            raise UserError(
                f"{file}: is not a readable CSV file (row {number} has {len(row)} fields, the header {len(header)})"
            )
    width = len(header)
    filled = tuple((*row[:width], *[""] * (width - len(row))) for row in rows)
    notes = () if encoding is None else (f"{file.name} was read as {encoding}.",)
    return Delimited(header, filled, notes)


def _text(file: Path) -> tuple[str, str | None]:
    """Return the text, and its encoding if that was guessed."""
    content = file.read_bytes()
    if content.startswith(WORKBOOK):
        raise UserError(f"{file}: is not a readable CSV file (it is a workbook or an archive; save the sheet as CSV)")
    for mark, encoding in MARKS:
        if content.startswith(mark):
            return _decoded(file, content, encoding), None
    for encoding, high in (("utf-16-be", content[0:1024:2]), ("utf-16-le", content[1:1024:2])):
        if 2 * high.count(0) > len(high) > 0:  # the high bytes of mostly ASCII text
            return _decoded(file, content, encoding), "UTF-16"
    try:
        return content.decode("utf-8"), None
    except UnicodeDecodeError:
        return _decoded(file, content, "cp1252"), "Windows-1252, since it is not UTF-8"


def _decoded(file: Path, content: bytes, encoding: str) -> str:
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: is not a readable CSV file ({error})") from None
    if "\0" in text:
        raise UserError(f"{file}: is not a readable CSV file (it holds the character \\x00, so it is no text)")
    return text


def _separator(text: str, recognised: Callable[[str], bool]) -> str:
    """Choose what shows most recognised names, then most names; a comma if nothing tells."""

    def shown(separator: str) -> tuple[int, int]:
        try:
            header: Sequence[str] = next(iter(_records(text, separator)), ())
        except csv.Error:
            return 0, 0
        return sum(recognised(name) for name in header), len(header)

    return max(SEPARATORS, key=shown)


def _records(text: str, separator: str) -> list[list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    return [record for record in reader if any(cell.strip() for cell in record)]
