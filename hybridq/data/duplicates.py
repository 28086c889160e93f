"""Images with identical pixels, whatever their files' bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from hybridq.data.images import map_image_files
from hybridq.data.manifest import Progress


def fingerprint_files(paths: Sequence[Path], *, progress: Progress | None = None) -> list[bytes]:
    """One digest a file, equal exactly where the pixels are equal, decoded to greyscale and at their own size.

    Raises :class:`~hybridq.errors.UserError` naming the files that are no images.
    """
    return map_image_files(paths, _digest, progress=progress)


def _digest(image: Image.Image) -> bytes:
    pixels = np.asarray(image)
    shape = "x".join(str(side) for side in pixels.shape)
    return hashlib.blake2b(shape.encode() + pixels.tobytes(), digest_size=16).digest()
