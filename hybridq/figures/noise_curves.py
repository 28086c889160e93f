"""Figures of a noise study over the strength, from its tables only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from hybridq.figures.models import Look
from hybridq.figures.noise_panels import (
    LEAST_DROP,
    SOURCE_LOOK,
    SOURCE_TITLES,
    STRENGTH,
    changes_of_auc,
    curve,
    draw_curve,
    exact,
    legend,
    level,
    panels,
)
from hybridq.figures.style import draw_note, note_lines, styled

METRICS: Final = {
    "auc": "AUC",
    "accuracy": "accuracy",
    "sensitivity_at_validation_threshold": "sensitivity at the\nvalidation threshold",
    "specificity_at_validation_threshold": "specificity at the\nvalidation threshold",
}


@styled
def metrics_figure(noise: pd.DataFrame, device: str, title: str, note: str) -> Figure:
    """Metrics of one run under all sources of a device together, with their 95 % bands.

    ``note`` says of which class sensitivity and specificity are; it is at the foot where they are shown.
    """
    rows = curve(noise, device, "all")
    shown = {column: words for column, words in METRICS.items() if column in rows}
    lines = note_lines(note) if len(shown) > 2 else []
    figure, axes = panels(-(-len(shown) // 2), 2, title, height=1.2, gap=0.72, top=0.75, key_lines=len(lines))
    name = SOURCE_TITLES["all"]
    for panel, (column, words) in zip(axes, shown.items(), strict=False):
        draw_curve(panel, rows, column, SOURCE_LOOK, name)
        panel.set_title(words)
        panel.set_xlabel("strength")
        _strengths(panel)
    for panel in axes[len(shown) :]:
        panel.set_visible(False)
    draw_note(figure, lines)
    return figure


@styled
def sources_figure(noise: pd.DataFrame, device: str, title: str, drops: Sequence[float]) -> Figure:
    """The change of AUC under each source by itself, with its paired 95 % band; all panels on one scale."""
    sources = _sources(noise, device)
    figure, axes = panels(-(-len(sources) // 2), 2, title, height=1.0, gap=0.58, top=0.58)
    curves = {source: curve(noise, device, source) for source in sources}
    lowest = min(rows["auc_change_low"].min() for rows in curves.values())
    highest = max(rows["auc_change_high"].max() for rows in curves.values())
    for panel, (source, rows) in zip(axes, curves.items(), strict=False):
        draw_curve(panel, rows, "auc_change", SOURCE_LOOK, SOURCE_TITLES[source])
        changes_of_auc(panel, lowest, highest, drops)
        panel.set_title(SOURCE_TITLES[source])
        _strengths(panel)
    for panel in axes[len(sources) - 2 : len(sources)]:
        panel.set_xlabel("strength")
    for panel in axes[len(sources) :]:
        panel.set_visible(False)
    return figure


@styled
def devices_figure(noise: pd.DataFrame, title: str, drops: Sequence[float]) -> Figure:
    """The change of AUC under all sources together, a line a device: one calibration against another."""
    rows = exact(noise)
    devices = list(dict.fromkeys(rows[rows["source"] == "all"]["device"]))
    look = Look(devices)
    figure, (panel,) = panels(1, 1, title, height=2.4, key_lines=len(devices))
    curves = {device: curve(noise, device, "all") for device in devices}
    for device, own in curves.items():
        draw_curve(panel, own, "auc_change", look, device)
    changes_of_auc(
        panel,
        min(own["auc_change_low"].min() for own in curves.values()),
        max(own["auc_change_high"].max() for own in curves.values()),
        drops,
    )
    panel.set_ylabel("change of AUC")
    panel.set_xlabel(STRENGTH)
    _strengths(panel)
    legend(figure, look, devices)
    return figure


@styled
def decisions_figure(noise: pd.DataFrame, device: str, title: str) -> Figure:
    """Under each source: how far the log-odds move, and how many decisions differ from the noiseless ones."""
    sources = _sources(noise, device)
    names = [SOURCE_TITLES[source] for source in sources]
    figure, axes = panels(2, 1, title, height=1.6, key_lines=len(names))
    for source, name in zip(sources, names, strict=True):
        rows = curve(noise, device, source)
        draw_curve(axes[0], rows, "logit_shift", SOURCE_LOOK, name)
        draw_curve(axes[1], rows, "flip_rate", SOURCE_LOOK, name, band=False)
    axes[0].set_ylabel("shift of log-odds (rms)")
    axes[1].set_ylabel("decisions that differ")
    axes[1].yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    axes[1].set_xlabel(STRENGTH)
    for panel in axes:
        panel.set_ylim(bottom=0)
        _strengths(panel)
    legend(figure, SOURCE_LOOK, names)
    return figure


@styled
def branch_figure(noise: pd.DataFrame, device: str, title: str) -> Figure:
    """The share of the quantum branch in the fused features under each source; α is learned and stays."""
    sources = _sources(noise, device)
    names = [SOURCE_TITLES[source] for source in sources]
    alpha = float(noise["alpha"].iloc[0])
    figure, (panel,) = panels(1, 1, f"{title}: α = {alpha:.3g}", height=1.9, key_lines=len(names))
    for source, name in zip(sources, names, strict=True):
        draw_curve(panel, curve(noise, device, source), "quantum_share", SOURCE_LOOK, name)
    panel.set_ylim(bottom=0)
    panel.set_ylabel("share of the branch")
    panel.set_xlabel(STRENGTH)
    _strengths(panel)
    legend(figure, SOURCE_LOOK, names)
    return figure


@styled
def models_figure(noise: pd.DataFrame, device: str, title: str) -> Figure:
    """AUC of every model over the strength: mean of its runs, band from the lowest to the highest run.

    A model without a circuit is the same at every strength.
    """
    models = list(dict.fromkeys(noise["model"]))
    look = Look(models)
    figure, (panel,) = panels(1, 1, title, height=2.6, key_lines=len(models))
    most = float(noise["scale"].max())
    for model in models:
        by_scale = curve(noise[noise["model"] == model], device, "all").groupby("scale")["auc"]
        mean, lowest, highest = by_scale.mean(), by_scale.min(), by_scale.max()
        if len(mean) == 1:
            mean, lowest, highest = (pd.Series([one.iloc[0]] * 2, index=[0.0, most]) for one in (mean, lowest, highest))
        style = look.line(model)
        panel.plot(mean.index, mean, marker=look.marker(model), markersize=3, **style)
        panel.fill_between(mean.index, lowest, highest, color=style["color"], alpha=0.13, linewidth=0)
    low, high = panel.get_ylim()
    margin = max(0.0, LEAST_DROP - (high - low) / 2)
    panel.set_ylim(low - margin, high + margin)
    panel.set_ylabel("AUC; bands: lowest to highest run")
    panel.set_xlabel(STRENGTH)
    _strengths(panel)
    legend(figure, look, models)
    return figure


@styled
def layers_figure(noise: pd.DataFrame, device: str, title: str) -> Figure:
    """Depth: what a device's own noise changes, over the layers of the runs' circuits; a point a run."""
    rows = exact(noise)
    rows = rows[(rows["device"] == device) & (rows["source"] == "all") & (rows["scale"] == 1)]
    models = list(dict.fromkeys(rows["model"]))
    look = Look(models)
    figure, axes = panels(2, 1, title, height=1.5, key_lines=len(models))
    for model in models:
        own = rows[rows["model"] == model]
        style = {"fmt": "o", "markersize": 4, "elinewidth": 1, **look.fill(model)}
        reach = np.abs(own[["auc_change_low", "auc_change_high"]].to_numpy().T - own["auc_change"].to_numpy())
        axes[0].errorbar(own["layers"], own["auc_change"], yerr=reach, **style)
        axes[1].errorbar(own["layers"], own["z_error_rms"], **style)
    axes[0].set_ylabel("change of AUC, 95 %")
    axes[1].set_ylabel("error of ⟨Z⟩ (rms)")
    for panel in axes:
        panel.margins(0.1)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    level(axes[0], 0, "")
    axes[1].set_ylim(bottom=0)
    axes[1].set_xlabel("layers of the circuit")
    legend(figure, look, models, lines=False)
    return figure


def _sources(noise: pd.DataFrame, device: str) -> list[str]:
    present = set(noise[noise["device"] == device]["source"])
    return [source for source in SOURCE_TITLES if source in present]


def _strengths(panel: Axes) -> None:
    panel.xaxis.set_major_locator(MaxNLocator(5, min_n_ticks=2))
    panel.set_xlim(left=-0.02 * np.ptp(panel.get_xlim()))
