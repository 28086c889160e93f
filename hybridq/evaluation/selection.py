"""Which images of a run are evaluated, and the folder in which their results are kept. Loads no torch."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridq.errors import UserError
from hybridq.evaluation.statistics import metrics_with_intervals
from hybridq.files import write_json
from hybridq.runs import Run

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Selection:
    """Images of one split."""

    split: str
    about: str
    """``all``, or how many of how many, to be shown."""
    rows: pd.DataFrame
    """Their rows of splits.csv: id, group, split, label."""

    @property
    def ids(self) -> list[str]:
        """Sample ids, in the order of splits.csv."""
        return [str(name) for name in self.rows["id"]]


def choose_images(run: Run, split: str = "test", limit: int | None = None, stratified: bool = False) -> Selection:
    """All images of a split, or ``limit`` of them, drawn with the run's seed.

    ``stratified`` keeps the split's class proportions. Raises :class:`UserError` when the split does not exist or when
    the limit leaves a class empty.
    """
    splits = run.read_splits()
    wanted = splits[splits["split"] == split]
    if wanted.empty:
        raise UserError(f"--split {split}: {run.splits} has {', '.join(sorted(set(splits['split'])))}")
    about = "all"
    if limit is not None and limit < len(wanted):
        about = f"{limit} of {len(wanted)}{', stratified' if stratified else ''}"
        drawn = _draw(wanted, limit, stratified, run.experiment().seed)
        wanted = wanted[wanted["id"].isin(set(drawn["id"]))]
    if wanted["label"].nunique() < 2:
        raise UserError(f"--limit {limit}: the chosen images of split {split} are all of one class; choose more")
    return Selection(split, about, wanted.reset_index(drop=True))


def weights_digest(run: Run) -> str:
    """SHA-256 of the trained weights."""
    return hashlib.sha256(run.weights.read_bytes()).hexdigest()


def key_of(content: dict[str, Any]) -> str:
    """16 hexadecimal digits that name what decides a result; the same content has the same key."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def folder_name(backend: str, key: str) -> str:
    """``<slug>-<key8>``: the folder of an evaluation."""
    slug = "-".join(filter(None, "".join(c if c.isalnum() else "-" for c in backend).split("-")))
    return f"{slug}-{key[:8]}"


def write_evaluation(
    folder: Path,
    selection: Selection,
    *,
    angles: FloatArray,
    values: FloatArray,
    standard_errors: FloatArray,
    probabilities: FloatArray,
    record: dict[str, Any],
    seed: int,
) -> Path:
    """Write an evaluation folder, whole or not at all: predictions, expectation values, record, metrics.

    ``angles``, ``values`` and ``standard_errors`` have shape (N, Q), ``probabilities`` (N, C); ``seed`` decides the
    resamples of the intervals.
    """
    table = selection.rows
    metrics = metrics_with_intervals(
        table["label"].to_numpy(np.int64),
        probabilities,
        groups=table["group"].tolist() if (table["group"] != "").any() else None,
        seed=seed,
        split=selection.split,
    )
    record = record | {
        "split": selection.split,
        "samples": len(table),
        "selection": selection.about,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    partial.mkdir(parents=True)
    try:
        predictions_table(table, probabilities).to_csv(partial / "predictions.csv", index=False)
        np.savez(partial / "expectations.npz", angles=angles, values=values, standard_errors=standard_errors)
        write_json(partial / "record.json", record)
        write_json(partial / "metrics.json", metrics)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def predictions_table(table: pd.DataFrame, probabilities: FloatArray) -> pd.DataFrame:
    """Columns id, group, label, predicted, p_0, p_1, …"""
    result = table[["id", "group", "label"]].reset_index(drop=True)
    result["predicted"] = probabilities.argmax(axis=1)
    for index in range(probabilities.shape[1]):
        result[f"p_{index}"] = probabilities[:, index]
    return result


def _draw(table: pd.DataFrame, limit: int, stratified: bool, seed: int) -> pd.DataFrame:
    if limit < 1:
        raise UserError(f"--limit {limit}: at least 1")
    rng = np.random.default_rng(seed)
    shuffled = table.iloc[rng.permutation(len(table))]
    if not stratified:
        return shuffled.head(limit)
    # Largest remainders: class counts add up to the limit and are as near the proportions as whole numbers allow.
    shares = shuffled["label"].value_counts(normalize=True).sort_index() * limit
    counts = shares.astype(int)
    for label in (shares - counts).sort_values(ascending=False).index[: limit - int(counts.sum())]:
        counts[label] += 1
    return pd.concat([shuffled[shuffled["label"] == label].head(count) for label, count in counts.items()])
