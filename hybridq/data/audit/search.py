"""Every pair of unit vectors that is close enough, by blocked matrix multiplication: exact, in little memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hybridq.typing import Count

ROWS: Final = 512
COLUMNS: Final = 8192
MOST_OF_A_BLOCK: Final = 32
"""Of more close columns than this in one block a row keeps the closest: thousands of alike images are found all the
same, and memory stays bounded."""

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Pairs:
    """Pairs of positions with ``first < second``, each once, and how alike they are."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    score: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.first)

    def where(self, chosen: NDArray[np.bool_]) -> Pairs:
        return Pairs(self.first[chosen], self.second[chosen], self.score[chosen])

    @staticmethod
    def of(first: NDArray[np.int64], second: NDArray[np.int64], score: NDArray[np.float32]) -> Pairs:
        """The same pairs in order, each once with its highest score, none of an image with itself."""
        low, high = np.minimum(first, second), np.maximum(first, second)
        order = np.lexsort((-score, high, low))
        low, high, score = low[order], high[order], score[order]
        keep = low < high
        keep[1:] &= (low[1:] != low[:-1]) | (high[1:] != high[:-1])
        return Pairs(low[keep], high[keep], score[keep])


def pairs_above(vectors: Vectors, threshold: float, *, progress: Count | None = None) -> Pairs:
    """All pairs of rows of ``vectors`` (N, D), each of length 1 or 0, whose inner product is above ``threshold``."""
    count = len(vectors)
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]] = []
    for top in range(0, count, ROWS):
        for left in range(top - top % COLUMNS, count, COLUMNS):
            block = vectors[top : top + ROWS] @ vectors[left : left + COLUMNS].T
            rows, columns = np.nonzero(block > threshold)
            ahead = columns + left > rows + top
            rows, columns = rows[ahead], columns[ahead]
            rows, columns = _closest(block, rows, columns)
            found.append((rows + top, columns + left, block[rows, columns]))
        if progress:
            progress(min(top + ROWS, count), count)
    first, second, score = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Pairs(first, second, score)


def nearest(queries: Vectors, vectors: Vectors) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each of ``queries`` (M, D) the position and inner product of the closest of ``vectors`` (N, D), N ≥ 1."""
    where = np.zeros(len(queries), np.int64)
    score = np.full(len(queries), -np.inf, np.float32)
    for top in range(0, len(queries), ROWS):
        for left in range(0, len(vectors), COLUMNS):
            block = queries[top : top + ROWS] @ vectors[left : left + COLUMNS].T
            best = block.argmax(axis=1)
            value = block[np.arange(len(block)), best]
            part = slice(top, top + len(block))
            better = value > score[part]
            score[part][better] = value[better]
            where[part][better] = best[better] + left
    return where, score


def neighbours(vectors: Vectors, count: int, *, progress: Count | None = None) -> NDArray[np.int64]:
    """The ``count`` closest other rows of every row of ``vectors`` (N, D), (N, min(count, N - 1)), in no order."""
    import torch

    kept = min(count, len(vectors) - 1)
    result = np.zeros((len(vectors), kept), np.int64)
    columns = torch.from_numpy(vectors).T
    for top in range(0, len(vectors), ROWS):
        block = torch.from_numpy(vectors[top : top + ROWS]) @ columns
        own = torch.arange(len(block))
        block[own, own + top] = -torch.inf
        result[top : top + len(block)] = block.topk(kept, dim=1, sorted=False).indices.numpy()
        if progress:
            progress(min(top + ROWS, len(vectors)), len(vectors))
    return result


def _closest(
    block: Vectors, rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if not len(rows) or np.bincount(rows).max() <= MOST_OF_A_BLOCK:
        return rows, columns
    order = np.lexsort((-block[rows, columns], rows))
    rows, columns = rows[order], columns[order]
    rank = np.arange(len(rows)) - np.searchsorted(rows, rows)
    return rows[rank < MOST_OF_A_BLOCK], columns[rank < MOST_OF_A_BLOCK]
