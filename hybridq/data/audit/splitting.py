"""New splits that keep patients and clusters of alike images together, as a table that can be committed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridq.data.audit.clusters import linked, of_equal
from hybridq.data.manifest import Manifest
from hybridq.data.splits import split_groups
from hybridq.errors import UserError

COLUMNS = ("id", "group", "cluster", "split")


def draw_splits(
    manifest: Manifest, clusters: NDArray[np.int64], fractions: Mapping[str, float], seed: int
) -> pd.DataFrame:
    """A table with the columns id, group, cluster and split, one row an image of ``manifest``.

    ``fractions`` maps the splits to shares that sum to 1. Images of one group or one cluster (numbers, (N,)) are in one
    split; classes are in proportion. ``cluster`` is "" for an image that is like no other. Raises :class:`UserError`
    where a class has too few independent images.
    """
    assigned = _assign(manifest, clusters, fractions, seed)
    return _table(manifest, clusters, assigned)


def draw_folds(manifest: Manifest, clusters: NDArray[np.int64], folds: int, seed: int) -> list[pd.DataFrame]:
    """``folds`` such tables: in number k part k is for test, the next part for validation, the others for training."""
    if folds < 3:
        raise UserError(f"folds = {folds}; at least 3: one for test, one for validation, the rest for training")
    parts = _assign(manifest, clusters, {str(fold): 1 / folds for fold in range(folds)}, seed)
    tables = []
    for fold in range(folds):
        role = {str(fold): "test", str((fold + 1) % folds): "validation"}
        tables.append(_table(manifest, clusters, [role.get(part, "train") for part in parts]))
    return tables


def _assign(
    manifest: Manifest, clusters: NDArray[np.int64], fractions: Mapping[str, float], seed: int
) -> Sequence[str]:
    if not manifest.labelled:
        raise UserError(f"{manifest.source}: its images have no labels; splits are drawn by class")
    if manifest.targets is not None:
        raise UserError(
            f"{manifest.source}: its images have several labels each; splits are drawn by one class an image"
        )
    groups = manifest.table["group"].to_numpy(str)
    named = np.flatnonzero(groups != "")
    first, second = of_equal(groups[named])
    together = linked(len(groups), of_equal(clusters), (named[first], named[second]))
    labels = manifest.table["label"].to_numpy(np.int64)
    try:
        return split_groups(
            labels, [str(number) for number in together], fractions, classes=manifest.classes, seed=seed
        )
    except UserError as error:
        raise UserError(f"{manifest.source}: {error}") from None


def _table(manifest: Manifest, clusters: NDArray[np.int64], assigned: Sequence[str]) -> pd.DataFrame:
    several = np.bincount(clusters)[clusters] > 1
    names = np.full(len(clusters), "", object)
    names[several] = [f"c{number}" for number in pd.factorize(clusters[several])[0]]
    return pd.DataFrame(
        {
            "id": manifest.table["id"].to_numpy(),
            "group": manifest.table["group"].to_numpy(),
            "cluster": names,
            "split": list(assigned),
        },
        columns=list(COLUMNS),
    )
