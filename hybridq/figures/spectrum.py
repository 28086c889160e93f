"""The Fourier spectrum of the quantum layer, ideal against devices: from surrogate/spectrum.csv of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hybridq.errors import UserError
from hybridq.figures.style import DASHES, INK, MARKERS, MUTED, WIDTH, colour, styled

IDEAL: Final = "aer"
MOST_DRAWN: Final = 1000
"""Terms of one backend that are drawn one by one, so that a page with the figure stays small."""
COLUMNS: Final = ("backend", "qubit", "frequency", "order", "amplitude", "cosine", "sine")


def read_spectrum(path: Path) -> pd.DataFrame:
    """spectrum.csv; raises :class:`UserError` where it is damaged."""
    try:
        table = pd.read_csv(path, dtype={"backend": str, "frequency": str})
        return table[list(COLUMNS)]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: cannot be read ({error}); delete it and run hybridq export --surrogate") from None


def strength_by_order(table: pd.DataFrame) -> pd.DataFrame:
    """How much of ⟨Z⟩ is of each order: rows are orders, columns backends, the ideal one first.

    For order 0 the size of the constant, for others the standard deviation that the terms give over uniformly random
    angles; root mean square over the observables. Terms of one order that are not in the table count as 0.
    """
    observables = table["qubit"].nunique()
    # A wave of amplitude A has the variance A²/2.
    power = table["amplitude"] ** 2 * np.where(table["order"] == 0, 1, 0.5) / observables
    sums = table.assign(power=power).pivot_table("power", "order", "backend", aggfunc="sum", fill_value=0.0)
    return pd.DataFrame(np.sqrt(sums[_backends(table)])).reindex(range(table["order"].max() + 1), fill_value=0.0)


@styled
def spectrum_figure(table: pd.DataFrame) -> Figure:
    """Strength by order for every backend of spectrum.csv; below, each term under noise against the ideal one.

    Of more than :data:`MOST_DRAWN` terms the largest are drawn. The second part is left out where the table has the
    ideal backend alone, or only others.
    """
    backends = _backends(table)
    noisy = [name for name in backends if name != IDEAL] if IDEAL in backends else []
    legend = 0.145 * len(backends) + 0.55
    above, strength, gap, terms = 0.38, 1.7, 0.85, 3.2
    height = above + strength + (gap + terms if noisy else 0) + legend
    figure = Figure(figsize=(WIDTH, height))
    left, width = 0.155, 0.815

    def place(top: float, size: float) -> Any:
        return figure.add_axes((left, 1 - (top + size) / height, width, size / height))

    _strengths(place(above, strength), strength_by_order(table))
    _title(figure, "Strength of the terms of ⟨Z⟩ by order", 1 - 0.2 / height)
    if noisy:
        top = above + strength + gap
        axes = place(top, terms)
        _against_ideal(axes, table, noisy, backends)
        _title(figure, "Amplitude of each term against the ideal one", 1 - (top - 0.17) / height)
    handles = [Line2D([], [], **_look(i)) for i in range(len(backends))]
    place_of_key: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (left, 0.05 / height)}
    figure.legend(handles, backends, labelspacing=0.35, borderpad=0, borderaxespad=0, labelcolor=INK, **place_of_key)
    return figure


def _strengths(axes: Any, strengths: pd.DataFrame) -> None:
    for i, name in enumerate(strengths.columns):
        axes.plot(strengths.index, strengths[name], clip_on=False, **_look(i))
    axes.set_xticks(strengths.index)
    axes.set_ylim(0, None)
    axes.set_xlabel("order: Σ|ω| over the angles; 0 is the constant")
    axes.set_ylabel("rms strength")
    axes.grid(axis="y")
    axes.tick_params(length=0)


def _against_ideal(axes: Any, table: pd.DataFrame, noisy: list[str], backends: list[str]) -> None:
    term = ["qubit", "frequency"]
    ideal = table[table["backend"] == IDEAL].set_index(term)["amplitude"]
    most = float(table["amplitude"].max()) * 1.05
    axes.plot([0, most], [0, most], color=MUTED, linewidth=0.9, linestyle=(0, (1, 2)))
    axes.text(most * 0.8, most * 0.83, "unchanged", color=MUTED, fontsize=8, ha="right", va="bottom")
    for name in noisy:
        i = backends.index(name)
        own = table[table["backend"] == name].set_index(term)["amplitude"]
        both = pd.concat([ideal, own], axis=1, keys=["ideal", "own"]).fillna(0.0)
        both = both.loc[both.max(axis=1).nlargest(MOST_DRAWN).index]
        axes.plot(both["ideal"], both["own"], clip_on=False, **_look(i) | {"linestyle": "", "alpha": 0.6})
    axes.set_xlim(0, most)
    axes.set_ylim(0, most)
    axes.set_xlabel("ideal")
    axes.set_ylabel("under noise")
    axes.grid(True)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)


def _look(index: int) -> dict[str, Any]:
    """Of a backend, by its place."""
    marker, dashes = MARKERS[index % len(MARKERS)], DASHES[index % len(DASHES)]
    return {"color": colour(index), "linestyle": dashes, "marker": marker, "markersize": 4, "zorder": 3}


def _backends(table: pd.DataFrame) -> list[str]:
    return sorted(dict.fromkeys(table["backend"]), key=lambda name: name != IDEAL)


def _title(figure: Figure, text: str, y: float) -> None:
    figure.text(0.02, y, text, color=INK, weight="bold", va="center")
