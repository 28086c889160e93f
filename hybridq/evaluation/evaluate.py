"""Trained weights on a backend: all angles first, then the backend, then the decision."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from backends import open_backend
from backends.contract import Backend, CircuitProgram, CompiledCircuit, Cost
from hybridq.config import Data
from hybridq.data.images import load_image_files, load_images
from hybridq.data.manifest import Manifest
from hybridq.data.sources import load_manifest
from hybridq.data.transforms import to_float
from hybridq.errors import UserError
from hybridq.evaluation.statistics import metrics_with_intervals
from hybridq.files import write_json
from hybridq.models import HybridModel
from hybridq.models.saved import circuit_spec, load_model
from hybridq.runs import Run

BATCH = 256
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Evaluation:
    """An evaluation that is ready to run: what it runs on, which images, and what it costs."""

    run: Run
    backend: Backend
    program: CircuitProgram
    split: str
    selection: str
    manifest: Manifest
    rows: pd.DataFrame
    """The chosen rows of the manifest."""
    folder: Path

    @property
    def finished(self) -> bool:
        """Whether its results are on disk; they are never computed again."""
        return (self.folder / "metrics.json").is_file()


def plan_evaluation(
    run: Run, backend_name: str, *, split: str = "test", limit: int | None = None, stratified: bool = False
) -> Evaluation:
    """Open the backend and choose the images; nothing is run or written.

    ``limit`` takes that many images, drawn with the run's seed, with the split's class proportions if ``stratified``.
    Raises :class:`UserError` when the data no longer hold the run's images, when the split does not exist or when the
    limit leaves a class empty.
    """
    experiment = run.experiment()
    backend = open_backend(backend_name, seed=experiment.seed)
    splits = run.read_splits()
    wanted = splits[splits["split"] == split]
    if wanted.empty:
        raise UserError(f"--split {split}: {run.splits} has {', '.join(sorted(set(splits['split'])))}")
    selection = "all"
    if limit is not None and limit < len(wanted):
        wanted = _draw(wanted, limit, stratified, experiment.seed)
        selection = f"{limit} of {int((splits['split'] == split).sum())}{', stratified' if stratified else ''}"
    if wanted["label"].nunique() < 2:
        raise UserError(f"--limit {limit}: the chosen images of split {split} are all of one class; choose more")
    manifest = _manifest(experiment.data, experiment.seed)
    rows = manifest.table[manifest.table["id"].isin(set(wanted["id"]))]
    if len(rows) != len(wanted):
        lost = sorted(set(wanted["id"]) - set(rows["id"]))
        raise UserError(
            f"{experiment.data.source}: {len(lost)} of the run's {split} images are no longer there, such as {lost[0]}"
        )
    key = {
        "backend": backend.name,
        "split": split,
        "samples": rows["id"].tolist(),
        "weights": _digest(run.weights),
        "seed": experiment.seed,
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:8]
    slug = "".join(c if c.isalnum() else "-" for c in backend.name).strip("-")
    program = circuit_spec(experiment.model).build()
    return Evaluation(run, backend, program, split, selection, manifest, rows, run.evaluations / f"{slug}-{digest}")


def evaluate(evaluation: Evaluation, *, confirm: Callable[[Cost], None], progress: Progress) -> Path:
    """Run it, write its folder whole, and return the folder; a finished one is returned as it is.

    ``confirm`` is shown the cost before anything is run or submitted and raises to stop.
    """
    if evaluation.finished:
        return evaluation.folder
    run, backend, table = evaluation.run, evaluation.backend, evaluation.rows
    compiled = backend.compile(evaluation.program)
    confirm(backend.cost(compiled, len(table)))
    model = load_model(run)
    h, u = _angles(evaluation, model, progress)
    q, record, standard_errors = _expectations(backend, compiled, model, u, progress)
    probabilities = _decide(model, h, q)
    groups = table["group"].tolist() if (table["group"] != "").any() else None
    metrics = metrics_with_intervals(
        table["label"].to_numpy(np.int64),
        probabilities,
        groups=groups,
        seed=run.experiment().seed,
        split=evaluation.split,
    )
    record |= {
        "split": evaluation.split,
        "samples": len(table),
        "selection": evaluation.selection,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    partial = evaluation.folder.with_name(f".{evaluation.folder.name}.{os.getpid()}.partial")
    partial.mkdir(parents=True)
    try:
        predictions_table(table, probabilities).to_csv(partial / "predictions.csv", index=False)
        np.savez(partial / "expectations.npz", angles=u, values=q, standard_errors=standard_errors)
        write_json(partial / "record.json", record)
        write_json(partial / "metrics.json", metrics)
        partial.rename(evaluation.folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return evaluation.folder


def predictions_table(table: pd.DataFrame, probabilities: NDArray[np.float64]) -> pd.DataFrame:
    """Columns id, group, label, predicted, p_0, p_1, …"""
    result = table[["id", "group", "label"]].reset_index(drop=True)
    result["predicted"] = probabilities.argmax(axis=1)
    for index in range(probabilities.shape[1]):
        result[f"p_{index}"] = probabilities[:, index]
    return result


def predict_files(run: Run, paths: list[Path]) -> pd.DataFrame:
    """Class and probabilities of image files on the noiseless simulator: columns image, class, and one per class."""
    model = load_model(run)
    classes = run.read_json("data.json")["classes"]
    images = load_image_files(paths, run.experiment().data.size)
    with torch.inference_mode():
        probabilities = model(to_float(images)).double().softmax(dim=1).numpy()
    result = pd.DataFrame({"image": [str(path) for path in paths]})
    result["class"] = [classes[index] for index in probabilities.argmax(axis=1)]
    return pd.concat([result, pd.DataFrame(probabilities, columns=classes)], axis=1)


@lru_cache(maxsize=1)
def _manifest(data: Data, seed: int) -> Manifest:
    """Several backends are evaluated on the same images, and checking a source reads every file of it."""
    return load_manifest(data.source, data, seed)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


_Angles = tuple[torch.Tensor, NDArray[np.float64]]
_last_angles: dict[tuple[str, tuple[str, ...]], _Angles] = {}
"""Features and angles of the last weights and samples: they do not depend on the backend."""


def _angles(evaluation: Evaluation, model: HybridModel, progress: Progress) -> _Angles:
    key = (_digest(evaluation.run.weights), tuple(evaluation.rows["id"]))
    if key not in _last_angles:
        _last_angles.clear()
        images = load_images(
            evaluation.manifest,
            evaluation.run.experiment().data.size,
            rows=evaluation.rows,
            progress=lambda done, total: progress("loading images", done, total),
        )
        _last_angles[key] = _compute_angles(model, images, progress)
    return _last_angles[key]


def _compute_angles(model: HybridModel, images: NDArray[np.uint8], progress: Progress) -> _Angles:
    features = []
    with torch.inference_mode():
        for start in range(0, len(images), BATCH):
            features.append(model.features(to_float(images[start : start + BATCH])))
            progress("computing angles", min(start + BATCH, len(images)), len(images))
        h = torch.cat(features)
        return h, model.angles(h).double().numpy()


def _expectations(
    backend: Backend, compiled: CompiledCircuit, model: HybridModel, u: NDArray[np.float64], progress: Progress
) -> tuple[NDArray[np.float64], dict[str, Any], NDArray[np.float64]]:
    progress(f"running on {backend.name}", 0, 1)
    result = backend.run(compiled, u, model.circuit.weight.detach().double().numpy())
    progress(f"running on {backend.name}", 1, 1)
    return result.values, dict(result.record), result.standard_errors


def _decide(model: HybridModel, h: torch.Tensor, q: NDArray[np.float64]) -> NDArray[np.float64]:
    with torch.inference_mode():
        logits = model.decide(h, torch.as_tensor(q, dtype=h.dtype))
        return logits.double().softmax(dim=1).numpy()


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
