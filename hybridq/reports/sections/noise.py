"""What a report says of a noise study: from noise/noise.csv and noise/thresholds.csv of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from hybridq.errors import UserError
from hybridq.figures.noise_run import NOISELESS_BACKEND, auc_by_strength, auc_change_map
from hybridq.figures.style import Drawn
from hybridq.run_folder import RunFolder
from hybridq.statistics.intervals import signed

SOURCE_TITLES: Final = {
    "all": "all together",
    "one_qubit": "one-qubit gates",
    "two_qubit": "two-qubit gates",
    "relaxation": "relaxation",
    "idle": "idle times",
    "readout": "readout",
    "coherent": "coherent over-rotation",
}
_AXES: Final = ("device", "source", "scale", "shots", "layout", "seed_transpiler")
_MEASURED: Final = tuple(f"{name}{end}" for name in ("auc", "auc_change", "flip_rate") for end in ("", "_low", "_high"))
COLUMNS: Final = (*_AXES, *_MEASURED, "z_error_rms", "logit_shift", "images")
THRESHOLD_COLUMNS: Final = ("device", "source", "drop", "words")


@dataclass(frozen=True)
class Borne:
    """How much of one source of a device's noise the run bears."""

    device: str
    source: str
    drops: list[str]
    """For each drop of AUC the strength at which it is reached, in words."""


@dataclass(frozen=True)
class NoiseResults:
    """The noise study of one run."""

    images: int
    drops: list[float]
    borne: list[Borne]
    devices: list[dict[str, Any]]
    """The noiseless simulator, and every device as it is: all sources at strength 1, best qubits, exact."""
    shots: list[dict[str, Any]]
    """By number of shots: the mean over draws, and the worst draw."""
    places: list[dict[str, Any]]
    """Layouts, and the range over transpiler seeds."""
    plain: pd.DataFrame
    """Rows of noise.csv: exact values on the best qubits."""

    @property
    def figures(self) -> list[Drawn]:
        """AUC by strength on all devices, and by source and strength on each that was studied by source."""
        return _figures(self.plain)


def noise_results(run: RunFolder) -> NoiseResults | None:
    """What the run's noise study found; None where there was none. Raises :class:`UserError` naming a damaged file."""
    folder = run.folder / "noise"
    if not (folder / "noise.csv").is_file():
        return None
    table = _read(folder / "noise.csv", COLUMNS)
    crossings = _read(folder / "thresholds.csv", THRESHOLD_COLUMNS)
    drops = sorted(crossings["drop"].unique())
    exact = table[table["shots"].isna()]
    plain = exact[(exact["layout"].isna() | (exact["layout"] == "best")) & exact["seed_transpiler"].isna()]
    whole_noise = plain[((plain["source"] == "all") & (plain["scale"] == 1)) | (plain["device"] == NOISELESS_BACKEND)]
    return NoiseResults(
        images=int(table["images"].max()),
        drops=drops,
        borne=_borne(crossings, drops),
        devices=_records(whole_noise.drop_duplicates("device")),
        shots=_by_shots(table),
        places=_by_place(exact),
        plain=plain,
    )


def _figures(plain: pd.DataFrame) -> list[Drawn]:
    noisy = plain[plain["device"] != NOISELESS_BACKEND]
    if noisy.empty:
        return []
    devices = list(dict.fromkeys(noisy["device"]))
    together = noisy[noisy["source"] == "all"].sort_values("scale")
    ends = [together[together["device"] == device].tail(1) for device in dict.fromkeys(together["device"])]
    reached = [f"{e['device'].item()} {signed(e['auc_change'].item())} at {e['scale'].item():g}×" for e in ends]
    found = [
        Drawn.of(
            auc_by_strength(plain),
            "noise-strength",
            "Change of AUC from the noiseless simulator by strength of all noise together; 1 is the device as it was "
            "calibrated, bands are paired 95 % intervals.",
            f"Change of AUC against noise strength: {', '.join(reached)}.",
        )
    ]
    for number, device in enumerate(devices):
        own = noisy[noisy["device"] == device]
        if own["source"].nunique() < 2:
            continue
        worst = own.loc[own["auc_change"].idxmin()]
        found.append(
            Drawn.of(
                auc_change_map(own, SOURCE_TITLES),
                f"noise-sources{number}",
                f"Change of AUC from the noiseless simulator by source and strength on {device}.",
                f"Heat map of the change of AUC by source and strength on {device}; the worst is "
                f"{signed(worst['auc_change'])}, {SOURCE_TITLES.get(worst['source'], worst['source'])} at "
                f"{worst['scale']:g}×.",
            )
        )
    return found


def _borne(crossings: pd.DataFrame, drops: Sequence[float]) -> list[Borne]:
    found = []
    for (device, source), own in crossings.groupby(["device", "source"], sort=False):
        words = dict(zip(own["drop"], own["words"], strict=True))
        title = SOURCE_TITLES.get(str(source), str(source))
        found.append(Borne(str(device), title, [words.get(drop, "–") for drop in drops]))
    return found


def _by_shots(table: pd.DataFrame) -> list[dict[str, Any]]:
    sampled = table[table["shots"].notna()]
    rows = []
    for (device, shots), own in sampled.astype({"shots": int}).groupby(["device", "shots"], sort=True):
        rows.append(
            {
                "device": device,
                "shots": shots,
                "draws": len(own),
                "auc": own["auc"].mean(),
                "auc_worst": own["auc"].min(),
                "flip_rate": own["flip_rate"].mean(),
                "flip_rate_worst": own["flip_rate"].max(),
            }
        )
    return rows


def _by_place(exact: pd.DataFrame) -> list[dict[str, Any]]:
    whole_noise = exact[(exact["source"] == "all") & (exact["scale"] == 1)]
    rows: list[dict[str, Any]] = []
    for _, own in whole_noise.groupby("device", sort=False):
        placed = own[own["seed_transpiler"].isna()].drop_duplicates("layout")
        if len(placed) > 1:
            rows += [row | {"what": f"{row['layout']} qubits"} for row in _records(placed)]
        seeds = _records(own[own["seed_transpiler"].notna()].sort_values("auc"))
        if len(seeds) > 1:
            rows += [
                row | {"what": f"{which} of {len(seeds)} transpiler seeds"}
                for which, row in (("worst", seeds[0]), ("best", seeds[-1]))
            ]
    return rows


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _read(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    try:
        return pd.read_csv(path, dtype={"device": str, "source": str, "layout": str})[list(columns)]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: cannot be read ({error}); run hybridq study noise again") from None
