"""Figures of what decisions and probabilities are worth: calibration, and risk by coverage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from hybridq.figures.evaluations import backend_label
from hybridq.figures.style import DASHES, MARKERS, MUTED, WIDTH, colour, key, styled
from hybridq.results.evaluation import Evaluation
from hybridq.statistics.calibration import Calibration
from hybridq.statistics.risk_coverage import RiskCoverage


@styled
def reliability(
    evaluations: Sequence[Evaluation], found: Sequence[Calibration], predicted: str, series: Sequence[int]
) -> Figure:
    """Predicted probability across, what it came to upwards, a point a bin with its 95 % interval.

    ``found`` are the calibrations of ``evaluations``, ``series`` their numbers in the other figures; ``predicted`` says
    of what the probability is.
    """
    legend = 0.17 * len(evaluations) + 0.62
    height = 0.82 * WIDTH + legend + 0.15
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_axes((0.14, legend / height, 0.82, 0.82 * WIDTH / height))
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, linestyle=(0, (1, 2)))
    axes.text(0.06, 0.085, "as predicted", color=MUTED, fontsize=8, rotation=45, rotation_mode="anchor")
    for i, calibration in zip(series, found, strict=True):
        x = [b.predicted for b in calibration.bins]
        y = [b.observed["value"] for b in calibration.bins]
        for b in calibration.bins:
            limits = [b.observed["low"], b.observed["high"]]
            axes.plot([b.predicted] * 2, limits, color=colour(i), linewidth=0.9, alpha=0.6)
        style = {"linestyle": DASHES[i % len(DASHES)], "marker": MARKERS[i % len(MARKERS)]}
        axes.plot(x, y, color=colour(i), markersize=3.5, linewidth=1.3, **style)
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    ticks = [0, 0.25, 0.5, 0.75, 1]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.grid(True)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.set_xlabel(f"predicted probability of {predicted}")
    axes.set_ylabel("share of images")
    names = [backend_label(e) for e in evaluations]
    key(figure, names, lines=True, series=series, loc="lower left", bbox_to_anchor=(0.14, 0.04 / height))
    return figure


@styled
def risk_by_coverage(
    evaluations: Sequence[Evaluation], curves: Sequence[RiskCoverage], series: Sequence[int]
) -> Figure:
    """Share of wrong decisions among the images that are kept, by the share that is kept, with 95 % bands.

    ``series`` are the numbers of ``evaluations`` in the other figures.
    """
    legend = 0.17 * len(evaluations) + 0.62
    height = 2.6 + legend + 0.15
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_axes((0.14, legend / height, 0.82, 2.6 / height))
    for i, curve in zip(series, curves, strict=True):
        axes.fill_between(curve.coverage, curve.low, curve.high, color=colour(i), alpha=0.13, linewidth=0)
        axes.plot(curve.coverage, curve.risk, color=colour(i), linestyle=DASHES[i % len(DASHES)])
    axes.set_xlim(1.0, float(np.min(curves[0].coverage)))
    axes.set_ylim(0, most := top_of(curves))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0 if most > 0.06 else 1))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.grid(True)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.set_xlabel("images that the model keeps, the rest is handed over")
    axes.set_ylabel("wrong among those kept")
    names = [backend_label(e) for e in evaluations]
    key(figure, names, lines=True, series=series, loc="lower left", bbox_to_anchor=(0.14, 0.04 / height))
    return figure


def top_of(curves: Sequence[RiskCoverage]) -> float:
    """Where the axis of the risk ends: at the band of all images; that of a few may reach beyond."""
    return max(0.02, 1.05 * max(float(curve.high[0]) for curve in curves))
