"""Some images of a split that stand for all of it: shares of classes or labels are kept."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def draw_by_class(table: pd.DataFrame, limit: int) -> pd.DataFrame:
    """The first rows of each ``label`` in ``table``, ``limit`` in all; every class has one where the limit allows.

    Largest remainders: counts add up to the limit and are as near the proportions as whole numbers allow.
    """
    shares = table["label"].value_counts(normalize=True).sort_index() * limit
    counts = shares.astype(int)
    for label in (shares - counts).sort_values(ascending=False).index[: limit - int(counts.sum())]:
        counts[label] += 1
    for empty in np.flatnonzero(counts == 0):
        if counts.max() > 1:
            counts.iloc[int(counts.argmax())] -= 1
            counts.iloc[int(empty)] = 1
    return pd.concat([table[table["label"] == label].head(count) for label, count in counts.items()])


def draw_by_labels(targets: NDArray[np.integer], limit: int) -> NDArray[np.int64]:
    """``limit`` positions of ``targets`` (N, K) whose labels are as frequent as in all; each has one where it can.

    Iterative stratification (doi:10.1007/978-3-642-23808-6_10) into two parts, the images taken and the rest: label by
    label, the rarest first, an image goes where more of the label is still wanted. Earlier rows are preferred.
    """
    present = targets.sum(axis=0)
    wanted = np.maximum(present * (limit / len(targets)), np.minimum(present, 1))
    wanted_of_rest = present - wanted
    free = np.ones(len(targets), dtype=bool)
    taken: list[int] = []
    while (left := targets[free].sum(axis=0)).any():
        label = int(np.argmin(np.where(left > 0, left, left.max() + 1)))
        for row in np.flatnonzero(free & (targets[:, label] == 1)):
            free[row] = False
            if len(taken) < limit and wanted[label] >= wanted_of_rest[label]:
                taken.append(int(row))
                wanted -= targets[row]
            else:
                wanted_of_rest -= targets[row]
    unlabelled, others = np.flatnonzero(free), np.setdiff1d(np.flatnonzero(~free), taken)
    return np.array([*taken, *unlabelled, *others][:limit], dtype=np.int64)
