"""Evaluations on disk, written and read: everything that comparisons and reports know about a backend."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hybridq.errors import UserError
from hybridq.files import make_folder, read_json, write_json, writing
from hybridq.results.selection import Selection
from hybridq.statistics.intervals import EvaluatedMetrics
from hybridq.statistics.scored import Scored, scored_of
from hybridq.statistics.tasks import Task, task_named
from hybridq.typing import FloatArray, IntArray

FILES = ("predictions.csv", "expectations.npz", "record.json", "metrics.json")
KINDS = ("noiseless", "sampled", "noise model", "simulated device", "hardware")
"""From ideal to real: the order in which backends are shown."""
ELSEWHERE = "elsewhere"
"""Kind of what a network says that was trained elsewhere."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One backend's results on N samples, C classes or labels and Q qubits; rows of all arrays belong together."""

    folder: Path
    record: dict[str, Any]
    """What ran: backend, kind, simulated, shots, depth, versions, …"""
    metrics: EvaluatedMetrics
    ids: tuple[str, ...]
    groups: tuple[str, ...] | None
    """Group of each sample, "" where it is unknown; None where no sample has one."""
    labels: IntArray
    """(N,), or (N, C) in {0, 1} where an image may have several labels; ``predicted`` likewise."""
    predicted: IntArray
    probabilities: FloatArray
    """(N, C)"""
    angles: FloatArray
    """(N, Q), radians"""
    values: FloatArray
    """⟨Z⟩ of every qubit, (N, Q), in [-1, 1]"""
    standard_errors: FloatArray

    @classmethod
    def from_arrays(
        cls,
        name: str,
        truth: ArrayLike,
        probabilities: ArrayLike,
        *,
        ids: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
        task: str | None = None,
        classes: Sequence[str] | None = None,
        seed: int = 0,
    ) -> Evaluation:
        """Make one of a network that was trained elsewhere, for the same tables and comparisons.

        Args:
            name: stands in the place of the backend's name.
            truth, probabilities, groups, task, classes, seed: as for :func:`hybridq.results.scores.score`.
            ids: names of the images, which a comparison matches; default: their numbers.
        """
        scored, known = scored_of(truth, probabilities, groups=groups, task=task, classes=classes, seed=seed)
        number = len(scored.probabilities)
        names = tuple(map(str, range(number))) if ids is None else tuple(str(each) for each in ids)
        if len(set(names)) != number:
            raise UserError(f"ids: {len(set(names))} different names for {number} images")
        decide, nothing = task_named(known), np.zeros((number, 0))
        return cls(
            folder=Path(),
            record={"backend": name, "kind": ELSEWHERE, "simulated": False, "task": known, "split": "evaluated"}
            | {"selection": "all"},
            metrics=decide.evaluate(scored),
            ids=names,
            groups=scored.groups,
            labels=scored.truth,
            predicted=decide.decide(scored.probabilities),
            probabilities=scored.probabilities,
            angles=nothing,
            values=nothing,
            standard_errors=nothing,
        )

    @property
    def backend(self) -> str:
        return str(self.record["backend"])

    @property
    def intervention(self) -> dict[str, Any] | None:
        """How q was replaced, and the backend it was of; None where it was not."""
        found: dict[str, Any] | None = self.record.get("intervention")
        return found

    @property
    def source(self) -> str | None:
        """The source of its images, and how they were read; None where they are of the run's own data."""
        found: str | None = self.record.get("data")
        return f"{found} (its own range of intensities)" if "range" in self.record else found

    @property
    def images(self) -> str:
        """Which images, for titles: how many, of which split and source."""
        of = f" of {self.source}" if self.source is not None else ""
        return f"{len(self.ids):,} {self.record['split']} images{of}"

    @property
    def task(self) -> Task:
        """What was decided."""
        return _task(self.record)

    @property
    def kind(self) -> str:
        return str(self.record["kind"])

    @property
    def predictions(self) -> pd.DataFrame:
        """One row per image: id, group, what is true, what was decided, and a probability per class or label."""
        groups = ("",) * len(self.ids) if self.groups is None else self.groups
        rows = pd.DataFrame({"id": self.ids, "group": groups})
        if self.labels.ndim == 1:
            rows["label"] = self.labels
        else:
            rows = rows.join(pd.DataFrame(self.labels, columns=[f"true_{k}" for k in range(self.labels.shape[1])]))
        return self.task.predictions(rows, self.probabilities)

    def table(self) -> pd.DataFrame:
        """Return one row per metric: value and 95 % interval."""
        return metrics_table(self.metrics)

    def scored(self, seed: int) -> Scored:
        """Return what is true and what was said, for statistics; ``seed``, the run's, decides the resamples."""
        return Scored(
            self.labels, self.probabilities, self.groups, split=str(self.record.get("split", "evaluated")), seed=seed
        )

    def rows_of(self, ids: tuple[str, ...]) -> IntArray:
        """The rows that hold the samples ``ids``, in that order."""
        row = {name: i for i, name in enumerate(self.ids)}
        return np.array([row[name] for name in ids], dtype=np.int64)


def metrics_table(metrics: EvaluatedMetrics) -> pd.DataFrame:
    """Return metrics with intervals as a table: value, low, high and how the interval was made, by metric."""
    table = pd.DataFrame.from_dict(metrics["metrics"], orient="index")
    return table.rename_axis("metric")


def sampling(record: dict[str, Any]) -> str:
    """How often each circuit ran: shots, trajectories, or ``exact``."""
    shots, trajectories = record.get("shots"), record.get("trajectories")
    if shots:
        return f"{shots:,}"
    return f"{trajectories:,} trajectories" if trajectories else "exact"


def write_evaluation(
    folder: Path,
    selection: Selection,
    *,
    angles: FloatArray,
    values: FloatArray,
    standard_errors: FloatArray,
    probabilities: FloatArray,
    record: dict[str, Any],
    features: Mapping[str, Any],
    describe: Callable[[Path], None] | None = None,
) -> Path:
    """Write an evaluation folder, whole or not at all: predictions, expectation values, features, record, metrics.

    ``angles``, ``values`` and ``standard_errors`` have shape (N, Q), ``probabilities`` a column for each class or
    label. ``features`` are arrays by name; ``describe`` writes more files into the folder before it gets its name.
    """
    table, task = selection.rows, selection.task
    metrics = task.evaluate(selection.scored(probabilities))
    record = record | {
        "task": selection.run.task,
        "split": selection.split,
        "samples": len(table),
        "selection": selection.described,
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


def read_evaluation(folder: Path) -> Evaluation:
    """One evaluation folder; raises :class:`UserError` naming the file that is missing, unreadable or does not fit."""
    for name in FILES:
        if not (folder / name).is_file():
            raise UserError(f"{folder}: is not a finished evaluation ({name} is missing); run hybridq evaluate again")
    record = read_json(folder / "record.json")
    metrics = read_json(folder / "metrics.json")
    predictions = folder / "predictions.csv"
    try:
        table = pd.read_csv(predictions, dtype={"id": str, "group": str}, keep_default_na=False)
        ids, groups = (tuple(str(value) for value in table[name]) for name in ("id", "group"))
        labels, predicted, probabilities = _task(record).read(table)
    except (ValueError, KeyError) as error:
        raise UserError(f"{predictions}: is damaged ({error}); delete its folder and run hybridq evaluate") from None
    expectations = folder / "expectations.npz"
    try:
        with np.load(expectations) as arrays:
            angles, values, errors = (arrays[name] for name in ("angles", "values", "standard_errors"))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise UserError(f"{expectations}: is damaged ({error}); delete its folder and run hybridq evaluate") from None
    if len(set(ids)) != len(ids) or len(values) != len(ids) or len(angles) != len(ids):
        raise UserError(
            f"{folder}: predictions.csv has {len(ids)} samples, expectations.npz {len(values)}, all distinct"
        )
    return Evaluation(
        folder=folder,
        record=record,
        metrics=metrics,
        ids=ids,
        groups=groups if any(groups) else None,
        labels=labels,
        predicted=predicted,
        probabilities=probabilities,
        angles=angles,
        values=values,
        standard_errors=errors,
    )


def read_evaluations(run: Path) -> list[Evaluation]:
    """All finished evaluations of a run, from ideal to real and then by name; those being written are left out."""
    folders = [folder for folder in sorted((run / "evaluations").glob("[!.]*")) if (folder / "metrics.json").is_file()]
    return sorted((read_evaluation(folder) for folder in folders), key=order)


def order(evaluation: Evaluation) -> tuple[int, str]:
    """Sorts evaluations from ideal to real, then by backend name."""
    place = KINDS.index(evaluation.kind) if evaluation.kind in KINDS else len(KINDS)
    return place, evaluation.backend


def _task(record: dict[str, Any]) -> Task:
    """Evaluations that were made before tasks were recorded have one class an image."""
    return task_named(str(record.get("task", "multi-class")))
