"""What a run on hardware takes, before anything is sent: jobs, circuits, executions, bytes, quantum seconds.

All constants of the cost model are here. There are two estimates of quantum seconds, and budgets hold the larger one.

- IBM's formula: 2 s for each sub-job + executions × (repetition delay + reset + circuit duration), and a charge for
  each circuit. IBM publishes neither the charge nor the size of a sub-job: the first is a parameter, and a job here is
  no larger than what IBM's smaller limit on executions allows.
- IBM's quick rule: 2 + 0.00035 × executions for each job. It assumes a delay of 250 µs; with another one that was asked
  for, the difference is added or taken off.

The counts are those of the client's executor: every parameter set runs once for each measurement basis and noise
factor, in as many randomized circuits as it is twirled; readout mitigation (TREX) adds calibration circuits to every
job.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.errors import BackendError
from backends.hardware_options import HardwareOptions
from backends.ibm.arrangement import Arrangement, rows_needed
from backends.ibm.circuit import HardwareCircuit
from backends.ibm.layers import LayerNoise, Layers
from backends.ibm.ledger import Ledger
from backends.ibm.repetition import UNSTATED, USUAL_SECONDS, RepDelay
from backends.ibm.task import Chunk

JOB_SECONDS = 2.0
"""Of every sub-job, by IBM's documentation."""
RESET_SECONDS = 2.3e-6
"""Of every execution, by IBM's documentation."""
QUICK_JOB_SECONDS, QUICK_EXECUTION_SECONDS = 2.0, 0.00035
"""IBM's quick rule."""
SUB_JOB_EXECUTIONS = 5_000_000
"""Executions above which a job is taken to be divided; IBM publishes no number."""
MAX_EXECUTIONS = 5_000_000
"""Of one job: the smaller of the two numbers in IBM's documentation."""
MAX_JOB_SECONDS = 3 * 3600
"""Of one job, by IBM's documentation."""
MAX_RESULT_BYTES = 16_000_000
"""Measured bits of one job, packed. The client takes 22 to 30 times as much memory to read them: half a gigabyte."""
REFERENCE_CHUNK_ABOVE = 3
"""Chunks above which the first one is repeated at the end, to show drift."""
CHARGED_JOBS = 5
"""Charged jobs from which on a plan says how estimates and charges compared."""
LIMIT_FACTOR, LIMIT_SECONDS = 2.0, 60
"""The service stops a job after this many times its estimate plus this many seconds."""
BASE64 = 4 / 3
"""Characters for each byte on the way."""
UPLOAD_CIRCUIT_BYTES, UPLOAD_GATE_BYTES, UPLOAD_SET_BYTES = 40_000, 38, 150
"""For each noise factor, each gate of it, and each parameter set beside its inputs; as the client's requests are."""
LEARNING_BASES = 9
"""Measurement bases that learn the noise of one layer, however many gates are in it; by IBM's documentation."""
UPLOAD_LAYER_BYTES, UPLOAD_LAYER_QUBIT_BYTES = 4000, 200
"""Where gates are twirled, for each layer of two-qubit gates, and each qubit of it, times the noise factor."""


@dataclass(frozen=True)
class Charged:
    """Jobs of an account whose charge is known, beside what was estimated for them."""

    jobs: int
    estimated_seconds: float
    charged_seconds: float

    @property
    def sentence(self) -> str:
        """How estimates and charges compared."""
        ratio = self.charged_seconds / self.estimated_seconds if self.estimated_seconds else math.nan
        return (
            f"{self.jobs:,} jobs of this account were estimated at {self.estimated_seconds:,.1f} s and charged "
            f"{self.charged_seconds:,.1f} s ({ratio:.2f} of the estimate)"
        )


def charges_of(ledger: Ledger, instance: str) -> Charged | None:
    """Return how estimates and charges of an instance (CRN) compared; None below :data:`CHARGED_JOBS` jobs."""
    found = Charged(*ledger.charges(instance))
    return found if found.jobs >= CHARGED_JOBS else None


@dataclass(frozen=True)
class Learning:
    """What the job takes that learns the noise of layers."""

    layers: int
    options: HardwareOptions
    pause_seconds: float
    """Between two executions, with the reset."""
    circuit_seconds: float
    """Of the circuit that the layers are from."""
    layers_in_circuit: int
    seconds_per_circuit: float = 0.0
    quick_execution_seconds: float = QUICK_EXECUTION_SECONDS

    @property
    def circuits(self) -> int:
        """Circuits, each randomization counted."""
        randomizations, _, depths = self.options.learning
        return self.layers * LEARNING_BASES * len(depths) * randomizations

    @property
    def executions(self) -> int:
        """Circuits times shots."""
        return self.circuits * self.options.learning[1]

    @property
    def seconds(self) -> float:
        """Quantum seconds by IBM's formula; a layer is taken to last as long as those of the circuit do."""
        depths = self.options.learning[2]
        repeated = 1 + 2 * sum(depths) / len(depths) / max(1, self.layers_in_circuit)
        sub_jobs = max(1, math.ceil(self.executions / SUB_JOB_EXECUTIONS))
        each = self.pause_seconds + repeated * self.circuit_seconds
        return sub_jobs * JOB_SECONDS + self.executions * each + self.circuits * self.seconds_per_circuit

    @property
    def quick_seconds(self) -> float:
        """Quantum seconds by IBM's quick rule."""
        return QUICK_JOB_SECONDS + self.executions * self.quick_execution_seconds

    @property
    def chunk(self) -> Chunk:
        """The job. Raises :class:`BackendError` where it is more than one job takes."""
        seconds = max(self.seconds, self.quick_seconds)
        if self.executions > MAX_EXECUTIONS or seconds > MAX_JOB_SECONDS:
            raise BackendError(
                f"learning the noise of {self.layers} layers takes {self.executions:,} executions, more than the "
                f"{MAX_EXECUTIONS:,} or the {MAX_JOB_SECONDS // 3600} hours of one job: fewer copies, "
                f"learn_randomizations, learn_shots or learn_depths would fit"
            )
        return Chunk(0, 0, seconds, _limit(seconds), learning=True)


@dataclass(frozen=True)
class Workload:
    """What a job's cost depends on beside its number of parameter sets."""

    options: HardwareOptions
    groups: int = 1
    circuit_seconds: float = 0.0
    rep_delay: RepDelay = UNSTATED
    seconds_per_circuit: float = 0.0
    """Fixed charge of the service for every circuit, each randomization counted."""
    num_qubits: int = 0
    """Of the device: all of them are measured."""
    inputs: int = 0
    """Input parameters of all copies."""
    gates: int = 0
    layers: int = 0
    """Of two-qubit gates."""
    used_qubits: int = 0
    overhead: float = 1.0
    """How many times its shots each circuit takes: at most, or, where the noise is known, exactly (PEC)."""

    @property
    def set_circuits(self) -> int:
        """Circuits of one parameter set in one basis at one noise factor: its randomizations."""
        return math.ceil(round(self.options.twirls * self.overhead, 9))

    @property
    def set_shots(self) -> int:
        """Shots of one parameter set in one basis at one noise factor."""
        return self.set_circuits * (self.options.circuit_shots // self.options.twirls)

    @property
    def lengths(self) -> tuple[float, ...]:
        """How many times as long the circuit is at each noise factor."""
        return tuple(factor if self.options.folds_gates else 1 for factor in self.options.noise_factors)

    @property
    def rep_delay_seconds(self) -> float:
        """Pause between two executions: the one asked for, else the device's default."""
        asked = self.options.rep_delay_us
        return self.rep_delay.default if asked is None else asked * 1e-6

    @property
    def set_executions(self) -> int:
        """Executions of one parameter set."""
        return self.groups * len(self.options.noise_factors) * self.set_shots

    @property
    def set_seconds(self) -> float:
        """Quantum seconds of one parameter set; a circuit folded to noise factor f takes f times as long."""
        pause = self.rep_delay_seconds + RESET_SECONDS
        times = (pause + length * self.circuit_seconds for length in self.lengths)
        charged = len(self.options.noise_factors) * self.set_circuits * self.seconds_per_circuit
        return self.groups * (self.set_shots * sum(times) + charged)

    @property
    def calibration_executions(self) -> int:
        """Executions of readout calibration in each job."""
        return self.options.circuit_shots if self.options.mitigates_readout else 0

    @property
    def job_seconds(self) -> float:
        """Quantum seconds of a job before its first parameter set."""
        executions, pause = self.calibration_executions, self.rep_delay_seconds + RESET_SECONDS
        charged = self.options.twirls * self.seconds_per_circuit if executions else 0.0
        return JOB_SECONDS + executions * pause + charged

    def executions(self, sets: int, jobs: int = 1) -> int:
        """Circuits times shots."""
        return sets * self.set_executions + jobs * self.calibration_executions

    def circuits(self, sets: int, jobs: int = 1) -> int:
        """Circuits, each randomization counted."""
        calibration = self.options.twirls if self.options.mitigates_readout else 0
        return sets * self.groups * len(self.options.noise_factors) * self.set_circuits + jobs * calibration

    def seconds(self, sets: int, jobs: int = 1) -> float:
        """Quantum seconds by IBM's formula."""
        divided = max(0, math.ceil(self.executions(sets, jobs) / SUB_JOB_EXECUTIONS) - jobs)
        return jobs * self.job_seconds + divided * JOB_SECONDS + sets * self.set_seconds

    @property
    def quick_execution_seconds(self) -> float:
        """Quantum seconds of an execution by IBM's quick rule, for the delay that was asked for."""
        asked = self.options.rep_delay_us
        return QUICK_EXECUTION_SECONDS + (0.0 if asked is None else asked * 1e-6 - USUAL_SECONDS)

    def quick_seconds(self, sets: int, jobs: int = 1) -> float:
        """Quantum seconds by IBM's quick rule."""
        return jobs * QUICK_JOB_SECONDS + self.executions(sets, jobs) * self.quick_execution_seconds

    def result_bytes(self, sets: int, jobs: int = 1) -> int:
        """Measured bits of all device qubits, packed."""
        return math.ceil(self.executions(sets, jobs) * self.num_qubits / 8)

    def upload_bytes(self, sets: int, jobs: int) -> int:
        """Of all requests, roughly: circuits, randomizations to draw, parameter sets."""
        options, factors = self.options, self.options.noise_factors
        job: float = len(factors) * (UPLOAD_CIRCUIT_BYTES + UPLOAD_GATE_BYTES * self.gates)
        if options.mitigates_readout:
            job += UPLOAD_CIRCUIT_BYTES
        if options.twirls_gates:
            layer = UPLOAD_LAYER_BYTES + UPLOAD_LAYER_QUBIT_BYTES * self.used_qubits
            job += sum(self.lengths) * self.layers * layer
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
    price_per_second: float | None = None
    """Money, in the user's own currency; None where nobody said."""
    charged: Charged | None = None
    """How estimates and charges compared on this account so far; None where too few jobs were charged."""
    learning: Learning | None = None
    """The job that learns the noise of layers; None where none is learned."""
    noise: LayerNoise | None = None
    """Noise that was learned before and is used again."""

    @property
    def runs(self) -> int:
        """Jobs with parameter sets."""
        return sum(not chunk.learning for chunk in self.chunks)

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
        """PUBs: one a job, and none in the one that learns noise."""
        return self.runs

    @property
    def shots(self) -> int:
        """Shots of each parameter set, measurement basis and noise factor."""
        return self.workload.options.circuit_shots

    @property
    def circuits(self) -> int:
        """Circuits, each randomization and readout calibration counted."""
        learning = 0 if self.learning is None else self.learning.circuits
        return self.workload.circuits(self.sets, self.runs) + learning

    @property
    def executions(self) -> int:
        """Circuits times shots."""
        learning = 0 if self.learning is None else self.learning.executions
        return self.workload.executions(self.sets, self.runs) + learning

    @property
    def upload_bytes(self) -> int:
        """Of all requests, roughly."""
        return self.workload.upload_bytes(self.sets, self.runs)

    @property
    def download_bytes(self) -> int:
        """Of all results: bits of all device qubits, as text; fewer where idle qubits read 0 and compress."""
        return math.ceil(BASE64 * self.workload.result_bytes(self.sets, self.runs))

    @property
    def quantum_seconds(self) -> float:
        """Estimate by IBM's formula."""
        return self.workload.seconds(self.sets, self.runs) + self._learning_seconds[0]

    @property
    def quick_seconds(self) -> float:
        """Estimate by IBM's quick rule."""
        return self.workload.quick_seconds(self.sets, self.runs) + self._learning_seconds[1]

    @property
    def _learning_seconds(self) -> tuple[float, float]:
        """Of the job that learns noise, by the formula and by the quick rule."""
        return (0.0, 0.0) if self.learning is None else (self.learning.seconds, self.learning.quick_seconds)

    @property
    def larger_seconds(self) -> float:
        """The larger of the two estimates, which budget and quota are held against."""
        return max(self.quantum_seconds, self.quick_seconds)

    @property
    def price(self) -> tuple[float, float] | None:
        """Price of the smaller and of the larger estimate; None without a price per second."""
        if self.price_per_second is None:
            return None
        low, high = sorted((self.quantum_seconds, self.quick_seconds))
        return low * self.price_per_second, high * self.price_per_second

    @property
    def saved_seconds(self) -> float:
        """Estimated quantum seconds that the copies save against one sample at a time (formula)."""
        one_at_a_time = _formula(self.workload, self.samples, self.reference_chunk)
        return one_at_a_time - self.workload.seconds(self.sets, self.runs)

    def with_delay(self, seconds: float) -> float:
        """Quantum seconds by the formula if the repetition delay were ``seconds``."""
        options = replace(self.workload.options, rep_delay_us=seconds * 1e6)
        learning = 0.0
        if self.learning is not None:
            learning = replace(self.learning, pause_seconds=seconds + RESET_SECONDS).seconds
        return replace(self.workload, options=options).seconds(self.sets, self.runs) + learning

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
        if not limits or self.larger_seconds <= min(limits)[0]:
            return
        most, what = min(limits)
        samples, shots = self.largest_limit(most), self.largest_shots(most)
        fitting = [f"--limit {samples}"] * (samples is not None) + [f"--shots {shots}"] * (shots is not None)
        hint = (
            f"{' or '.join(fitting)} would fit" if fitting else "neither a single sample nor the fewest shots would fit"
        )
        learning = max(self._learning_seconds)
        learned = f", {learning:.1f} of them to learn noise" if learning else ""
        raise BackendError(
            f"{self.samples} samples with {self.shots} shots are estimated at {self.quantum_seconds:.1f} quantum "
            f"seconds (by IBM's quick rule {self.quick_seconds:.1f}){learned}; the larger one is more than {what}: "
            f"{hint}"
        )

    def largest_limit(self, seconds: float) -> int | None:
        """The most samples, fewer than now, whose estimate is no more than ``seconds``; None where there is none."""
        samples = np.arange(self.samples - 1, 0, -1)
        rows = np.array([rows_needed(int(n), self.copies, self.references) for n in samples], dtype=np.int64)
        fits = _estimates(self.workload, rows, self.reference_chunk, self._learning_seconds) <= seconds
        return int(samples[fits.argmax()]) if fits.any() else None

    def largest_shots(self, seconds: float) -> int | None:
        """The most shots, fewer than now, whose estimate is no more than ``seconds``; None where there are none."""
        options = self.workload.options
        rows = rows_needed(self.samples, self.copies, self.references)
        for shots in range(self.shots - options.twirls, 0, -options.twirls):
            workload = replace(self.workload, options=replace(options, shots=shots, precision=None))
            if _estimates(workload, np.array([rows]), self.reference_chunk, self._learning_seconds)[0] <= seconds:
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
            "quick_seconds": round(self.quick_seconds, 3),
            "rep_delay_us": round(self.workload.rep_delay_seconds * 1e6, 3),
            "seconds_by_rep_delay_us": {
                f"{seconds * 1e6:g}": round(self.with_delay(seconds), 3)
                for seconds in self.workload.rep_delay.alternatives()
            },
            "price": None if self.price is None else [round(amount, 2) for amount in self.price],
            "saved_seconds": round(self.saved_seconds, 3),
            "reference_chunk": self._repeats,
            "quota_seconds": self.quota_seconds,
            **self._about_noise(),
        }

    def _about_noise(self) -> dict[str, Any]:
        """What is learned, JSON-ready; nothing where no noise is."""
        about: dict[str, Any] = {}
        if self.learning is not None:
            about["learning"] = {
                "layers": self.learning.layers,
                "circuits": self.learning.circuits,
                "executions": self.learning.executions,
                "quantum_seconds": round(self.learning.seconds, 3),
                "quick_seconds": round(self.learning.quick_seconds, 3),
            }
        if self.noise is not None:
            about["noise_learned"] = {"job_id": self.noise.job_id, "learned": self.noise.learned}
        if self.workload.options.pec:
            about["pec_overhead"] = round(self.workload.overhead, 6)
        return about


def make_plan(
    compiled: HardwareCircuit,
    arrangement: Arrangement,
    options: HardwareOptions,
    *,
    rep_delay: RepDelay = UNSTATED,
    quota_seconds: float | None = None,
    reference_chunk: bool | None = None,
    seconds_per_circuit: float = 0.0,
    price_per_second: float | None = None,
    charged: Charged | None = None,
    layers: Layers | None = None,
    noise: LayerNoise | None = None,
) -> Plan:
    """Plan a run: as few jobs as the limits on executions, result bytes and time allow, of nearly equal size.

    ``rep_delay`` is what the device states of its delay between executions, ``quota_seconds`` what the service says
    remains, ``charged`` how earlier estimates came out. ``layers`` are those whose noise the options need, learned in
    the first job unless ``noise`` has it. Raises :class:`BackendError` where one parameter set is more
    than a job takes.
    """
    used = {compiled.circuit.find_bit(q).index for item in compiled.circuit.data for q in item.qubits}
    depth = compiled.circuit.depth(lambda item: len(item.qubits) == 2 and item.operation.name != "barrier")
    workload = Workload(
        options=options,
        groups=compiled.groups,
        circuit_seconds=compiled.circuit_seconds,
        rep_delay=rep_delay,
        seconds_per_circuit=seconds_per_circuit,
        num_qubits=compiled.circuit.num_qubits,
        inputs=sum(map(len, compiled.copy_inputs)),
        gates=len(compiled.circuit.data),
        layers=depth,
        used_qubits=len(used),
        overhead=_overhead(options, layers, noise),
    )
    learning = None
    if layers is not None and noise is None:
        learning = Learning(
            layers=len(layers.known),
            options=options,
            pause_seconds=workload.rep_delay_seconds + RESET_SECONDS,
            circuit_seconds=compiled.circuit_seconds,
            layers_in_circuit=sum(layers.uses),
            seconds_per_circuit=seconds_per_circuit,
            quick_execution_seconds=workload.quick_execution_seconds,
        )
    return Plan(
        workload=workload,
        samples=arrangement.samples,
        copies=arrangement.copies,
        references=len(arrangement.references),
        chunks=(*([] if learning is None else [learning.chunk]), *_chunks(workload, arrangement.rows, reference_chunk)),
        reference_chunk=reference_chunk,
        quota_seconds=quota_seconds,
        price_per_second=price_per_second,
        charged=charged,
        learning=learning,
        noise=noise,
    )


def _overhead(options: HardwareOptions, layers: Layers | None, noise: LayerNoise | None) -> float:
    """How many times its shots a circuit takes: the most that is allowed, or what noise that is known asks for."""
    if layers is None or noise is None:
        return options.most_overhead
    return min(options.most_overhead, noise.overhead(layers.uses))


def _limit(seconds: float) -> int:
    """After how many seconds the service stops a job that is estimated at ``seconds``."""
    return min(math.ceil(LIMIT_FACTOR * seconds + LIMIT_SECONDS), MAX_JOB_SECONDS)


def _chunks(workload: Workload, rows: int, reference_chunk: bool | None) -> tuple[Chunk, ...]:
    count = -(-rows // workload.sets_a_job)
    chunks = []
    for part in np.array_split(np.arange(rows), count):
        seconds = max(workload.seconds(len(part)), workload.quick_seconds(len(part)))
        start, stop = int(part[0]), int(part[-1]) + 1
        chunks.append(Chunk(start, stop, seconds, _limit(seconds)))
    if _repeats(count, reference_chunk):
        chunks.append(replace(chunks[0], reference=True))
    return tuple(chunks)


def _repeats(chunks: Any, reference_chunk: bool | None) -> Any:
    return chunks > REFERENCE_CHUNK_ABOVE if reference_chunk is None else reference_chunk


def _formula(workload: Workload, rows: int, reference_chunk: bool | None) -> float:
    sets, jobs = _counts(workload, np.array([rows]), reference_chunk)
    return workload.seconds(int(sets[0]), int(jobs[0]))


def _estimates(
    workload: Workload, rows: NDArray[np.int64], reference_chunk: bool | None, learning: tuple[float, float]
) -> NDArray[np.float64]:
    """The larger estimate of runs of so many rows, shape (M,): what their chunks add up to, with ``learning``."""
    counted = zip(*_counts(workload, rows, reference_chunk), strict=True)
    both = [(workload.seconds(int(s), int(j)), workload.quick_seconds(int(s), int(j))) for s, j in counted]
    return np.asarray((np.array(both, dtype=np.float64).reshape(-1, 2) + learning).max(axis=1))


def _counts(
    workload: Workload, rows: NDArray[np.int64], reference_chunk: bool | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Parameter sets and jobs of runs of so many rows, (M,) each, with the repeated chunk."""
    chunks = -(-rows // workload.sets_a_job)
    repeated = np.broadcast_to(_repeats(chunks, reference_chunk), rows.shape).astype(np.int64)
    return rows + repeated * -(-rows // chunks), chunks + repeated
