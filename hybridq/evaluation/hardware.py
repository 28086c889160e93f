"""Trained weights on IBM hardware: place and plan, send, and decide, as three steps with a folder between them.

A hardware evaluation keeps ``hardware/<slug>-<key8>/`` in the run folder from the moment it is submitted: circuit,
angles, what sits where, raw results. Whoever continues it needs nothing else until the decision, so torch is loaded for
the angles and for the decision only, not for waiting.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from backends.devices import Device, device_of
from backends.ibm.circuit import HardwareCircuit
from backends.ibm.client import Service
from backends.ibm.copies import Arrangement, Collected, arrange, place_copies
from backends.ibm.ledger import PENDING, Ledger
from backends.ibm.options import HardwareOptions
from backends.ibm.plan import REP_DELAY_SECONDS, Plan, make_plan
from backends.ibm.results import Drift, ExecutionResult
from backends.ibm.task import Task, is_kept, write_whole
from backends.names import BackendName, parse_name
from backends.record import versions
from hybridq.errors import UserError
from hybridq.evaluation.selection import (
    Selection,
    choose_images,
    folder_name,
    key_of,
    weights_digest,
    write_evaluation,
)
from hybridq.runs import Run, open_run

Progress = Callable[[str, int, int], None]
FloatArray = NDArray[np.float64]

INPUTS = "inputs.npz"
"""Features and angles of the images, and which image sits in which row and copy."""


@dataclass(frozen=True)
class HardwareEvaluation:
    """An evaluation on a device: nothing is asked of the service yet."""

    run: Run
    name: BackendName
    """With shots and resilience written out."""
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
        return self.run.evaluations / folder_name(self.label, self.key)

    @property
    def task_folder(self) -> Path:
        """Of what was sent and what came back."""
        return self.run.folder / "hardware" / folder_name(self.label, self.key)

    @property
    def finished(self) -> bool:
        """Whether its results are on disk; they are never asked for again."""
        return (self.folder / "metrics.json").is_file()

    @property
    def submitted(self) -> bool:
        """Whether a task is kept, so that it is continued and not planned anew."""
        return is_kept(self.task_folder)


@dataclass(frozen=True)
class Placed:
    """The circuit on the chip, which image runs where, and what that costs."""

    device: Device
    compiled: HardwareCircuit
    arrangement: Arrangement
    plan: Plan
    host: str
    """Host of the service that answers."""


def prepare(
    run: Run,
    backend: str,
    *,
    split: str = "test",
    limit: int | None = None,
    stratified: bool = False,
    repeat: str | None = None,
) -> HardwareEvaluation:
    """Choose the images and name the evaluation; asks no service and loads no torch.

    Its key is a hash of backend and options, images, weights, circuit, seed and label. Raises :class:`UserError` as
    :func:`hybridq.evaluation.selection.choose_images`, and for an empty label.
    """
    if repeat is not None and not repeat.strip():
        raise UserError("--repeat needs a label, such as --repeat second-day")
    experiment = run.experiment()
    name = parse_name(complete_name(parse_name(backend)))
    selection = choose_images(run, split, limit, stratified)
    seed = experiment.seed if name.seed is None else name.seed
    key = key_of(
        {
            "backend": name.canonical,
            "split": split,
            "samples": selection.ids,
            "weights": weights_digest(run),
            "model": experiment.model.model_dump(mode="json"),
            "seed": seed,
            "repeat": repeat,
        }
    )
    request = {"backend": name.canonical, "split": split, "limit": limit, "stratified": stratified, "repeat": repeat}
    return HardwareEvaluation(run, name, selection, seed, repeat, key, request)


def complete_name(name: BackendName) -> str:
    """A hardware backend's name with shots (or precision) and resilience written out.

    ``ibm_torino`` and ``ibm_torino:shots=4096`` ask for the same and so must be called the same.
    """
    base, _, given = name.canonical.partition(":")
    items = dict(item.split("=", 1) for item in given.split(",")) if given else {}
    options = name.options or HardwareOptions()
    if options.precision is None:
        items["shots"] = str(options.shots)
    items["resilience"] = str(options.resilience)
    return f"{base}:{','.join(f'{key}={value}' for key, value in items.items())}"


def place(evaluation: HardwareEvaluation, service: Service, *, reference_chunk: bool | None = None) -> Placed:
    """Place copies of the circuit on the device, arrange the images on them, and plan the jobs; nothing is sent.

    Raises :class:`BackendError` where the account has no such device or the circuit does not fit.
    """
    from hybridq.evaluation.evaluate import circuit_of

    backend = service.device(evaluation.device)
    device = device_of(backend, evaluation.device)
    samples = len(evaluation.selection.rows)
    compiled = place_copies(
        circuit_of(evaluation.run), device, copies=evaluation.name.copies, seed=evaluation.seed, samples=samples
    )
    service.check_circuit(evaluation.device, compiled.circuit)
    arrangement = arrange(samples, len(compiled.copies), seed=evaluation.seed)
    plan = make_plan(
        compiled,
        arrangement,
        evaluation.options,
        rep_delay_seconds=rep_delay_seconds(backend),
        quota_seconds=service.remaining_seconds(),
        reference_chunk=reference_chunk,
    )
    return Placed(device, compiled, arrangement, plan, service_host(backend))


def make_task(evaluation: HardwareEvaluation, placed: Placed, progress: Progress) -> Task:
    """Compute the angles and keep them; the task that :func:`backends.ibm.execution.execute` takes."""
    from hybridq.evaluation.evaluate import compute_angles

    compiled, arrangement, plan = placed.compiled, placed.arrangement, placed.plan
    features, angles, weights = compute_angles(evaluation.run, evaluation.selection, progress)
    arrays: dict[str, Any] = {
        "features": features,
        "angles": angles,
        "references": np.array(arrangement.references, dtype=np.int64),
        "table": arrangement.table,
        "home": arrangement.home,
    }
    write_whole(evaluation.task_folder / INPUTS, lambda file: np.savez(file, **arrays))
    return Task(
        key=evaluation.key,
        device=evaluation.device,
        circuit=compiled.circuit,
        observables=compiled.observables,
        values=arrangement.values(compiled, angles, weights),
        options=evaluation.options,
        chunks=plan.chunks,
        folder=evaluation.task_folder.absolute(),
        run=str(evaluation.run.folder.absolute()),
        backend=evaluation.label,
        record={
            "request": evaluation.request,
            "host": placed.host,
            "circuit": dict(compiled.record),
            "plan": plan.as_dict(),
            "rep_delay_seconds": plan.workload.rep_delay_seconds,
            "circuit_seconds": compiled.circuit_seconds,
        },
    )


def open_task(evaluation: HardwareEvaluation) -> Task:
    """The task that was kept when the evaluation was submitted."""
    return Task.load(evaluation.task_folder.absolute())


def evaluation_of(task: Task) -> HardwareEvaluation:
    """The evaluation that a kept task belongs to; raises :class:`UserError` where the run is no longer what it was."""
    evaluation = prepare(open_run(Path(task.run)), **task.record["request"])
    if evaluation.key != task.key:
        raise UserError(
            f"{task.run}: weights, images or configuration were changed since {task.backend} was submitted; its raw "
            f"results are in {task.folder}"
        )
    return evaluation


@dataclass(frozen=True)
class Standing:
    """How far a submitted evaluation is, by the ledger."""

    chunks: int
    finished: int
    pending: int
    """At the service."""
    unsent: int
    """Not sent for certain: not yet, interrupted while sending, or failed or cancelled and so to be sent again."""
    spent_seconds: float
    """Quantum seconds charged, or estimated where the service has not counted yet, of all jobs so far."""
    unsent_seconds: float
    """Estimate of what is still to be sent."""


def standing(task: Task, ledger: Ledger) -> Standing:
    """How far a task is."""
    latest = ledger.latest(task.key)
    states = {chunk: row.state for chunk, row in latest.items()}
    unsent = [c for c in range(len(task.chunks)) if states.get(c) not in {"done", *PENDING}]
    sent = [row for row in ledger.jobs(task.key) if row.state not in {"intended", "surplus"}]
    return Standing(
        chunks=len(task.chunks),
        finished=sum(state == "done" for state in states.values()),
        pending=sum(state in PENDING for state in states.values()),
        unsent=len(unsent),
        spent_seconds=sum(
            row.estimated_seconds if row.charged_seconds is None else row.charged_seconds for row in sent
        ),
        unsent_seconds=sum(task.chunks[c].estimated_seconds for c in unsent),
    )


def finish(evaluation: HardwareEvaluation, task: Task, result: ExecutionResult) -> Path:
    """Decide, and write the evaluation's folder whole."""
    from hybridq.evaluation.evaluate import decide

    features, angles, arrangement = _read_inputs(evaluation)
    collected = arrangement.collect(result.evs, result.stds)
    probabilities = decide(evaluation.run, features, collected.values)
    return write_evaluation(
        evaluation.folder,
        evaluation.selection,
        angles=angles,
        values=collected.values,
        standard_errors=collected.errors,
        probabilities=probabilities,
        record=_record(evaluation, task, result, collected),
        seed=evaluation.run.experiment().seed,
    )


def _read_inputs(evaluation: HardwareEvaluation) -> tuple[NDArray[np.float32], FloatArray, Arrangement]:
    path = evaluation.task_folder / INPUTS
    try:
        with np.load(path, allow_pickle=False) as arrays:
            references = tuple(int(sample) for sample in arrays["references"])
            arrangement = Arrangement(len(arrays["angles"]), references, arrays["table"], arrays["home"])
            return arrays["features"], arrays["angles"], arrangement
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None


def _record(
    evaluation: HardwareEvaluation, task: Task, result: ExecutionResult, collected: Collected
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
            "patches": [
                {
                    "qubits": patch["qubits"],
                    "expected_error": patch["expected_error"],
                    **({} if not collected.patches else asdict(collected.patches[copy])),
                }
                for copy, patch in enumerate(whole["copies"])
            ],
            "drift": None if result.drift is None else drift_record(result.drift),
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


def rep_delay_seconds(backend: Any) -> float:
    """Pause between two executions on a device: its default, or the documented 250 µs."""
    delay = getattr(backend, "default_rep_delay", None)
    return REP_DELAY_SECONDS if delay is None else float(delay)


def service_host(backend: Any) -> str:
    """Host that answers for a device; the rest of the account, its key included, is not looked at."""
    return urlsplit(str(backend.service.active_account().get("url"))).hostname or "unknown"


def is_imitation(host: str) -> bool:
    """Whether a host can be no service of IBM's: this machine, or a name reserved for tests (RFC 6761)."""
    if host == "localhost" or host.endswith((".localhost", ".test", ".invalid", ".example")):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
