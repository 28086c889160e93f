"""The part of its scale that a set of images uses, and the range that is brought to 0–1 for a network.

Files of 16 bits often use a few percent of their scale (12 bits of an X-ray, Hounsfield units + 32768), while
brightness, noise and clipping of the augmentation are absolute. Levels are on the scale of 16 bits, 0–65535; an
intensity v of 8 bits is the level 257 · v.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from hybridq.data.pixels import Levels

if TYPE_CHECKING:
    import pandas as pd

    from hybridq.data.manifest import Manifest
    from hybridq.typing import Count

FULL: Final[Levels] = (0.0, 65535.0)
PERCENTILES: Final = (0.5, 99.5)
"""Of the pixels above 0, since 0 is padding and background: the levels that images use."""
NARROW: Final = 0.5
"""Share of the scale: training images of 16 bits that use less are brought to the range they use."""
STICKS_OUT: Final = 0.5
"""Share of a range's width: by as much another may lie outside of it on either side."""
FITS_INTO: Final = 0.25
"""Share of a range's width: one that is narrower has lost its contrast there."""
MOST_MEASURED: Final = 500
"""Images from which the levels are measured, evenly spaced in their table."""
MOST_PIXELS: Final = 4096
"""Of an image, evenly spaced."""


@dataclass(frozen=True)
class Measured:
    """What images use of their scale."""

    bits: Literal[8, 16]
    """The most that one of them has."""
    levels: Levels


@dataclass(frozen=True)
class Intensity:
    """How the training images of a run use their scale, as data.json keeps it."""

    bits: int | None = None
    """8 or 16; None of a run that was trained before this was kept."""
    percentiles: Levels | None = None
    """The levels that the training images use, where they have 16 bits."""
    range: Levels | None = None
    """The levels that are brought to 0 and 1; None is the whole scale of the files."""

    def as_json(self) -> dict[str, Any]:
        """What is known, JSON-ready."""
        known = {"bits": self.bits, "percentiles": self.percentiles, "range": self.range}
        return {name: value for name, value in known.items() if value is not None}

    @staticmethod
    def of_card(card: Mapping[str, Any]) -> Intensity:
        """Return what the content of data.json says."""
        kept = card.get("intensity", {})
        percentiles, levels = (kept.get(name) for name in ("percentiles", "range"))
        return Intensity(kept.get("bits"), percentiles and tuple(percentiles), levels and tuple(levels))


def measure(manifest: Manifest, rows: pd.DataFrame, *, progress: Count | None = None) -> Measured | None:
    """What the images of ``rows``, at their own size, use; None where none can be read.

    At most ``MOST_MEASURED`` of them are read, each with the same weight.
    """
    from hybridq.data.decoding import Unreadable
    from hybridq.data.images.images import map_images

    if len(rows) > MOST_MEASURED:
        rows = rows.iloc[np.linspace(0, len(rows) - 1, MOST_MEASURED).round().astype(int)]
    some = map_images(manifest, some_levels, rows=rows, progress=progress, errors="yield")
    readable = [found for found in some if not isinstance(found, Unreadable)]
    if not readable:
        return None
    bits: Literal[8, 16] = 16 if any(found.dtype == np.uint16 for found in readable) else 8
    return Measured(bits, used(np.concatenate([_on_sixteen(found) for found in readable])))


def some_levels(pixels: NDArray[Any]) -> NDArray[Any]:
    """Some pixels of an image, evenly spaced, in its own depth."""
    flat = pixels.reshape(-1)
    return np.ascontiguousarray(flat[:: max(1, len(flat) // MOST_PIXELS)])


def used(levels: NDArray[np.uint16]) -> Levels:
    """The percentiles of the levels above 0."""
    above = levels[levels > 0]
    if not len(above):
        return FULL
    low, high = (float(level) for level in np.percentile(above, PERCENTILES))
    return (low, high) if high > low else (0.0, high)  # of one level and black


def levels_of(pixels: NDArray[Any]) -> Levels:
    """The levels that one image uses, (…) uint8 or uint16."""
    return used(_on_sixteen(some_levels(pixels)))


def choose_range(asked: Literal["auto", "full"] | Levels, measured: Measured | None) -> Levels | None:
    """The levels that are brought to 0 and 1, or None for the whole scale.

    ``auto`` brings images of 16 bits that use less than half of the scale to the levels they use, and no others.
    """
    if isinstance(asked, tuple):
        return asked
    if asked == "full" or measured is None or measured.bits == 8 or not is_narrow(measured.levels):
        return None
    return measured.levels


def is_narrow(levels: Levels) -> bool:
    """Whether they are so little of the scale that auto brings them to 0–1."""
    return _share(levels) < NARROW


def describe(measured: Measured, chosen: Levels | None) -> str:
    """What is used of the scale and what becomes of it, as the end of a sentence."""
    in_use = f", {named(measured.levels)} in use ({_share(measured.levels):.1%})" if measured.bits == 16 else ""
    uses = f"{measured.bits} bits{in_use}"
    if chosen is None:
        return f"{uses}, the whole scale is kept"
    return f"{uses}, brought to 0–1" if chosen == measured.levels else f"{uses}, {named(chosen)} brought to 0–1"


def named(levels: Levels) -> str:
    """Such as ``levels 192–2,880``."""
    return f"levels {levels[0]:,.0f}–{levels[1]:,.0f}"


def far_outside(ours: Levels, theirs: Levels) -> bool:
    """Whether ``theirs`` would be clipped or lose its contrast where ``ours`` is brought to 0–1."""
    width = ours[1] - ours[0]
    low, high = theirs
    sticks_out = low < ours[0] - STICKS_OUT * width or high > ours[1] + STICKS_OUT * width
    return sticks_out or high - low < FITS_INTO * width


def carried_over(run: Intensity, theirs: Levels) -> Levels:
    """The levels of other images that are brought to 0 and 1, so that what they use falls where the run's falls."""
    low, high = run.range or FULL
    used_low, used_high = run.percentiles or FULL
    scale = (theirs[1] - theirs[0]) / (used_high - used_low)
    return theirs[0] + (low - used_low) * scale, theirs[0] + (high - used_low) * scale


def _share(levels: Levels) -> float:
    return (levels[1] - levels[0]) / (FULL[1] - FULL[0])


def _on_sixteen(pixels: NDArray[Any]) -> NDArray[np.uint16]:
    from hybridq.data.decoding import as_sixteen_bits

    return as_sixteen_bits(pixels)
