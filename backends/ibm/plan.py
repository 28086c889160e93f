"""What a run on hardware takes, before anything is sent: jobs, circuits, executions, bytes, quantum seconds.

All constants of the cost model are here. Quantum seconds = 2 s for each job + executions × (repetition delay + circuit
duration); the form and the delay of 250 µs are IBM's documentation (Qiskit/documentation#2783). The counts are those of
the client's executor: every parameter set runs once for each measurement basis and noise factor, in as many randomized
circuits as it is twirled; readout mitigation (TREX) adds calibration circuits to every job.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.errors import BackendError
from backends.ibm.arrangement import Arrangement, rows_needed
from backends.ibm.circuit import HardwareCircuit
from backends.ibm.options import HardwareOptions
from backends.ibm.task import Chunk

JOB_SECONDS = 2.0
REP_DELAY_SECONDS = 250e-6
"""Where the device states none of its own."""
MAX_EXECUTIONS = 5_000_000
"""Of one job: the smaller of the two numbers in IBM's documentation."""
MAX_JOB_SECONDS = 3 * 3600
"""Of one job, by IBM's documentation."""
MAX_RESULT_BYTES = 16_000_000
"""Measured bits of one job, packed. The client takes 22 to 30 times as much memory to read them: half a gigabyte."""
REFERENCE_CHUNK_ABOVE = 3
"""Chunks above which the first one is repeated at the end, to show drift."""
LIMIT_FACTOR, LIMIT_SECONDS = 2.0, 60
"""The service stops a job after this many times its estimate plus this many seconds."""
BASE64 = 4 / 3
"""Characters for each byte on the way."""
UPLOAD_CIRCUIT_BYTES, UPLOAD_GATE_BYTES, UPLOAD_SET_BYTES = 40_000, 38, 150
"""For each noise factor, each gate of it, and each parameter set beside its inputs; as the client's requests are."""
UPLOAD_LAYER_BYTES, UPLOAD_LAYER_QUBIT_BYTES = 4000, 200
"""Where gates are twirled, for each layer of two-qubit gates, and each qubit of it, times the noise factor."""


@dataclass(frozen=True)
class Workload:
    """What a job's cost depends on beside its number of parameter sets."""

    options: HardwareOptions
    groups: int = 1
    circuit_seconds: float = 0.0
    rep_delay_seconds: float = REP_DELAY_SECONDS
    num_qubits: int = 0
    """Of the device: all of them are measured."""
    inputs: int = 0
    """Input parameters of all copies."""
    gates: int = 0
    layers: int = 0
    """Of two-qubit gates."""
    used_qubits: int = 0

    @property
    def set_executions(self) -> int:
        """Executions of one parameter set."""
        return self.groups * len(self.options.noise_factors) * self.options.circuit_shots

    @property
    def set_seconds(self) -> float:
        """Quantum seconds of one parameter set; a circuit folded to noise factor f takes f times as long."""
        times = (self.rep_delay_seconds + factor * self.circuit_seconds for factor in self.options.noise_factors)
        return self.groups * self.options.circuit_shots * sum(times)

    @property
    def calibration_executions(self) -> int:
        """Executions of readout calibration in each job."""
        return self.options.circuit_shots if self.options.mitigates_readout else 0

    @property
    def job_seconds(self) -> float:
        """Quantum seconds of a job before its first parameter set."""
        return JOB_SECONDS + self.calibration_executions * self.rep_delay_seconds

    def executions(self, sets: int, jobs: int = 1) -> int:
        """Circuits times shots."""
        return sets * self.set_executions + jobs * self.calibration_executions

    def circuits(self, sets: int, jobs: int = 1) -> int:
        """Circuits, each randomization counted."""
        return self.executions(sets, jobs) * self.options.twirls // self.options.circuit_shots

    def seconds(self, sets: int, jobs: int = 1) -> float:
        """Estimated quantum seconds."""
        return jobs * self.job_seconds + sets * self.set_seconds

    def result_bytes(self, sets: int, jobs: int = 1) -> int:
        """Measured bits of all device qubits, packed."""
        return math.ceil(self.executions(sets, jobs) * self.num_qubits / 8)

    def upload_bytes(self, sets: int, jobs: int) -> int:
        """Of all requests, roughly: circuits, randomizations to draw, parameter sets."""
        options, factors = self.options, self.options.noise_factors
        job = len(factors) * (UPLOAD_CIRCUIT_BYTES + UPLOAD_GATE_BYTES * self.gates)
        if options.mitigates_readout:
            job += UPLOAD_CIRCUIT_BYTES
        if options.resilience == 2 if options.twirl_gates is None else options.twirl_gates:
            layer = UPLOAD_LAYER_BYTES + UPLOAD_LAYER_QUBIT_BYTES * self.used_qubits
            job += sum(factors) * self.layers * layer
        each = self.groups * len(factors) * (UPLOAD_SET_BYTES + 8 * BASE64 * self.inputs)
        return round(jobs * job + sets * each)

    @property
    def sets_a_job(self) -> int:
        """Parameter sets that fit one job. Raises :class:`BackendError` where not even one does."""
        bits = self.set_executions * self.num_qubits
        fits = min(
            (MAX_EXECUTIONS - self.calibration_executions) // self.set_executions,
            (8 * MAX_RESULT_BYTES - self.calibration_executions * self.num_qubits) // max(1, bits),
            int((MAX_JOB_SECONDS - self.job_seconds) / self.set_seconds),
        )
        if fits < 1:
            raise BackendError(
                f"shots = {self.options.circuit_shots} are more than one job takes for a single sample: at most "
                f"{MAX_EXECUTIONS:,} executions and {MAX_RESULT_BYTES // 10**6} MB of results"
            )
        return fits


@dataclass(frozen=True)
class Plan:
    """What an evaluation on hardware takes, and how it is cut into jobs of one PUB each."""

    workload: Workload
    samples: int
    copies: int
    references: int
    """Samples that run on every copy."""
    chunks: tuple[Chunk, ...]
    """One job each: rows of the arrangement; the last one may repeat the first."""
    reference_chunk: bool | None
    """As asked for; None leaves it to :data:`REFERENCE_CHUNK_ABOVE`."""
    quota_seconds: float | None
    """What the service says remains; None where it does not."""

    @property
    def sets(self) -> int:
        """Parameter sets of all jobs."""
        return sum(chunk.stop - chunk.start for chunk in self.chunks)

    @property
    def jobs(self) -> int:
        """Jobs."""
        return len(self.chunks)

    @property
    def pubs(self) -> int:
        """PUBs: one a job."""
        return self.jobs

    @property
    def shots(self) -> int:
        """Shots of each parameter set, measurement basis and noise factor."""
        return self.workload.options.circuit_shots

    @property
    def circuits(self) -> int:
        """Circuits, each randomization and readout calibration counted."""
        return self.workload.circuits(self.sets, self.jobs)

    @property
    def executions(self) -> int:
        """Circuits times shots."""
        return self.workload.executions(self.sets, self.jobs)

    @property
    def upload_bytes(self) -> int:
        """Of all requests, roughly."""
        return self.workload.upload_bytes(self.sets, self.jobs)

    @property
    def download_bytes(self) -> int:
        """Of all results: bits of all device qubits, as text; fewer where idle qubits read 0 and compress."""
        return math.ceil(BASE64 * self.workload.result_bytes(self.sets, self.jobs))

    @property
    def quantum_seconds(self) -> float:
        """Estimated."""
        return self.workload.seconds(self.sets, self.jobs)

    @property
    def saved_seconds(self) -> float:
        """Estimated quantum seconds that the copies save against one sample at a time."""
        return _estimate(self.workload, self.samples, self.reference_chunk) - self.quantum_seconds

    @property
    def _repeats(self) -> bool:
        return any(chunk.reference for chunk in self.chunks)

    def refuse_over(self, max_quantum_seconds: float | None = None) -> None:
        """Raise :class:`BackendError` when the estimate is above this or above what remains of the quota.

        The error names the largest ``--limit`` and the largest ``--shots`` that fit; nothing between them and what was
        asked for does.
        """
        limits = []
        if max_quantum_seconds is not None:
            limits.append((max_quantum_seconds, f"--max-quantum-seconds {max_quantum_seconds:g} allows"))
        if self.quota_seconds is not None:
            limits.append((self.quota_seconds, f"the {self.quota_seconds:g} that remain of the quota"))
        if not limits or self.quantum_seconds <= min(limits)[0]:
            return
        most, what = min(limits)
        samples, shots = self.largest_limit(most), self.largest_shots(most)
        fitting = [f"--limit {samples}"] * (samples is not None) + [f"--shots {shots}"] * (shots is not None)
        hint = (
            f"{' or '.join(fitting)} would fit" if fitting else "neither a single sample nor the fewest shots would fit"
        )
        raise BackendError(
            f"{self.samples} samples with {self.shots} shots are estimated at {self.quantum_seconds:.1f} quantum "
            f"seconds, more than {what}: {hint}"
        )

    def largest_limit(self, seconds: float) -> int | None:
        """The most samples, fewer than now, whose estimate is no more than ``seconds``; None where there is none."""
        samples = np.arange(self.samples - 1, 0, -1)
        rows = np.array([rows_needed(int(n), self.copies, self.references) for n in samples], dtype=np.int64)
        fits = _estimates(self.workload, rows, self.reference_chunk) <= seconds
        return int(samples[fits.argmax()]) if fits.any() else None

    def largest_shots(self, seconds: float) -> int | None:
        """The most shots, fewer than now, whose estimate is no more than ``seconds``; None where there are none."""
        options = self.workload.options
        rows = rows_needed(self.samples, self.copies, self.references)
        for shots in range(self.shots - options.twirls, 0, -options.twirls):
            workload = replace(self.workload, options=replace(options, shots=shots, precision=None))
            if _estimate(workload, rows, self.reference_chunk) <= seconds:
                return shots
        return None

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "samples": self.samples,
            "copies": self.copies,
            "references": self.references,
            "shots": self.shots,
            "parameter_sets": self.sets,
            "jobs": self.jobs,
            "pubs": self.pubs,
            "circuits": self.circuits,
            "executions": self.executions,
            "upload_bytes": self.upload_bytes,
            "download_bytes": self.download_bytes,
            "quantum_seconds": round(self.quantum_seconds, 3),
            "saved_seconds": round(self.saved_seconds, 3),
            "reference_chunk": self._repeats,
            "quota_seconds": self.quota_seconds,
        }


def make_plan(
    compiled: HardwareCircuit,
    arrangement: Arrangement,
    options: HardwareOptions,
    *,
    rep_delay_seconds: float | None = None,
    quota_seconds: float | None = None,
    reference_chunk: bool | None = None,
) -> Plan:
    """Plan a run: as few jobs as the limits on executions, result bytes and time allow, of nearly equal size.

    ``rep_delay_seconds`` is the device's delay between executions (None: :data:`REP_DELAY_SECONDS`), ``quota_seconds``
    what the service says remains. Raises :class:`BackendError` where one parameter set is more than a job takes.
    """
    used = {compiled.circuit.find_bit(q).index for item in compiled.circuit.data for q in item.qubits}
    layers = compiled.circuit.depth(lambda item: len(item.qubits) == 2 and item.operation.name != "barrier")
    workload = Workload(
        options=options,
        groups=compiled.groups,
        circuit_seconds=compiled.circuit_seconds,
        rep_delay_seconds=REP_DELAY_SECONDS if rep_delay_seconds is None else rep_delay_seconds,
        num_qubits=compiled.circuit.num_qubits,
        inputs=sum(map(len, compiled.copy_inputs)),
        gates=len(compiled.circuit.data),
        layers=layers,
        used_qubits=len(used),
    )
    return Plan(
        workload=workload,
        samples=arrangement.samples,
        copies=arrangement.copies,
        references=len(arrangement.references),
        chunks=_chunks(workload, arrangement.rows, reference_chunk),
        reference_chunk=reference_chunk,
        quota_seconds=quota_seconds,
    )


def _chunks(workload: Workload, rows: int, reference_chunk: bool | None) -> tuple[Chunk, ...]:
    count = -(-rows // workload.sets_a_job)
    chunks = []
    for part in np.array_split(np.arange(rows), count):
        seconds = workload.seconds(len(part))
        limit = min(math.ceil(LIMIT_FACTOR * seconds + LIMIT_SECONDS), MAX_JOB_SECONDS)
        start, stop = int(part[0]), int(part[-1]) + 1
        chunks.append(Chunk(start, stop, seconds, limit))
    if _repeats(count, reference_chunk):
        chunks.append(replace(chunks[0], reference=True))
    return tuple(chunks)


def _repeats(chunks: Any, reference_chunk: bool | None) -> Any:
    return chunks > REFERENCE_CHUNK_ABOVE if reference_chunk is None else reference_chunk


def _estimate(workload: Workload, rows: int, reference_chunk: bool | None) -> float:
    return float(_estimates(workload, np.array([rows]), reference_chunk)[0])


def _estimates(workload: Workload, rows: NDArray[np.int64], reference_chunk: bool | None) -> NDArray[np.float64]:
    """Quantum seconds of runs of so many rows, shape (M,): what their chunks add up to."""
    chunks = -(-rows // workload.sets_a_job)
    repeated = np.broadcast_to(_repeats(chunks, reference_chunk), rows.shape).astype(np.int64)
    sets = rows + repeated * -(-rows // chunks)
    return (chunks + repeated) * workload.job_seconds + sets * workload.set_seconds
