"""What images use of their scale: the range in training, and ways of showing grey values that are mixed in one set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hybridq.data.audit.findings import MAX_EXAMPLES, Example, Finding, Inspected
from hybridq.data.audit.shortcuts import APART
from hybridq.data.images.intensity import choose_range, describe, measure

BRIGHT: Final = 0.95
"""Quantile of the brightest levels of images, with which others are compared."""
DARKER: Final = 8
"""By this factor of the brightest level: three bits."""


def in_use(seen: Inspected) -> Iterator[Finding]:
    """What training images of 16 bits use of their scale, and what becomes of it."""
    if not (seen.facts["bits"] == 16).any():
        return
    rows = seen.manifest.table[seen.split == "train"]
    measured = measure(seen.manifest, rows) if len(rows) else None
    if measured is None:
        return
    said = describe(measured, choose_range("auto", measured))
    yield Finding("note", "intensity range", f"Intensities of the training images: {said} (data.range).", len(rows))


def mixed(seen: Inspected) -> Iterator[Finding]:
    """Images of 8 and 16 bits, shown with and without a window, or of which some use far less of the scale.

    Each is a shortcut where it goes with the class.
    """
    facts = seen.facts
    usable = facts.readable & (facts["lowest"] < facts["highest"])
    deep = facts["bits"] == 16
    yield from _mixed(seen, facts.readable, ~deep, "mixed depths", "are of 8 bits, others of 16")
    contrast = seen.manifest.table["contrast"].to_numpy(str)
    grey = usable & (contrast != "")
    plain = contrast == "bits stored"
    yield from _mixed(seen, grey, plain, "mixed windows", "are shown without a window or LUT, others by one")
    measured = usable & deep
    if measured.any():
        reached = float(np.quantile(facts["brightest"][measured], BRIGHT))
        dark = facts["brightest"] < reached / DARKER
        yield from _mixed(
            seen,
            measured,
            dark,
            "mixed ranges",
            f"stay below 1/{DARKER} of what others reach (level {reached:,.0f} of 65,535)",
        )


def _mixed(
    seen: Inspected, among: NDArray[np.bool_], some: NDArray[np.bool_], kind: str, said: str
) -> Iterator[Finding]:
    chosen = np.flatnonzero(among & some)
    if not len(chosen) or len(chosen) == among.sum():
        return
    shares = _shares(seen, among, some)
    goes_with_class = bool(shares) and max(shares.values()) - min(shares.values()) > APART
    by_class = ": " + ", ".join(f"{share:.0%} of {name}" for name, share in shares.items()) if shares else ""
    shortcut = ", which tells the classes apart" if goes_with_class else ""
    yield Finding(
        "problem" if goes_with_class else "note",
        kind,
        f"{len(chosen):,} of {among.sum():,} images {said}{by_class}{shortcut}.",
        len(chosen),
        tuple(Example(seen.ids[index], "", kind) for index in chosen[:MAX_EXAMPLES]),
    )


def _shares(seen: Inspected, among: NDArray[np.bool_], some: NDArray[np.bool_]) -> dict[str, float]:
    """Of each class that has images ``among``."""
    if not seen.manifest.labelled or seen.manifest.targets is not None:
        return {}
    labels = seen.truths()
    counted = {name: among & (labels == label) for label, name in enumerate(seen.manifest.classes)}
    return {name: float(some[of].mean()) for name, of in counted.items() if of.any()}
