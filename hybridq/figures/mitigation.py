"""Error mitigation in one figure, from mitigation.csv."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from hybridq.figures.style import INK, MUTED, WIDTH, colour, styled

_ROW = 0.36
"""Inches of a method."""


@styled
def mitigation_figure(table: pd.DataFrame, backend: str, *, simulated: bool) -> Figure:
    """For each method the error of ⟨Z⟩, its bias darker, and the change of AUC from noiseless with its interval.

    ``table`` has the columns of mitigation.csv, a row a method; ``backend`` is what it ran on, ``simulated``
    whether that was a simulation.
    """
    count = len(table)
    height = _ROW * count + 1.15
    figure = Figure(figsize=(WIDTH, height))
    bottom, tall = 0.55 / height, _ROW * count / height
    errors = figure.add_axes((0.05, bottom, 0.5, tall))
    changes = figure.add_axes((0.64, bottom, 0.31, tall))
    for place, row in enumerate(table.to_dict("records")):
        method = f"{row['method']}  ({row['circuits_multiplier']:g}×)"
        errors.text(0, place - 0.16, method, fontsize=7, color=INK, va="center")
        errors.barh(place + 0.2, row["rms"], height=0.3, color=colour(0), alpha=0.35, linewidth=0)
        errors.barh(place + 0.2, row["bias_rms"], height=0.3, color=colour(0), linewidth=0)
        limits = [row["auc_change_low"], row["auc_change_high"]]
        changes.plot(limits, [place + 0.2] * 2, color=INK, linewidth=1.1, solid_capstyle="butt")
        changes.plot(row["auc_change"], place + 0.2, "o", color=colour(1), markersize=4)
    changes.axvline(0, color=MUTED, linewidth=0.9, linestyle=(0, (2, 2)))
    for axes, title in ((errors, "rms error of ⟨Z⟩; dark: bias"), (changes, "change of AUC")):
        axes.set_ylim(count - 0.5, -0.5)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        axes.tick_params(length=0)
        axes.locator_params(axis="x", nbins=3)
        axes.set_xlabel(title)
    errors.set_xlim(0, 1.05 * table["rms"].max())
    for line, words in enumerate(
        (f"{backend}{', simulated' if simulated else ''}: error mitigation", "in brackets: executions of an image")
    ):
        heavy = "bold" if line == 0 else "normal"
        figure.text(0.05, 1 - (0.18 + 0.18 * line) / height, words, color=(INK, MUTED)[line], weight=heavy, va="center")
    return figure
