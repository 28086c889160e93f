"""The tables of a noise study, from finished cells alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from hybridq.run_folder import RunFolder
from hybridq.studies.noise.cells import REFERENCE
from hybridq.studies.noise.run import StudiedRun
from hybridq.studies.noise.store import SavedCell
from hybridq.studies.noise.thresholds import bearable_noise
from hybridq.typing import FloatArray

_NO_MODEL: Final = {
    "name",
    "seed",
    "data.seed",
    "pretrain.encoder",
    "train.threads",
    "train.learning_rate",
    "train.head_learning_rate",
    "train.weight_decay",
    "model.dropout",
}
"""Keys of the configuration in which runs of one model may differ: seeds, and what was tuned."""
QUBIT: Final = ("qubit", "qubit_of_device", "mean_error", "rms_error", "slope", "offset")
THRESHOLDS: Final = (
    *("run", "model", "seed", "device", "source", "drop"),
    *("strength", "low", "high", "largest_scale", "words"),
)


@dataclass(frozen=True, eq=False)
class Tables:
    """``noise`` has a row a cell, ``qubits`` one a cell and qubit, ``thresholds`` one a run, device, source and
    drop."""

    noise: pd.DataFrame
    qubits: pd.DataFrame
    thresholds: pd.DataFrame


def tables_of(studied: Sequence[StudiedRun]) -> Tables:
    """Of all runs together; ``model`` tells runs apart that differ in more than their seed."""
    noise: list[dict[str, Any]] = []
    qubits: list[dict[str, Any]] = []
    thresholds: list[dict[str, Any]] = []
    where: dict[str, Any] = {}
    for one, model in zip(studied, model_names([one.run for one in studied]), strict=True):
        about: dict[str, Any] = {"run": one.run.folder.name, "model": model, "seed": one.run.experiment.seed}
        reference = next(saved for saved in one.cells if saved.cell == REFERENCE)
        for saved in one.cells:
            where = about | _setting(saved)
            noise.append(where | saved.row)
            qubits += [where | row for row in _qubit_rows(reference, saved)]
        for bears in bearable_noise(reference, one.cells):
            thresholds.append(
                about
                | {"device": bears.device, "source": bears.source, "drop": bears.drop}
                | {name: _finite(getattr(bears, name)) for name in ("strength", "low", "high")}
                | {"largest_scale": bears.most, "words": str(bears)}
            )
    return Tables(
        noise=_frame(noise),
        qubits=_frame(qubits, [*where, *QUBIT]),
        thresholds=pd.DataFrame(thresholds, columns=list(THRESHOLDS)),
    )


def model_names(runs: Sequence[RunFolder]) -> list[str]:
    """The model of each run, with the settings by which runs of different models are told apart."""
    settings = [_flat(run.experiment.model_dump(mode="json")) for run in runs]
    keys = [key for key in settings[0] if key not in _NO_MODEL and len({str(one.get(key)) for one in settings}) > 1]
    names = []
    for one in settings:
        differing = ", ".join(f"{key.rpartition('.')[2]}={one[key]}" for key in keys if key != "model.name")
        names.append(f"{one['model.name']} ({differing})" if differing else str(one["model.name"]))
    return names


def _setting(saved: SavedCell) -> dict[str, Any]:
    cell, model = saved.cell, saved.run.experiment.model
    return {
        "backend": cell.backend,
        "device": cell.device,
        "source": cell.source,
        "scale": cell.scale,
        "shots": cell.shots,
        "draw": cell.draw,
        "qubits": model.qubits,
        "layers": model.layers,
        "layout": cell.layout,
        "seed_transpiler": cell.seed_transpiler,
    }


def _qubit_rows(reference: SavedCell, saved: SavedCell) -> list[dict[str, Any]]:
    rows = []
    for qubit, (ideal, noisy) in enumerate(zip(reference.values.T, saved.values.T, strict=True)):
        error = noisy - ideal
        slope, offset = straight_line(ideal, noisy)
        places = saved.row.get("qubits_of_device")
        where = None if places is None else places[qubit]
        found = (qubit, where, float(error.mean()), float(np.sqrt(np.mean(error**2))), slope, offset)
        rows.append(dict(zip(QUBIT, found, strict=True)))
    return rows


def straight_line(ideal: FloatArray, noisy: FloatArray) -> tuple[float | None, float | None]:
    """``noisy ≈ slope · ideal + offset`` by least squares; None and None where ``ideal`` does not vary."""
    spread = float(np.var(ideal))
    if spread < 1e-12:
        return None, None
    slope = float(np.mean((ideal - ideal.mean()) * (noisy - noisy.mean())) / spread)
    return slope, float(noisy.mean() - slope * ideal.mean())


def _frame(rows: list[dict[str, Any]], columns: list[str] | None = None) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=columns)
    for name in ("shots", "draw", "seed_transpiler", "seed_transpiler_used", "two_qubit_gates", "depth"):
        if name in frame:
            frame[name] = frame[name].astype("Int64")
    return frame


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
