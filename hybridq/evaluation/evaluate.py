"""Trained weights on a simulated backend: all angles first, then the backend, then the decision.

The same three steps on hardware, where days may lie between them, are in :mod:`hybridq.evaluation.hardware`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backends import open_backend
from backends.contract import Backend, CircuitProgram, CompiledCircuit
from backends.names import NOISELESS_BACKEND, parse_name
from backends.record import versions
from hybridq.errors import UserError
from hybridq.evaluation.explanations import save_explanations
from hybridq.evaluation.inference import Inference
from hybridq.evaluation.representations import save_stability
from hybridq.files import check_folder
from hybridq.models.build import has_circuit
from hybridq.models.registry import has_place_for_circuit
from hybridq.quantum.engine_choice import aer_fallback_reason, run_exactly
from hybridq.results.evaluation import write_evaluation
from hybridq.results.replaced_q import INTERVENTIONS, intervened, shuffled_rows
from hybridq.typing import FloatArray, Progress


@dataclass(frozen=True)
class EvaluationPlan:
    """An evaluation that is ready to run: what it runs on, which images, and where its results will be."""

    inference: Inference
    backend: Backend
    program: CircuitProgram | None
    """None where the model has no circuit: nothing runs on the backend then."""
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


def plan_evaluation(inference: Inference, backend_name: str, *, replace_q: str | None = None) -> EvaluationPlan:
    """Open the backend and find the images; nothing is run or written.

    ``replace_q`` is one of ``INTERVENTIONS``; since the training mean is of the noiseless simulator, q replaced by it
    is one evaluation, of ``aer``, whichever backend is named.

    Raises :class:`UserError` when the data no longer hold the images, for hardware, and for ``replace_q`` of a model
    that has no q.
    """
    run, selection = inference.run, inference.selection
    experiment = run.experiment
    if parse_name(backend_name).kind == "ibm":
        raise UserError(f"{backend_name} is hardware, which hybridq.evaluation.hardware evaluates")
    backend = open_backend(backend_name, seed=experiment.seed)
    program = inference.program if backend_name != NOISELESS_BACKEND or has_circuit(experiment.model) else None
    also: dict[str, Any] = {}
    if replace_q is not None:
        if replace_q not in INTERVENTIONS:
            raise UserError(f"--replace-q {replace_q}: allowed are {', '.join(INTERVENTIONS)}")
        if not has_place_for_circuit(experiment.model):
            raise UserError(f"{run.folder}: its model has neither a circuit nor anything in its place, so no q")
        if replace_q == "mean":
            backend = open_backend(NOISELESS_BACKEND, seed=experiment.seed)
        also["replace_q"] = replace_q
    _ = selection.located  # raises where images are gone
    if "@" in backend.name:  # another calibration is another evaluation
        also["calibrated"] = getattr(backend, "calibrated", None)
    if selection.source is not None:
        also["data"] = selection.source
    if selection.choice.own_range:
        also["range"] = "own"
    key = run.result_key(selection.split, selection.ids, backend=backend.name, **also)
    folder = run.result_folder("evaluations", intervened(backend.name, replace_q), key)
    return EvaluationPlan(inference, backend, program, folder, replace_q)


def evaluate(plan: EvaluationPlan, *, progress: Progress | None = None) -> Path:
    """Run it, write its folder whole, and return the folder; a finished one is returned as it is.

    ``progress`` is told in place of the inference's own.
    """
    if plan.finished:
        return plan.folder
    check_folder(plan.folder.parent)
    inference = plan.inference
    if progress is not None:
        inference.progress = progress
    q, record, standard_errors = _values(plan)
    scored, selection = inference.scored(q), inference.selection

    def describe(folder: Path) -> None:
        images, told = inference.images, inference.progress
        told("explaining", 0, 2)
        save_explanations(folder, inference.model, images, selection.ids, scored, selection.task)
        told("explaining", 1, 2)
        save_stability(folder, inference.model, images, inference.run.experiment)
        told("explaining", 2, 2)

    return write_evaluation(
        plan.folder,
        selection,
        angles=inference.angles,
        values=q,
        standard_errors=standard_errors,
        probabilities=scored.probabilities,
        record=record,
        features=inference.representations(q),
        # Noise changes q alone; gradients and features are those of the noiseless circuit.
        describe=describe if plan.label == NOISELESS_BACKEND else None,
    )


def expectations(
    backend: Backend, compiled: CompiledCircuit, angles: FloatArray, weights: FloatArray
) -> tuple[FloatArray, dict[str, Any], FloatArray]:
    """Return q (N, Q) of a circuit on a simulated backend, what ran, and the standard errors of q."""
    result = run_exactly(backend, compiled, angles, weights) or backend.run(compiled, angles, weights)
    note = aer_fallback_reason(backend, angles.shape[1]) if backend.simulated and backend.shots is None else None
    record = dict(result.record)
    if note is not None:
        record["note"] = f"{note}; {record['note']}" if "note" in record else note
    return result.values, record, result.standard_errors


def _values(plan: EvaluationPlan) -> tuple[FloatArray, dict[str, Any], FloatArray]:
    """q (N, Q) as the decision is given it, what ran, and the standard errors of q."""
    inference, backend, by = plan.inference, plan.backend, plan.replace_q
    intervention: dict[str, Any] = {"replace_q": by, "backend": backend.name}
    if by == "mean":
        mean, images = inference.training_mean()
        record = _nothing_ran(backend, f"q is its mean over {images:,} training images on the noiseless simulator")
        record |= {"backend": plan.label, "intervention": intervention | {"mean": mean.tolist()}}
        q = np.tile(mean, (len(inference.selection.rows), 1))
        return q, record, np.zeros_like(q)
    if plan.program is None:
        q = inference.exact_values()
        record, errors = _nothing_ran(backend, "the model has no circuit; nothing ran on the backend"), np.zeros_like(q)
    else:
        compiled = backend.compile(plan.program)
        angles, weights = inference.angles, inference.weights
        inference.progress(f"running on {backend.name}", 0, 1)
        q, record, errors = expectations(backend, compiled, angles, weights)
        inference.progress(f"running on {backend.name}", 1, 1)
    if by == "shuffle":
        seed = inference.run.experiment.seed
        given = shuffled_rows(len(q), seed)
        record |= {"backend": plan.label, "intervention": intervention | {"seed": seed}}
        q, errors = q[given], errors[given]
    return q, record, errors


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
