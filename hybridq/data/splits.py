"""Splits that keep groups together and classes in proportion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridq.config import Data
from hybridq.errors import UserError


def draw_missing(table: pd.DataFrame, classes: Sequence[str], data: Data, seed: int, *, source: str) -> pd.DataFrame:
    """A manifest's table with the splits drawn that it does not bring.

    Where ``split`` is "" throughout all three are drawn, with the fractions of ``data``; where there are training and
    test images only, validation takes ``data.validation_fraction`` of the training part. Raises :class:`UserError`
    naming ``source``, where a class has too few groups or some rows only have a split.
    """
    given = set(table["split"])
    validation, test = data.validation_fraction, data.test_fraction
    if given == {""}:
        rows = np.ones(len(table), bool)
        fractions = {"train": 1 - validation - test, "validation": validation, "test": test}
    elif given == {"train", "test"}:
        rows = (table["split"] == "train").to_numpy()
        fractions = {"train": 1 - validation, "validation": validation}
    elif "" in given:
        missing = table.loc[table["split"] == "", "id"].iloc[0]
        raise UserError(f"{source}: {missing} has no split while others have one; give all images a split or none")
    else:
        return table
    chosen = table[rows]
    try:
        drawn = split_groups(
            chosen["label"].to_numpy(np.int64), chosen["group"].tolist(), fractions, classes=classes, seed=seed
        )
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
    result = table.copy()
    result.loc[rows, "split"] = drawn
    return result


def split_groups(
    labels: NDArray[np.int64],
    groups: Sequence[str],
    fractions: Mapping[str, float],
    *,
    classes: Sequence[str],
    seed: int,
) -> list[str]:
    """The split of every image: groups stay whole, every split gets every class, shares follow ``fractions``.

    ``labels`` (N,) are class indices, ``groups`` (N,) names ("" stands for a group of its own), ``fractions`` maps
    split names to shares that sum to 1. The groups of a class (the most common one in each) are dealt out, the largest
    first, each to the split that lags behind most. Where that leaves a split without a class, each split first gets one
    group of each class, rarest class first, and the rest goes where it brings the class shares closest. The same seed
    gives the same splits.

    Raises :class:`UserError` where one of ``classes`` (names by index) has too few groups.
    """
    splits = list(fractions)
    shares = np.array([fractions[name] for name in splits])
    owner, counts = _count_by_group(labels, groups, len(classes))
    order = np.random.default_rng(seed).permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    assigned = _deal(counts, order, shares)
    if not all((counts[assigned == split].sum(axis=0) > 0).all() for split in range(len(splits))):
        assigned = np.full(len(counts), -1)
        _reserve(counts, order, shares, assigned, splits, classes)
        _fill(counts, order, shares, assigned)
    return [splits[index] for index in assigned[owner]]


def _deal(counts: NDArray[np.int64], order: NDArray[np.int64], shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Every split gets its share of large groups and of single images, not the small splits only what is left over.

    Images that are alike differ from the rest.
    """
    sizes, kinds = counts.sum(axis=1), counts.argmax(axis=1)
    assigned = np.zeros(len(counts), np.int64)
    for kind in range(counts.shape[1]):
        held, total = np.zeros(len(shares)), 0
        for group in order[kinds[order] == kind]:
            total += sizes[group]
            split = int(np.argmax(shares * total - held))
            assigned[group] = split
            held[split] += sizes[group]
    return assigned


def _count_by_group(
    labels: NDArray[np.int64], groups: Sequence[str], classes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The group number of every image (N,), and the images of every group by class (G, K)."""
    names = [(name, -1) if name else ("", position) for position, name in enumerate(groups)]
    number = {name: index for index, name in enumerate(dict.fromkeys(names))}
    owner = np.array([number[name] for name in names], dtype=np.int64)
    counts = np.zeros((len(number), classes), np.int64)
    np.add.at(counts, (owner, labels), 1)
    return owner, counts


def _reserve(
    counts: NDArray[np.int64],
    order: NDArray[np.int64],
    shares: NDArray[np.float64],
    assigned: NDArray[np.int64],
    splits: Sequence[str],
    classes: Sequence[str],
) -> None:
    """Give every split a group of every class: the smallest that is left, small splits first."""
    holders = (counts > 0).sum(axis=0)
    for label in np.argsort(holders, kind="stable"):
        for split in np.argsort(shares, kind="stable"):
            if (counts[assigned == split, label] > 0).any():
                continue
            free = [group for group in order[::-1] if assigned[group] < 0 and counts[group, label]]
            if not free:
                raise UserError(
                    f"the class {classes[label]} has too few independent images or groups ({holders[label]}) for each "
                    f"of {', '.join(splits)} to hold one"
                )
            assigned[free[0]] = split


def _fill(
    counts: NDArray[np.int64], order: NDArray[np.int64], shares: NDArray[np.float64], assigned: NDArray[np.int64]
) -> None:
    """Assign what is left where it brings every split's share of every class closest to what is wanted."""
    totals = np.maximum(counts.sum(axis=0), 1)
    wanted = shares[:, None] * np.ones_like(totals, dtype=float)
    held = np.stack([counts[assigned == split].sum(axis=0) / totals for split in range(len(shares))])
    for group in order[assigned[order] < 0]:
        gain = counts[group] / totals
        # Only this group's split changes: the change of the summed squared error decides.
        change = ((held + gain - wanted) ** 2 - (held - wanted) ** 2).sum(axis=1)
        split = int(np.argmin(change))
        assigned[group] = split
        held[split] += gain
