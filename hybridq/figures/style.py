"""How every figure looks, and how it becomes a file: one palette for light and dark, sizes that a phone can show."""

from __future__ import annotations

import io
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from html import escape
from typing import Any, ParamSpec, Self

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

P = ParamSpec("P")

WIDTH = 4.4
"""Inches, for every figure: 422 CSS pixels, so that 8-point text stays readable across the width of a phone."""
NOTE_LINE = 0.15
"""Inches of a line of a note at the foot of a figure."""

INK = "#1c2129"
MUTED = "#5c6773"
RULE = "#d9dee4"
SURFACE = "#fefefe"
SERIES = ("#0069ab", "#c44e00", "#00855e", "#b1508b", "#96690a", "#5a5fc7")
"""After Okabe and Ito (colour-blind safe), darkened until each has a contrast of 4.5 on white; dashes say it again."""
SHADE = "#0b62a0"
"""Shading of confusion matrices, by opacity; the same on light and dark pages."""
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (2, 1.2)), (0, (6, 1.5, 1.5, 1.5)), (0, (1, 1)), (0, (8, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P")

DARK: dict[str, str] = {
    INK: "#e7eaee",
    MUTED: "#9aa5b1",
    RULE: "#353c45",
    SURFACE: "#171b21",
    **dict(zip(SERIES, ("#5ab4ea", "#ff9152", "#35c796", "#e48fc2", "#d9ab3f", "#a0a4f5"), strict=True)),
}
"""The same colours on a dark page."""

_NAMES = {colour: f"--c{i}" for i, colour in enumerate(DARK)}

_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "text.parse_math": False,  # names of classes and backends are no formulas
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.edgecolor": RULE,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "figure.facecolor": SURFACE,
    "svg.fonttype": "path",
}


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw a figure in the style of the project, whatever the caller's matplotlib settings are."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.rc_context({**matplotlib.rcParamsDefault, **_STYLE}):
            return draw(*args, **kwargs)

    return drawn


def colour(index: int) -> str:
    """The colour of the ``index``-th backend, the same in every figure."""
    return SERIES[index % len(SERIES)]


def key(
    figure: Figure | Axes, labels: list[str], *, lines: bool, series: Sequence[int] | None = None, **place: Any
) -> None:
    """A legend in the order of the series: one line each, since backend names are long.

    ``series`` are the numbers of the series, where they are not 0, 1, 2, …
    """
    handles = [
        Line2D([], [], color=colour(i), linestyle=DASHES[i % len(DASHES)], linewidth=1.8)
        if lines
        else Line2D([], [], color=colour(i), linestyle="", marker="s", markersize=6)
        for i in (series or range(len(labels)))
    ]
    figure.legend(handles, labels, labelspacing=0.35, borderpad=0, borderaxespad=0, labelcolor=INK, **place)


def note_lines(sentence: str) -> list[str]:
    """Lines of a note that the width of a figure holds, in at most six."""
    return textwrap.wrap(sentence, 60, max_lines=6, placeholder="…")


def draw_note(figure: Figure, lines: Sequence[str]) -> None:
    """A note at the foot, below all else: what is needed to read the figure by itself."""
    bottom = 0.06 / figure.get_size_inches()[1]
    figure.text(0.02, bottom, "\n".join(lines), color=MUTED, fontsize=7.5, va="bottom")


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Of letters in names for which the font has no glyph: a box is drawn."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def as_png(figure: Figure, dpi: int = 200) -> bytes:
    """The figure on white, for documents that show no SVG."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(_STYLE), _without_warnings():
        figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def as_svg(figure: Figure) -> str:
    """The figure as an SVG document; text is drawn as outlines, so that it looks the same without our fonts."""
    buffer = io.StringIO()
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": "hybridq"}), _without_warnings():
        figure.savefig(buffer, format="svg", transparent=True, dpi=200, metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def inline_svg(figure: Figure, name: str, alt: str) -> str:
    """The figure as an ``<svg>`` element for a page with :func:`theme_css`.

    ``name`` is unique on the page; ``alt`` describes the figure to those who cannot see it. Its colours follow the
    page's (light or dark), its width follows the column's.
    """
    svg = as_svg(figure)
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index(">") + 1 :], flags=re.DOTALL)
    svg = re.sub(r'(\bid="|url\(#|xlink:href="#)', lambda match: f"{match[1]}{name}-", svg)
    svg = svg.replace("xlink:href", "href")
    svg = re.sub("|".join(_NAMES), lambda match: f"var({_NAMES[match[0]]})", svg)
    width, height = figure.get_size_inches()
    # An inch is 72 of the SVG's units and 96 CSS pixels; where there is room, a figure grows by a fifth.
    style = f"max-width:{width * 115:.0f}px"
    box = f"0 0 {width * 72:g} {height * 72:g}"
    return f'<svg viewBox="{box}" role="img" aria-label="{escape(alt)}" style="{style}">{svg}'


@dataclass(frozen=True)
class Drawn:
    """A figure of the page: an ``<svg>`` element and the sentence under it."""

    svg: Markup
    caption: str

    @classmethod
    def of(cls, figure: Figure, name: str, caption: str, alt: str) -> Self:
        """See :func:`inline_svg`."""
        return cls(Markup(inline_svg(figure, name, alt)), caption)


def theme_css() -> str:
    """The custom properties that :func:`inline_svg` refers to, for light pages, dark pages and paper."""
    light = "".join(f"{name}:{value};" for value, name in _NAMES.items())
    dark = "".join(f"{name}:{DARK[value]};" for value, name in _NAMES.items())
    return f":root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"


def css_name(value: str) -> str:
    """The custom property that holds a colour of the palette, such as ``INK``."""
    return f"var({_NAMES[value]})"
