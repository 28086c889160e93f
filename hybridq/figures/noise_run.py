"""Figures of a noise study, from the rows of noise.csv: exact values on the best qubits."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from hybridq.figures.style import DASHES, INK, MARKERS, MUTED, SHADE, WIDTH, colour, key, styled
from hybridq.statistics.intervals import signed

NOISELESS_BACKEND = "aer"


@styled
def auc_by_strength(table: pd.DataFrame) -> Figure:
    """Change of AUC from the noiseless simulator, with paired 95 % bands, against the strength of all noise together.

    A line a device. Never drawn on a finer scale than a few hundredths, so that what is nothing looks like nothing.
    """
    ideal = table[table["device"] == NOISELESS_BACKEND].head(1)
    noisy = table[(table["device"] != NOISELESS_BACKEND) & (table["source"] == "all")]
    devices = list(dict.fromkeys(noisy["device"]))
    legend = 0.17 * len(devices) + 0.62
    height = 2.7 + legend + 0.15
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_axes((0.15, legend / height, 0.81, 2.7 / height))
    for i, device in enumerate(devices):
        points = pd.concat([ideal.assign(scale=0.0), noisy[noisy["device"] == device]]).sort_values("scale")
        low, high = points["auc_change_low"], points["auc_change_high"]
        axes.fill_between(points["scale"], low, high, color=colour(i), alpha=0.12, linewidth=0)
        style = {"linestyle": DASHES[i % len(DASHES)], "marker": MARKERS[i % len(MARKERS)]}
        axes.plot(points["scale"], points["auc_change"], color=colour(i), markersize=3.5, **style)
    axes.axvline(1, color=MUTED, linewidth=0.9, linestyle=(0, (1, 2)))
    axes.set_xlim(0, None)
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, -0.02), max(high, 0.01))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.grid(True)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.set_xlabel("noise strength, times the calibration")
    axes.set_ylabel("change of AUC")
    key(figure, devices, lines=True, loc="lower left", bbox_to_anchor=(0.15, 0.04 / height))
    return figure


@styled
def auc_change_map(table: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """Change of AUC from the noiseless simulator: sources in rows, strengths in columns, darker where it drops more."""
    sources = [source for source in titles if source in set(table["source"])]
    changes = table.pivot_table(index="source", columns="scale", values="auc_change").loc[sources]
    rows, columns = changes.shape
    left, top, bottom, cell = 1.55, 0.1, 0.5, 0.3
    width = (WIDTH - left - 0.1) / columns
    height = top + bottom + cell * rows
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_axes((left / WIDTH, bottom / height, (WIDTH - left - 0.1) / WIDTH, cell * rows / height))
    values = changes.to_numpy(dtype=np.float64)
    worst = max(float(-np.nanmin(values)), 0.01)
    for i in range(rows):
        for j in range(columns):
            change = float(values[i, j])
            if np.isnan(change):
                axes.text(j + 0.5, i + 0.5, "–", ha="center", va="center", color=MUTED)
                continue
            share = min(max(-change / worst, 0.0), 1.0)
            axes.add_patch(Rectangle((j, i), 1, 1, facecolor=SHADE, alpha=0.03 + 0.97 * share, linewidth=0))
            text, size = ("white" if share > 0.75 else INK), 7.5 if width > 0.36 else 6
            axes.text(j + 0.5, i + 0.5, signed(change), ha="center", va="center", fontsize=size, color=text)
    axes.set_xlim(0, columns)
    axes.set_ylim(rows, 0)
    axes.set_xticks(np.arange(columns) + 0.5, [f"{scale:g}×" for scale in changes.columns], color=INK)
    axes.set_yticks(np.arange(rows) + 0.5, [titles[source] for source in sources], color=INK)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlabel("noise strength, times the calibration")
    return figure
