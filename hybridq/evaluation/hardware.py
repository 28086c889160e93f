"""Trained weights on IBM hardware: place and plan, send, and decide, as three steps with a folder between them.

A hardware evaluation keeps ``hardware/<slug>-<key8>/`` in the run folder from the moment it is submitted: circuit,
angles, what sits where, raw results. Whoever continues it needs nothing else until the decision, so torch is loaded for
the angles and for the decision only, not for waiting.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from backends.ibm.client import Service
from backends.ibm.ledger import PENDING, Ledger
from backends.ibm.noise_store import NoiseStore
from backends.ibm.plan import charges_of
from backends.ibm.prepare import Prepared, collect, make_task
from backends.ibm.prepare import prepare as prepare_task
from backends.ibm.results import ExecutionResult
from backends.ibm.task import Submission, write_whole
from hybridq.errors import UserError
from hybridq.evaluation.hardware_plan import HardwarePlan
from hybridq.evaluation.hardware_record import record_of
from hybridq.results.evaluation import write_evaluation
from hybridq.typing import FloatArray, Progress

INPUTS = "inputs.npz"
"""Features and angles of the images."""


def place(
    evaluation: HardwarePlan,
    service: Service,
    *,
    reference_chunk: bool | None = None,
    price_per_second: float | None = None,
    noise_max_age: float | None = None,
    ledger: Ledger | None = None,
) -> Prepared:
    """Place copies of the circuit on the device, arrange the images on them, and plan the jobs; nothing is sent.

    Layer noise that is kept beside the ledger and not older than ``noise_max_age`` hours is used again.

    Raises :class:`BackendError` as :func:`backends.ibm.plan.prepare`.
    """
    from hybridq.evaluation.inference import circuit_of

    hardware = evaluation.run.experiment.hardware
    return prepare_task(
        circuit_of(evaluation.run),
        evaluation.name,
        len(evaluation.selection.rows),
        service=service,
        seed=evaluation.seed,
        reference_chunk=reference_chunk,
        seconds_per_circuit=hardware.seconds_per_circuit,
        price_per_second=hardware.price_per_second if price_per_second is None else price_per_second,
        charged=lambda instance: None if ledger is None else charges_of(ledger, instance),
        store=None if ledger is None else NoiseStore.beside(ledger.path),
        noise_max_age_hours=hardware.noise_max_age if noise_max_age is None else noise_max_age,
    )


def build_submission(evaluation: HardwarePlan, placed: Prepared, progress: Progress) -> Submission:
    """Compute the angles and keep them; the task that :func:`backends.ibm.execution.execute` takes."""
    from hybridq.evaluation.inference import Inference

    inference = Inference(evaluation.selection, progress)
    features, angles, weights = inference.features.numpy(), inference.angles, inference.weights
    # Two processes may both be here; what they write is the same, and one of their tasks is kept.
    write_whole(evaluation.task_folder / INPUTS, lambda file: np.savez(file, features=features, angles=angles))
    return make_task(
        placed,
        angles,
        weights,
        key=evaluation.key,
        folder=evaluation.task_folder,
        backend=evaluation.label,
        run=str(evaluation.run.folder.absolute()),
        record={"request": evaluation.request},
    )


def load_submission(evaluation: HardwarePlan) -> Submission:
    """The task that was kept when the evaluation was submitted, in the run as it is called now."""
    task = Submission.load(evaluation.task_folder.absolute())
    return replace(task, run=str(evaluation.run.folder.absolute()))


@dataclass(frozen=True)
class SubmissionStatus:
    """How far a submitted evaluation is, by the ledger."""

    chunks: int
    finished: int
    pending: int
    """At the service."""
    unsent: int
    """Not sent for certain: not yet, interrupted while sending, or failed or cancelled and so to be sent again."""
    spent_seconds: float
    """Quantum seconds charged, or estimated where the service has not counted yet, of all jobs so far: those that came
    to be twice, failed or were cancelled included, and nothing for what the service did not take."""
    unsent_seconds: float
    """Estimate of what is still to be sent."""
    agreed: bool
    """Whether it was agreed on this machine that what is still to be sent be sent."""


def status_of(task: Submission, ledger: Ledger) -> SubmissionStatus:
    """How far a task is."""
    latest = ledger.latest(task.key)
    states = {chunk: row.state for chunk, row in latest.items()}
    unsent = [c for c in task.needed(states) if states.get(c) not in {"done", *PENDING}]
    sent = [row for row in ledger.jobs(task.key) if row.job_id is not None]
    noted = ledger.evaluation(task.key)
    return SubmissionStatus(
        chunks=len(task.chunks),
        finished=sum(state == "done" for state in states.values()),
        pending=sum(state in PENDING for state in states.values()),
        unsent=len(unsent),
        spent_seconds=sum(
            row.estimated_seconds if row.charged_seconds is None else row.charged_seconds for row in sent
        ),
        unsent_seconds=sum(task.chunks[c].estimated_seconds for c in unsent),
        agreed=noted is not None and noted.agreed is not None,
    )


def finish(evaluation: HardwarePlan, result: ExecutionResult) -> Path:
    """Decide, and write the evaluation's folder whole."""
    import torch

    from hybridq.evaluation.inference import Inference

    if evaluation.finished:
        return evaluation.folder
    task = load_submission(evaluation)
    features, angles = _read_inputs(evaluation)
    collected = collect(task, result)
    inference = Inference(evaluation.selection)
    inference.features = torch.from_numpy(features)
    return write_evaluation(
        evaluation.folder,
        evaluation.selection,
        angles=angles,
        values=collected.values,
        standard_errors=collected.errors,
        probabilities=inference.probabilities(collected.values),
        record=record_of(evaluation, task, result, collected),
        features=inference.representations(collected.values),
    )


def _read_inputs(evaluation: HardwarePlan) -> tuple[NDArray[np.float32], FloatArray]:
    path = evaluation.task_folder / INPUTS
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return arrays["features"], arrays["angles"]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
