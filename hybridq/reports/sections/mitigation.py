"""What a report says of error mitigation: from mitigation/*/mitigation.csv of a run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from hybridq.errors import UserError
from hybridq.figures.mitigation import mitigation_figure
from hybridq.figures.style import Drawn
from hybridq.run_folder import RunFolder

_LIMITED: Final = ("flips", "auc", "auc_change", "auc_gain")
COLUMNS: Final = (
    *("method", "circuits_multiplier", "extra_circuits", "bias_rms", "sd", "rms"),
    *(f"{name}{end}" for name in _LIMITED for end in ("", "_low", "_high")),
)
RECORDED: Final = ("backend", "simulated", "shots", "split", "samples")


@dataclass(frozen=True)
class Mitigated:
    """Every method on one simulated backend."""

    backend: str
    record: dict[str, Any]
    """Those of ``RECORDED``."""
    rows: list[dict[str, Any]]
    """A row of mitigation.csv each, with intervals as such."""
    name: str
    """Unique on the page."""
    table: pd.DataFrame
    """mitigation.csv"""

    @property
    def figure(self) -> Drawn:
        """Error of ⟨Z⟩ and change of AUC by method."""
        errors = ", ".join(f"{row['method']} {row['rms']:.4f} for {row['circuits_multiplier']:g}×" for row in self.rows)
        return Drawn.of(
            mitigation_figure(self.table, self.backend, simulated=bool(self.record["simulated"])),
            self.name,
            "Error of ⟨Z⟩ by method, and what it means for AUC against the noiseless simulator.",
            f"Rms error of ⟨Z⟩ by method of mitigation on {self.backend}, and its cost in executions: {errors}.",
        )

    @property
    def least(self) -> dict[str, Any]:
        """The method with the smallest error of ⟨Z⟩."""
        return min(self.rows, key=lambda row: float(row["rms"]))


def mitigations(run: RunFolder) -> list[Mitigated]:
    """Of a run, by backend; empty where there is none. Raises :class:`UserError` naming a damaged file."""
    tables = sorted((run.folder / "mitigation").glob("[!.]*/mitigation.csv"))
    return [_mitigated(path, number) for number, path in enumerate(tables)]


def _mitigated(path: Path, number: int) -> Mitigated:
    try:
        table = pd.read_csv(path, dtype={"method": str}, keep_default_na=False)[list(COLUMNS)]
        saved = json.loads((path.parent / "record.json").read_text(encoding="utf-8"))
        record = {name: saved[name] for name in RECORDED}
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{path.parent}: cannot be read ({error}); delete it and run hybridq study mitigation again"
        ) from None
    rows = [
        row
        | {
            name: {"value": row[name], "low": row[f"{name}_low"], "high": row[f"{name}_high"], "method": ""}
            for name in _LIMITED
        }
        for row in table.to_dict("records")
    ]
    return Mitigated(str(record["backend"]), record, rows, f"mitigation{number}", table)
