"""How many images each split has of each class, and how wide that leaves an interval."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt
from typing import Final

import numpy as np

from hybridq.data.manifest import Manifest

Z: Final = 1.959964
SENSITIVITY: Final = 0.9
"""For which widths are stated."""
INTENDED: Final = 0.05
"""Half-width of the 95 % interval that a claim usually needs."""


@dataclass(frozen=True)
class Balance:
    """Counts, and what the test part can show."""

    counts: dict[str, dict[str, int]]
    """Images by split and class."""
    smallest: str
    """The rarest class of the test part."""
    smallest_count: int
    half_width: float
    """Of the 95 % interval (Wilson) of that class's sensitivity, were it 0.9."""
    needed: int
    """Images of a class from which it is at most 0.05."""

    @property
    def wide(self) -> bool:
        return self.half_width > INTENDED


def balance(manifest: Manifest) -> Balance | None:
    """The balance of a labelled manifest; None without labels or without a test part."""
    if not manifest.labelled:
        return None
    table = manifest.counts()
    counts = {str(split): {str(name): int(n) for name, n in row.items()} for split, row in table.iterrows()}
    test = {name: n for name, n in counts["test"].items() if n}
    if not test:
        return None
    smallest = min(test, key=lambda name: test[name])
    return Balance(counts, smallest, test[smallest], half_width(test[smallest]), images_needed())


def half_width(count: int, share: float = SENSITIVITY) -> float:
    """Half the width of Wilson's 95 % interval of a share seen on ``count`` ≥ 1 images (doi:10.2307/2276774)."""
    spread = sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    return Z * spread / (1 + Z**2 / count)


def images_needed(share: float = SENSITIVITY, wanted: float = INTENDED) -> int:
    """The smallest count whose :func:`half_width` is at most ``wanted``."""
    count = ceil(Z**2 * share * (1 - share) / wanted**2)
    candidates = np.arange(max(1, count - 20), count + 20)
    return int(next(n for n in candidates if half_width(int(n), share) <= wanted))
