"""Near duplicates: images that agree in what distinguishes images of their data set from each other.

Plain correlation does not tell a copy from anatomy: two chest X-rays of two people correlate above 0.95. Here the
correlation is taken after whitening: each image, 32 × 32, as coefficients of the discrete cosine transform, is divided
by how much images of this data set vary, direction by direction. What all of them share counts little, and unrelated
images correlate near 0, whatever they show. All pairs are compared; nothing is left out by a candidate search.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

from hybridq.data.audit.facts import THUMB
from hybridq.data.audit.search import Vectors, nearest

NEAR: Final = 0.85
"""Whitened correlation above which two images are near duplicates: neighbouring frames or slices, the same exposure
saved twice. Different hands and chests of Medical MNIST reach 0.8."""
PLAIN: Final = 0.95
"""Plain correlation at 16 × 16 that is counted beside it, since it is what others report."""
BAND: Final = 20
"""Spatial frequencies up to this radius (half cycles an image) are compared."""
DIRECTIONS: Final = 256
PRIOR: Final = 2000
"""Images' worth of belief that variation depends on the frequency alone: without it, in a small data set two copies
would differ exactly in a direction in which little else varies."""
SAMPLE: Final = 20_000
"""Images from which the variation is estimated."""
CHUNK: Final = 4096
SHUFFLED: Final = 4000
BLOCK: Final = 8

Thumbs = NDArray[np.uint8]

_RADIUS = np.hypot(*np.meshgrid(np.arange(THUMB), np.arange(THUMB)))
_KEPT = (_RADIUS > 0) & (_RADIUS <= BAND)
_RING = np.rint(_RADIUS[_KEPT]).astype(np.int64)


@dataclass(frozen=True)
class Whitening:
    """How images of one data set vary; maps thumbnails to unit vectors."""

    mean: NDArray[np.float32]
    directions: NDArray[np.float32]

    @staticmethod
    def of(thumbs: Thumbs) -> Whitening:
        """Estimated from ``thumbs``, uint8 (N, 32, 32), N ≥ 1."""
        chosen = np.random.default_rng(0).permutation(len(thumbs))[:SAMPLE]
        coefficients = _coefficients(thumbs[np.sort(chosen)])
        count = len(coefficients)
        mean = coefficients.sum(axis=0) / (count + PRIOR)
        centred = coefficients - mean
        covariance = centred.T @ centred / count
        by_ring = np.bincount(_RING, np.diag(covariance)) / np.maximum(np.bincount(_RING), 1)
        covariance = (count * covariance + PRIOR * np.diag(by_ring[_RING])) / (count + PRIOR)
        variance, vectors = np.linalg.eigh(covariance)
        scale = np.sqrt(np.maximum(variance, 0) + max(float(np.median(variance)), 1e-12))
        return Whitening(mean.astype(np.float32), (vectors / scale)[:, ::-1][:, :DIRECTIONS].astype(np.float32))

    def __call__(self, thumbs: Thumbs) -> Vectors:
        """Unit vectors (N, 256) of ``thumbs`` (N, 32, 32); zero for a constant image."""
        vectors = np.empty((len(thumbs), self.directions.shape[1]), np.float32)
        for start in range(0, len(thumbs), CHUNK):
            part = thumbs[start : start + CHUNK]
            vectors[start : start + CHUNK] = (_coefficients(part) - self.mean) @ self.directions
            vectors[start : start + CHUNK][part.min(axis=(1, 2)) == part.max(axis=(1, 2))] = 0
        return _unit(vectors)


def plain_vectors(small: Thumbs) -> Vectors:
    """Unit vectors whose inner product is the plain (Pearson) correlation of images, from uint8 (N, 16, 16)."""
    flat = small.reshape(len(small), -1).astype(np.float32)
    return _unit(flat - flat.mean(axis=1, keepdims=True))


def shuffled_share(whitening: Whitening, vectors: Vectors, thumbs: Thumbs, threshold: float) -> tuple[float, int]:
    """The false-positive rate on shuffled data: how many images whose blocks are shuffled match some image.

    ``vectors`` (N, 256) are those of ``thumbs``. Returns the share of the shuffled images with any whitened correlation
    above ``threshold`` to the N images, and how many were tried.
    """
    rng = np.random.default_rng(0)
    chosen = np.sort(rng.permutation(len(thumbs))[:SHUFFLED])
    chosen = chosen[(vectors[chosen] != 0).any(axis=1)]
    if not len(chosen):
        return 0.0, 0
    side = THUMB // BLOCK
    order = rng.permuted(np.tile(np.arange(side * side), (len(chosen), 1)), axis=1)
    whole = thumbs[chosen].reshape(-1, side, BLOCK, side, BLOCK).transpose(0, 1, 3, 2, 4)
    blocks = np.take_along_axis(whole.reshape(len(chosen), side * side, BLOCK, BLOCK), order[:, :, None, None], axis=1)
    shuffled = blocks.reshape(-1, side, side, BLOCK, BLOCK).transpose(0, 1, 3, 2, 4).reshape(-1, THUMB, THUMB)
    _, score = nearest(whitening(shuffled), vectors)
    return float((score > threshold).mean()), len(chosen)


def _coefficients(thumbs: Thumbs) -> NDArray[np.float32]:
    """Coefficients of the images at contrast 1, (N, K)."""
    parts = []
    for start in range(0, len(thumbs), CHUNK):
        all_of_them = dctn(thumbs[start : start + CHUNK].astype(np.float32), axes=(1, 2), norm="ortho")
        all_of_them[:, 0, 0] = 0
        length = np.sqrt((all_of_them**2).sum(axis=(1, 2)))
        parts.append(all_of_them[:, _KEPT] / np.maximum(length, 1e-3)[:, None])
    return np.concatenate(parts)


def _unit(vectors: Vectors) -> Vectors:
    length = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))[:, None]
    return (vectors / np.where(length > 1e-6, length, 1)).astype(np.float32, copy=False)
