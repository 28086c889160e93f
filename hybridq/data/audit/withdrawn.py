"""Splits that were published with this project and are withdrawn: what was found later, which their pixels do not show.

A split is known by which image is in which part, whatever its file is called and however its rows are ordered.
"""

from __future__ import annotations

import hashlib
from typing import Final

import pandas as pd

WITHDRAWN: Final[dict[str, str]] = {
    "f414e4eb3534610d06d3d024b9145d2fecebe69a92d7f51d39359b63dc922f0b": (
        "These splits (padsd_clusters.csv) are withdrawn: crops of the same frames and videos stand on both sides; "
        "99 % of the test images have a crop of their own frame in training."
    ),
    "a9dd90641fc2b8e3801f437a7eca7fb2ecd4e5c492f996fa2dd0f0e17c00b582": (
        "These splits (padsd_paper_scale.csv) are withdrawn: crops of the same frames and videos stand on both sides; "
        "8 % of the test images have a crop of their own frame in training, and nearly all one of their video."
    ),
}
"""Why, by :func:`digest_of_splits`."""


def digest_of_splits(table: pd.DataFrame) -> str:
    """Return the SHA-256 of the columns ``id`` and ``split``; rows may come in any order."""
    lines = sorted(f"{name},{split}\n" for name, split in zip(table["id"], table["split"], strict=True))
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def why_withdrawn(table: pd.DataFrame) -> str | None:
    """Return the sentence about the splits of ``table``; None where they are not withdrawn."""
    return WITHDRAWN.get(digest_of_splits(table))
