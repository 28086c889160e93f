"""The images of a manifest: each once at its own size, or as arrays ready for batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final, Literal, TypeVar, overload

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridq.data.decoding import Unreadable, bring_to, decode_then
from hybridq.data.images.parallel import map_in_order
from hybridq.data.manifest import Manifest
from hybridq.data.pixels import File, Levels, Pixels
from hybridq.errors import UserError
from hybridq.typing import Count

MOST_NAMED: Final = 10
REPORTED: Final = 64
"""Images between two reports of progress."""

T = TypeVar("T")


class Images:
    """Images of one depth, read as they are asked for: ``images[positions]`` is an array (n, C, H, W).

    ``pixels`` is an array (N, C, H, W) of uint8 or uint16, in memory or mapped from a file; ``positions`` are the rows
    of it that this view shows, in order (default: all). With ``levels`` they come as uint16, these two (of 16 bits) at
    0 and 65535.
    """

    def __init__(
        self, pixels: Pixels, positions: NDArray[np.int64] | None = None, levels: Levels | None = None
    ) -> None:
        self._pixels = pixels
        self._positions = np.arange(len(pixels)) if positions is None else np.asarray(positions, np.int64)
        self._levels = levels

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, positions: slice | Sequence[int] | NDArray[Any]) -> Pixels:
        chosen = self._pixels[self._positions[positions]]
        return chosen if self._levels is None else bring_to(chosen, *self._levels)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)"""
        _, channels, height, width = self._pixels.shape
        return len(self), channels, height, width

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._pixels.dtype if self._levels is None else np.dtype(np.uint16)

    def view(self, positions: slice | Sequence[int] | NDArray[Any]) -> Images:
        """These images only; nothing is read."""
        return Images(self._pixels, self._positions[positions], self._levels)

    def brought_to(self, levels: Levels | None) -> Images:
        """The same images with other levels at the ends of the scale; None is the scale of their files."""
        return Images(self._pixels, self._positions, levels)

    def chunks(self, size: int = 1024) -> Iterator[Pixels]:
        """All images in order, some at a time."""
        return (self[at : at + size] for at in range(0, len(self), size))


@overload
def map_images(
    manifest: Manifest,
    function: Callable[[Pixels], T],
    *,
    rows: pd.DataFrame | None = None,
    progress: Count | None = None,
    errors: Literal["raise"] = "raise",
) -> Iterator[T]: ...


@overload
def map_images(
    manifest: Manifest,
    function: Callable[[Pixels], T],
    *,
    rows: pd.DataFrame | None = None,
    progress: Count | None = None,
    errors: Literal["yield"],
) -> Iterator[T | Unreadable]: ...


def map_images(
    manifest: Manifest,
    function: Callable[[Pixels], T],
    *,
    rows: pd.DataFrame | None = None,
    progress: Count | None = None,
    errors: Literal["raise", "yield"] = "raise",
) -> Iterator[T | Unreadable]:
    """``function`` of every image of ``rows`` (default: the whole table), in their order, each at its own size.

    Images are (H, W) or (H, W, 3), uint8 or uint16. Only some are in memory at a time. Files are decoded by all cores
    where that pays, so ``function`` is a function of a module or a ``functools.partial`` of one.

    A file that is no image is yielded as :class:`Unreadable` with ``errors="yield"``; else :class:`UserError` names up
    to ten such files and counts the rest, after all have been tried.
    """
    table = manifest.table if rows is None else rows
    results: Iterable[T | Unreadable]
    if manifest.read is None:
        results = map_in_order(partial(decode_then, function), files_of(manifest, table))
    else:
        results = map(function, manifest.read(table))
    results = reporting(results, len(table), progress)
    return iter(results) if errors == "yield" else all_readable(results)


def files_of(manifest: Manifest, rows: pd.DataFrame) -> list[File]:
    """The files of ``rows``; a frame where the manifest lists several of one file, or another than the first."""
    table = manifest.table
    several = set(table.loc[table["path"].duplicated(keep=False) | (table["frame"] > 0), "path"])
    return [
        (path, int(frame) if path in several else None) for path, frame in zip(rows["path"], rows["frame"], strict=True)
    ]


def reporting(results: Iterable[T], total: int, progress: Count | None) -> Iterator[T]:
    """The same results, with a report of progress every now and then and at the end."""
    for done, result in enumerate(results, start=1):
        yield result
        if progress and (done % REPORTED == 0 or done == total):
            progress(done, total)


def all_readable(results: Iterable[T | Unreadable]) -> Iterator[T]:
    """The results up to the first unreadable file; then one :class:`UserError` about all such files."""
    problems: list[str] = []
    count = 0
    for result in results:
        if isinstance(result, Unreadable):
            count += 1
            if count <= MOST_NAMED:
                problems.append(str(result))
        elif not count:
            yield result
    if count:
        more = f"; and {count - MOST_NAMED} more" if count > MOST_NAMED else ""
        raise UserError("; ".join(problems) + more)
