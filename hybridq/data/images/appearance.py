"""How images look in their files, and which ones are unlike those that a model was trained on.

Imported by worker processes, so it imports little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from hybridq.data.decoding import fit
from hybridq.data.pixels import Pixels

MOST_LOOKED_AT: Final = 64
"""Training images whose appearance is kept with a run."""
FACTOR_OF_SIZE: Final = 2.0
"""Longer or shorter sides than those trained on by more than this are remarked on."""
FACTOR_OF_ASPECT: Final = 1.5
FAINT: Final = 1 / 8
"""Contrast, relative to that of all training pixels, below which an image of an old run is remarked on."""
FAR: Final = 3.0
"""Standard deviations of all training pixels, likewise."""


@dataclass(frozen=True)
class Appearance:
    """One image at its own size; intensities are shares of the scale of its bits, from 0 to 1."""

    width: int
    height: int
    colour: bool
    """Whether its channels differ."""
    low: float
    """1st percentile of its intensities; ``high`` is the 99th."""
    high: float
    mean: float
    contrast: float
    """Standard deviation of its intensities."""


def appearance_of(pixels: Pixels) -> Appearance:
    """Of an image (H, W) or (H, W, 3), uint8 or uint16."""
    scale = float(np.iinfo(pixels.dtype).max)
    low, high = np.percentile(pixels, (1, 99)) / scale
    colour = pixels.ndim == 3 and bool((pixels != pixels[..., :1]).any())
    height, width = pixels.shape[:2]
    return Appearance(
        width, height, colour, float(low), float(high), float(pixels.mean() / scale), float(pixels.std() / scale)
    )


def fit_and_look(pixels: Pixels, size: int, channels: int) -> tuple[Pixels, Appearance]:
    """The image for a network, and how it looked before."""
    return fit(pixels, size, channels), appearance_of(pixels)


def summary_of(looks: Sequence[Appearance]) -> dict[str, Any]:
    """Smallest and largest of everything, JSON-ready; ``colour`` is the share of images in colour."""
    names = ("width", "height", "low", "high", "mean")
    ends = {name: [min(values), max(values)] for name in names if (values := [getattr(look, name) for look in looks])}
    aspects = [look.width / look.height for look in looks]
    return {
        "looked_at": len(looks),
        "colour": sum(look.colour for look in looks) / len(looks),
        "aspect": [min(aspects), max(aspects)],
        **ends,
    }


def remarks(look: Appearance, described: Mapping[str, Any]) -> list[str]:
    """How an image is unlike the training images of a run, of which ``described`` is data.json; mostly nothing.

    Runs that were trained before their images were looked at know the mean and spread of all pixels alone.
    """
    if look.high == look.low and look.contrast == 0:
        return ["all of its pixels are equal"]
    known = described.get("images")
    if known is None:
        return _by_statistics(look, described.get("intensity", {}))
    return [*_by_shape(look, known), *_by_intensity(look, known)]


def _by_shape(look: Appearance, known: Mapping[str, Any]) -> list[str]:
    found = []
    if look.colour and known["colour"] == 0:
        found.append("in colour, and those trained on are grey")
    if not look.colour and known["colour"] == 1:
        found.append("grey, and those trained on are in colour")
    here = f"{look.width} × {look.height} pixels"
    there = f"those trained on have {_span(known['width'])} × {_span(known['height'])}"
    sides = ((look.width, known["width"]), (look.height, known["height"]))
    if any(side > high * FACTOR_OF_SIZE or side < low / FACTOR_OF_SIZE for side, (low, high) in sides):
        found.append(f"{here}, and {there}")
    elif not known["aspect"][0] / FACTOR_OF_ASPECT <= look.width / look.height <= known["aspect"][1] * FACTOR_OF_ASPECT:
        found.append(f"{here} are of another aspect ratio: {there}")
    return found


def _by_intensity(look: Appearance, known: Mapping[str, Any]) -> list[str]:
    for name, what in (("high", "99th percentile"), ("mean", "mean intensity")):
        low, high = known[name]
        margin = max(high - low, high / 2)
        value = getattr(look, name)
        if not low - margin <= value <= high + margin:
            return [f"its {what} ({value:.2g} of the scale) lies far from those trained on ({low:.2g} to {high:.2g})"]
    return []


def _by_statistics(look: Appearance, known: Mapping[str, Any]) -> list[str]:
    mean, spread = known.get("mean"), known.get("std")
    if mean is None or not spread:
        return []
    if abs(look.mean - mean) > FAR * spread:
        return [f"its mean intensity ({look.mean:.2g} of the scale) lies far from those trained on ({mean:.2g})"]
    if look.contrast < FAINT * spread:
        return [f"its contrast ({look.contrast:.2g} of the scale) lies far below those trained on ({spread:.2g})"]
    return []


def _span(ends: Sequence[float]) -> str:
    low, high = ends
    return f"{low:g}" if low == high else f"{low:g}–{high:g}"
