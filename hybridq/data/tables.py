"""CSV and Parquet tables of text, and one sentence for whatever is wrong with them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from hybridq.errors import UserError


def read_table(file: Path, needed: Sequence[str], *, what: str, optional: Sequence[str] = ()) -> pd.DataFrame:
    """The rows of a CSV file, or of a Parquet file where its name says so, every cell as stripped text.

    ``what`` says in errors what the file should be. Raises :class:`UserError` for files that cannot be read, that lack
    a ``needed`` column, or that have no rows.
    """
    columns = f"{what} has the columns {', '.join(needed)}"
    if optional:
        columns += f" and may have {', '.join(optional)}"
    try:
        given = _read_parquet(file) if file.suffix.lower() == ".parquet" else _read_csv(file)
    except FileNotFoundError:
        raise UserError(f"{file}: no such file") from None
    except pd.errors.EmptyDataError:
        raise UserError(f"{file}: is empty; {columns}") from None
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.ParserWarning, ValueError) as error:
        kind = "Parquet" if file.suffix.lower() == ".parquet" else "CSV"
        raise UserError(f"{file}: is not a readable {kind} file ({' '.join(str(error).split())})") from None
    for column in needed:
        if column not in given:
            raise UserError(f"{file}: has no column {column}; {columns}")
    if given.empty:
        raise UserError(f"{file}: lists no images")
    return given.apply(lambda column: column.str.strip())


def _read_csv(file: Path) -> pd.DataFrame:
    with warnings.catch_warnings():
        # A row with more fields than the header is a mistake; pandas would drop what it does not expect.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        given = pd.read_csv(
            file, dtype=str, keep_default_na=False, skipinitialspace=True, index_col=False, encoding="utf-8-sig"
        )
    return given.fillna("")


def _read_parquet(file: Path) -> pd.DataFrame:
    given = pd.read_parquet(file)
    text = {name: [_cell(value) for value in given[name].tolist()] for name in given.columns}
    return pd.DataFrame(text, dtype=str)


def _cell(value: object) -> str:
    if value is None or value is pd.NA or value != value:
        return ""
    return str(value)
