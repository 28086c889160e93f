"""Split manifests: a CSV file that says to which split every image of a source belongs, apart from the source."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import pandas as pd

from hybridq.data.manifest import SPLITS, Manifest
from hybridq.data.tables import Columns, group_noun, read_table
from hybridq.errors import UserError

NEEDED: Final = ("id", "split")
CLUSTER: Final = "cluster of similar images"
"""What a group is where only clusters are known; a cluster is not a patient."""


def apply_split_manifest(
    manifest: Manifest, file: Path, *, columns: Columns = (), strict: bool = True, judged: bool = True
) -> Manifest:
    """``manifest`` with the splits and groups of ``file``: columns ``id``, ``split`` and, if known, group and cluster.

    ``columns``, ``strict`` and ``judged`` are those of :func:`hybridq.data.tables.read_table`. Where the file gives no
    image a group, patients that the source knows stay, and else the clusters are the groups. Images that the file does
    not list are left out, with a note. Raises :class:`UserError` naming the file, where it lists images that the source
    does not have.
    """
    read = read_table(
        file,
        NEEDED,
        what="a split manifest",
        optional=("patient", "cluster"),
        columns=columns,
        strict=strict,
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
    named = (by_id.get("patient", pd.Series(dtype=str)) != "").any()
    if named:
        table["group"] = by_id["patient"].to_numpy()
        groups = group_noun(read.columns) if manifest.groups == "none" else manifest.groups
    elif "patient" in manifest.groups:
        groups = manifest.groups
    else:
        clustered = "cluster" in by_id and (by_id["cluster"] != "").any()
        table["group"] = by_id["cluster"].to_numpy() if clustered else ""
        groups = CLUSTER if clustered else "none"
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
