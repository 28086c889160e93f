"""Figures of a study, from its collected tables only; a model has the same colour in all of them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import roc_curve

from hybridq.figures.evaluations import METRIC_TITLES
from hybridq.figures.style import (
    DASHES,
    INK,
    MARKERS,
    MUTED,
    NOTE_LINE,
    RULE,
    SHADE,
    WIDTH,
    colour,
    draw_note,
    note_lines,
    styled,
)
from hybridq.typing import FloatArray, IntArray

LINE = 0.17
"""Inches of a line of a legend."""
FALSE = np.linspace(0, 1, 201)
"""False positive rates at which ROC curves of several seeds are put together."""


class Look:
    """How each model is drawn: colours repeat after six, but never with the same dashes and strength."""

    def __init__(self, models: Sequence[str]) -> None:
        self.models = tuple(models)

    def line(self, model: str) -> dict[str, Any]:
        index = self.models.index(model)
        dashes = DASHES[(index + 3 * (index // 6)) % len(DASHES)]
        return {"color": colour(index), "linestyle": dashes, "alpha": 1.0 if index < 6 else 0.6}

    def marker(self, model: str) -> str:
        return MARKERS[self.models.index(model) % len(MARKERS)]

    def fill(self, model: str) -> dict[str, Any]:
        index = self.models.index(model)
        return {"color": colour(index), "alpha": 1.0 if index < 6 else 0.55}

    def key(self, figure: Figure, models: Sequence[str], *, lines: bool, **place: Any) -> None:
        """A legend, one model a line."""
        handles = [
            Line2D([], [], **self.line(model))
            if lines
            else Line2D([], [], linestyle="", marker="s", **self.fill(model))
            for model in models
        ]
        figure.legend(handles, models, labelspacing=0.35, borderpad=0, borderaxespad=0, labelcolor=INK, **place)


@styled
def metric_bars(rows: pd.DataFrame, metrics: Sequence[str], look: Look, title: str, note: str) -> Figure:
    """Every metric of every model with its 95 % interval; ``rows`` as in table.csv, one a model.

    ``note``, at the foot, says of which class sensitivity and specificity are.
    """
    models, lines = list(rows["model"]), note_lines(note)
    foot = NOTE_LINE * len(lines)
    thickness, gap = 0.15, 0.17
    legend = LINE * len(models) + 0.45
    pitch = len(models) * thickness + gap
    height = pitch * len(metrics) + legend + 0.35 + foot
    figure = Figure(figsize=(WIDTH, height))
    left, right = 0.88 / WIDTH, 1 - 0.45 / WIDTH
    axes = figure.add_axes((left, (0.32 + foot) / height, right - left, pitch * len(metrics) / height))
    for place, metric in enumerate(metrics):
        middle = place * pitch + gap / 2 + len(models) * thickness / 2
        axes.text(-0.03, middle, textwrap.fill(METRIC_TITLES[metric], 12), ha="right", va="center", fontsize=8.5)
        for i, row in enumerate(rows.to_dict("records")):
            y = place * pitch + gap / 2 + (i + 0.5) * thickness
            axes.barh(y, row[metric], height=thickness * 0.82, **look.fill(row["model"]))
            low, high = max(row[f"{metric}_low"], 0), min(row[f"{metric}_high"], 1)
            axes.plot([low, high], [y, y], color=INK, linewidth=1.1, solid_capstyle="butt")
            axes.text(1.03, y, f"{row[metric]:.3f}", ha="left", va="center", fontsize=8, color=INK)
    axes.set_xlim(0, 1)
    axes.set_ylim(pitch * len(metrics), 0)
    axes.set_yticks([])
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(length=0)
    _title(figure, title)
    look.key(figure, models, lines=False, loc="upper left", bbox_to_anchor=(left, 1 - 0.32 / height))
    draw_note(figure, lines)
    return figure


@styled
def radar(rows: pd.DataFrame, metrics: Sequence[str], look: Look, title: str, note: str) -> Figure:
    """The metrics as a polygon for each model. The centre is 0, or 0.5 where every value is above 0.6.

    ``note``, at the foot, says of which class sensitivity and specificity are.
    """
    models, lines = list(rows["model"]), note_lines(note)
    legend = LINE * len(models) + 0.1 + NOTE_LINE * len(lines)
    height = 3.95 + legend
    figure = Figure(figsize=(WIDTH, height))
    place = (0.2, (legend + 0.42) / height, 0.6, 2.85 / height)
    axes = figure.add_axes(place, polar=True, theta_offset=np.pi / 2, theta_direction=-1)
    angles = np.linspace(0, 2 * np.pi, len(metrics), endpoint=False)
    centre = 0.5 if rows[list(metrics)].to_numpy().min() > 0.6 else 0.0
    for ring in np.linspace(centre, 1, 6)[1:] if centre else np.linspace(0, 1, 5)[1:]:
        axes.plot(np.append(angles, 0), [ring] * (len(metrics) + 1), color=RULE, linewidth=0.8, zorder=0)
        axes.text(np.pi / len(metrics), ring * 0.985, f"{ring:g}", color=MUTED, fontsize=7.5, ha="center", va="center")
    for angle, metric in zip(angles, metrics, strict=True):
        axes.plot([angle, angle], [centre, 1], color=RULE, linewidth=0.8, zorder=0)
        side = "center" if abs(np.sin(angle)) < 0.1 else "left" if np.sin(angle) > 0 else "right"
        vertical = "bottom" if np.cos(angle) > 0.9 else "top" if np.cos(angle) < -0.8 else "center"
        words = textwrap.fill(METRIC_TITLES[metric], 12)
        axes.text(angle, 1 + (1 - centre) * 0.06, words, ha=side, va=vertical, fontsize=8.5)
    for row in rows.to_dict("records"):
        values = [row[metric] for metric in metrics]
        style = look.line(row["model"]) | {"marker": look.marker(row["model"]), "markersize": 3.5, "linewidth": 1.5}
        axes.plot(np.append(angles, 0), [*values, values[0]], **style)
    axes.set_ylim(centre, 1)
    axes.set_axis_off()
    _title(figure, title)
    figure.text(0.5, (legend + 0.12) / height, f"centre {centre:g}, rim 1", color=MUTED, fontsize=8, ha="center")
    look.key(figure, models, lines=True, loc="upper center", bbox_to_anchor=(0.5, legend / height))
    draw_note(figure, lines)
    return figure


@styled
def confusions(counts: dict[str, IntArray], classes: Sequence[str], look: Look, title: str) -> Figure:
    """Of each model: percentages of the true class, over all seeds; ``counts`` (C, C), rows are true classes."""
    size = len(classes)
    columns = 2 if size <= 6 else 1
    rows = -(-len(counts) // columns)
    left, below, above, foot = 0.85, 0.12, 0.3, 0.85
    cell = (WIDTH - 0.1 - left - 0.12 * (columns - 1)) / columns / size
    panel = cell * size
    height = rows * (panel + below + above) + foot + 0.3
    figure = Figure(figsize=(WIDTH, height))
    names = [textwrap.fill(name, 12, max_lines=2, placeholder="…") for name in classes]
    for index, (model, matrix) in enumerate(counts.items()):
        row, column = divmod(index, columns)
        x = left + column * (panel + 0.12)
        y = height - 0.3 - (row + 1) * (panel + above) - row * below
        axes = figure.add_axes((x / WIDTH, y / height, panel / WIDTH, panel / height))
        shares = matrix / matrix.sum(axis=1, keepdims=True)
        for i, j in np.ndindex(size, size):
            share = shares[i, j]
            axes.add_patch(Rectangle((j, i), 1, 1, facecolor=SHADE, alpha=0.05 + 0.95 * share, linewidth=0))
            if matrix[i, j]:
                words: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 10 if size <= 3 else 6.5}
                axes.text(j + 0.5, i + 0.5, f"{share:.0%}", color="white" if share > 0.78 else INK, **words)
        axes.set_xlim(0, size)
        axes.set_ylim(size, 0)
        ticks = np.arange(size) + 0.5
        last = index + columns >= len(counts)
        axes.set_xticks(
            ticks, names if last else [""] * size, rotation=45, ha="right", rotation_mode="anchor", color=INK
        )
        axes.set_yticks(ticks, names if column == 0 else [""] * size, color=INK)
        axes.tick_params(length=0, labelsize=7.5)
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.set_title(model, color=look.line(model)["color"], fontsize=8.5, weight="bold", pad=3)
    _title(figure, f"{title}: rows are true classes")
    return figure


@styled
def roc(curves: dict[str, list[tuple[FloatArray, FloatArray]]], look: Look, title: str, note: str) -> Figure:
    """ROC of each model: the mean over seeds, and a band from the lowest to the highest seed.

    ``curves`` has false and true positive rates, one pair a seed. ``note``, at the foot, says of which class
    sensitivity and specificity are.
    """
    lines = note_lines(note)
    legend = LINE * len(curves) + 0.15 + NOTE_LINE * len(lines)
    height = 4.6 + legend
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_axes((0.14, (0.55 + legend) / height, 0.82, 0.82 * WIDTH / height))
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, linestyle=(0, (1, 2)))
    for model, seeds in curves.items():
        true = np.stack([np.interp(FALSE, *pair) for pair in seeds])
        _band(axes, np.append(0, FALSE), np.hstack([np.zeros((len(true), 1)), true]), model, look)
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    ticks = [0, 0.25, 0.5, 0.75, 1]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks(ticks[1:], [f"{tick:g}" for tick in ticks[1:]])
    axes.grid(True)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.set_xlabel("1 − specificity; bands: lowest to highest seed")
    axes.set_ylabel("sensitivity")
    _title(figure, title)
    look.key(figure, list(curves), lines=True, loc="upper left", bbox_to_anchor=(0.14, legend / height))
    draw_note(figure, lines)
    return figure


@styled
def learning_curves(history: pd.DataFrame, look: Look, title: str) -> Figure:
    """Validation AUC and training loss by epoch: mean of the seeds that reached it, band from lowest to highest.

    ``history`` has columns model, seed, epoch, validation_auc and loss.
    """
    models = [model for model in look.models if model in set(history["model"])]
    legend = LINE * len(models) + 0.15
    height = 4.4 + legend
    figure = Figure(figsize=(WIDTH, height))
    panels = (("validation_auc", "validation AUC"), ("loss", "training loss"))
    for place, (column, words) in enumerate(panels):
        bottom = height - 0.3 - (place + 1) * 1.95 + 0.2
        axes = figure.add_axes((0.14, bottom / height, 0.82, 1.65 / height))
        for model in models:
            wide = history[history["model"] == model].pivot(index="epoch", columns="seed", values=column)
            _band(axes, wide.index.to_numpy(np.float64), wide.to_numpy(np.float64).T, model, look)
        axes.set_ylabel(words)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        axes.tick_params(length=0)
    axes.set_xlabel("epoch; bands: lowest to highest seed")
    _title(figure, title)
    look.key(figure, models, lines=True, loc="upper left", bbox_to_anchor=(0.14, legend / height))
    return figure


@styled
def label_fraction_curves(rows: pd.DataFrame, look: Look, title: str) -> Figure:
    """AUC by share of the training labels with its 95 % interval; ``rows`` as in table.csv."""
    models = [model for model in look.models if model in set(rows["model"])]
    legend = LINE * len(models) + 0.15
    height = 3.4 + legend
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_axes((0.14, (0.55 + legend) / height, 0.82, 2.5 / height))
    for index, model in enumerate(models):
        own = rows[rows["model"] == model].sort_values("label_fraction")
        # Side by side, so that intervals do not hide each other.
        x = own["label_fraction"] * 1.03 ** (index - (len(models) - 1) / 2)
        reach = np.abs(own[["auc_low", "auc_high"]].to_numpy().T - own["auc"].to_numpy())
        style = look.line(model) | {"marker": look.marker(model), "markersize": 4}
        axes.errorbar(x, own["auc"], yerr=reach, elinewidth=1, **style)
    axes.set_xscale("log")
    fractions = sorted(set(rows["label_fraction"]))
    axes.set_xticks(fractions, [f"{fraction:.3g}" for fraction in fractions])
    axes.set_xticks([], minor=True)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.set_xlabel("share of the training images with labels")
    axes.set_ylabel("AUC, 95 % interval")
    _title(figure, title)
    look.key(figure, models, lines=True, loc="upper left", bbox_to_anchor=(0.14, legend / height))
    return figure


def roc_of(against: Sequence[tuple[np.ndarray, FloatArray]]) -> tuple[FloatArray, FloatArray]:
    """False and true positive rates; of several classes or labels the mean true rate at each false rate."""
    curves = [roc_curve(positive, scores) for positive, scores in against]
    if len(curves) == 1:
        return curves[0][0], curves[0][1]
    true = np.mean([np.interp(FALSE, false, true) for false, true, _ in curves], axis=0)
    return np.append(0.0, FALSE), np.append(0.0, true)


def _band(axes: Axes, x: FloatArray, seeds: FloatArray, model: str, look: Look) -> None:
    """Mean of rows (S, X), leaving out what is not a number, and the band that they span."""
    marker = "o" if len(x) < 3 else None
    axes.plot(x, np.nanmean(seeds, axis=0), marker=marker, markersize=3, **look.line(model))
    if len(seeds) > 1:
        low, high = np.nanmin(seeds, axis=0), np.nanmax(seeds, axis=0)
        axes.fill_between(x, low, high, color=look.line(model)["color"], alpha=0.13, linewidth=0)


def _title(figure: Figure, title: str) -> None:
    height = figure.get_size_inches()[1]
    figure.text(0.02, 1 - 0.16 / height, title, color=INK, weight="bold", va="center")
