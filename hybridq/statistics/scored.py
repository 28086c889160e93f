"""Scored images: what is true of them and what a model says, with all that intervals need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybridq.errors import UserError
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


def scored_of(
    truth: ArrayLike,
    probabilities: ArrayLike,
    *,
    groups: Sequence[str] | None = None,
    task: str | None = None,
    classes: Sequence[str] | None = None,
    split: str = "evaluated",
    seed: int = 0,
) -> tuple[Scored, str]:
    """Check arrays; return what is scored, and the task, by the shapes unless it is given.

    ``truth`` are classes from 0, (N,), or labels 0 and 1, (N, C); ``probabilities`` (N, C), or (N,) of class 1 of two.
    Raises :class:`UserError` for shapes that do not fit and for values that are no probabilities.
    """
    found, said = np.asarray(truth), np.asarray(probabilities, dtype=np.float64)
    if said.ndim == 1:
        said = np.stack([1 - said, said], axis=1)
    if said.ndim != 2 or found.ndim not in (1, 2) or len(found) != len(said) or not len(said):
        raise UserError(
            f"truth has shape {found.shape} and probabilities {np.shape(probabilities)}; expected (N,) and (N, C), or "
            "(N, C) twice where an image may have several labels"
        )
    several = found.ndim == 2
    known = task or ("multi-label" if several else "binary" if said.shape[1] == 2 else "multi-class")
    if several != (known == "multi-label"):
        raise UserError(f"task = {known!r}: truth has shape {found.shape}")
    if not np.isfinite(said).all() or said.min() < 0 or said.max() > 1 + 1e-6:
        raise UserError("probabilities: all of them must lie between 0 and 1")
    if not several and not np.allclose(said.sum(axis=1), 1, atol=1e-3):
        raise UserError("probabilities: those of an image must add up to 1")
    labels = found.astype(np.int64)
    top = 1 if several else said.shape[1] - 1
    if (labels != found).any() or labels.min() < 0 or labels.max() > top:
        raise UserError(f"truth: expected whole numbers from 0 to {top}")
    names = tuple(classes) if classes is not None else tuple(str(number) for number in range(said.shape[1]))
    if len(names) != said.shape[1]:
        raise UserError(f"classes: {len(names)} names for {said.shape[1]} columns of probabilities")
    if groups is not None and len(groups) != len(said):
        raise UserError(f"groups: {len(groups)} for {len(said)} images")
    together = None if groups is None else tuple(str(name) for name in groups)
    return Scored(labels, said, together, names, split, seed), known
