"""Trained weights on a simulated backend: all angles first, then the backend, then the decision.

The same three steps on hardware, where days may lie between them, are in :mod:`hybridq.evaluation.hardware`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from backends import open_backend
from backends.contract import Backend, CircuitProgram, CompiledCircuit
from backends.names import parse_name
from hybridq.config import Data
from hybridq.data.images import load_image_files, load_images
from hybridq.data.manifest import Manifest
from hybridq.data.sources import load_manifest
from hybridq.data.transforms import to_float
from hybridq.errors import UserError
from hybridq.evaluation.selection import (
    Selection,
    choose_images,
    folder_name,
    key_of,
    weights_digest,
    write_evaluation,
)
from hybridq.models import HybridModel
from hybridq.models.saved import circuit_spec, load_model
from hybridq.quantum.exact import run_exactly, takes_over
from hybridq.runs import Run

BATCH = 256
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Evaluation:
    """An evaluation that is ready to run: what it runs on, which images, and what it costs."""

    run: Run
    backend: Backend
    program: CircuitProgram
    selection: Selection
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
    limit leaves a class empty, and for hardware.
    """
    experiment = run.experiment()
    if parse_name(backend_name).kind == "ibm":
        raise UserError(f"{backend_name} is hardware, which hybridq.evaluation.hardware evaluates")
    backend = open_backend(backend_name, seed=experiment.seed)
    selection = choose_images(run, split, limit, stratified)
    _image_rows(run, selection)
    key = {
        "backend": backend.name,
        "split": split,
        "samples": selection.ids,
        "weights": weights_digest(run),
        "seed": experiment.seed,
    }
    if "@" in backend.name:  # another calibration is another evaluation
        key["calibrated"] = getattr(backend, "calibrated", None)
    folder = run.evaluations / folder_name(backend.name, key_of(key))
    return Evaluation(run, backend, circuit_of(run), selection, folder)


def circuit_of(run: Run) -> CircuitProgram:
    """The quantum circuit of a run's model."""
    return circuit_spec(run.experiment().model).build()


def evaluate(evaluation: Evaluation, *, progress: Progress) -> Path:
    """Run it, write its folder whole, and return the folder; a finished one is returned as it is."""
    if evaluation.finished:
        return evaluation.folder
    run, backend, selection = evaluation.run, evaluation.backend, evaluation.selection
    compiled = backend.compile(evaluation.program)
    model = load_model(run)
    h, u = _angles(run, selection, model, progress)
    q, record, standard_errors = _expectations(backend, compiled, model, u, progress)
    return write_evaluation(
        evaluation.folder,
        selection,
        angles=u,
        values=q,
        standard_errors=standard_errors,
        probabilities=_decide(model, h, q),
        record=record,
        seed=run.experiment().seed,
    )


def compute_angles(
    run: Run, selection: Selection, progress: Progress
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Features (N, d) and angles (N, Q) of the images, and the weights (W,) of the circuit."""
    model = load_model(run)
    h, u = _angles(run, selection, model, progress)
    return h.numpy(), u, model.circuit.weight.detach().double().numpy()


def decide(run: Run, features: NDArray[np.float32], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities (N, C) from features (N, d) and expectation values (N, Q)."""
    return _decide(load_model(run), torch.from_numpy(features), values)


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


def _image_rows(run: Run, selection: Selection) -> tuple[Manifest, pd.DataFrame]:
    """The images in the data as they are now; raises :class:`UserError` where some are no longer there."""
    experiment = run.experiment()
    manifest = _manifest(experiment.data, experiment.seed)
    rows = manifest.table.set_index("id", drop=False)
    lost = [name for name in selection.ids if name not in rows.index]
    if lost:
        raise UserError(
            f"{experiment.data.source}: {len(lost)} of the run's {selection.split} images are no longer there, such as "
            f"{min(lost)}"
        )
    return manifest, rows.loc[selection.ids].reset_index(drop=True)


_Angles = tuple[torch.Tensor, NDArray[np.float64]]
_last_angles: dict[tuple[str, tuple[str, ...]], _Angles] = {}
"""Features and angles of the last weights and samples: they do not depend on the backend."""


def _angles(run: Run, selection: Selection, model: HybridModel, progress: Progress) -> _Angles:
    key = (weights_digest(run), tuple(selection.ids))
    if key not in _last_angles:
        _last_angles.clear()
        manifest, rows = _image_rows(run, selection)
        images = load_images(
            manifest,
            run.experiment().data.size,
            rows=rows,
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
    weights = model.circuit.weight.detach().double().numpy()
    result = run_exactly(backend, compiled, u, weights) or backend.run(compiled, u, weights)
    progress(f"running on {backend.name}", 1, 1)
    note = takes_over(backend, u.shape[1]) if backend.simulated and backend.shots is None else None
    record = dict(result.record)
    if note is not None:
        record["note"] = f"{note}; {record['note']}" if "note" in record else note
    return result.values, record, result.standard_errors


def _decide(model: HybridModel, h: torch.Tensor, q: NDArray[np.float64]) -> NDArray[np.float64]:
    with torch.inference_mode():
        logits = model.decide(h, torch.as_tensor(q, dtype=h.dtype))
        return logits.double().softmax(dim=1).numpy()
