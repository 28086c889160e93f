"""``ibm_<device>`` as a backend like any other: place the program on the chip, run or continue it, sort the values."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from qiskit import qasm3

from backends.contract import BackendResult, CircuitProgram, CompiledCircuit, Cost, FloatArray
from backends.errors import BackendError
from backends.ibm.circuit import HardwareCircuit
from backends.ibm.client import Service
from backends.ibm.copies import Arrangement, arrange, place_copies
from backends.ibm.execution import execute
from backends.ibm.ledger import Ledger
from backends.ibm.options import HardwareOptions
from backends.ibm.plan import REP_DELAY_SECONDS, Plan, make_plan
from backends.ibm.results import Drift, ExecutionResult
from backends.ibm.task import Task, is_kept, sparse_terms
from backends.names import BackendName
from backends.record import run_record


class HardwareBackend:
    """An IBM device; see :class:`backends.contract.Backend`. Opening it contacts the service.

    ``run`` submits without asking anybody: asking the user, with what ``cost`` says, is the caller's part. The same run
    (program, angles, name, seed) is kept in a folder beside the ledger and continued from wherever it stands: after a
    crash nothing is paid for twice, and what is finished is read from disk.
    """

    kind = "hardware"
    simulated = False

    def __init__(self, name: BackendName, *, seed: int = 0) -> None:
        self.name = name.canonical
        self._options = name.options or HardwareOptions()
        self.shots: int | None = self._options.circuit_shots
        self._copies = name.copies
        self._seed = seed if name.seed is None else name.seed
        self._service = Service()
        self._backend = self._service.device(str(name.device))
        self._device = self._service.calibrated(str(name.device))
        self.num_qubits: int | None = self._device.num_qubits

    def compile(self, program: CircuitProgram) -> HardwareCircuit:
        """Place copies of the program on the chip, and check them as the service would.

        Raises :class:`BackendError` for a program that does not fit the device and for a circuit it cannot run.
        """
        compiled = place_copies(program, self._device, copies=self._copies, seed=self._seed)
        self._service.check_circuit(self._device.name, compiled.circuit)
        return compiled

    def cost(self, compiled: CompiledCircuit, samples: int) -> Cost:
        """Circuits, executions, jobs and estimated quantum seconds for ``samples`` inputs."""
        own = self._own(compiled)
        return self._plan(own, self._arrange(own, samples)).cost if samples else Cost(0, 0, 0.0, 0)

    def run(self, compiled: CompiledCircuit, inputs: ArrayLike, weights: ArrayLike) -> BackendResult:
        """Bring the run to its end from wherever it stands; ``inputs`` (N, X), ``weights`` (W,), in radians.

        Raises ``ValueError`` for inputs or weights of the wrong shape, :class:`BackendError` for angles that are not
        finite, when the service refuses, when a chunk failed (after all others are finished, and the same call sends
        only those again) and when another process is at work on the same run.
        """
        started = time.perf_counter()
        own, x, w = self._own(compiled), np.asarray(inputs, np.float64), np.asarray(weights, np.float64)
        values = own.program.bind(x, w)
        if not np.isfinite(values).all():
            raise BackendError("an angle of the circuit is not a finite number")
        if not own.circuit.parameters:
            raise BackendError(
                "the circuit has no parameters left after translation, so there is nothing to run in a batch"
            )
        key = self._key(own.program, values)
        with contextlib.closing(Ledger()) as ledger:
            folder = ledger.path.parent / "evaluations" / key
            task = Task.load(folder) if is_kept(folder) else self._task(own, x, w, key, folder)
            result = execute(task, service=self._service, ledger=ledger)
        assert isinstance(result, ExecutionResult)
        arrangement = _arrangement(task)
        collected = arrangement.collect(result.evs, result.stds)
        plan = task.record["plan"]
        record = run_record(
            self,
            own,
            seed=self._seed,
            samples=len(x),
            cost=Cost(plan["circuits"], plan["executions"], plan["quantum_seconds"], plan["jobs"]),
            seconds=time.perf_counter() - started,
            job_ids=tuple(job.job_id for job in result.jobs),
            quantum_seconds=result.charged_seconds,
            estimated_quantum_seconds=plan["quantum_seconds"],
            resilience=self._options.resilience,
            options=result.options,
            evaluation=key,
            jobs=[asdict(job) for job in result.jobs],
            surplus_jobs=list(result.surplus),
            references=list(arrangement.references),
            patches=[asdict(patch) for patch in collected.patches],
            drift=None if result.drift is None else _drift(result.drift),
        )
        # The circuit that ran is the one that was archived when the run began.
        return BackendResult(collected.values, collected.errors, record | task.record["circuit"])

    def _key(self, program: CircuitProgram, values: FloatArray) -> str:
        named = {
            "backend": self.name,
            "seed": self._seed,
            "circuit": qasm3.dumps(program.circuit),
            "inputs": [parameter.name for parameter in program.inputs],
            "observables": [sparse_terms(observable) for observable in program.observables],
            "angles": hashlib.sha256(values.tobytes()).hexdigest(),
        }
        return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:16]

    def _task(self, own: HardwareCircuit, x: FloatArray, w: FloatArray, key: str, folder: Path) -> Task:
        arrangement = self._arrange(own, len(x))
        plan = self._plan(own, arrangement)
        return Task(
            key=key,
            device=self._device.name,
            circuit=own.circuit,
            observables=own.observables,
            values=arrangement.values(own, x, w),
            options=self._options,
            chunks=plan.chunks,
            folder=folder,
            backend=self.name,
            record={
                "circuit": dict(own.record),
                "plan": plan.as_dict(),
                "arrangement": {
                    "samples": arrangement.samples,
                    "references": list(arrangement.references),
                    "table": arrangement.table.tolist(),
                    "home": arrangement.home.tolist(),
                },
            },
        )

    def _arrange(self, compiled: HardwareCircuit, samples: int) -> Arrangement:
        return arrange(samples, len(compiled.copies), seed=self._seed)

    def _plan(self, compiled: HardwareCircuit, arrangement: Arrangement) -> Plan:
        delay = getattr(self._backend, "default_rep_delay", None)
        delay = REP_DELAY_SECONDS if delay is None else float(delay)
        return make_plan(compiled, arrangement, self._options, rep_delay_seconds=delay)

    def _own(self, compiled: CompiledCircuit) -> HardwareCircuit:
        if not isinstance(compiled, HardwareCircuit):
            raise TypeError(f"{self.name} runs circuits that it compiled itself, not {type(compiled).__name__}")
        return compiled


def _arrangement(task: Task) -> Arrangement:
    kept: dict[str, Any] = task.record["arrangement"]
    return Arrangement(
        samples=kept["samples"],
        references=tuple(kept["references"]),
        table=np.array(kept["table"], dtype=np.int64),
        home=np.array(kept["home"], dtype=np.int64),
    )


def _drift(drift: Drift) -> dict[str, float]:
    """How far the repeated first chunk is from the first: over all its values, and in their standard errors."""
    change = drift.repeated - drift.first
    errors = np.sqrt(drift.first_errors**2 + drift.repeated_errors**2)
    known = errors > 0
    return {
        "mean": float(change.mean()),
        "rms": float(np.sqrt((change**2).mean())),
        "rms_in_errors": float(np.sqrt(((change[known] / errors[known]) ** 2).mean())) if known.any() else 0.0,
    }
