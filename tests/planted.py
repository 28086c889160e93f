"""Small data sets whose faults are known, as folders ``split/class/*.png``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

SPLITS = ("train", "validation", "test")
CLASSES = ("healthy", "ill")


class Planted:
    """A clean data set under ``root``, to which faults are added; every image is a texture of its own."""

    def __init__(self, root: Path, each: int = 20, size: int = 48) -> None:
        self.root = root
        self.size = size
        self._rng = np.random.default_rng(7)
        for split in SPLITS:
            for name in CLASSES:
                for number in range(each):
                    self.add(f"{split}/{name}/{number:03}.png", self.texture())

    @property
    def source(self) -> str:
        return f"folder:path={self.root}"

    def texture(self) -> NDArray[np.uint8]:
        noise = gaussian_filter(self._rng.standard_normal((self.size, self.size)), 1.5)
        return np.clip(128 + 40 * noise / noise.std(), 0, 255).astype(np.uint8)

    def add(self, name: str, pixels: NDArray[np.uint8]) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)

    def pixels(self, name: str) -> NDArray[np.uint8]:
        with Image.open(self.root / name) as image:
            return np.array(image)

    def noisy(self, name: str, spread: float = 4) -> NDArray[np.uint8]:
        """The same thing seen again: other noise, a little brighter."""
        seen = self.pixels(name) + 6 + self._rng.normal(0, spread, (self.size, self.size))
        return np.clip(np.rint(seen), 0, 255).astype(np.uint8)
