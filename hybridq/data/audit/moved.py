"""Moved copies: the same pixels turned, mirrored, shifted or with other brightness and contrast.

Candidates share a spectrum: the size of an image's Fourier coefficients does not depend on where things are, and
averaged over the eight symmetries of the square not on how the image was turned. Each candidate is then laid over the
other in all eight ways, at all shifts by up to half a side, and confirmed by normalised correlation of the local
texture where they overlap. Texture (what is left of an image without its smooth part, at one local contrast) is
noise and fine structure: two exposures of one thing do not share it, and borders do not count more than the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fft2, irfft2, rfft2
from scipy.ndimage import gaussian_filter

from hybridq.data.audit.facts import THUMB
from hybridq.data.audit.search import Pairs, Vectors, neighbours
from hybridq.typing import Count

MOVED: Final = 0.95
"""Correlation of texture above which an image is a moved copy."""
CANDIDATES: Final = 8
"""Images with the most similar spectrum that are laid over an image."""
SMOOTH: Final = 2.0
"""Standard deviation, in pixels of the thumbnail, of the blur that is taken away."""
LOCAL: Final = 2.0
"""And of the window in which contrast is made even."""
NOISE: Final = 1.0
"""Grey levels of texture that count as none."""
RADIUS: Final = 14
"""Frequencies of the spectrum that are compared."""
TRIMMED: Final = 4
"""Pixels at the edges of the overlap that are left out: the texture there is made with pixels that are not shared."""
MOST_LAID: Final = 40_000
"""Candidates that are laid over each other: those with the most similar spectra."""
LEAST_OVERLAP: Final = 0.45
PADDED: Final = 48
CHUNK: Final = 256
FILTERED: Final = 2048

Textures = NDArray[np.float32]


@dataclass(frozen=True)
class Placement:
    """How the second image of a pair lies over the first: a symmetry of the square 0 … 7, then a shift."""

    turned: NDArray[np.int64]
    down: NDArray[np.int64]
    right: NDArray[np.int64]

    def describe(self, index: int) -> str:
        """Such as ``mirrored, shifted by 3, -2 of 32 pixels``."""
        turn = TURNS[int(self.turned[index])]
        down, right = int(self.down[index]), int(self.right[index])
        shift = f"shifted by {right}, {down} of {THUMB} pixels" if down or right else ""
        return ", ".join(part for part in (turn, shift) if part) or "in place"


TURNS: Final = (
    "",
    "mirrored",
    "upside down",
    "turned by 180°",
    "mirrored about the diagonal",
    "turned by 90°",
    "turned by 270°",
    "mirrored about the other diagonal",
)


def moved_pairs(
    thumbs: NDArray[np.uint8], known: NDArray[np.int64], *, progress: Count | None = None
) -> tuple[Pairs, Placement]:
    """Pairs of ``thumbs`` (uint8, (N, 32, 32)) that are moved copies of each other, and how.

    Images of one number in ``known`` (N,) are known to belong together and not compared again.
    """
    busy = np.flatnonzero(thumbs.min(axis=(1, 2)) != thumbs.max(axis=(1, 2)))
    if len(busy) < 2:
        empty = np.zeros(0, np.int64)
        return Pairs(empty, empty, empty.astype(np.float32)), Placement(empty, empty, empty)
    spectrum = spectra(thumbs[busy])
    near = neighbours(spectrum, CANDIDATES)
    first, second = np.repeat(np.arange(len(busy)), near.shape[1]), near.ravel()
    apart = known[busy[first]] != known[busy[second]]
    first, second = first[apart], second[apart]
    likeness = np.concatenate(
        [np.zeros(0, np.float32)]
        + [
            np.einsum("nk,nk->n", spectrum[first[at : at + FILTERED]], spectrum[second[at : at + FILTERED]])
            for at in range(0, len(first), FILTERED)
        ]
    )
    candidates = Pairs.of(busy[first], busy[second], likeness)
    if len(candidates) > MOST_LAID:
        candidates = candidates.where(candidates.score >= np.partition(candidates.score, -MOST_LAID)[-MOST_LAID])
    score, placement = _lay_over_all(thumbs, candidates, progress)
    keep = score > MOVED
    found = Pairs(candidates.first[keep], candidates.second[keep], score[keep])
    return found, Placement(placement.turned[keep], placement.down[keep], placement.right[keep])


def spectra(thumbs: NDArray[np.uint8]) -> Vectors:
    """Unit vectors (N, K) of ``thumbs`` that hardly change when an image is turned, mirrored or shifted."""
    window = np.hanning(THUMB + 2)[1:-1].astype(np.float32)
    window = np.outer(window, window)
    half = THUMB // 2 + 1
    right, down = np.meshgrid(range(half), range(half))
    kept = (right >= down) & (right + down > 0) & (np.hypot(right, down) <= RADIUS)
    vectors = np.empty((len(thumbs), int(kept.sum())), np.float32)
    for start in range(0, len(thumbs), FILTERED):
        rough = _rough(thumbs[start : start + FILTERED])
        size = np.abs(fft2(rough * window, axes=(1, 2)))
        size = size + size[:, :, -np.arange(THUMB) % THUMB]
        size = size + size.transpose(0, 2, 1)
        vectors[start : start + FILTERED] = np.log1p(size[:, :half, :half][:, kept])
    vectors -= vectors.mean(axis=0)
    vectors /= vectors.std(axis=0) + 1e-6
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)


def textures(thumbs: NDArray[np.uint8]) -> Textures:
    """What is left of ``thumbs`` without their smooth part, at one local contrast, float32 (N, 32, 32)."""
    rough = _rough(thumbs)
    energy = gaussian_filter(rough * rough, (0, LOCAL, LOCAL), mode="nearest")
    return np.clip(rough / np.sqrt(energy + NOISE**2), -3, 3)


def lay_over(first: Textures, second: Textures) -> tuple[NDArray[np.float32], Placement]:
    """The best correlation of each of ``first`` with its partner in ``second``, both (n, 32, 32), and its placement."""
    shifts = np.concatenate([np.arange(THUMB // 2 + 1), np.arange(-THUMB // 2, 0)])
    overlap = np.outer(THUMB - np.abs(shifts), THUMB - np.abs(shifts)).astype(np.float32)
    rows = np.ix_(np.arange(len(first)), shifts % PADDED, shifts % PADDED)
    spectrum = rfft2(first, (PADDED, PADDED))
    best = np.full(len(first), -np.inf, np.float32)
    turned, place = np.zeros(len(first), np.int64), np.zeros(len(first), np.int64)
    for turn in range(len(TURNS)):
        other = rfft2(np.ascontiguousarray(turn_image(second, turn)), (PADDED, PADDED))
        product = irfft2(spectrum * np.conj(other), (PADDED, PADDED))[rows] / overlap
        product[:, overlap < LEAST_OVERLAP * THUMB**2] = -np.inf
        flat = product.reshape(len(first), -1)
        at = flat.argmax(axis=1)
        value = flat[np.arange(len(first)), at]
        better = value > best
        best[better], turned[better], place[better] = value[better], turn, at[better]
    down, right = shifts[place // len(shifts)], shifts[place % len(shifts)]
    score = np.array(
        [
            _overlap_correlation(first[i], turn_image(second[i : i + 1], turned[i])[0], down[i], right[i])
            for i in range(len(first))
        ],
        np.float32,
    )
    return score, Placement(turned, down, right)


def turn_image(images: NDArray[np.generic], turn: int) -> NDArray[np.generic]:
    """One of the eight symmetries of the square, of images (n, S, S)."""
    if turn & 1:
        images = images[:, :, ::-1]
    if turn & 2:
        images = images[:, ::-1]
    if turn & 4:
        images = images.transpose(0, 2, 1)
    return images


def _lay_over_all(
    thumbs: NDArray[np.uint8], pairs: Pairs, progress: Count | None
) -> tuple[NDArray[np.float32], Placement]:
    scores, placements = [], []
    for start in range(0, len(pairs), CHUNK):
        part = slice(start, start + CHUNK)
        images, where = np.unique(np.concatenate([pairs.first[part], pairs.second[part]]), return_inverse=True)
        made = textures(thumbs[images])
        count = len(where) // 2
        score, placement = lay_over(made[where[:count]], made[where[count:]])
        scores.append(score)
        placements.append(placement)
        if progress:
            progress(min(start + CHUNK, len(pairs)), len(pairs))
    if not scores:
        empty = np.zeros(0, np.int64)
        return empty.astype(np.float32), Placement(empty, empty, empty)
    joined = (np.concatenate([getattr(p, name) for p in placements]) for name in ("turned", "down", "right"))
    return np.concatenate(scores), Placement(*joined)


def _overlap_correlation(first: Textures, second: Textures, down: int, right: int) -> float:
    """Of the pixels that both show, ``second`` shifted by (down, right) over ``first``."""
    rows, columns = _span(down), _span(right)
    mine = first[rows, columns].ravel()
    theirs = second[_span(-down), _span(-right)].ravel()
    mine, theirs = mine - mine.mean(), theirs - theirs.mean()
    return float(mine @ theirs / max(np.sqrt((mine @ mine) * (theirs @ theirs)), 1e-6))


def _span(shift: int) -> slice:
    return slice(max(0, shift) + TRIMMED, THUMB + min(0, shift) - TRIMMED)


def _rough(thumbs: NDArray[np.uint8]) -> NDArray[np.float32]:
    sharp = thumbs.astype(np.float32)
    return sharp - gaussian_filter(sharp, (0, SMOOTH, SMOOTH), mode="nearest")
