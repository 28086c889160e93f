"""Clusters: images linked by a chain of pairs. A cluster holds images that look alike; it is not a patient."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def linked(count: int, *pairs: tuple[NDArray[np.int64], NDArray[np.int64]]) -> NDArray[np.int64]:
    """A number for each of ``count`` images, (count,), equal for images linked by a chain of any of ``pairs``."""
    first = np.concatenate([np.zeros(0, np.int64), *(pair[0] for pair in pairs)])
    second = np.concatenate([np.zeros(0, np.int64), *(pair[1] for pair in pairs)])
    links = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(count, count))
    return connected_components(links, directed=False)[1].astype(np.int64)


def of_equal(keys: NDArray[np.generic]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs (each with the first of its kind) of the positions at which ``keys`` (N,) are equal."""
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    later = np.flatnonzero(first[which] != np.arange(len(keys)))
    return first[which][later], later
