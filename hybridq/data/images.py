"""Image files to one uint8 array, in memory."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError

from hybridq.data.manifest import Manifest, Progress
from hybridq.errors import UserError

CHUNK: Final = 64
"""Images decoded between two reports of progress."""
THREADS_FROM_BYTES: Final = 20_000
"""Mean file size from which threads pay; below it they wait for each other longer than they decode."""
MOST_NAMED: Final = 10
FORMATS: Final = ("PNG", "JPEG")

_DECODING_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)

T = TypeVar("T")


class _UnreadableError(Exception):
    """Why one file is no image."""


def load_images(
    manifest: Manifest, size: int, *, rows: pd.DataFrame | None = None, progress: Progress | None = None
) -> np.ndarray:
    """The images of ``rows`` (default: the whole table), in their order: uint8, (N, size, size), greyscale.

    Files are read as in :func:`load_image_files`; sources without files generate theirs. Raises :class:`UserError`.
    """
    table = manifest.table if rows is None else rows
    if manifest.read is None:
        return load_image_files([Path(path) for path in table["path"]], size, progress=progress)
    images = np.empty((len(table), size, size), np.uint8)
    for done, image in enumerate(manifest.read(table)):
        images[done] = _square(Image.fromarray(image), size)
        if progress and (done + 1) % CHUNK == 0:
            progress(done + 1, len(table))
    return images


def load_image_files(paths: Sequence[Path], size: int, *, progress: Progress | None = None) -> np.ndarray:
    """PNG and JPEG files as uint8, (N, size, size), greyscale.

    Colour becomes luminance (ITU-R 601-2), transparency is dropped, and 16 bits map their full range 0–65535 to 0–255.
    Every image is resized to a square, bilinear and antialiased: the aspect ratio is not kept.

    Raises :class:`UserError` naming up to ten files that are missing, empty, truncated or no image.
    """
    images = np.empty((len(paths), size, size), np.uint8)
    for index, image in enumerate(map_image_files(paths, lambda image: _square(image, size), progress=progress)):
        images[index] = image
    return images


def map_image_files(
    paths: Sequence[Path], function: Callable[[Image.Image], T], *, progress: Progress | None = None
) -> list[T]:
    """``function`` of every decoded greyscale image at its own size (Pillow mode ``L``, or ``F`` in 0–255 for 16 bits).

    Raises :class:`UserError` as :func:`load_image_files`.
    """
    results: list[T] = []
    problems: list[str] = []

    def one_chunk(chunk: Sequence[Path]) -> list[T | _UnreadableError]:
        return [_attempt(path, function) for path in chunk]

    with ThreadPoolExecutor(_threads(paths)) as pool:
        for chunk in pool.map(one_chunk, [paths[at : at + CHUNK] for at in range(0, len(paths), CHUNK)]):
            for item in chunk:
                if isinstance(item, _UnreadableError):
                    problems.append(str(item))
                else:
                    results.append(item)
            if progress:
                progress(len(results) + len(problems), len(paths))
    if problems:
        more = f"; and {len(problems) - MOST_NAMED} more" if len(problems) > MOST_NAMED else ""
        raise UserError("; ".join(problems[:MOST_NAMED]) + more)
    return results


def _attempt(path: Path, function: Callable[[Image.Image], T]) -> T | _UnreadableError:
    try:
        return function(_open(path))
    except _UnreadableError as error:
        return error


def _open(path: Path) -> Image.Image:
    try:
        if path.stat().st_size == 0:
            raise _UnreadableError(f"{path}: is empty, not a PNG or JPEG image")
        with Image.open(path, formats=FORMATS) as image:
            image.load()
            return _greyscale(image)
    except FileNotFoundError:
        raise _UnreadableError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise _UnreadableError(f"{path}: is a folder, not a PNG or JPEG image") from None
    except PermissionError:
        raise _UnreadableError(f"{path}: may not be read") from None
    except UnidentifiedImageError:
        raise _UnreadableError(f"{path}: is not a PNG or JPEG image") from None
    except _DECODING_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise _UnreadableError(f"{path}: cannot be decoded ({reason})") from None


def _greyscale(image: Image.Image) -> Image.Image:
    if image.mode == "L":
        return image
    if image.mode.startswith("I"):
        return Image.fromarray(np.asarray(image).astype(np.float32) / 257)
    if image.mode in ("P", "PA", "CMYK", "YCCK"):
        return image.convert("RGB").convert("L")
    return image.convert("L")


def _square(image: Image.Image, size: int) -> np.ndarray:
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    return pixels if pixels.dtype == np.uint8 else np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def _threads(paths: Sequence[Path]) -> int:
    sample = [path.stat().st_size for path in paths[:: max(1, len(paths) // 32)] if path.is_file()]
    large = bool(sample) and sum(sample) / len(sample) >= THREADS_FROM_BYTES
    return (os.cpu_count() or 1) if large else 1
