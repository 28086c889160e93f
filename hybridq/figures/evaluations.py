"""One function a figure, each from saved results only; the same backend has the same colour in all of them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FormatStrFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter
from sklearn.metrics import roc_curve

from hybridq.figures.style import DASHES, INK, MARKERS, MUTED, RULE, SHADE, WIDTH, colour, key, styled
from hybridq.results.evaluation import Evaluation
from hybridq.typing import FloatArray

METRIC_TITLES = {
    "accuracy": "Accuracy",
    "auc": "AUC",
    "f1": "F1",
    "precision": "Precision",
    "recall": "Recall",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "exact_match": "Exact match",
    "average_precision": "Average precision",
    "kappa": "Kappa, quadratic weighted",
    "mae": "Mean absolute error",
}


def backend_label(evaluation: Evaluation) -> str:
    """The backend's name and what it is, so that simulated hardware is called simulated in every figure.

    Long names (parametric noise) are shortened in the middle; tables have them in full.
    """
    name = evaluation.backend
    short = name if len(name) <= 30 else f"{name[:17]}…{name[-12:]}"
    return f"{short} ({evaluation.kind})"


@styled
def metric_bars(evaluations: Sequence[Evaluation]) -> Figure:
    """The seven metrics of every backend, with 95 % intervals."""
    metrics = evaluations[0].task.shares
    count = len(evaluations)
    thickness, gap, legend = 0.15, 0.17, 0.17 * count + 0.2
    pitch = count * thickness + gap
    height = pitch * len(metrics) + legend + 0.35
    figure = Figure(figsize=(WIDTH, height))
    left, right = 0.88 / WIDTH, 1 - 0.45 / WIDTH
    axes = figure.add_axes((left, 0.32 / height, right - left, (pitch * len(metrics)) / height))
    for row, metric in enumerate(metrics):
        middle = row * pitch + gap / 2 + count * thickness / 2
        axes.text(-0.03, middle, _in_two(METRIC_TITLES[metric]), ha="right", va="center", fontsize=8.5)
        for i, evaluation in enumerate(evaluations):
            interval = evaluation.metrics["metrics"][metric]
            y = row * pitch + gap / 2 + (i + 0.5) * thickness
            axes.barh(y, interval["value"], height=thickness * 0.82, color=colour(i))
            axes.plot([interval["low"], interval["high"]], [y, y], color=INK, linewidth=1.1, solid_capstyle="butt")
            for limit in (interval["low"], interval["high"]):
                axes.plot([limit, limit], [y - 0.035, y + 0.035], color=INK, linewidth=1.1)
            axes.text(1.03, y, f"{interval['value']:.3f}", ha="left", va="center", fontsize=8, color=INK)
    axes.set_xlim(0, 1)
    axes.set_ylim(pitch * len(metrics), 0)
    axes.set_yticks([])
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.spines["left"].set_color(MUTED)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(length=0)
    labels = [backend_label(e) for e in evaluations]
    key(figure, labels, lines=False, loc="upper left", bbox_to_anchor=(left, 1 - 0.06 / height))
    return figure


@styled
def radar(evaluations: Sequence[Evaluation]) -> Figure:
    """The seven metrics as a polygon for each backend. The centre is 0, or 0.5 where every value is above 0.6."""
    metrics = evaluations[0].task.shares
    legend = 0.17 * len(evaluations) + 0.1
    height = 3.7 + legend
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_axes(
        (0.2, (legend + 0.42) / height, 0.6, 2.85 / height), polar=True, theta_offset=np.pi / 2, theta_direction=-1
    )
    angles = np.linspace(0, 2 * np.pi, len(metrics), endpoint=False)
    values = np.array([[e.metrics["metrics"][name]["value"] for name in metrics] for e in evaluations])
    centre = 0.5 if values.min() > 0.6 else 0.0
    rings = np.linspace(centre, 1, 6)[1:] if centre else np.linspace(0, 1, 5)[1:]
    for ring in rings:
        axes.plot(np.append(angles, 0), [ring] * (len(metrics) + 1), color=RULE, linewidth=0.8, zorder=0)
        axes.text(np.pi / len(metrics), ring * 0.985, f"{ring:g}", color=MUTED, fontsize=7.5, ha="center", va="center")
    for angle in angles:
        axes.plot([angle, angle], [centre, 1], color=RULE, linewidth=0.8, zorder=0)
    for i, row in enumerate(values):
        axes.plot(
            np.append(angles, 0),
            np.append(row, row[0]),
            color=colour(i),
            linestyle=DASHES[i % len(DASHES)],
            marker=MARKERS[i % len(MARKERS)],
            markersize=3.5,
            linewidth=1.5,
        )
    for angle, name in zip(angles, metrics, strict=True):
        side = "center" if abs(np.sin(angle)) < 0.1 else "left" if np.sin(angle) > 0 else "right"
        vertical = "bottom" if np.cos(angle) > 0.9 else "top" if np.cos(angle) < -0.8 else "center"
        axes.text(angle, 1 + (1 - centre) * 0.06, _in_two(METRIC_TITLES[name]), ha=side, va=vertical, fontsize=8.5)
    axes.set_ylim(centre, 1)
    axes.set_axis_off()
    figure.text(0.5, (legend + 0.12) / height, f"centre {centre:g}, rim 1", color=MUTED, fontsize=8, ha="center")
    key(figure, [backend_label(e) for e in evaluations], lines=True, loc="lower center", bbox_to_anchor=(0.5, 0.02))
    return figure


@styled
def confusion(evaluation: Evaluation, classes: Sequence[str], index: int = 0) -> Figure:
    """Counts and percentages of the true class; ``index`` is the backend's place in the other figures."""
    counts = np.array(evaluation.metrics["confusion"])
    shares = counts / counts.sum(axis=1, keepdims=True)
    size = len(counts)
    names = [textwrap.fill(name, 12, max_lines=3, placeholder="…") for name in classes]
    turned = size > 3
    left, bottom, top = 1.25, 1.2 if turned else 0.72, 0.34
    cell = min(1.0, (WIDTH - left - 0.15) / size)
    width, height = left + cell * size + 0.15, bottom + top + cell * size
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((left / width, bottom / height, cell * size / width, cell * size / height))
    for i in range(size):
        for j in range(size):
            share, centre = shares[i, j], (j + 0.5, i + 0.5)
            axes.add_patch(Rectangle((j, i), 1, 1, facecolor=SHADE, alpha=0.05 + 0.95 * share, linewidth=0))
            text = "white" if share > 0.78 else INK
            if cell > 0.6:
                axes.text(*centre, f"{counts[i, j]:,}", ha="center", va="bottom", fontsize=13, color=text)
                axes.text(centre[0], centre[1] + 0.07, f"{share:.1%}", ha="center", va="top", fontsize=8, color=text)
            elif counts[i, j]:
                axes.text(*centre, f"{counts[i, j]:,}", ha="center", va="bottom", fontsize=8, color=text)
                axes.text(centre[0], centre[1] + 0.05, f"{share:.0%}", ha="center", va="top", fontsize=6.5, color=text)
    axes.set_xlim(0, size)
    axes.set_ylim(size, 0)
    ticks = np.arange(size) + 0.5
    axes.set_xticks(ticks, names, rotation=60 if turned else 0, ha="right" if turned else "center", color=INK)
    if turned:
        for label in axes.get_xticklabels():
            label.set_rotation_mode("anchor")
    axes.set_yticks(ticks, names, color=INK)
    axes.tick_params(length=0)
    for position in range(1, size):
        axes.axhline(position, color=RULE, linewidth=0.7)
        axes.axvline(position, color=RULE, linewidth=0.7)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    figure.text(0.02, 1 - 0.2 / height, backend_label(evaluation), color=colour(index), weight="bold", va="center")
    return figure


@styled
def roc(evaluations: Sequence[Evaluation]) -> Figure:
    """ROC curve of each backend with its AUC and interval; with several classes or labels their average."""
    legend = 0.32 * len(evaluations) + 0.35
    height = 4.25 + legend
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_axes((0.14, (0.52 + legend) / height, 0.82, 0.82 * WIDTH / height))
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, linestyle=(0, (1, 2)))
    axes.text(0.63, 0.575, "chance", color=MUTED, fontsize=8, rotation=45, rotation_mode="anchor")
    labels = []
    for i, evaluation in enumerate(evaluations):
        false, true = _macro_roc(evaluation)
        axes.plot(false, true, color=colour(i), linestyle=DASHES[i % len(DASHES)])
        auc = evaluation.metrics["metrics"]["auc"]
        labels.append(f"{auc['value']:.3f} [{auc['low']:.3f}, {auc['high']:.3f}]\n{backend_label(evaluation)}")
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    axes.set_yticks([0.25, 0.5, 0.75, 1], ["0.25", "0.5", "0.75", "1"])
    axes.grid(True)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.set_xlabel("1 − specificity")
    axes.set_ylabel("sensitivity")
    key(
        figure,
        labels,
        lines=True,
        loc="upper left",
        bbox_to_anchor=(0.14, legend / height),
        title="AUC [95 % interval]",
        alignment="left",
    )
    return figure


@styled
def training_curves(history: pd.DataFrame, best_epoch: int) -> Figure:
    """What history.csv recorded: losses of both stages, validation AUC, α, quantum share and gradient norm."""
    pretrain, finetune = (history[history["stage"] == stage] for stage in ("pretrain", "finetune"))
    panels: list[tuple[str, pd.DataFrame, list[str]]] = [
        ("Stage 1: contrastive loss", pretrain, ["loss"]),
        ("Stage 1: embedding spread", pretrain, ["embedding_spread"]),
        ("Stage 2: loss", finetune, ["loss", "validation_loss"]),
        ("Stage 2: validation AUC", finetune, ["validation_auc"]),
        ("Stage 2: validation accuracy", finetune, ["validation_accuracy"]),
        ("α of eq. 13", finetune, ["alpha"]),
        ("Quantum share", finetune, ["quantum_share"]),
        ("Gradient norm of the circuit", finetune, ["circuit_gradient_norm"]),
    ]
    shown = [panel for panel in panels if len(panel[1]) and set(panel[2]) <= set(panel[1].columns)]
    rows = -(-len(shown) // 2)
    height = 1.62 * rows + 0.1
    figure = Figure(figsize=(WIDTH, height))
    for place, (title, table, columns) in enumerate(shown):
        row, column = divmod(place, 2)
        axes = figure.add_axes((0.095 + 0.5 * column, 1 - (1.62 * row + 1.3) / height, 0.385, 1.02 / height))
        _curves(axes, table, columns)
        if place >= len(shown) - 2:
            axes.set_xlabel("epoch", fontsize=8)
        axes.set_title(title, fontsize=8.5)
        if columns == ["circuit_gradient_norm"] and table[columns[0]].min() > 0:
            axes.set_yscale("log")
            low, high = axes.get_ylim()
            axes.set_ylim(10 ** np.floor(np.log10(low)), 10 ** np.ceil(np.log10(high)))
            axes.yaxis.set_major_locator(LogLocator(numticks=4))
            axes.yaxis.set_major_formatter(FormatStrFormatter("%g"))
            axes.yaxis.set_minor_formatter(NullFormatter())
        if columns == ["validation_auc"]:
            axes.set_ymargin(0.3)  # Room for the words under the curve.
            best = table[table["epoch"] == best_epoch]
            axes.plot(best["epoch"], best["validation_auc"], "o", color=colour(1), markersize=5)
            axes.annotate(
                f"best, epoch {best_epoch}",
                (1.0, 0.04),
                xycoords="axes fraction",
                ha="right",
                color=colour(1),
                fontsize=7.5,
            )
        if columns == ["quantum_share"]:
            axes.set_ylim(0, max(0.02, 1.15 * table["quantum_share"].max()))
            axes.yaxis.set_major_formatter(PercentFormatter(1))
            axes.axhline(0.01, color=MUTED, linewidth=0.9, linestyle=(0, (2, 2)))
            axes.annotate(
                "classical below 1 %", (table["epoch"].max(), 0.01), ha="right", va="bottom", color=MUTED, fontsize=7.5
            )
    return figure


@styled
def z_scatter(ideal: Evaluation, evaluation: Evaluation, index: int) -> Figure:
    """⟨Z⟩ of every qubit and sample: ideal across, ``evaluation`` upwards; on the diagonal where noise does nothing."""
    values = evaluation.values[evaluation.rows_of(ideal.ids)]
    qubits = values.shape[1]
    columns = 1 if qubits == 1 else 2 if qubits <= 4 else 3
    rows = -(-qubits // columns)
    side = (WIDTH - 0.45) / columns
    height = side * rows + 0.62
    figure = Figure(figsize=(WIDTH, height))
    figure.text(0.02, 1 - 0.14 / height, backend_label(evaluation), color=colour(index), weight="bold", va="center")
    for qubit in range(qubits):
        row, column = divmod(qubit, columns)
        bottom = 1 - (0.34 + side * (row + 1) - 0.06) / height
        axes = figure.add_axes(((0.42 + side * column) / WIDTH, bottom, (side - 0.14) / WIDTH, (side - 0.14) / height))
        axes.plot([-1, 1], [-1, 1], color=MUTED, linewidth=0.8, linestyle=(0, (1, 2)))
        x, y = ideal.values[:, qubit], values[:, qubit]
        # Thousands of points as vectors would be megabytes: they are drawn as pixels inside the SVG.
        axes.plot(x, y, ".", color=colour(index), alpha=0.35, markersize=3.5, markeredgewidth=0, rasterized=True)
        rms = float(np.sqrt(np.mean((y - x) ** 2)))
        axes.text(0.05, 0.95, f"qubit {qubit}", transform=axes.transAxes, va="top", fontsize=8.5)
        axes.text(0.95, 0.06, f"rms {rms:.3f}", transform=axes.transAxes, ha="right", fontsize=8, color=MUTED)
        axes.set_xlim(-1.06, 1.06)
        axes.set_ylim(-1.06, 1.06)
        axes.set_xticks([-1, 0, 1], ["−1", "0", "1"] if row == (qubits - 1 - column) // columns else ["", "", ""])
        axes.set_yticks([-1, 0, 1], ["−1", "0", "1"] if column == 0 else ["", "", ""])
        axes.grid(True)
        axes.tick_params(length=0)
    figure.text(0.5, 0.09 / height, f"⟨Z⟩ on {ideal.backend} ({ideal.kind})", color=MUTED, ha="center", va="center")
    figure.text(0.03, 0.5, "⟨Z⟩ on this backend", color=MUTED, rotation=90, ha="center", va="center")
    return figure


def _in_two(title: str) -> str:
    """A long title in two lines."""
    return textwrap.fill(title, 12)


def _curves(axes: Axes, table: pd.DataFrame, columns: Sequence[str]) -> None:
    titles = {"loss": "training", "validation_loss": "validation"}
    for i, name in enumerate(columns):
        marker = "o" if len(table) < 3 else None
        axes.plot(table["epoch"], table[name], color=colour(i), linestyle=DASHES[i], marker=marker, markersize=3)
        if len(columns) > 1:
            axes.set_ymargin(0.3)  # Room for the two names above the curves.
            axes.annotate(
                titles[name],
                (0.68 + 0.32 * i, 0.9),
                xycoords="axes fraction",
                ha="right",
                color=colour(i),
                fontsize=7.5,
            )
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=7.5, pad=2)


def _macro_roc(evaluation: Evaluation) -> tuple[FloatArray, FloatArray]:
    """False and true positive rates; of several curves the mean true rate at each false rate."""
    against = evaluation.task.against_rest(evaluation.labels, evaluation.probabilities)
    curves = [roc_curve(positive, scores) for positive, scores in against]
    if len(curves) == 1:
        return curves[0][0], curves[0][1]
    false = np.linspace(0, 1, 501)
    true = np.mean([np.interp(false, f, t) for f, t, _ in curves], axis=0)
    return np.append(0.0, false), np.append(0.0, true)
