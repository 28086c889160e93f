"""Small image files as tests need them, among them what Pillow does not write."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from hybridq.data.manifest import Manifest

RAMP = np.add.outer(np.arange(32), np.arange(32)).astype(np.uint8) * 4
COLOUR = np.dstack([RAMP, RAMP // 2, 255 - RAMP])
DEEP = np.random.default_rng(0).integers(0, 65536, (32, 32)).astype(np.uint16)
DEEP_COLOUR = np.random.default_rng(1).integers(0, 65536, (24, 32, 3)).astype(np.uint16)
GREY, RGB, GREY_ALPHA, RGBA = 0, 2, 4, 6
"""Colour types of PNG."""


def save(path: Path, pixels: np.ndarray, **options: object) -> Path:
    Image.fromarray(pixels).save(path, **options)  # type: ignore[arg-type]
    return path


def png(pixels: np.ndarray, colour_type: int, *, claimed: tuple[int, int] | None = None) -> bytes:
    """A PNG of 8 or 16 bits by the depth of ``pixels``; ``claimed`` lies about width and height."""
    height, width = pixels.shape[:2]
    big_endian = pixels.astype(pixels.dtype.newbyteorder(">"))
    header = struct.pack(">IIBBBBB", *(claimed or (width, height)), 8 * pixels.itemsize, colour_type, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row.tobytes() for row in big_endian))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*c) for c in ((b"IHDR", header), (b"IDAT", body), (b"IEND", b"")))


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def unlabelled(paths: list[Path], frames: list[int] | None = None) -> Manifest:
    """A manifest of these files."""
    table = pd.DataFrame({"id": [str(number) for number in range(len(paths))], "path": [str(path) for path in paths]})
    table = table.assign(label=-1, group="", split="train", frame=frames or 0)
    return Manifest("folder:path=pictures", table, ())
