"""Finished cells of a run on disk: one file each, written whole and never again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from backends.key_content import key_content
from hybridq.errors import UserError
from hybridq.files import atomic_write
from hybridq.results.selection import Selection
from hybridq.run_folder import RunFolder, result_name
from hybridq.studies.noise.cells import FIRST_OF_A_CELL, Cell
from hybridq.studies.noise.measure import Measured
from hybridq.typing import FloatArray

CELLS = Path("noise") / "cells"
"""In a run folder."""


@dataclass(frozen=True, eq=False)
class SavedCell:
    """One cell of a run, read back."""

    run: RunFolder
    cell: Cell
    row: dict[str, Any]
    """Columns of noise.csv by name: what was measured, and the circuit that ran."""
    values: FloatArray
    """q (N, Q)"""
    log_odds: FloatArray
    """(N, K)"""
    resampled_auc: FloatArray
    """(B,), of resamples that all cells of the run share."""


class Store:
    """The cells of one run on one choice of images; another choice, or other weights, never meets the same file."""

    def __init__(self, selection: Selection) -> None:
        self.run = selection.run
        self._split, self._ids = selection.split, selection.ids

    def path(self, cell: Cell) -> Path:
        """The file of a cell."""
        draw = "" if cell.draw is None else f"-draw{cell.draw}"
        key = self.run.result_key(self._split, self._ids, cell=key_content(cell, FIRST_OF_A_CELL))
        return self.run.folder / CELLS / f"{result_name(cell.backend + draw, key)}.npz"

    def has(self, cell: Cell) -> bool:
        """Whether the cell is finished."""
        return self.path(cell).is_file()

    def write(self, cell: Cell, measured: Measured, circuit: dict[str, Any]) -> None:
        """One file, whole or not at all; ``circuit`` are more columns of its row."""
        with atomic_write(self.path(cell)) as partial:
            np.savez_compressed(
                partial,
                row=json.dumps(measured.row | circuit, allow_nan=False),
                values=measured.values.astype(np.float32),
                log_odds=measured.log_odds.astype(np.float32),
                resampled_auc=measured.resampled_auc,
            )

    def read(self, cell: Cell) -> SavedCell:
        """A finished cell; raises :class:`UserError` naming a file that is damaged."""
        path = self.path(cell)
        try:
            with np.load(path) as arrays:
                row = json.loads(str(arrays["row"]))
                names = ("values", "log_odds", "resampled_auc")
                values, log_odds, resampled = (arrays[name].astype(np.float64) for name in names)
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise UserError(
                f"{path}: is damaged ({error}); delete it, and the same command computes it again"
            ) from None
        return SavedCell(self.run, cell, row, values, log_odds, resampled)
