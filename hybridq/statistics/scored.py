"""Scored images: what is true of them and what a model says, with all that intervals need."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hybridq.statistics.bootstrap import group_codes
from hybridq.typing import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Scored:
    """N images of C classes or labels; rows of all arrays belong together."""

    truth: IntArray
    """(N,), or (N, C) in {0, 1} where an image may have several labels."""
    probabilities: FloatArray
    """(N, C)"""
    groups: tuple[str, ...] | None = None
    """Group (patient) of each image, resampled as a whole; "" where it is unknown, None where no image has one."""
    classes: tuple[str, ...] = ()
    """Names of classes or labels, needed for images with several labels alone."""
    split: str = "evaluated"
    """Name of the images in errors and remarks."""
    seed: int = 0
    """Seed of the resamples."""

    @cached_property
    def codes(self) -> IntArray | None:
        """Group of each image as 0 … G-1, or None where no two share one; see :func:`group_codes`."""
        return group_codes(self.groups, len(self.truth))

    def take(self, rows: NDArray) -> Scored:
        """Some of the images, by number (M,) or mask (N,), in that order."""
        groups = None if self.groups is None else tuple(str(name) for name in _as_objects(self.groups)[rows])
        return replace(self, truth=self.truth[rows], probabilities=self.probabilities[rows], groups=groups)

    def saying(self, probabilities: FloatArray) -> Scored:
        """Return the same images with other probabilities (N, C)."""
        return replace(self, probabilities=probabilities)


def _as_objects(names: tuple[str, ...]) -> NDArray:
    array: NDArray = np.empty(len(names), dtype=object)
    array[:] = names
    return array
