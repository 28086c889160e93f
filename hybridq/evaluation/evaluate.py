"""Trained weights on a simulated backend: all angles first, then the backend, then the decision.

The same three steps on hardware, where days may lie between them, are in :mod:`hybridq.evaluation.hardware`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from backends import open_backend
from backends.contract import Backend, CircuitProgram, CompiledCircuit
from backends.names import parse_name
from backends.record import versions
from hybridq.data.images.intensity import Levels
from hybridq.errors import UserError
from hybridq.evaluation.explanations import save_explanations
from hybridq.evaluation.images import choose_elsewhere, features_of, images_of, locate
from hybridq.evaluation.representations import representations, save_stability
from hybridq.evaluation.training_mean import training_mean
from hybridq.files import check_folder
from hybridq.models import Classifier
from hybridq.models.build import circuit_spec, has_circuit, load_model
from hybridq.models.objectives import objective_of
from hybridq.models.registry import has_place_for_circuit
from hybridq.quantum.engine_choice import aer_fallback_reason, run_exactly
from hybridq.quantum.layer import QuantumLayer
from hybridq.results.replaced_q import INTERVENTIONS, intervened, shuffled_rows
from hybridq.results.selection import (
    Selection,
    choose_images,
    folder_name,
    key_of,
    weights_digest,
    write_evaluation,
)
from hybridq.run_folder import RunFolder
from hybridq.typing import Progress

NOISELESS = "aer"


@dataclass(frozen=True)
class EvaluationPlan:
    """An evaluation that is ready to run: what it runs on, which images, and what it costs."""

    run: RunFolder
    backend: Backend
    program: CircuitProgram | None
    """None where the model has no circuit: nothing runs on the backend then."""
    selection: Selection
    folder: Path
    replace_q: str | None = None
    """How q is replaced (``INTERVENTIONS``), if at all."""

    @property
    def label(self) -> str:
        """What results call it: the backend's name, and how q was replaced."""
        return intervened(self.backend.name, self.replace_q)

    @property
    def finished(self) -> bool:
        """Whether its results are on disk; they are never computed again."""
        return (self.folder / "metrics.json").is_file()


def plan_evaluation(
    run: RunFolder,
    backend_name: str,
    *,
    split: str = "test",
    limit: int | None = None,
    stratified: bool = False,
    replace_q: str | None = None,
    data: str | None = None,
    own_range: bool = False,
) -> EvaluationPlan:
    """Open the backend and choose the images; nothing is run or written.

    ``limit`` takes that many images, drawn with the run's seed, as in :func:`choose_images`. ``replace_q`` is one of
    ``INTERVENTIONS``; since the training mean is of the noiseless simulator, q replaced by it is one evaluation, of
    ``aer``, whichever backend is named. ``data`` is another source than the run's, with the same classes;
    ``own_range`` brings its images to their own range of intensities in place of the run's.

    Raises :class:`UserError` when the data no longer hold the run's images, when the split does not exist or when the
    limit leaves a class empty, for hardware, for ``replace_q`` of a model that has no q, and for ``data`` with another
    task, other classes or intensities far outside of the run's.
    """
    experiment = run.experiment()
    if parse_name(backend_name).kind == "ibm":
        raise UserError(f"{backend_name} is hardware, which hybridq.evaluation.hardware evaluates")
    backend = open_backend(backend_name, seed=experiment.seed)
    program = circuit_of(run) if backend_name != NOISELESS or has_circuit(experiment.model) else None
    if replace_q is not None:
        if replace_q not in INTERVENTIONS:
            raise UserError(f"--replace-q {replace_q}: allowed are {', '.join(INTERVENTIONS)}")
        if not has_place_for_circuit(experiment.model):
            raise UserError(f"{run.folder}: its model has neither a circuit nor anything in its place, so no q")
        if replace_q == "mean":
            backend = open_backend(NOISELESS, seed=experiment.seed)
    if own_range and data is None:
        raise UserError("--range own is for --data: the images of the run are brought to its range")
    if data is None:
        selection = choose_images(run, split, limit, stratified)
        locate(run, selection)
    else:
        selection = choose_elsewhere(run, data, split, limit, stratified, own_range=own_range)
    key = {
        "backend": backend.name,
        "split": split,
        "samples": selection.ids,
        "weights": weights_digest(run),
        "seed": experiment.seed,
    }
    if "@" in backend.name:  # another calibration is another evaluation
        key["calibrated"] = getattr(backend, "calibrated", None)
    if replace_q is not None:
        key["replace_q"] = replace_q
    if data is not None:
        key["data"] = data
    if own_range:
        key["range"] = "own"
    folder = run.evaluations / folder_name(intervened(backend.name, replace_q), key_of(key))
    return EvaluationPlan(run, backend, program, selection, folder, replace_q)


def circuit_of(run: RunFolder) -> CircuitProgram:
    """The quantum circuit of a run's model; raises :class:`UserError` where it has none."""
    settings = run.experiment().model
    if not has_circuit(settings):
        raise UserError(f"{run.folder}: its model has no circuit; it can be evaluated on {NOISELESS} alone")
    return circuit_spec(settings).build()


def evaluate(evaluation: EvaluationPlan, *, progress: Progress) -> Path:
    """Run it, write its folder whole, and return the folder; a finished one is returned as it is."""
    if evaluation.finished:
        return evaluation.folder
    check_folder(evaluation.folder.parent)
    run, selection = evaluation.run, evaluation.selection
    program = None if evaluation.replace_q == "mean" else evaluation.program
    compiled = None if program is None else evaluation.backend.compile(program)
    model = load_model(run)
    h, u = _angles(run, selection, model, progress)
    q, record, standard_errors = _values(evaluation, compiled, model, u, progress)
    probabilities, features = _decide(model, selection.task, h, q)

    def describe(folder: Path) -> None:
        images = images_of(run, selection, progress)
        progress("explaining", 0, 2)
        save_explanations(folder, model, images, selection, probabilities)
        progress("explaining", 1, 2)
        save_stability(folder, model, images, run.experiment())
        progress("explaining", 2, 2)

    return write_evaluation(
        evaluation.folder,
        selection,
        angles=u,
        values=q,
        standard_errors=standard_errors,
        probabilities=probabilities,
        record=record,
        seed=run.experiment().seed,
        features=features,
        # Noise changes q alone; gradients and features are those of the noiseless circuit.
        describe=describe if evaluation.label == NOISELESS else None,
    )


def compute_angles(
    run: RunFolder, selection: Selection, progress: Progress
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Features (N, d) and angles (N, Q) of the images, and the weights (W,) of the circuit."""
    model = load_model(run)
    h, u = _angles(run, selection, model, progress)
    return h.numpy(), u, _weights(model)


def decide(
    run: RunFolder, features: NDArray[np.float32], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], dict[str, NDArray[Any]]]:
    """Probabilities, a column for each class or label, from features (N, d) and expectation values (N, Q); and what
    features.npz holds."""
    return _decide(load_model(run), run.task(), torch.from_numpy(features), values)


def expectations(
    backend: Backend, compiled: CompiledCircuit, model: Classifier, angles: NDArray[np.float64]
) -> tuple[NDArray[np.float64], dict[str, Any], NDArray[np.float64]]:
    """q (N, Q) of the model's circuit on a simulated backend, what ran, and the standard errors of q."""
    weights = _weights(model)
    result = run_exactly(backend, compiled, angles, weights) or backend.run(compiled, angles, weights)
    note = aer_fallback_reason(backend, angles.shape[1]) if backend.simulated and backend.shots is None else None
    record = dict(result.record)
    if note is not None:
        record["note"] = f"{note}; {record['note']}" if "note" in record else note
    return result.values, record, result.standard_errors


_Angles = tuple[torch.Tensor, NDArray[np.float64]]
_last_angles: dict[tuple[str, str | None, Levels | None, tuple[str, ...]], _Angles] = {}
"""Features and angles of the last weights and samples: they do not depend on the backend."""


def _angles(run: RunFolder, selection: Selection, model: Classifier, progress: Progress) -> _Angles:
    key = (weights_digest(run), selection.source, selection.levels, tuple(selection.ids))
    if key not in _last_angles:
        _last_angles.clear()
        h = features_of(run, model, images_of(run, selection, progress), progress, "computing angles")
        with torch.inference_mode():
            _last_angles[key] = h, model.angles(h).double().numpy()
    return _last_angles[key]


def _values(
    evaluation: EvaluationPlan,
    compiled: CompiledCircuit | None,
    model: Classifier,
    u: NDArray[np.float64],
    progress: Progress,
) -> tuple[NDArray[np.float64], dict[str, Any], NDArray[np.float64]]:
    """q (N, Q) as the decision is given it, what ran, and the standard errors of q."""
    run, backend, by = evaluation.run, evaluation.backend, evaluation.replace_q
    intervention: dict[str, Any] = {"replace_q": by, "backend": backend.name}
    if by == "mean":
        mean, images = training_mean(run, model, progress)
        record = _nothing_ran(backend, f"q is its mean over {images:,} training images on the noiseless simulator")
        record |= {"backend": evaluation.label, "intervention": intervention | {"mean": mean.tolist()}}
        q = np.tile(mean, (len(u), 1))
        return q, record, np.zeros_like(q)
    if compiled is None:
        q = _classical_values(model, u)
        record, errors = _nothing_ran(backend, "the model has no circuit; nothing ran on the backend"), np.zeros_like(q)
    else:
        progress(f"running on {backend.name}", 0, 1)
        q, record, errors = expectations(backend, compiled, model, u)
        progress(f"running on {backend.name}", 1, 1)
    if by == "shuffle":
        seed = run.experiment().seed
        given = shuffled_rows(len(q), seed)
        record |= {"backend": evaluation.label, "intervention": intervention | {"seed": seed}}
        q, errors = q[given], errors[given]
    return q, record, errors


def _classical_values(model: Classifier, u: NDArray[np.float64]) -> NDArray[np.float64]:
    """What stands in the circuit's place gives."""
    with torch.inference_mode():
        return model.circuit(torch.as_tensor(u, dtype=torch.float32)).double().numpy()


def _nothing_ran(backend: Backend, note: str) -> dict[str, Any]:
    return {
        "backend": backend.name,
        "kind": backend.kind,
        "simulated": backend.simulated,
        "versions": dict(versions()),
        "circuits": 0,
        "executions": 0,
        "quantum_seconds": 0.0,
        "note": note,
    }


def _weights(model: Classifier) -> NDArray[np.float64]:
    """Of the circuit, (W,) radians."""
    assert isinstance(model.circuit, QuantumLayer)
    return model.circuit.weight.detach().double().numpy()


def _decide(
    model: Classifier, task: str, h: torch.Tensor, q: NDArray[np.float64]
) -> tuple[NDArray[np.float64], dict[str, NDArray[Any]]]:
    with torch.inference_mode():
        values = torch.as_tensor(q, dtype=h.dtype)
        probabilities = objective_of(task).probabilities(model.decide(h, values).double()).numpy()
        return probabilities, representations(model, h, values)
