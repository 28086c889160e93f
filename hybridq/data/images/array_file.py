"""A ``.npy`` file written image by image, so that it may be larger than memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any, Final, Self

import numpy as np

from hybridq.data.decoding import as_sixteen_bits
from hybridq.data.pixels import Pixels

COPIED: Final = 256
"""Images copied at a time."""


class ArrayFile:
    """``count`` images of one shape (C, H, W), uint8 until the first of uint16 comes, from then on all of them uint16.

    A context manager. Written with plain writes and not through a mapping: where the disk is full a write raises
    :class:`OSError`, a mapping kills the process.
    """

    def __init__(self, path: Path, count: int, shape: tuple[int, int, int]) -> None:
        self._path = path
        self._shape = (count, *shape)
        self._written = 0
        self._begin(np.dtype(np.uint8))

    def _begin(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._file: IO[bytes] = self._path.open("wb")
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": self._shape}
        np.lib.format.write_array_header_1_0(self._file, header)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, image: Pixels) -> None:
        """The next image, (C, H, W)."""
        if image.dtype == np.uint16 and self._dtype == np.uint8:
            self._deepen()
        if self._dtype == np.uint16:
            image = as_sixteen_bits(image)
        self._file.write(np.ascontiguousarray(image).data)
        self._written += 1

    def finish(self) -> None:
        """Make sure that all of it is on the disk; raises :class:`ValueError` where images are missing."""
        if self._written != self._shape[0]:
            raise ValueError(f"{self._written} of {self._shape[0]} images were given")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _deepen(self) -> None:
        self._file.flush()
        offset = self._file.tell() - self._written * int(np.prod(self._shape[1:]))
        self._file.close()
        shallow = self._path.with_suffix(".8bit")
        self._path.replace(shallow)
        self._begin(np.dtype(np.uint16))
        if self._written:
            shape = (self._written, *self._shape[1:])
            images = np.memmap(shallow, np.uint8, "r", offset, shape)
            for at in range(0, self._written, COPIED):
                self._file.write(as_sixteen_bits(images[at : at + COPIED]).data)
        shallow.unlink()
