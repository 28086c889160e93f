"""What studies leave in a run folder, with the columns that they write and made-up numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

SOURCES = ("all", "one_qubit", "two_qubit", "relaxation", "idle", "readout", "coherent")
SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)


def write_studies(run: Path) -> None:
    """A noise study on two devices, mitigation on one, and a spectrum."""
    for name in ("noise", "mitigation/fake-torino-0123abcd", "surrogate"):
        (run / name).mkdir(parents=True)
    pd.DataFrame(noise_rows()).to_csv(run / "noise" / "noise.csv", index=False)
    pd.DataFrame(threshold_rows()).to_csv(run / "noise" / "thresholds.csv", index=False)
    folder = run / "mitigation" / "fake-torino-0123abcd"
    pd.DataFrame(mitigation_rows()).to_csv(folder / "mitigation.csv", index=False)
    record = {"backend": "fake_torino", "simulated": True, "shots": 1024, "samples": 120, "split": "test"}
    (folder / "record.json").write_text(json.dumps(record), encoding="utf-8")
    pd.DataFrame(spectrum_rows()).to_csv(run / "surrogate" / "spectrum.csv", index=False)


def noise_row(device: str, source: str, scale: float, drop: float, **setting: Any) -> dict[str, Any]:
    about = {"run": "demo", "device": device, "source": source, "scale": scale, "shots": None, "layout": "best"}
    found = about | {"seed_transpiler": None, "images": 120} | setting
    for name, value in (("auc", 0.95 - drop), ("auc_change", -drop), ("flip_rate", 2 * drop)):
        found |= {name: value, f"{name}_low": value - 0.02, f"{name}_high": value + 0.02}
    return found | {"z_error_rms": drop, "logit_shift": 3 * drop}


def noise_rows() -> list[dict[str, Any]]:
    rows = [noise_row("aer", "none", 0.0, 0.0)]
    for device, size in (("fake_torino", 0.02), ("fake_mumbai", 0.05)):
        sources = SOURCES if device == "fake_torino" else SOURCES[:1]
        rows += [noise_row(device, s, scale, size * scale / (i + 1)) for i, s in enumerate(sources) for scale in SCALES]
    rows += [noise_row("fake_torino", "all", 1.0, 1 / shots, shots=shots) for shots in (64, 1024) for _ in range(3)]
    rows += [noise_row("fake_torino", "all", 1.0, 0.03, layout=layout) for layout in ("median", "worst")]
    return rows + [noise_row("fake_torino", "all", 1.0, 0.02 + seed / 100, seed_transpiler=seed) for seed in range(3)]


def threshold_rows() -> list[dict[str, Any]]:
    reached = {"drop": 0.01, "strength": 0.5, "low": 0.3, "high": 0.9, "words": "0.50× [0.30×, 0.90×]"}
    beyond = {"drop": 0.05, "strength": None, "low": None, "high": None, "words": "not reached up to 4×"}
    return [{"run": "demo", "device": "fake_torino", "source": "all"} | row for row in (reached, beyond)]


def mitigation_rows() -> list[dict[str, Any]]:
    rows = []
    for method, cost, bias, scatter in (
        ("none", 1, 0.05, 0.03),
        ("readout", 1, 0.03, 0.032),
        ("readout + ZNE linear", 3, 0.01, 0.07),
        ("learned", 1, 0.005, 0.034),
    ):
        row = {"method": method, "circuits_multiplier": cost, "extra_circuits": 2 if "readout" in method else 0}
        row |= {"bias_rms": bias, "sd": scatter, "rms": float(np.hypot(bias, scatter))}
        for name, value in (("flips", bias), ("auc", 0.95 - bias), ("auc_change", -bias), ("auc_gain", 0.05 - bias)):
            row |= {name: value, f"{name}_low": value - 0.01, f"{name}_high": value + 0.01}
        rows.append(row)
    return rows


def spectrum_rows() -> list[dict[str, Any]]:
    return [
        {
            "backend": backend,
            "qubit": qubit,
            "frequency": " ".join("1" if i < order else "0" for i in range(4)),
            "order": order,
            "amplitude": factor**order * 0.5 / (1 + order),
            "cosine": 0.1,
            "sine": 0.1,
        }
        for backend, factor in (("aer", 1.0), ("fake_torino", 0.9))
        for qubit in range(4)
        for order in range(5)
    ]


def write_explanations(folder: Path) -> None:
    """Two mistakes and a right decision."""
    folder.mkdir()
    images = []
    for number, (true, decided) in enumerate((("normal", "stenosis"), ("stenosis", "normal"), ("normal", "normal"))):
        Image.new("RGB", (388, 192), (40 * number, 60, 80)).save(folder / f"{number:02d}.png")
        images.append(
            {
                "file": f"{number:02d}.png",
                "id": f"test/{number:04d}.png",
                "true": true,
                "decided": decided,
                "probability": 0.97,
                "right": true == decided,
                "alt": f"Image test/{number:04d}.png, truly {true}, decided {decided} with probability 0.97.",
            }
        )
    content = {"method": "Grad-CAM", "block": "backbone.blocks.3", "map_side": 4, "images": images}
    (folder / "explanations.json").write_text(json.dumps(content), encoding="utf-8")
