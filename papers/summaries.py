"""The tables that bring several studies together, made from their committed cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hybridq.statistics.significance import interval_over_seeds
from hybridq.studies.models.paired_tests import PairedTest
from hybridq.studies.models.tables import UNKNOWN, Part, SettingTable, seconds, signed

RESULTS = Path("docs/results")
PUBLISHED = RESULTS / "published.csv"
NOISELESS, NOISY = "aer", "fake_torino"
PAPER_SCALE = "P-ADSD, 480 to train, test 60 + 60"
ANGIOGRAMS = "angiogram patches, test 60 + 60"
REACHED = (
    ("cost-efficient hybrid", "Medical MNIST", "lean_hybrid_table/data/lean_hybrid", ("hybrid", "Medical MNIST")),
    ("a linear map in its place", "Medical MNIST", "lean_hybrid_table/data/lean_linear", None),
    ("a CNN beside it", "Medical MNIST", "lean_hybrid_table/data/cnn", ("CNN", "Medical MNIST")),
    ("SSL-Quantum", PAPER_SCALE, "ssl_quantum_end_to_end/data/ssl_quantum", ("SSL-Quantum", ANGIOGRAMS)),
    ("its encoder frozen", PAPER_SCALE, "ssl_quantum_paper_scale/data/ssl_quantum", ("SSL-Quantum", ANGIOGRAMS)),
    ("ResNet-18 beside it", PAPER_SCALE, "ssl_quantum_end_to_end/data/resnet18", ("ResNet-18", ANGIOGRAMS)),
    (
        "SSL-Quantum",
        "P-ADSD, its own test",
        "ssl_quantum_official/data/ssl_quantum",
        ("LRSE-Net", "P-ADSD, its own test"),
    ),
    (
        "over a compact CNN",
        "P-ADSD, its own test",
        "ssl_quantum_official_small/data/ssl_quantum",
        ("LRSE-Net", "P-ADSD, its own test"),
    ),
    (
        "over HQCNN's CNN",
        "P-ADSD, its own test",
        "ssl_quantum_official_cnn/data/ssl_quantum",
        ("LRSE-Net", "P-ADSD, its own test"),
    ),
    ("HQCNN", "PneumoniaMNIST", "hqcnn_table/data/hqcnn", None),
    (
        "ResNet-18 beside it",
        "PneumoniaMNIST",
        "hqcnn_table/data/resnet18",
        ("ResNet-18 (28 pixels)", "PneumoniaMNIST"),
    ),
    ("HQCNN", "P-ADSD, clustered split", "hqcnn_padsd/data/hqcnn", None),
    ("an MLP in its circuit's place", "P-ADSD, clustered split", "hqcnn_padsd/data/mlp", None),
)
"""System, images, study/data set/model, and the row of published.csv that stands beside it."""
CONTROLS = {
    "alpha_zero": "nothing (α = 0)",
    "linear": "a linear map",
    "mlp": "an MLP of as many parameters",
    "fourier": "Fourier features",
    "no_entanglement": "no entanglement",
    "frozen_circuit": "the circuit, untrained",
    "encoding_only": "the encoding alone",
    "quantum_only": "the circuit without the residual",
    "ssl_quantum_q_mean": "its mean, after training",
    "lean_hybrid_q_mean": "its mean, after training",
    "ssl_quantum_q_shuffle": "that of another image, after training",
    "lean_hybrid_q_shuffle": "that of another image, after training",
}
CONTRIBUTIONS = {"SSL-Quantum": "controls", "cost-efficient hybrid": "lean_controls"}
UNDER_NOISE = {
    "SSL-Quantum": "controls/data/ssl_quantum",
    "its circuit without the residual": "controls/data/quantum_only",
    "cost-efficient hybrid": "lean_controls/data/lean_hybrid",
}
LAYERS = {
    "SSL-Quantum, encoder trained, 480 images": "ssl_quantum_end_to_end/data/ssl_quantum",
    "SSL-Quantum, encoder frozen, P-ADSD": "controls/data/ssl_quantum",
    "cost-efficient hybrid, Medical MNIST": "lean_hybrid_table/data/lean_hybrid",
    "cost-efficient hybrid, P-ADSD": "lean_controls/data/lean_hybrid",
    "HQCNN, PneumoniaMNIST": "hqcnn_table/data/hqcnn",
    "HQCNN, P-ADSD": "hqcnn_padsd/data/hqcnn",
}
Tables = Callable[[str], Sequence[SettingTable]]


def reached(_: Tables) -> Part:
    """What each system reaches, beside what was published."""
    published = pd.read_csv(PUBLISHED, dtype=str, keep_default_na=False).set_index(["model", "data"])
    rows = [["system", "images", "seeds", "accuracy", "AUC", "F1", "published", "accuracy", "AUC"]]
    for system, images, where, beside in REACHED:
        cells = cells_of(where)
        values = [_over_seeds(cells, metric, 4) for metric in ("accuracy", "auc", "f1")]
        other = [UNKNOWN] * 3
        if beside is not None:
            other = [beside[0], *(published.loc[beside, key] or UNKNOWN for key in ("accuracy", "AUC"))]
        rows.append([system, images, str(len(cells)), *values, *other])
    return rows


def contributions(tables: Tables) -> Part:
    """Change of AUC with something else in the circuit's place: same images, same seeds, noiseless."""
    columns = []
    for study in CONTRIBUTIONS.values():
        columns.append({CONTROLS[test.model]: test for test in tables(study)[0].tests if test.model in CONTROLS})
    rows = [["in the circuit's place", *CONTRIBUTIONS]]
    for control in dict.fromkeys(CONTROLS.values()):
        rows.append([control, *(_change(column.get(control)) for column in columns)])
    return rows


def under_noise(_: Tables) -> Part:
    """The same weights without noise and on the stored calibration of IBM Torino, all test images."""
    rows = [["model", "seeds", "AUC", "AUC, Torino", "sensitivity", "sensitivity, Torino", "decisions that flip"]]
    for name, where in UNDER_NOISE.items():
        noiseless, noisy = cells_of(where), cells_of(where, NOISY)
        values = [_over_seeds(cells, metric, 3) for metric in ("auc", "sensitivity") for cells in (noiseless, noisy)]
        rows.append([name, str(len(noiseless)), *values, _flips(where)])
    return rows


def layers(_: Tables) -> Part:
    """Seconds of an epoch, and those that pass in the quantum layer, medians over seeds."""
    rows = [["training", "s an epoch", "in the quantum layer", "share"]]
    for name, where in LAYERS.items():
        cells = cells_of(where)
        epoch, share = cells["seconds_per_epoch"].median(), cells["quantum_layer_share"].median()
        rows.append([name, seconds(epoch), seconds(epoch * share), f"{100 * share:.1f} %"])
    return rows


SUMMARIES = {"reached": reached, "contributions": contributions, "noise": under_noise, "layers": layers}


def cells_of(where: str, backend: str = NOISELESS) -> pd.DataFrame:
    """Rows of study/data set/model in its cells.csv, a row a seed."""
    study, data, model = where.split("/")
    cells = pd.read_csv(RESULTS / study / "cells.csv")
    return cells[(cells["model"] == model) & (cells["data"] == data) & (cells["backend"] == backend)]


def _over_seeds(cells: pd.DataFrame, metric: str, digits: int) -> str:
    if len(cells) == 1:
        value, low, high = (float(cells[f"{metric}{end}"].iloc[0]) for end in ("", "_low", "_high"))
        return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
    mean, reach = interval_over_seeds(cells[metric])
    return f"{mean:.{digits}f} ± {reach:.{digits}f}"


def _change(test: PairedTest | None) -> str:
    if test is None:
        return UNKNOWN
    value, reach = test.difference.value, test.difference.reach
    return f"{signed(value)} [{signed(value - reach)}, {signed(value + reach)}]: {test.verdict}"


def _flips(where: str) -> str:
    """Percent of the test images that are decided otherwise under noise, mean over seeds."""
    study, data, _ = where.split("/")
    predictions = pd.read_parquet(RESULTS / study / "predictions" / f"{data}.parquet")
    shares = []
    for cell in cells_of(where)["cell"]:
        decided = predictions[predictions["cell"] == cell].pivot(index="id", columns="backend", values="predicted")
        shares.append(float(np.mean(decided[NOISELESS] != decided[NOISY])))
    return f"{100 * np.mean(shares):.2f} %"
