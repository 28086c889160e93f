"""Simulators: noiseless or noisy, exact or sampled, all through Aer.

Exact values come from a state vector, or from a density matrix where there is noise; sampled ones from shots of
measured circuits, one circuit for all observables that can be measured together. Noisy exact values include readout
error, which Aer's own estimator leaves out. Where a density matrix is too large, trajectories (state vectors with
errors drawn at random) take over, and their means carry a standard error.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from qiskit import QuantumCircuit
from qiskit.circuit import ControlledGate, Gate, Instruction, Parameter, ParameterExpression
from qiskit.quantum_info import SparsePauliOp
from qiskit.result import Result
from qiskit.transpiler import Target, generate_preset_pass_manager
from qiskit_aer import AerSimulator
from qiskit_aer.library import SaveExpectationValue
from qiskit_aer.noise import NoiseModel

from backends.compile import (
    CACHED_PLACEMENTS,
    Placement,
    circuit_record,
    delays_in_seconds,
    measured,
    move_observable,
    place,
    restrict_target,
    schedule,
    translate_in_place,
    unmeasured,
)
from backends.contract import BackendResult, CircuitProgram, CompiledCircuit, Cost, FloatArray
from backends.devices import Device, stored_device
from backends.errors import BackendError
from backends.ibm.repetition import RepDelay, stored_rep_delay
from backends.measurement import MeasuredGroup, group_observables
from backends.names import BackendName, NoiseRates, Source
from backends.noise import Noise, calibrated_noise, parametric_noise, parametric_target
from backends.noise_gates import Meeting, NamedCircuit, in_gates_of, met_by
from backends.noise_sources import one_source
from backends.preparation import badly_prepared, excess_excitations, with_preparation
from backends.record import run_record

MAX_QUBITS = 24
"""Largest noiseless circuit: a state vector of 256 MB."""
MAX_DENSITY_MATRIX_QUBITS = 12
"""Largest noisy circuit that is simulated exactly: a density matrix of 256 MB."""
MAX_NOISY_QUBITS = 20
"""Largest noisy circuit at all; those in between are averaged over trajectories."""
N_TRAJECTORIES = 1024
"""Trajectories of one parameter set and group of observables; the standard error of a ⟨Z⟩ is 1/32 at most."""
CHUNK = 2048
"""Parameter sets handed to Aer at once; bounds the memory of its results."""
TRAJECTORY_CHUNK = 32
"""The same where every trajectory leaves a result of its own."""

Method = Literal["state vector", "density matrix", "trajectories"]
_AER_METHODS = {"state vector": "statevector", "density matrix": "density_matrix", "trajectories": "statevector"}


@dataclass(frozen=True)
class SimulatedCircuit(CompiledCircuit):
    """A compiled circuit together with its physics: what an exact engine needs besides the circuit."""

    noise: Noise | None = None
    """Errors on the qubits of ``circuit``; None where there are none."""
    runs: tuple[tuple[MeasuredGroup, QuantumCircuit], ...] = ()
    """What Aer runs: each measured group with its circuit, measurement or saved expectation values included."""
    method: Method = "state vector"
    shots: int | None = None
    target: Target | None = None
    """Gates of its qubits and how long they take, for which ``circuit`` was scheduled; None where it was not."""

    @cached_property
    def aer_noise(self) -> NoiseModel | None:
        """The noise as ``runs`` need it: exact values have the readout error in their observables."""
        return None if self.noise is None else self.noise.model(with_readout=self.shots is not None)


class AerBackend:
    """``aer``, ``fake_<device>``, ``ibm_<device>@noise`` and ``noise:…``; see :class:`backends.contract.Backend`.

    ``seed`` decides the shots only: exact and sampled values of a device come from the same circuit on the same qubits.
    Noisy circuits of more than ``density_matrix_qubits`` qubits are averaged over trajectories. Opening
    ``ibm_<device>@noise`` contacts the service and takes the calibration of this moment. ``noise``, a device's facts or
    an Aer model, goes before what the name says; a model acts on circuits as in :func:`simulated_under`.
    """

    simulated = True

    def __init__(
        self,
        name: BackendName,
        *,
        noise: Device | NoiseModel | None = None,
        seed: int = 0,
        density_matrix_qubits: int = MAX_DENSITY_MATRIX_QUBITS,
    ) -> None:
        self.name = name.canonical
        self.shots = name.shots
        self._seed = seed if name.seed is None else name.seed
        self._scale = name.scale
        self._source = name.source
        self._layout_rank = name.layout
        self._seed_transpiler = name.seed_transpiler
        self._rates: NoiseRates | None = name.rates
        self._density_matrix_qubits = density_matrix_qubits
        self._model = noise if isinstance(noise, NoiseModel) else None
        self._device = noise if isinstance(noise, Device) else None
        if noise is None and name.device is not None:
            self._device = _device(name)
        self._delays: tuple[float, float] | None = None
        if name.rep_delay_us is not None:
            device = str(name.device)
            stated = _rep_delay(name)
            self._delays = stated.chosen(name.rep_delay_us, device), stated.default
        if self._device is not None:
            self.kind = "simulated device"
            self._limit = min(MAX_NOISY_QUBITS, self._device.num_qubits)
        elif self._rates is not None or self._model is not None:
            self.kind = "noise model"
            self._limit = MAX_NOISY_QUBITS
        else:
            self.kind = "noiseless" if self.shots is None else "sampled"
            self._limit = MAX_QUBITS
        self.num_qubits: int | None = self._limit

    @property
    def calibrated(self) -> str | None:
        """ISO date of the device's calibration; None where there is no device."""
        return None if self._device is None else self._device.calibrated

    def compile(self, program: CircuitProgram) -> SimulatedCircuit:
        """Translate and place where there is a device or noise, schedule idle time, prepare the measurements.

        Raises :class:`BackendError` for a circuit with more qubits than ``num_qubits`` or an observable that is not
        Hermitian, and where ``scale`` makes an error more than a probability or no physical channel.
        """
        size = program.circuit.num_qubits
        if size > self._limit:
            raise BackendError(f"the circuit has {size} qubits; {self.name} simulates at most {self._limit}")
        if self._rates is not None:
            device = Device("noise", parametric_target(size, self._rates), ((0.0, 0.0),) * size, None)
            compiled = self._placed(program, device)
            return replace(compiled, physical_qubits=None, layout=None)
        if self._device is not None:
            return self._placed(program, self._device)
        noise = None if self._model is None else Noise.from_model(self._model, size)
        return _as_it_is(program, noise, self.shots)

    def _placed(self, program: CircuitProgram, device: Device) -> SimulatedCircuit:
        size = program.circuit.num_qubits
        placement = place(program.circuit, device, layout=self._layout_rank, seed_transpiler=self._seed_transpiler)
        patch = placement.patch
        if self._rates is not None:
            noise = _parametric_noise(size, self._rates, self._source)
            labels = [f"qubit {q}" for q in range(size)]
        else:
            noise = _patch_noise(device, patch, self._source)
            labels = [f"qubit {q} of {device.name}" for q in patch]
        observables = tuple(move_observable(o, placement.positions, size) for o in program.observables)
        prepared: Callable[[QuantumCircuit], QuantumCircuit] = _unchanged
        preparation: dict[str, Any] = {}
        if self._delays is not None:
            excesses = excess_excitations(noise, *self._delays)
            noise, prepared = badly_prepared(noise, excesses), with_preparation
            preparation = {
                "rep_delay_us": round(self._delays[0] * 1e6, 6),
                "default_rep_delay_us": round(self._delays[1] * 1e6, 6),
                "excess_excitation": [float(f"{excess:.6g}") for excess in excesses],
            }
        scaled = noise.scaled(self._scale, labels)
        method = _method(size, scaled, self._density_matrix_qubits)
        simulated = self._device is not None
        record = {
            "device": device.name if simulated else None,
            "calibrated": device.calibrated,
            **({} if device.read is None else {"calibration_read": device.read}),
            "layout": list(placement.physical_qubits) if simulated else None,
            "active_qubits": list(patch) if simulated else None,
            "layout_rank": self._layout_rank if simulated else None,
            "seed_transpiler": placement.seed_transpiler,
            "layout_score": round(placement.score, 6) if simulated else None,
            "scale": self._scale,
            "source": self._source,
            "idle_relaxation": True,
            **preparation,
            **circuit_record(placement.circuit),
            **_with_notes(
                _method_record(method, size, self.shots, self._density_matrix_qubits),
                {} if device.noise_model is None else met_by(noise, placement.circuit).record(),
                facts_record(device, placement, without="left out of the noise") if simulated else {},
            ),
        }

        def rotated(group: MeasuredGroup) -> QuantumCircuit:
            circuit = placement.circuit
            if group.needs_rotation:
                circuit = circuit.compose(_patch_rotation(device, patch, group))
            return prepared(schedule(measured(circuit), placement.target))

        return SimulatedCircuit(
            program=program,
            circuit=prepared(unmeasured(schedule(measured(placement.circuit), placement.target))),
            observables=observables,
            physical_qubits=placement.physical_qubits,
            record=record,
            layout=placement.layout(program.circuit),
            noise=scaled,
            runs=_runs(observables, scaled, self.shots, method, rotated),
            method=method,
            shots=self.shots,
            target=placement.target,
        )

    def cost(self, compiled: CompiledCircuit, samples: int) -> Cost:
        """Circuits and executions; a simulator costs no quantum time and no job."""
        circuits = samples * len(self._own(compiled).runs)
        return Cost(circuits=circuits, executions=circuits * (self.shots or 0), quantum_seconds=0.0, jobs=0)

    def run(self, compiled: CompiledCircuit, inputs: ArrayLike, weights: ArrayLike) -> BackendResult:
        """Expectation values, exact or from shots.

        The seed of the shots follows from the backend's seed and the angles, not from how often ``run`` was called
        before: the same angles give the same shots, and training that was interrupted continues as if it had not been.
        Raises ``ValueError`` for inputs or weights of the wrong shape, :class:`BackendError` for angles not finite.
        """
        started = time.perf_counter()
        own = self._own(compiled)
        values = own.program.bind(inputs, weights)
        if not np.isfinite(values).all():
            raise BackendError("an angle of the circuit is not a finite number")
        columns = {parameter: i for i, parameter in enumerate(own.program.circuit.parameters)}
        means = np.zeros((len(values), len(own.observables)))
        variances = np.zeros_like(means)
        size = TRAJECTORY_CHUNK if own.method == "trajectories" and own.shots is None else CHUNK
        for index, (group, circuit) in enumerate(own.runs):
            for start in range(0, len(values), size):
                rows = values[start : start + size]
                result = self._simulate(own, circuit, columns, rows, index)
                for i in range(len(rows)):
                    mean, variance = _estimate(own, group, result, i)
                    means[start + i] += mean
                    variances[start + i] += variance
        record = run_record(
            self,
            own,
            seed=self._seed,
            samples=len(values),
            cost=self.cost(own, len(values)),
            seconds=time.perf_counter() - started,
        )
        return BackendResult(means, np.sqrt(variances), record)

    def _simulate(
        self,
        compiled: SimulatedCircuit,
        circuit: QuantumCircuit,
        columns: dict[Parameter, int],
        values: FloatArray,
        index: int,
    ) -> Result:
        binds = {p: values[:, columns[p]].tolist() for p in circuit.parameters}
        digest = hashlib.blake2b(values.tobytes(), digest_size=4, key=f"{self._seed}/{index}".encode()).digest()
        repeats = N_TRAJECTORIES if compiled.method == "trajectories" else 1
        result = (
            _simulator(compiled.method)
            .run(
                [circuit] if binds else [circuit] * len(values),
                parameter_binds=[binds] if binds else None,
                shots=compiled.shots or repeats,
                noise_model=compiled.aer_noise,
                seed_simulator=int.from_bytes(digest, "little") >> 1,
            )
            .result()
        )
        if not result.success:
            raise RuntimeError(f"Aer could not run the circuit: {result.status}")
        return result

    def _own(self, compiled: CompiledCircuit) -> SimulatedCircuit:
        if not isinstance(compiled, SimulatedCircuit):
            raise TypeError(f"{self.name} runs circuits that it compiled itself, not {type(compiled).__name__}")
        if compiled.shots != self.shots:
            raise TypeError(f"{self.name} cannot run a circuit that was compiled for {compiled.shots or 'no'} shots")
        return compiled


def simulated_under(program: CircuitProgram, noise: Noise, *, translate: bool = True) -> SimulatedCircuit:
    """A program's own circuit under noise: not placed, not scheduled, and translated only where no gate errs otherwise.

    Errors bind to the names of its gates, as in Aer, and so they do in the H and S† that turn X and Y observables into
    Z; gates that Aer does not know are written out, and delays are given in seconds. A circuit whose gates ``noise``
    does not name is translated to those that it names (:func:`backends.noise_gates.in_gates_of`), unless ``translate``
    is false; the record's ``translated_to``, ``errors_met`` and ``note`` say so, and how many gates err.
    ``open_backend("aer").run`` gives its exact values.
    Raises :class:`BackendError` for more than ``MAX_NOISY_QUBITS`` qubits, for a delay whose length is not known, and
    for noise on gates of which none is in the circuit or in its translation.

    >>> noise = Noise.from_model(model, program.circuit.num_qubits)
    >>> open_backend("aer").run(simulated_under(program, noise), inputs, weights).values
    """
    size = program.circuit.num_qubits
    if size > MAX_NOISY_QUBITS:
        raise BackendError(f"the circuit has {size} qubits; under noise at most {MAX_NOISY_QUBITS} are simulated")
    if len(noise.readout) != size:
        raise BackendError(f"the circuit has {size} qubits and the noise is that of {len(noise.readout)}")
    return _as_it_is(program, noise, None, translate=translate)


def _as_it_is(
    program: CircuitProgram, noise: Noise | None, shots: int | None, *, translate: bool = True
) -> SimulatedCircuit:
    size = program.circuit.num_qubits
    method = _method(size, noise, MAX_DENSITY_MATRIX_QUBITS)
    circuit = _flat(program.circuit, _simulator(method))
    about: dict[str, Any] = {}
    target: Target | None = None
    if noise is not None:
        if np.isfinite(noise.relaxation).any():
            circuit = delays_in_seconds(circuit, noise.dt)
        named = in_gates_of(noise, circuit) if translate else NamedCircuit(circuit, None, Meeting.of(circuit, noise))
        circuit, target = named.circuit, named.target
        about = {"kind": "noise model", **named.record()}
    record: dict[str, Any] = {"device": None, "calibrated": None, "layout": None, **circuit_record(circuit)}
    record |= _with_notes(_method_record(method, size, shots, MAX_DENSITY_MATRIX_QUBITS), about)

    def rotated(group: MeasuredGroup) -> QuantumCircuit:
        if not group.needs_rotation:
            return measured(circuit)
        rotation = group.rotation()
        return measured(circuit.compose(rotation if target is None else translate_in_place(rotation, target)))

    return SimulatedCircuit(
        program=program,
        circuit=circuit,
        observables=program.observables,
        physical_qubits=None,
        record=record,
        noise=noise,
        runs=_runs(program.observables, noise, shots, method, rotated),
        method=method,
        shots=shots,
    )


def _method(size: int, noise: Noise | None, density_matrix_qubits: int) -> Method:
    if noise is None or noise.only_reads_wrong:
        return "state vector"
    return "density matrix" if size <= density_matrix_qubits else "trajectories"


def _method_record(method: Method, size: int, shots: int | None, density_matrix_qubits: int) -> dict[str, Any]:
    if method != "trajectories":
        return {"method": method}
    taken_over = f"{size} qubits: above {density_matrix_qubits} Aer's density matrix is replaced by"
    if shots is None:
        note = f"{taken_over} {N_TRAJECTORIES:,} trajectories; values carry a standard error"
    else:
        note = f"{taken_over} trajectories, one for each shot"
    return {"method": method, "trajectories": shots or N_TRAJECTORIES, "note": note}


def facts_record(device: Device, placement: Placement, *, without: str) -> dict[str, Any]:
    """Where a device without a name comes from, and what is not known of a placed circuit's gates and qubits.

    ``without`` says in a word what was done without it.
    """
    unknown = device.unknown(placement.patch, placement.circuit.count_ops())
    record: dict[str, Any] = {}
    if device.origin is not None:
        record["object"] = {"type": device.origin[0], "version": device.origin[1], "facts": device.digest}
    if unknown:
        note = f"{without}, since {device.name} does not state them: {', '.join(unknown)}"
        record |= {"unknown": list(unknown), "note": note}
    return record


def _with_notes(*records: dict[str, Any]) -> dict[str, Any]:
    """Parts of a record together, the notes of all in one."""
    notes = [part["note"] for part in records if "note" in part]
    joined: dict[str, Any] = {"note": "; ".join(notes)} if notes else {}
    return {key: value for part in records for key, value in part.items()} | joined


def _runs(
    observables: tuple[SparsePauliOp, ...],
    noise: Noise | None,
    shots: int | None,
    method: Method,
    rotated: Callable[[MeasuredGroup], QuantumCircuit],
) -> tuple[tuple[MeasuredGroup, QuantumCircuit], ...]:
    """Each group with its circuit: ``rotated(group)``, measured, or with expectation values saved instead."""
    runs = []
    for group in group_observables(observables):
        ready = rotated(group)
        if shots is None:
            ready = unmeasured(ready)
            readout = noise.readout if noise is not None else ((0.0, 0.0),) * ready.num_qubits
            for k, operator in enumerate(group.read_as(readout)):
                save = SaveExpectationValue(operator, label=str(k), pershot=method == "trajectories")
                ready.append(save, ready.qubits)
        runs.append((group, _bindable(ready)))
    return tuple(runs)


def _estimate(
    compiled: SimulatedCircuit, group: MeasuredGroup, result: Result, index: int
) -> tuple[FloatArray, FloatArray]:
    """Mean of each observable's part and variance of the mean, shape (K,)."""
    if compiled.shots is not None:
        return group.estimate(result.get_counts(index))
    data = result.data(index)
    saved = np.array([data[str(k)] for k in range(len(group.terms))], dtype=np.float64)
    if compiled.method != "trajectories":
        return saved, np.zeros_like(saved)
    count = saved.shape[1]
    variances = saved.var(axis=1, ddof=1) / count
    # Where all agree, errors are rare rather than absent: allow for one more trajectory that shows one.
    widths = np.array([sum(abs(c) for qubits, c in terms if qubits) for terms in group.terms])
    agree = np.ptp(saved, axis=1) < 1e-12
    return saved.mean(axis=1), np.where(agree, (widths / count) ** 2, variances)


def _unchanged(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return the circuit itself."""
    return circuit


@lru_cache(maxsize=CACHED_PLACEMENTS)
def _patch_noise(device: Device, patch: tuple[int, ...], source: Source | None) -> Noise:
    if device.noise_model is not None:
        return Noise.from_model(device.noise_model, patch)
    target = restrict_target(device, patch)
    noise = calibrated_noise(target, [device.readout[q] for q in patch])
    return noise if source is None else one_source(noise, source, target)


@lru_cache(maxsize=CACHED_PLACEMENTS)
def _parametric_noise(size: int, rates: NoiseRates, source: Source | None) -> Noise:
    noise = parametric_noise(size, rates)
    return noise if source is None else one_source(noise, source, parametric_target(size, rates))


@lru_cache(maxsize=CACHED_PLACEMENTS)
def _patch_rotation(device: Device, patch: tuple[int, ...], group: MeasuredGroup) -> QuantumCircuit:
    return translate_in_place(group.rotation(), restrict_target(device, patch))


@cache
def _simulator(method: Method) -> AerSimulator:
    threads = _threads()
    return AerSimulator(method=_AER_METHODS[method], max_parallel_threads=threads, max_parallel_experiments=threads)


def _flat(circuit: QuantumCircuit, simulator: AerSimulator) -> QuantumCircuit:
    """The circuit itself where Aer knows all its gates, else the same with composite gates written out."""
    known = set(simulator.target.operation_names)
    if all(item.operation.name in known for item in circuit.data):
        return circuit
    return generate_preset_pass_manager(0, backend=simulator).run(circuit)


def _bindable(circuit: QuantumCircuit) -> QuantumCircuit:
    """The same circuit with its parameterized controlled gates in a form whose parameters Aer binds.

    Aer overlooks them in a ``ControlledGate``, whose parameters live in its base gate, and runs it at angle 0
    (qiskit-aer issue 2323). It goes by names alone, so a plain gate of that name is the same to it, and to its noise.
    """
    if not any(_overlooked(item.operation) for item in circuit.data):
        return circuit
    result = circuit.copy_empty_like()
    for item in circuit.data:
        gate = item.operation
        plain = Gate(gate.name, gate.num_qubits, gate.params, label=gate.label) if _overlooked(gate) else gate
        result.append(plain, item.qubits, item.clbits, copy=False)
    return result


def _overlooked(gate: Instruction) -> bool:
    return isinstance(gate, ControlledGate) and any(isinstance(p, ParameterExpression) for p in gate.params)


def _threads() -> int:
    """CPUs this process may use, or fewer where OMP_NUM_THREADS says so."""
    free = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return min(free, int(wanted)) if wanted.isdigit() and int(wanted) > 0 else free


def _device(name: BackendName) -> Device:
    """The stored device of a name, or the live one, whose client is loaded for it alone."""
    if name.kind != "live":
        return stored_device(str(name.device))
    from backends.ibm.live import live_device

    return live_device(str(name.device))


def _rep_delay(name: BackendName) -> RepDelay:
    if name.kind != "live":
        return stored_rep_delay(str(name.device))
    from backends.ibm.live import live_rep_delay

    return live_rep_delay(str(name.device))
