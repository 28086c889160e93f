"""Figures of a noise study at given strengths: sources × strengths, qubits, shots, placements."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import NullLocator, PercentFormatter

from hybridq.figures.models import Look
from hybridq.figures.noise_panels import SOURCE_TITLES, curve, exact, legend, level, panels
from hybridq.figures.style import INK, MUTED, SHADE, WIDTH, colour, styled
from hybridq.typing import FloatArray

_MOST_POINTS = 1500
"""Drawn of a scatter; more would only be darker."""


@styled
def heat_figure(noise: pd.DataFrame, device: str, title: str) -> Figure:
    """Sources × strengths: the change of AUC, and the share of decisions that differ from the noiseless ones."""
    own = exact(noise)
    own = own[(own["device"] == device)]
    sources = [source for source in SOURCE_TITLES if source in set(own["source"])]
    scales = sorted(set(own["scale"]))
    row, left = 0.24, 1.42
    block = row * len(sources)
    height = 0.4 + 2 * (block + 0.62)
    figure = Figure(figsize=(WIDTH, height))
    figure.text(0.02, 1 - 0.16 / height, title, color=INK, weight="bold", va="center")
    blocks = (
        ("auc_change", "change of AUC, in thousandths", 1000, "+.1f", 0.01),
        ("flip_rate", "decisions that differ, in per cent", 100, ".1f", 0.05),
    )
    for place, (column, words, factor, digits, dark) in enumerate(blocks):
        y = height - 0.4 - (place + 1) * (block + 0.62) + 0.4
        axes = figure.add_axes((left / WIDTH, y / height, 1 - (left + 0.1) / WIDTH, block / height))
        table = own.pivot_table(index="source", columns="scale", values=column, aggfunc="mean")
        table = table.reindex(index=sources, columns=scales)
        most = max(dark, float(np.nanmax(np.abs(table.to_numpy()))))  # so that no change looks like none
        for (i, j), value in np.ndenumerate(table.to_numpy(np.float64)):
            share = 0.0 if np.isnan(value) else abs(value) / most
            axes.add_patch(Rectangle((j, i), 1, 1, facecolor=SHADE, alpha=0.04 + 0.96 * share, linewidth=0))
            text = "–" if np.isnan(value) else _number(factor * value, digits)
            shade = "white" if share > 0.6 else INK
            axes.text(j + 0.5, i + 0.5, text, ha="center", va="center", fontsize=7.5, color=shade)
        axes.set_xlim(0, len(scales))
        axes.set_ylim(len(sources), 0)
        axes.set_xticks(np.arange(len(scales)) + 0.5, [f"{scale:g}×" for scale in scales])
        axes.set_yticks(np.arange(len(sources)) + 0.5, [SOURCE_TITLES[source] for source in sources], color=INK)
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.set_title(words, pad=3)
    return figure


@styled
def qubits_figure(ideal: FloatArray, noisy: dict[str, FloatArray], title: str) -> Figure:
    """⟨Z⟩ of every image with noise against without, a panel a qubit; ``ideal`` and each of ``noisy`` are (N, Q)."""
    qubits = ideal.shape[1]
    look = Look(tuple(noisy))
    columns = 2 if qubits > 1 else 1
    figure, axes = panels(-(-qubits // columns), columns, title, height=1.45, key_lines=len(noisy), top=0.58)
    chosen = np.linspace(0, len(ideal) - 1, min(len(ideal), _MOST_POINTS)).astype(int)
    for qubit, panel in enumerate(axes):
        if qubit >= qubits:
            panel.set_visible(False)
            continue
        x = ideal[chosen, qubit]
        panel.plot([-1, 1], [-1, 1], color=MUTED, linewidth=0.8, linestyle=(0, (1, 2)))
        for place, (name, values) in enumerate(noisy.items()):
            y = values[chosen, qubit]
            panel.scatter(x, y, s=2, alpha=0.35, linewidths=0, color=colour(place))
            if np.ptp(x) > 1e-6:
                ends = np.array([x.min(), x.max()])
                panel.plot(ends, np.polyval(np.polyfit(x, y, 1), ends), **look.line(name))
        limits = _limits(np.concatenate([x, *(values[chosen, qubit] for values in noisy.values())]))
        panel.set_xlim(*limits)
        panel.set_ylim(*limits)
        panel.set_title(f"qubit {qubit}")
        if qubit >= qubits - columns:
            panel.set_xlabel("⟨Z⟩ without noise")
        if qubit % columns == 0:
            panel.set_ylabel("⟨Z⟩ with noise")
    legend(figure, look, list(noisy))
    return figure


@styled
def logits_figure(ideal: FloatArray, noisy: dict[str, FloatArray], title: str) -> Figure:
    """How far the log-odds of images move: the distribution of the shift, a line a strength; all are (N, K)."""
    look = Look(tuple(noisy))
    figure, (panel,) = panels(1, 1, title, height=2.0, key_lines=len(noisy))
    shifts = {name: (values - ideal).ravel() for name, values in noisy.items()}
    low, high = np.quantile(np.concatenate([*shifts.values()]), [0.002, 0.998])
    edges = np.linspace(min(low, 0.0), max(high, 1e-6), 61)
    for name, shift in shifts.items():
        share = np.histogram(shift, edges)[0] / len(shift)
        panel.stairs(share, edges, **look.line(name))
    panel.axvline(0, color=MUTED, linewidth=0.8, linestyle=(0, (1, 2)))
    panel.set_ylim(bottom=0)
    panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    panel.set_ylabel("share of images")
    panel.set_xlabel("log-odds with noise − without")
    legend(figure, look, list(noisy))
    return figure


@styled
def shots_figure(noise: pd.DataFrame, devices: list[str], title: str) -> Figure:
    """Shots a circuit against exact values: mean of the draws, band from the lowest to the highest draw."""
    look = Look(devices)
    figure, axes = panels(2, 1, title, height=1.5, key_lines=len(devices))
    shots = sorted(set(noise["shots"].dropna().astype(int)))
    for panel, column in zip(axes, ("auc_change", "flip_rate"), strict=True):
        for device in devices:
            drawn = noise[noise["shots"].notna() & (noise["device"] == device)].groupby("shots")[column]
            if not len(drawn):
                continue
            style = look.line(device)
            panel.plot(drawn.mean().index.astype(int), drawn.mean(), marker=look.marker(device), markersize=3, **style)
            x = drawn.mean().index.astype(int)
            panel.fill_between(x, drawn.min(), drawn.max(), color=style["color"], alpha=0.14, linewidth=0)
            always = exact(noise)
            here = always[(always["device"] == device) & (always["source"].isin(["all", "none"]))]
            here = here[here["scale"].isin([0.0 if device == "aer" else 1.0])]
            panel.axhline(float(here[column].iloc[0]), color=style["color"], linewidth=0.9, linestyle=(0, (1, 2)))
        _shots(panel, shots)
    axes[0].set_ylabel("change of AUC")
    axes[1].set_ylabel("decisions that differ")
    axes[1].yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    axes[1].set_ylim(bottom=0)
    axes[1].set_xlabel("shots a circuit; dotted: exact values")
    legend(figure, look, devices)
    return figure


@styled
def placement_figure(noise: pd.DataFrame, device: str, title: str) -> Figure:
    """Where the circuit is placed and how it is transpiled, at the device's own noise: AUC and the error of ⟨Z⟩."""
    rows = noise[
        (noise["device"] == device) & (noise["source"] == "all") & (noise["scale"] == 1) & noise["shots"].isna()
    ]
    labels = [
        f"{row['layout']} qubits" if pd.isna(row["seed_transpiler"]) else f"seed {row['seed_transpiler']}"
        for row in rows.to_dict("records")
    ]
    height = 0.19 * len(rows) + 0.1
    figure, axes = panels(2, 1, title, height=height, gap=0.55, left=1.0)
    y = np.arange(len(rows))
    for panel, column, words in zip(
        axes, ("auc_change", "z_error_rms"), ("change of AUC, 95 % interval", "error of ⟨Z⟩ (rms)"), strict=True
    ):
        values = rows[column].to_numpy(np.float64)
        if f"{column}_low" in rows:
            ends = rows[[f"{column}_low", f"{column}_high"]].to_numpy(np.float64).T
            panel.errorbar(values, y, xerr=np.abs(ends - values), fmt="o", markersize=4, elinewidth=1, color=colour(0))
            panel.axvline(0, color=MUTED, linewidth=0.8, linestyle=(0, (1, 2)))
        else:
            panel.barh(y, values, height=0.6, color=colour(0))
        panel.set_yticks(y, labels, color=INK)
        panel.set_ylim(len(rows) - 0.4, -0.6)
        panel.grid(axis="y", visible=False)
        panel.grid(axis="x")
        panel.set_xlabel(words)
    return figure


def strengths_shown(noise: pd.DataFrame, device: str) -> list[float]:
    """The device's own noise and the strongest there is."""
    scales = set(curve(noise, device, "all")["scale"]) - {0.0}
    return sorted({1.0, max(scales)} & scales)


def _shots(panel: Axes, shots: list[int]) -> None:
    panel.set_xscale("log", base=2)
    panel.set_xticks(shots, [f"{count:,}" for count in shots])
    panel.xaxis.set_minor_locator(NullLocator())
    level(panel, 0, "")


def _limits(values: FloatArray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    margin = 0.06 * (high - low) + 1e-3
    return low - margin, high + margin


def _number(value: float, digits: str) -> str:
    """With a true minus sign, and none on zero."""
    text = format(value, digits).replace("-", "−")
    return text[1:] if text in {"+0.0", "−0.0"} else text
