"""Which images of a run are evaluated, and the folder in which their results are kept. Loads no torch."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hybridq.data.images.intensity import Levels
from hybridq.errors import UserError
from hybridq.files import make_folder, write_json, writing
from hybridq.run_folder import RunFolder
from hybridq.statistics.scored import Scored
from hybridq.statistics.tasks import Task, task_named
from hybridq.typing import FloatArray


@dataclass(frozen=True, eq=False)
class Selection:
    """Images of one split."""

    split: str
    about: str
    """``all``, or how many of how many, to be shown."""
    rows: pd.DataFrame
    """Their rows of splits.csv: id, group, split, and label or true_0, true_1, …"""
    task: str
    """binary, multi-class, ordinal or multi-label."""
    classes: tuple[str, ...]
    """Names of classes or labels."""
    source: str | None = None
    """Where they are not of the run's own data: the source they are of."""
    levels: Levels | None = None
    """Where they are not brought to the run's range of intensities: the levels that become 0 and 1."""

    @property
    def groups(self) -> tuple[str, ...] | None:
        """Group of each image, "" where it is unknown; None where no image has one."""
        names = self.rows["group"]
        return tuple(map(str, names)) if (names != "").any() else None

    def scored(self, probabilities: FloatArray, seed: int) -> Scored:
        """Return the images with the probabilities (N, C) that a model gives them; ``seed`` decides resamples."""
        truth = task_named(self.task).truth(self.rows)
        return Scored(truth, probabilities, self.groups, self.classes, self.split, seed)

    @property
    def ids(self) -> list[str]:
        """Sample ids, in the order of splits.csv."""
        return [str(name) for name in self.rows["id"]]


def choose_images(run: RunFolder, split: str = "test", limit: int | None = None, stratified: bool = False) -> Selection:
    """All images of a split, or ``limit`` of them, drawn with the run's seed.

    ``stratified`` keeps how frequent each class or label is in the split. Raises :class:`UserError` when the split does
    not exist or when the limit leaves a class empty; a label of images that have several may be left without positives.
    """
    return choose_from(run, run.read_splits(), str(run.splits), split, limit, stratified)


def choose_from(
    run: RunFolder,
    splits: pd.DataFrame,
    where: str,
    split: str,
    limit: int | None,
    stratified: bool,
    source: str | None = None,
    levels: Levels | None = None,
) -> Selection:
    """The same from any table with the columns of splits.csv; ``where`` names it in errors."""
    wanted = splits[splits["split"] == split]
    if wanted.empty:
        raise UserError(f"--split {split}: {where} has {', '.join(sorted(set(splits['split'])))}")
    task, classes = run.task(), run.classes()
    about = "all"
    if limit is not None and limit < len(wanted):
        about = f"{limit} of {len(wanted)}{', stratified' if stratified else ''}"
        drawn = _draw(wanted, limit, task_named(task) if stratified else None, run.experiment().seed)
        wanted = wanted[wanted["id"].isin(set(drawn["id"]))]
    if (lack := task_named(task).lacks(wanted, classes)) is not None:
        if limit is None:
            raise UserError(f"the images of split {split} {lack}")
        advice = "choose more" if stratified or limit < len(classes) else "choose more, or add --stratified"
        raise UserError(f"--limit {limit}: the chosen images of split {split} {lack}; {advice}")
    return Selection(split, about, wanted.reset_index(drop=True), task, classes, source, levels)


def weights_digest(run: RunFolder) -> str:
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
    features: Mapping[str, Any],
    describe: Callable[[Path], None] | None = None,
) -> Path:
    """Write an evaluation folder, whole or not at all: predictions, expectation values, features, record, metrics.

    ``angles``, ``values`` and ``standard_errors`` have shape (N, Q), ``probabilities`` a column for each class or
    label; ``seed`` decides the resamples of the intervals. ``features`` are arrays by name;
    ``describe`` writes more files into the folder before it gets its name.
    """
    table, task = selection.rows, task_named(selection.task)
    metrics = task.evaluate(selection.scored(probabilities, seed))
    record = record | {
        "task": selection.task,
        "split": selection.split,
        "samples": len(table),
        "selection": selection.about,
        **({} if selection.source is None else {"data": selection.source}),
        **({} if selection.levels is None else {"range": {"of": "own", "levels": list(selection.levels)}}),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    make_folder(partial)
    try:
        with writing(folder.parent):
            task.predictions(table, probabilities).to_csv(partial / "predictions.csv", index=False)
            np.savez(partial / "expectations.npz", angles=angles, values=values, standard_errors=standard_errors)
            np.savez(partial / "features.npz", **features)
            if describe is not None:
                describe(partial)
            write_json(partial / "record.json", record)
            write_json(partial / "metrics.json", metrics)
            try:
                partial.rename(folder)
            except OSError:
                # Another process that waited for the same jobs was first; what it wrote is the same.
                if not (folder / "metrics.json").is_file():
                    raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _draw(table: pd.DataFrame, limit: int, stratify: Task | None, seed: int) -> pd.DataFrame:
    if limit < 1:
        raise UserError(f"--limit {limit}: at least 1")
    rng = np.random.default_rng(seed)
    shuffled = table.iloc[rng.permutation(len(table))]
    return shuffled.head(limit) if stratify is None else stratify.draw(shuffled, limit)
