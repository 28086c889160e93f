"""AUC and F1 against the strength of each augmentation of the pretraining, from the cells of augmentation_scan.

    python -m papers.augmentation_scan --cells docs/results/augmentation_scan/cells.csv \
        --out docs/results/augmentation_scan/scan.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from hybridq.figures.style import MUTED, as_png, colour, styled
from hybridq.files import atomic_write

SCANS = {
    "rotation": ("rotation, ± degrees", 15.0),
    "crop": ("smallest crop, side", 0.7),
    "jitter": ("intensity, × default", 1.0),
}
"""Title of the axis and the default, by the first part of a model's name."""
METRICS = {"auc": "AUC", "f1": "F1 (macro)"}


@styled
def draw(cells: pd.DataFrame) -> Figure:
    """One panel a scan: means over seeds, bands from lowest to highest; dotted lines are without pretraining."""
    figure = Figure(figsize=(7.4, 3.3), layout="constrained")
    panels = figure.subplots(1, len(SCANS), sharey=True)
    for axes, (scan, (title, default)) in zip(panels, SCANS.items(), strict=True):
        for index, (metric, name) in enumerate(METRICS.items()):
            points = _points(cells, scan, default, metric)
            axes.plot(points["at"], points["mean"], marker="o", color=colour(index), label=name)
            axes.fill_between(points["at"], points["min"], points["max"], color=colour(index), alpha=0.15, linewidth=0)
            floor = cells.loc[cells["model"] == "no_pretraining", metric].mean()
            without = f"{name}, not pretrained"
            axes.axhline(floor, color=colour(index), linestyle=":", linewidth=1, label=without)
        axes.axvline(default, color=MUTED, linewidth=0.8, label="default")
        axes.set_xlabel(title)
        if scan == "crop":
            axes.invert_xaxis()
    panels[0].set_ylabel("test, mean over seeds")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=5)
    return figure


def _points(cells: pd.DataFrame, scan: str, default: float, metric: str) -> pd.DataFrame:
    rows = []
    for model, own in cells.groupby("model"):
        name, _, strength = str(model).partition("_")
        if name == scan or model == "default":
            rows.append({"at": float(strength) if strength else default, **own[metric].agg(["mean", "min", "max"])})
    return pd.DataFrame(rows).sort_values("at")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with atomic_write(options.out) as partial:
        partial.write_bytes(as_png(draw(pd.read_csv(options.cells))))


if __name__ == "__main__":
    main()
