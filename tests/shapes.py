"""A source of drawn shapes with several labels or with grades, small enough to train on in seconds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import pandas as pd

from hybridq.data.manifest import Manifest
from hybridq.data.sources.registry import Options, Request, source

LABELS = ("square", "bar", "cross", "never")
"""What an image may hold; the last one is nowhere."""
GRADES = ("none", "few", "many")
SQUARES = {"few": 2, "many": 4}
SIZE = 32


class ShapesOptions(Options):
    task: Literal["multi-label", "ordinal"] = "multi-label"
    images: int = 48


@source("shapes", ShapesOptions)
def shapes(request: Request[ShapesOptions]) -> Manifest:
    """Images with squares and lines at random places; a third of them for each split."""
    options = request.options
    drawn = np.random.default_rng(5)
    splits = np.array(["train", "validation", "test"])[np.arange(options.images) % 3]
    grades = drawn.permutation(options.images) // 3 % 3 if options.task == "ordinal" else None
    if grades is not None:
        for split in set(splits):  # every grade in every split
            grades[splits == split] = np.arange((splits == split).sum()) % 3
    targets = (drawn.random((options.images, len(LABELS))) < (0.5, 0.4, 0.3, 0.0)).astype(np.uint8)
    table = pd.DataFrame(
        {
            "id": [f"shape-{number:03d}" for number in range(options.images)],
            "path": "",
            "label": -1 if grades is None else grades,
            "group": "",
            "split": splits,
            "frame": np.arange(options.images),
        }
    )

    def read(rows: pd.DataFrame) -> Iterator[np.ndarray]:
        for number in rows["frame"]:
            yield _labels(targets[number], number) if grades is None else _grade(GRADES[grades[number]], number)

    return Manifest(
        request.source,
        table,
        LABELS if grades is None else GRADES,
        notes=("Shapes drawn by the tests.",),
        simulated=True,
        task=options.task,
        targets=targets if grades is None else None,
        read=read,
        content="shapes 2",
    )


def _labels(present: np.ndarray, seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    image = draw.integers(0, 40, (SIZE, SIZE), dtype=np.uint8)
    at = draw.integers(2, 20, 6)
    if present[0]:
        image[at[0] : at[0] + 8, at[1] : at[1] + 8] = 250
    if present[1]:
        image[at[2] : at[2] + 3] = 180
    if present[2]:
        image[:, at[3] : at[3] + 3] = 120
    return image


def _grade(grade: str, seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    image = draw.integers(0, 40, (SIZE, SIZE), dtype=np.uint8)
    for top, left in draw.integers(0, 26, (SQUARES.get(grade, 0), 2)):
        image[top : top + 6, left : left + 6] = 250
    return image
