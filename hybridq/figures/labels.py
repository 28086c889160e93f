"""Figures of single labels, where an image may have several."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hybridq.figures.evaluations import backend_label
from hybridq.figures.style import MARKERS, MUTED, RULE, WIDTH, colour, key, styled
from hybridq.results.evaluation import Evaluation
from hybridq.statistics.intervals import LabelMetrics

_LEFT = 1.5
"""Inches for the names of the labels."""


@styled
def label_metric(evaluations: Sequence[Evaluation], metric: str) -> Figure:
    """A metric of every label and backend with its 95 % interval; AUC and average precision beside chance.

    A label whose metric is not defined on these images says so in its row.
    """
    labels = evaluations[0].metrics["labels"]
    samples = evaluations[0].metrics["n"]
    step = 0.12
    pitch = max(0.26, step * len(evaluations) + 0.14)
    legend = 0.17 * len(evaluations) + 0.2
    height = pitch * len(labels) + legend + 0.35
    figure = Figure(figsize=(WIDTH, height))
    width = WIDTH - _LEFT - 0.15
    axes = figure.add_axes((_LEFT / WIDTH, 0.3 / height, width / WIDTH, pitch * len(labels) / height))
    if metric == "auc":
        axes.axvline(0.5, color=MUTED, linewidth=0.9, linestyle=(0, (1, 2)))
    for row, label in enumerate(labels):
        middle = (row + 0.5) * pitch
        axes.text(-0.02, middle, _short(label["label"]), ha="right", va="center", fontsize=8.5)
        if row:
            axes.axhline(row * pitch, color=RULE, linewidth=0.6)
        if label["metrics"] is None:
            axes.text(0.02, middle, undefined(label), ha="left", va="center", fontsize=8, color=MUTED)
            continue
        if metric == "average_precision":
            share = label["positives"] / samples
            axes.plot([share, share], [middle - 0.38 * pitch, middle + 0.38 * pitch], color=MUTED, linewidth=1.2)
        for i, evaluation in enumerate(evaluations):
            _point(axes, evaluation.metrics["labels"][row], metric, middle + (i - (len(evaluations) - 1) / 2) * step, i)
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(pitch * len(labels), 0)
    axes.set_yticks([])
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0)
    names = [backend_label(e) for e in evaluations]
    key(figure, names, lines=False, loc="upper left", bbox_to_anchor=(0.02, 1 - 0.06 / height))
    return figure


def undefined(label: LabelMetrics) -> str:
    """Why a label has no metrics."""
    return "no positive image" if label["positives"] == 0 else "no negative image"


def _point(axes: Axes, label: LabelMetrics, metric: str, y: float, index: int) -> None:
    assert label["metrics"] is not None
    interval = label["metrics"][metric]
    axes.plot([interval["low"], interval["high"]], [y, y], color=colour(index), linewidth=1.3, solid_capstyle="butt")
    marker = MARKERS[index % len(MARKERS)]
    axes.plot(interval["value"], y, color=colour(index), marker=marker, markersize=4.2, linestyle="none")


def _short(name: str) -> str:
    return textwrap.shorten(name, 24, placeholder="…") if " " in name else name if len(name) <= 24 else f"{name[:23]}…"
