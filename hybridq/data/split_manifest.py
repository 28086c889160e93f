"""Split manifests: a CSV file that says to which split every image of a source belongs, apart from the source."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from hybridq.data.manifest import SPLITS, Manifest
from hybridq.data.tables import Columns, group_noun, read_table
from hybridq.errors import UserError

NEEDED: Final = ("id", "split")
CLUSTER: Final = "cluster of similar images"
"""What a group is where only clusters are known; a cluster is not a patient."""


def apply_split_manifest(manifest: Manifest, file: Path, *, columns: Columns = (), judged: bool = True) -> Manifest:
    """``manifest`` with the splits and groups of ``file``: columns ``id``, ``split`` and, if known, group and cluster.

    ``columns`` and ``judged`` are those of :func:`hybridq.data.tables.read_table`. Where no image has a group, the
    clusters are the groups. Images that the file does not list are left out, with a
    note. Raises :class:`UserError` naming the file, where it lists images that the source does not have.
    """
    read = read_table(
        file,
        NEEDED,
        what="a split manifest",
        optional=("patient", "cluster"),
        columns=columns,
        strict=False,
        judged=judged,
    )
    given = read.rows
    foreign = sorted(set(given["split"]) - set(SPLITS))
    if foreign:
        raise UserError(f"{file}: split = {foreign[0]!r}; allowed: {', '.join(SPLITS)}")
    repeated = given.loc[given["id"].duplicated(), "id"]
    if len(repeated):
        raise UserError(f"{file}: {repeated.iloc[0]} is listed more than once")
    unknown = given.loc[~given["id"].isin(manifest.table["id"]), "id"]
    if len(unknown):
        raise UserError(
            f"{file}: {len(unknown)} of {len(given)} images are not in {manifest.source}, such as {unknown.iloc[0]}"
        )
    listed = manifest.table["id"].isin(given["id"]).to_numpy()
    table = manifest.table[listed].copy()
    by_id = given.set_index("id").loc[table["id"]]
    table["split"] = by_id["split"].to_numpy()
    group, groups = _groups(by_id, manifest.groups, group_noun(read.columns))
    table["group"] = group
    left_out = len(manifest.table) - len(table)
    notes = [f"The splits are those of {file.name}.", *read.notes]
    if left_out:
        notes.append(f"{left_out} images that {file.name} does not list are left out.")
    return replace(
        manifest,
        table=table,
        groups=groups,
        targets=None if manifest.targets is None else manifest.targets[listed],
        notes=(*manifest.notes, *notes),
    )


def _groups(given: pd.DataFrame, known: str, group: str) -> tuple[np.ndarray, str]:
    for column, name in (("patient", group if known == "none" else known), ("cluster", CLUSTER)):
        if column in given and (given[column] != "").any():
            return given[column].to_numpy(), name
    return np.full(len(given), ""), "none"
