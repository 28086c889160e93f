"""Trained weights on IBM hardware: place and plan, send, and decide, as three steps with a folder between them.

A hardware evaluation keeps ``hardware/<slug>-<key8>/`` in the run folder from the moment it is submitted: circuit,
angles, what sits where, raw results. Whoever continues it needs nothing else until the decision, so torch is loaded for
the angles and for the decision only, not for waiting.
"""

from __future__ import annotations

import ipaddress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from backends.errors import BackendError
from backends.hardware_options import HardwareOptions
from backends.ibm.arrangement import Collected
from backends.ibm.client import Service
from backends.ibm.layers import LayerNoise
from backends.ibm.ledger import PENDING, Ledger
from backends.ibm.noise_store import NoiseStore
from backends.ibm.plan import charges_of
from backends.ibm.prepare import Prepared, collect, make_task
from backends.ibm.prepare import prepare as prepare_task
from backends.ibm.results import Drift, ExecutionResult
from backends.ibm.task import Submission, is_kept, write_whole
from backends.names import BackendName, parse_name
from backends.record import versions
from hybridq.errors import UserError
from hybridq.results.evaluation import write_evaluation
from hybridq.results.selection import ImageChoice, Selection, choose
from hybridq.run_folder import RunFolder, open_run
from hybridq.typing import FloatArray, Progress

NOT_IN_THE_NAME = (
    *("reference_chunk", "max_quantum_seconds", "price_per_second", "seconds_per_circuit", "noise_max_age"),
)
"""Settings of the section ``hardware`` that results do not depend on."""
LEFT_OUT = {("copies", "auto"), ("dd", "none"), ("references", "auto"), ("fractional", "off"), ("pec", "off")}
"""Settings that a name does not spell out."""

INPUTS = "inputs.npz"
"""Features and angles of the images."""


@dataclass(frozen=True)
class HardwarePlan:
    """An evaluation on a device: nothing is asked of the service yet."""

    run: RunFolder
    name: BackendName
    """With what the run's configuration adds; shots and resilience written out."""
    selection: Selection
    seed: int
    repeat: str | None
    """Label of a repetition; another label is another evaluation."""
    key: str
    request: dict[str, Any]
    """Split, limit and so on, as asked; enough to prepare the same evaluation again."""

    @property
    def label(self) -> str:
        """What results call it: the backend's name, and the repetition."""
        return self.name.canonical + (f" (repeat {self.repeat})" if self.repeat else "")

    @property
    def device(self) -> str:
        """Name of the device at IBM."""
        return str(self.name.device)

    @property
    def options(self) -> HardwareOptions:
        """Shots, mitigation and so on."""
        return self.name.options or HardwareOptions()

    @property
    def folder(self) -> Path:
        """Of the results; there once they are whole."""
        return self.run.result_folder("evaluations", self.label, self.key)

    @property
    def task_folder(self) -> Path:
        """Of what was sent and what came back."""
        return self.run.result_folder("hardware", self.label, self.key)

    @property
    def finished(self) -> bool:
        """Whether its results are on disk; they are never asked for again."""
        return (self.folder / "metrics.json").is_file()

    @property
    def submitted(self) -> bool:
        """Whether a task is kept, so that it is continued and not planned anew."""
        return is_kept(self.task_folder)


def plan(run: RunFolder, backend: str, choice: ImageChoice | None = None, *, repeat: str | None = None) -> HardwarePlan:
    """Choose the images and name the evaluation; asks no service and loads no torch.

    Its key is a hash of backend and options, images, weights, circuit, seed and label. Raises :class:`UserError` as
    :func:`hybridq.results.selection.choose`, for images of another source, and for an empty label.
    """
    choice = choice or ImageChoice()
    if choice.data is not None:
        raise UserError(f"--data is for simulated backends; {backend} is hardware")
    if repeat is not None and not repeat.strip():
        raise UserError("--repeat needs a label, such as --repeat second-day")
    return _evaluation(run, complete_name(run, backend), choice, repeat)


def _evaluation(run: RunFolder, name: BackendName, choice: ImageChoice, repeat: str | None) -> HardwarePlan:
    experiment, selection = run.experiment, choose(run, choice)
    seed = experiment.seed if name.seed is None else name.seed
    key = run.result_key(
        choice.split,
        selection.ids,
        backend=name.canonical,
        model=experiment.model.key_content(),
        seed=seed,
        repeat=repeat,
    )
    asked = {"split": choice.split, "limit": choice.limit, "stratified": choice.stratified}
    request = {"backend": name.canonical, **asked, "repeat": repeat}
    return HardwarePlan(run, name, selection, seed, repeat, key, request)


def complete_name(run: RunFolder, backend: str) -> BackendName:
    """A hardware backend's name with what it leaves open taken from the run's configuration (``hardware``).

    Shots (or precision) and resilience are written out: ``ibm_boston`` and ``ibm_boston:shots=4096`` may ask for the
    same and so must be called the same. Raises :class:`UserError` where name and configuration do not go together.
    """
    base, _, given = parse_name(backend).canonical.partition(":")
    asked = dict(item.split("=", 1) for item in given.split(",")) if given else {}
    hardware = run.experiment.hardware
    taken = {"shots" if hardware.precision is not None else "precision"}
    if asked.keys() & {"shots", "precision"}:
        taken = {"shots", "precision"}
    left_out = {*NOT_IN_THE_NAME, *taken}
    known = {key: value for key, value in hardware.key_content().items() if key not in left_out}
    items = {key: _in_a_name(value) for key, value in known.items() if value is not None} | asked
    items = {key: value for key, value in items.items() if (key, value) not in LEFT_OUT}
    try:
        return parse_name(f"{base}:{','.join(f'{key}={value}' for key, value in items.items())}")
    except BackendError as error:
        raise UserError(f"{run.config} (hardware), with {backend}: {error}") from None


def _in_a_name(value: Any) -> Any:
    """Return a setting as a backend's name has it: ``on`` and ``off``, and slashes between the parts of a list."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return "/".join(str(part) for part in value) if isinstance(value, (list, tuple)) else value


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


def plan_of(task: Submission) -> HardwarePlan:
    """The evaluation that a kept task belongs to; raises :class:`UserError` where the run is no longer what it was."""
    if "request" not in task.record:
        raise UserError(f"{task.folder}: was submitted by a program of your own, and the same program goes on with it")
    request = dict(task.record["request"])
    # The name is complete: what the configuration says by now is another evaluation's.
    run = run_of(task)
    name, repeat = parse_name(request.pop("backend")), request.pop("repeat")
    evaluation = _evaluation(run, name, ImageChoice(**request), repeat)
    if evaluation.key != task.key:
        raise UserError(
            f"{run.folder}: weights, images or configuration were changed since {task.backend} was submitted; its raw "
            f"results are in {task.folder}"
        )
    return evaluation


def run_of(task: Submission) -> RunFolder:
    """The run that a task is of: the one whose folder it is kept in, wherever that is by now."""
    return open_run(task.folder.parent.parent)


def find_task_folder(noted: Path) -> Path | None:
    """Where a task is kept that was noted in a folder; None where it is gone.

    A run that was renamed or moved is looked for among the folders beside where it was, and in the working directory
    and its folder of runs. Two copies of it are not told apart, and so neither is taken.
    """
    if is_kept(noted):
        return noted
    places = {noted.parent.parent.parent.absolute(), Path.cwd(), Path.cwd() / "runs"}
    pattern = f"*/{noted.parent.name}/{noted.name}"
    found = {
        folder.resolve() for place in places if place.is_dir() for folder in place.glob(pattern) if is_kept(folder)
    }
    return found.pop() if len(found) == 1 else None


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
        record=_record(evaluation, task, result, collected),
        features=inference.representations(collected.values),
    )


def _read_inputs(evaluation: HardwarePlan) -> tuple[NDArray[np.float32], FloatArray]:
    path = evaluation.task_folder / INPUTS
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return arrays["features"], arrays["angles"]
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None


def _record(
    evaluation: HardwarePlan, task: Submission, result: ExecutionResult, collected: Collected
) -> dict[str, Any]:
    kept = task.record
    imitation = is_imitation(kept["host"])
    one_copy, whole = kept["circuit"]["copies"][0], kept["circuit"]
    counted = ("depth", "two_qubit_gates", "gate_counts")
    return {
        "backend": evaluation.label,
        "kind": "simulated device" if imitation else "hardware",
        "simulated": imitation,
        **whole,
        **{name: one_copy[name] for name in counted},
        "versions": dict(versions()),
        "seed": evaluation.seed,
        "shots": evaluation.options.circuit_shots,
        "circuits": kept["plan"]["circuits"],
        "executions": kept["plan"]["executions"],
        "job_ids": [job.job_id for job in result.jobs],
        "quantum_seconds": result.charged_seconds,
        "estimated_quantum_seconds": kept["plan"]["quantum_seconds"],
        "seconds": _running_seconds(result),
        "options": evaluation.options.as_dict(),
        "hardware": {
            "service": kept["host"],
            "device": evaluation.device,
            "copies": len(whole["copies"]),
            "whole_circuit": {name: whole[name] for name in counted},
            "rows": len(task.values),
            "options": result.options,
            "jobs": [asdict(job) for job in result.jobs],
            "surplus_jobs": list(result.surplus),
            "other_jobs": [asdict(job) for job in result.others],
            "patches": [
                {
                    "qubits": patch["qubits"],
                    "expected_error": patch["expected_error"],
                    "two_qubit_gates": patch["two_qubit_gates"],
                    **({} if not collected.patches else asdict(collected.patches[copy])),
                }
                for copy, patch in enumerate(whole["copies"])
            ],
            "drift": None if result.drift is None else drift_record(result.drift),
            **({} if result.noise is None else {"layer_noise": noise_record(task, result.noise)}),
            "raw": str(Path("hardware") / evaluation.task_folder.name),
        },
    }


def drift_record(drift: Drift) -> dict[str, float]:
    """How far the first chunk had moved when it was repeated, over all its values ⟨Z⟩ (rms), and what shots explain.

    ``in_errors`` is the rms of the differences in units of their standard errors: about 1 without drift.
    """
    moved = drift.repeated - drift.first
    variance = drift.first_errors**2 + drift.repeated_errors**2
    return {
        "values": float(moved.size),
        "mean": float(moved.mean()),
        "rms": float(np.sqrt((moved**2).mean())),
        "shot_noise": float(np.sqrt(variance.mean())),
        "in_errors": float(np.sqrt((moved**2 / np.maximum(variance, 1e-12)).mean())),
    }


def noise_record(task: Submission, noise: LayerNoise) -> dict[str, Any]:
    """What is known of the noise that values are mitigated with: where it is from, and how much of it PEC leaves.

    ``left`` is the share of the learned rates that is not cancelled, since cancelling all of it takes ``overhead``
    times the shots and no more than ``pec_overhead`` were allowed; None with PEA.
    """
    overhead, allowed = noise.overhead(task.layers.uses), task.options.most_overhead
    left = max(0.0, 1 - np.log(allowed) / np.log(overhead)) if overhead > 1 else 0.0
    return {
        "job_id": noise.job_id,
        "learned": noise.learned,
        "reused": task.noise is not None,
        "layers": len(noise.layers),
        "overhead": round(overhead, 6),
        "left": round(float(left), 6) if task.options.pec else None,
    }


def _running_seconds(result: ExecutionResult) -> float | None:
    """Wall-clock seconds in which the jobs ran, queues left out; None where the service does not say."""
    try:
        times = [
            (datetime.fromisoformat(job.timestamps["running"]), datetime.fromisoformat(job.timestamps["finished"]))
            for job in result.jobs
        ]
    except (KeyError, ValueError):
        return None
    return round(sum((end - start).total_seconds() for start, end in times), 3)


def is_imitation(host: str) -> bool:
    """Whether a host can be no service of IBM's: this machine, or a name reserved for tests (RFC 6761)."""
    if host == "localhost" or host.endswith((".localhost", ".test", ".invalid", ".example")):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
