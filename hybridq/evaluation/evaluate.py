"""Trained weights on a simulated backend: all angles first, then the backend, then the decision.

The same three steps on hardware, where days may lie between them, are in :mod:`hybridq.evaluation.hardware`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from backends import open_backend
from backends.contract import Backend, CircuitProgram, CompiledCircuit
from backends.names import parse_name
from backends.record import versions
from hybridq.config import Data
from hybridq.data.cache import open_images
from hybridq.data.images import Images, read_files
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
from hybridq.evaluation.tasks import task_named
from hybridq.models import Classifier
from hybridq.models.objective import objective_of
from hybridq.models.saved import circuit_spec, has_circuit, load_model
from hybridq.quantum.exact import run_exactly, takes_over
from hybridq.quantum.layer import QuantumLayer
from hybridq.runs import Run

BATCH = 256
NOISELESS = "aer"
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Evaluation:
    """An evaluation that is ready to run: what it runs on, which images, and what it costs."""

    run: Run
    backend: Backend
    program: CircuitProgram | None
    """None where the model has no circuit: nothing runs on the backend then."""
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

    ``limit`` takes that many images, drawn with the run's seed, as in :func:`choose_images`.
    Raises :class:`UserError` when the data no longer hold the run's images, when the split does not exist or when the
    limit leaves a class empty, and for hardware.
    """
    experiment = run.experiment()
    if parse_name(backend_name).kind == "ibm":
        raise UserError(f"{backend_name} is hardware, which hybridq.evaluation.hardware evaluates")
    backend = open_backend(backend_name, seed=experiment.seed)
    program = circuit_of(run) if backend_name != NOISELESS or has_circuit(experiment.model) else None
    selection = choose_images(run, split, limit, stratified)
    _image_positions(run, selection)
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
    return Evaluation(run, backend, program, selection, folder)


def circuit_of(run: Run) -> CircuitProgram:
    """The quantum circuit of a run's model; raises :class:`UserError` where it has none."""
    settings = run.experiment().model
    if not has_circuit(settings):
        raise UserError(f"{run.folder}: its model has no circuit; it can be evaluated on {NOISELESS} alone")
    return circuit_spec(settings).build()


def evaluate(evaluation: Evaluation, *, progress: Progress) -> Path:
    """Run it, write its folder whole, and return the folder; a finished one is returned as it is."""
    if evaluation.finished:
        return evaluation.folder
    run, backend, selection = evaluation.run, evaluation.backend, evaluation.selection
    compiled = None if evaluation.program is None else backend.compile(evaluation.program)
    model = load_model(run)
    h, u = _angles(run, selection, model, progress)
    if compiled is None:
        q, record = _classical_values(backend, model, u)
        standard_errors = np.zeros_like(q)
    else:
        q, record, standard_errors = _expectations(backend, compiled, model, u, progress)
    return write_evaluation(
        evaluation.folder,
        selection,
        angles=u,
        values=q,
        standard_errors=standard_errors,
        probabilities=_decide(model, selection.task, h, q),
        record=record,
        seed=run.experiment().seed,
    )


def compute_angles(
    run: Run, selection: Selection, progress: Progress
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Features (N, d) and angles (N, Q) of the images, and the weights (W,) of the circuit."""
    model = load_model(run)
    h, u = _angles(run, selection, model, progress)
    return h.numpy(), u, _weights(model)


def decide(run: Run, features: NDArray[np.float32], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities, a column for each class or label, from features (N, d) and expectation values (N, Q)."""
    return _decide(load_model(run), run.task(), torch.from_numpy(features), values)


def predict_files(run: Run, paths: list[Path]) -> pd.DataFrame:
    """Class and probabilities of image files on the noiseless simulator: columns image, class, and one per class.

    Where an image may have several labels, the second column is ``labels``, and names those decided.
    """
    model = load_model(run)
    classes, task = run.classes(), task_named(run.task())
    images = read_files(paths, run.experiment().data)
    with torch.inference_mode():
        probabilities = objective_of(run.task()).probabilities(model(to_float(images)).double()).numpy()
    result = pd.DataFrame({"image": [str(path) for path in paths]})
    result[task.decision] = task.name_decisions(task.decide(probabilities), classes)
    return pd.concat([result, pd.DataFrame(probabilities, columns=classes)], axis=1)


@lru_cache(maxsize=1)
def _manifest(data: Data, seed: int) -> Manifest:
    """Several backends are evaluated on the same images, and checking a source reads every file of it."""
    return load_manifest(data.source, data, seed)


def _image_positions(run: Run, selection: Selection) -> tuple[Manifest, NDArray[np.int64]]:
    """The data as they are now, and where in their table the images stand.

    Raises :class:`UserError` where some are no longer there.
    """
    experiment = run.experiment()
    manifest = _manifest(experiment.data, experiment.seed)
    position = {name: index for index, name in enumerate(manifest.table["id"])}
    lost = [name for name in selection.ids if name not in position]
    if lost:
        raise UserError(
            f"{experiment.data.source}: {len(lost)} of the run's {selection.split} images are no longer there, such as "
            f"{min(lost)}"
        )
    return manifest, np.array([position[name] for name in selection.ids])


_Angles = tuple[torch.Tensor, NDArray[np.float64]]
_last_angles: dict[tuple[str, tuple[str, ...]], _Angles] = {}
"""Features and angles of the last weights and samples: they do not depend on the backend."""


def _angles(run: Run, selection: Selection, model: Classifier, progress: Progress) -> _Angles:
    key = (weights_digest(run), tuple(selection.ids))
    if key not in _last_angles:
        _last_angles.clear()
        manifest, positions = _image_positions(run, selection)
        images = open_images(manifest, run.experiment().data, progress=partial(progress, "decoding images"))
        _last_angles[key] = _compute_angles(model, images.view(positions), progress)
    return _last_angles[key]


def _compute_angles(model: Classifier, images: Images, progress: Progress) -> _Angles:
    features = []
    with torch.inference_mode():
        for start in range(0, len(images), BATCH):
            features.append(model.features(to_float(images[start : start + BATCH])))
            progress("computing angles", min(start + BATCH, len(images)), len(images))
        h = torch.cat(features)
        return h, model.angles(h).double().numpy()


def _expectations(
    backend: Backend, compiled: CompiledCircuit, model: Classifier, u: NDArray[np.float64], progress: Progress
) -> tuple[NDArray[np.float64], dict[str, Any], NDArray[np.float64]]:
    progress(f"running on {backend.name}", 0, 1)
    weights = _weights(model)
    result = run_exactly(backend, compiled, u, weights) or backend.run(compiled, u, weights)
    progress(f"running on {backend.name}", 1, 1)
    note = takes_over(backend, u.shape[1]) if backend.simulated and backend.shots is None else None
    record = dict(result.record)
    if note is not None:
        record["note"] = f"{note}; {record['note']}" if "note" in record else note
    return result.values, record, result.standard_errors


def _classical_values(
    backend: Backend, model: Classifier, u: NDArray[np.float64]
) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """What stands in the circuit's place gives, and a record that says that there is no circuit."""
    with torch.inference_mode():
        values = model.circuit(torch.as_tensor(u, dtype=torch.float32)).double().numpy()
    record = {
        "backend": backend.name,
        "kind": backend.kind,
        "simulated": backend.simulated,
        "versions": dict(versions()),
        "circuits": 0,
        "executions": 0,
        "quantum_seconds": 0.0,
        "note": "the model has no circuit; nothing ran on the backend",
    }
    return values, record


def _weights(model: Classifier) -> NDArray[np.float64]:
    """Of the circuit, (W,) radians."""
    assert isinstance(model.circuit, QuantumLayer)
    return model.circuit.weight.detach().double().numpy()


def _decide(model: Classifier, task: str, h: torch.Tensor, q: NDArray[np.float64]) -> NDArray[np.float64]:
    with torch.inference_mode():
        logits = model.decide(h, torch.as_tensor(q, dtype=h.dtype))
        return objective_of(task).probabilities(logits.double()).numpy()
