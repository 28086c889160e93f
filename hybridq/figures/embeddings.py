"""Representations as maps of points, a point an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from sklearn.manifold import TSNE

from hybridq.figures.style import INK, MARKERS, MUTED, RULE, SERIES, WIDTH, colour, styled
from hybridq.typing import FloatArray, IntArray

MOST_POINTS: Final = 400
"""Of more images so many are drawn, chosen with the seed."""


@dataclass(frozen=True)
class Maps:
    """t-SNE (van der Maaten and Hinton, 2008) of the same images in several representations."""

    places: dict[str, FloatArray | None]
    """Title of the representation: (n, 2), or None where all images are alike in it."""
    chosen: IntArray
    """Which images, (n,)."""
    perplexity: float


def tsne_maps(representations: dict[str, NDArray[np.floating]], seed: int) -> Maps:
    """Maps of representations (N, ·) of N ≥ 4 images, by title; ``seed`` decides which are drawn, and the maps."""
    total = len(next(iter(representations.values())))
    chosen = np.sort(np.random.default_rng([seed, 4]).permutation(total)[:MOST_POINTS])
    perplexity = min(30.0, (len(chosen) - 1) / 3)
    places: dict[str, FloatArray | None] = {}
    for title, values in representations.items():
        points = values[chosen].astype(np.float64)
        if points.std(axis=0).max() < 1e-6:
            places[title] = None
            continue
        start = "pca" if points.shape[1] > 1 else "random"
        places[title] = TSNE(perplexity=perplexity, init=start, random_state=seed).fit_transform(points)
    return Maps(places, chosen, perplexity)


@styled
def embedding_maps(maps: Maps, groups: IntArray, names: Sequence[str]) -> Figure:
    """A panel for each representation, two in a row; ``groups`` (n,) are those of the drawn images, by ``names``."""
    rows = -(-len(maps.places) // 2)
    legend = 0.18 * -(-len(names) // 2) + 0.12
    side, head = (WIDTH - 0.2) / 2, 0.26
    height = rows * (side + head) + legend
    figure = Figure(figsize=(WIDTH, height))
    for place, (title, points) in enumerate(maps.places.items()):
        row, column = divmod(place, 2)
        bottom = height - (row + 1) * (side + head)
        axes = figure.add_axes(((0.05 + column * (side + 0.1)) / WIDTH, bottom / height, side / WIDTH, side / height))
        axes.set_title(title)
        _points(axes, points, groups, len(names))
    handles = [
        Line2D([], [], color=colour(i), linestyle="", marker=_marker(i), markersize=5) for i in range(len(names))
    ]
    figure.legend(
        handles,
        [name if len(name) <= 28 else f"{name[:27]}…" for name in names],
        ncols=2,
        loc="lower left",
        bbox_to_anchor=(0.01, 0.02),
        labelspacing=0.35,
        borderpad=0,
        borderaxespad=0,
        labelcolor=INK,
    )
    return figure


def _points(axes: Axes, points: FloatArray | None, groups: IntArray, count: int) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color(RULE)
    if points is None:
        axes.text(0.5, 0.5, "all images are alike", ha="center", va="center", transform=axes.transAxes, color=MUTED)
        return
    for group in range(count):
        x, y = points[groups == group].T
        axes.plot(
            x, y, _marker(group), color=colour(group), alpha=0.7, markersize=3.2, markeredgewidth=0, rasterized=True
        )


def _marker(index: int) -> str:
    """The six colours come again with another marker."""
    return MARKERS[(index // len(SERIES)) % len(MARKERS)]
