"""What the figures of a noise study are made of: panels under each other, curves over the strength, a legend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hybridq.figures.models import LINE, Look
from hybridq.figures.style import INK, MUTED, WIDTH

SOURCE_TITLES: Final = {
    "all": "all sources",
    "one_qubit": "one-qubit gates",
    "two_qubit": "two-qubit gates",
    "relaxation": "relaxation in gates",
    "idle": "relaxation while idle",
    "readout": "readout",
    "coherent": "over-rotated gates",
}
SOURCE_LOOK: Final = Look(tuple(SOURCE_TITLES.values()))
LEFT: Final = 0.74
"""Inches left of a panel."""
LEAST_DROP: Final = 0.012
"""Axes of the change of AUC reach at least so far down, so that no change looks like none."""
STRENGTH: Final = "strength (1 is the device's own noise)"


def panels(
    rows: int,
    columns: int,
    title: str,
    *,
    height: float = 1.5,
    key_lines: int = 0,
    gap: float = 0.5,
    top: float = 0.42,
    left: float = LEFT,
) -> tuple[Figure, list[Axes]]:
    """A figure with ``rows`` × ``columns`` panels of ``height`` inches, ``gap`` under each, and room for a legend.

    ``top`` is for the figure's title, and those of panels; ``left`` for the words at the vertical axes.
    """
    legend = LINE * key_lines + (0.15 if key_lines else 0)
    total = top + rows * (height + gap) + legend
    figure = Figure(figsize=(WIDTH, total))
    figure.text(0.02, 1 - 0.16 / total, title, color=INK, weight="bold", va="center")
    between = LEFT if columns > 1 else 0.0
    width = (WIDTH - left - 0.12 - between * (columns - 1)) / columns
    axes = []
    for row in range(rows):
        for column in range(columns):
            x, y = left + column * (width + between), total - top - (row + 1) * height - row * gap
            panel = figure.add_axes((x / WIDTH, y / total, width / WIDTH, height / total))
            panel.grid(axis="y")
            panel.set_axisbelow(True)
            panel.tick_params(length=0)
            axes.append(panel)
    return figure, axes


def legend(figure: Figure, look: Look, names: Sequence[str], *, lines: bool = True) -> None:
    """One line a name, at the foot."""
    foot = (LINE * len(names) + 0.08) / figure.get_size_inches()[1]
    look.key(figure, names, lines=lines, loc="upper left", bbox_to_anchor=(LEFT / WIDTH, foot))


def exact(noise: pd.DataFrame) -> pd.DataFrame:
    """The rows without shots, on the best qubits with the best of the transpiler's seeds."""
    placed = (noise["layout"] == "best") & noise["seed_transpiler"].isna()
    return noise[noise["shots"].isna() & placed]


def curve(noise: pd.DataFrame, device: str, source: str) -> pd.DataFrame:
    """The rows of one source on one device by rising strength, the noiseless one of each run first."""
    rows = exact(noise)
    wanted = ((rows["device"] == device) & (rows["source"] == source)) | (rows["source"] == "none")
    return rows[wanted].sort_values(["scale", "run"])


def draw_curve(axes: Axes, rows: pd.DataFrame, column: str, look: Look, name: str, *, band: bool = True) -> None:
    """``column`` over the strength, with its 95 % band where there is one."""
    style = look.line(name)
    axes.plot(rows["scale"], rows[column], marker=look.marker(name), markersize=3, **style)
    if band and f"{column}_low" in rows:
        low, high = (rows[f"{column}_{end}"].astype(float) for end in ("low", "high"))
        axes.fill_between(rows["scale"], low, high, color=style["color"], alpha=0.14, linewidth=0)


def level(axes: Axes, height: float, words: str) -> None:
    """A thin line across, with a word at its right end."""
    axes.axhline(height, color=MUTED, linewidth=0.8, linestyle=(0, (1, 2)), zorder=0)
    if words:
        axes.text(1.0, height, words, transform=axes.get_yaxis_transform(), ha="right", va="bottom", fontsize=7)


def changes_of_auc(axes: Axes, lowest: float, highest: float, drops: Sequence[float]) -> None:
    """Scale an axis on which changes of AUC are shown: 0 and the ``drops`` that thresholds are about."""
    low, high = min(lowest, -LEAST_DROP), max(highest, LEAST_DROP / 3)
    margin = 0.04 * (high - low)
    axes.set_ylim(low - margin, high + margin)
    level(axes, 0, "")
    for drop in drops:
        if -drop >= low:
            level(axes, -drop, f"−{drop:g}")
