"""All images of a data set that are alike: identical, near duplicates and moved copies, and the clusters they form."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from hybridq.data.audit.clusters import linked, of_equal
from hybridq.data.audit.facts import Facts
from hybridq.data.audit.moved import Placement, moved_pairs
from hybridq.data.audit.near import NEAR, Whitening, shuffled_share
from hybridq.data.audit.search import Pairs, pairs_above
from hybridq.typing import Progress


@dataclass(frozen=True)
class Alike:
    """Pairs of positions in the N images of a data set."""

    identical: NDArray[np.int64]
    """(N,) a number, equal where decoded pixels are; unreadable images have one of their own."""
    near: Pairs
    """Of images with different pixels, the first of each kind."""
    moved: Pairs
    """Likewise, of those that are not in one cluster already."""
    placement: Placement
    """How the second of each moved pair lies over the first."""
    clusters: NDArray[np.int64]
    """(N,) a number, equal for images linked by a chain of the above."""
    threshold: float
    """Whitened correlation from which images are near duplicates."""
    shuffled: tuple[float, int]
    """Share of images with shuffled blocks that are a near duplicate of any image, and how many were tried."""


def find_alike(facts: Facts, progress: Progress, *, threshold: float = NEAR) -> Alike:
    """Compare every image with every other; see :mod:`hybridq.data.audit.near` and ``moved`` for what that means."""
    count = len(facts)
    digests = np.array([digest.tobytes() for digest in facts["digest"]], "S16")
    keys = np.where(facts.readable, np.char.add(b"=", digests), [b"%d" % index for index in range(count)])
    same = of_equal(keys)
    identical = linked(count, same)
    # Copies would find each other over and over: one of each is compared.
    kinds = np.unique(identical[facts.readable], return_index=True)[1]
    kinds = np.sort(np.flatnonzero(facts.readable)[kinds])
    thumbs = facts["thumb"][kinds]
    empty = np.zeros(0, np.int64)
    near, moved, placement = Pairs(empty, empty, empty.astype(np.float32)), None, Placement(empty, empty, empty)
    shuffled = (0.0, 0)
    if len(kinds) > 1:
        whitening = Whitening.of(thumbs)
        vectors = whitening(thumbs)
        found = pairs_above(vectors, threshold, progress=partial(progress, "comparing all pairs"))
        shuffled = shuffled_share(whitening, vectors, thumbs, threshold)
        del vectors
        known = linked(len(kinds), (found.first, found.second))
        near = Pairs(kinds[found.first], kinds[found.second], found.score)
        found, placement = moved_pairs(thumbs, known, progress=partial(progress, "searching turned and shifted copies"))
        moved = Pairs(kinds[found.first], kinds[found.second], found.score)
    moved = moved or Pairs(empty, empty, empty.astype(np.float32))
    clusters = linked(count, same, (near.first, near.second), (moved.first, moved.second))
    return Alike(identical, near, moved, placement, clusters, threshold, shuffled)
