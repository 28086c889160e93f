"""From a program to a circuit a device can run: where to place it, translation, which qubit ends where.

The circuit is kept inside a connected patch with as many qubits as it has itself. That keeps simulation exact and cheap
(4^Q), and it makes the layout a choice with the readout error in view: transpiling an unmeasured circuit on the whole
device ignores readout, and picks qubits that read 0.2 wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from statistics import median
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Delay, Gate, Measure, Parameter
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import (
    InstructionProperties,
    Layout,
    PassManager,
    QubitProperties,
    Target,
    generate_preset_pass_manager,
)
from qiskit.transpiler.exceptions import TranspilerError
from qiskit.transpiler.passes import ALAPScheduleAnalysis, PadDelay, TimeUnitConversion
from qiskit.utils.units import apply_prefix

from backends.devices import UNUSABLE_ERROR, Device
from backends.errors import BackendError
from backends.names import LayoutRank

PATCHES = 6
"""Best patches of the device that are tried."""
SEEDS = 4
"""Transpiler seeds tried on each patch."""
IDLE_GATES = 8
"""Two-qubit gates for whose time a qubit is taken to wait, while patches are grown and no circuit is placed yet."""
CACHED_PLACEMENTS = 64
"""Placements kept for circuits that come back; the least recently used goes first."""


@dataclass(frozen=True)
class Placement:
    """A program's circuit, translated and placed."""

    circuit: QuantumCircuit
    """ISA circuit on the patch: qubit i of it is qubit ``patch[i]`` of the device."""
    target: Target
    """The device's target restricted to the patch, in the patch's numbering; durations in seconds."""
    patch: tuple[int, ...]
    positions: tuple[int, ...]
    """For each virtual qubit the qubit of ``circuit`` that holds it at the end."""
    seed_transpiler: int
    score: float
    """Estimated probability that nothing errs, from the calibration; see :func:`success`."""

    @property
    def physical_qubits(self) -> tuple[int, ...]:
        """Device qubit of each virtual qubit at the end of the circuit."""
        return tuple(self.patch[p] for p in self.positions)

    def layout(self, circuit: QuantumCircuit) -> Layout:
        """Where the circuit's qubits are at the end, as a Qiskit layout."""
        return Layout(dict(zip(circuit.qubits, self.physical_qubits, strict=True)))


def restrict_target(device: Device, qubits: Sequence[int]) -> Target:
    """The device's target on some qubits, renumbered 0…: gates, measurement and delays, without broken edges."""
    index = {qubit: i for i, qubit in enumerate(qubits)}
    known = device.target.qubit_properties or [QubitProperties()] * device.num_qubits
    part = Target(num_qubits=len(qubits), qubit_properties=[known[q] for q in qubits])
    for name in device.target.operation_names:
        operation = device.target.operation_from_name(name)
        if not isinstance(operation, (Gate, Measure, Delay)) or (isinstance(operation, Measure) and name != "measure"):
            continue
        properties = {}
        for where, props in (device.target[name] or {}).items():
            if where is None or not set(where) <= set(index):
                continue
            error = getattr(props, "error", None)
            if len(where) == 2 and (name != device.entangler or (error is not None and error >= UNUSABLE_ERROR)):
                continue
            # A few old calibrations give no time for measurement; scheduling needs one, and all measure at the end.
            seconds = getattr(props, "duration", None) or 0.0
            properties[tuple(index[q] for q in where)] = (
                None if name == "delay" else InstructionProperties(duration=seconds, error=error)
            )
        if properties:
            part.add_instruction(operation, properties, name=name)
    return part


def candidate_patches(device: Device, size: int) -> list[tuple[int, ...]]:
    """Connected sets of ``size`` device qubits, those with the smallest errors of readout, two-qubit gates and idling
    first.

    Grown greedily from every qubit: always the neighbour that adds the least error.
    """
    neighbours: dict[int, dict[int, float]] = {q: {} for q in range(device.num_qubits)}
    for (a, b), error in device.edges.items():
        neighbours[a][b] = neighbours[b][a] = error
    usable = {q for q in range(device.num_qubits) if device.readout_error(q) < UNUSABLE_ERROR}
    idle = IDLE_GATES * _median_gate_seconds(device)
    own = {q: device.readout_error(q) + idle * relaxation_rate(device.target, q) / 2 for q in usable}
    found: dict[tuple[int, ...], float] = {}
    for start in sorted(usable):
        patch, cost = {start}, own[start]
        while len(patch) < size:
            border = {
                other: own[other] + min(e for q, e in neighbours[other].items() if q in patch)
                for member in patch
                for other in neighbours[member]
                if other in usable - patch
            }
            if not border:
                break
            best = min(border, key=lambda q: (border[q], q))
            patch.add(best)
            cost += border[best]
        if len(patch) == size:
            found[tuple(sorted(patch))] = cost
    return sorted(found, key=lambda p: (found[p], p))


def _median_gate_seconds(device: Device) -> float:
    known = device.target[device.entangler].values() if device.entangler else ()
    return median([getattr(properties, "duration", None) or 0.0 for properties in known] or [0.0])


def place(
    circuit: QuantumCircuit,
    device: Device,
    seed: int = 0,
    *,
    layout: LayoutRank = "best",
    seed_transpiler: int | None = None,
) -> Placement:
    """Translate a circuit for a device, on the patch and with the transpiler seed that promise the fewest errors.

    ``layout`` other than ``best`` takes the ``median`` or the ``worst`` of the patches that are grown from every
    working qubit (:func:`candidate_patches`), by the errors they were grown by. ``seed_transpiler`` tries that seed
    alone, and leaves the choice of the best qubits to the transpiler, as who transpiles once gets them.

    Laid out with all qubits measured, so that readout errors count, and scheduled, so that idle qubits do. Not every
    patch is tried: on stored calibrations of Heron and Eagle the expected error of ⟨Z⟩ is up to a third above that of
    the best patch of :func:`backends.ibm.copies.place_copies`, which looks at all. Deterministic: the transpiler's
    seeds are ``seed`` and the next few. A circuit that was placed before is not transpiled again: one that is equal but
    for the names of its parameters, on a device of the same calibration.
    Raises :class:`BackendError` when the device has no connected patch that is large enough, when its gates do not make
    up the circuit, when the transpiler with ``seed_transpiler`` takes more qubits than the circuit has, and for a delay
    whose length is not known.
    """
    form = _Form(delays_in_seconds(circuit, device.target.dt))
    seeds = tuple(range(seed, seed + SEEDS)) if seed_transpiler is None else (seed_transpiler,)
    try:
        placement = _search(form, device, seeds, layout, search=seed_transpiler is None)
    except TranspilerError as error:
        gates = ", ".join(name for name in sorted(device.target.operation_names) if name not in {"delay", "measure"})
        first = " ".join(str(error).replace("'", "").split())[:120]
        raise BackendError(f"the circuit cannot be written in the gates of {device.name} ({gates}): {first}…") from None
    return replace(placement, circuit=form.with_its_parameters(placement.circuit))


class _Form:
    """A circuit as a key: its parameters stand for their positions, so that names do not matter, and it is a copy, so
    that a circuit changed in place is another one.

    Numbers are compared to the last bit here, the rest by Qiskit (which takes angles 10⁻¹⁰ apart for equal).
    """

    def __init__(self, circuit: QuantumCircuit) -> None:
        self._parameters = tuple(circuit.parameters)
        self.circuit = circuit.assign_parameters({p: _placeholder(i) for i, p in enumerate(self._parameters)})
        self._numbers = _numbers(self.circuit)

    def with_its_parameters(self, circuit: QuantumCircuit) -> QuantumCircuit:
        """A copy of a circuit that was made of this one, in the parameters that this one came with."""
        own = {_placeholder(i): p for i, p in enumerate(self._parameters)}
        return circuit.assign_parameters({p: own[p] for p in circuit.parameters})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Form) and self._numbers == other._numbers and bool(self.circuit == other.circuit)

    def __hash__(self) -> int:
        return hash(self._numbers)


@cache
def _placeholder(index: int) -> Parameter:
    return Parameter(f"#{index}")


def _numbers(circuit: QuantumCircuit) -> tuple[Any, ...]:
    """Gates, qubits and plain numbers of a circuit and of the composite gates in it."""
    standard = get_standard_gate_name_mapping()
    found: list[Any] = [circuit.num_qubits, circuit.global_phase if _plain(circuit.global_phase) else None]
    for item in circuit.data:
        operation = item.operation
        qubits = tuple(circuit.find_bit(q).index for q in item.qubits)
        params = getattr(operation, "params", ())
        matrices = tuple(p.tobytes() for p in params if isinstance(p, np.ndarray))
        known = matrices or type(operation) is type(standard.get(operation.name))
        inside = None if known else getattr(operation, "definition", None)
        about = (operation.name, getattr(operation, "label", None), tuple(p for p in params if _plain(p)), matrices)
        found.append((qubits, *about, None if inside is None else _numbers(inside)))
    return tuple(found)


def _plain(value: Any) -> bool:
    return isinstance(value, (int, float, complex, np.number))


@lru_cache(maxsize=CACHED_PLACEMENTS)
def _search(form: _Form, device: Device, seeds: tuple[int, ...], layout: LayoutRank, *, search: bool) -> Placement:
    circuit = form.circuit
    size = circuit.num_qubits
    ready = measured(circuit)
    grown = candidate_patches(device, size)
    if not grown:
        raise BackendError(
            f"the circuit has {size} qubits and {device.name} has no connected patch of that many working qubits "
            f"({device.num_qubits} in all)"
        )
    if layout == "best":
        patches = [*(grown[:PATCHES] if search else ()), *_preset_patches(ready, device, seeds)]
    else:
        patches = [grown[-1] if layout == "worst" else grown[len(grown) // 2]]
    if not patches:
        raise BackendError(
            f"seed_transpiler = {seeds[0]}: the transpiler spreads the circuit over more than {size} qubits of "
            f"{device.name}; take another seed"
        )
    best: Placement | None = None
    for patch in dict.fromkeys(patches):
        target = restrict_target(device, patch)
        readout = [device.readout_error(q) for q in patch]
        for seed_transpiler in seeds:
            translated = translate(ready, target, seed_transpiler)
            positions = _positions(translated, size)
            score = success(translated, target, readout)
            if best is None or score > best.score:
                best = Placement(unmeasured(translated), target, patch, positions, seed_transpiler, score)
    assert best is not None
    return best


def translate(circuit: QuantumCircuit, target: Target, seed_transpiler: int) -> QuantumCircuit:
    """Translate with Qiskit's most careful passes.

    Its level 3 copies circuits on the way and stops with a ``TypeError`` at an angle whose parameters cancel out, as
    multi-controlled rotations bring about; level 2 translates these.
    """
    try:
        return generate_preset_pass_manager(3, target=target, seed_transpiler=seed_transpiler).run(circuit)
    except TypeError:
        return generate_preset_pass_manager(2, target=target, seed_transpiler=seed_transpiler).run(circuit)


def _preset_patches(ready: QuantumCircuit, device: Device, seeds: Sequence[int]) -> list[tuple[int, ...]]:
    """Patches the preset pass manager chooses when it has the whole device, where they are no larger than needed."""
    everywhere = restrict_target(device, range(device.num_qubits))
    chosen = []
    for seed_transpiler in seeds:
        translated = translate(ready, everywhere, seed_transpiler)
        used = {
            translated.find_bit(q).index for i in translated.data if i.operation.name != "barrier" for q in i.qubits
        }
        if len(used) == ready.num_qubits and _connected(used, device):
            chosen.append(tuple(sorted(used)))
    return chosen


def _connected(qubits: set[int], device: Device) -> bool:
    reached, border = set[int](), {min(qubits)}
    while border:
        reached |= border
        border = {b for pair in device.edges for a, b in (pair, pair[::-1]) if a in border and b in qubits} - reached
    return reached == qubits


def _positions(ready: QuantumCircuit, size: int) -> tuple[int, ...]:
    """Where each virtual qubit is read: ``measure_all`` writes qubit i to bit i, whatever was routed before."""
    where = {
        ready.find_bit(item.clbits[0]).index: ready.find_bit(item.qubits[0]).index
        for item in ready.data
        if item.operation.name == "measure"
    }
    return tuple(where[i] for i in range(size))


def success(ready: QuantumCircuit, target: Target, readout: Sequence[float]) -> float:
    """Estimated probability that no gate and no readout of a measured circuit errs and no qubit relaxes while idle.

    ``readout`` has the mean readout error of each qubit of ``target``.
    """
    log, started = 0.0, set[int]()
    timed = schedule(ready, target)
    for item in timed.data:
        qubits = tuple(timed.find_bit(q).index for q in item.qubits)
        if item.operation.name == "measure":
            log += math.log1p(-min(readout[qubits[0]], UNUSABLE_ERROR))
        elif item.operation.name == "delay":
            if qubits[0] in started:  # until its first gate a qubit waits in |0⟩
                log -= float(item.operation.duration) * relaxation_rate(target, qubits[0]) / 2
        elif item.operation.name != "barrier":
            properties = target[item.operation.name].get(qubits)
            log += math.log1p(-min(getattr(properties, "error", None) or 0.0, UNUSABLE_ERROR))
            started.update(qubits)
    return math.exp(log)


def relaxation_rate(target: Target, qubit: int) -> float:
    """What an idle qubit loses of X, Y and Z, the mean of the three, a second: (2/T2 + 1/T1)/3.

    Its average infidelity after a short time t is half of that times t.
    """
    known = target.qubit_properties[qubit] if target.qubit_properties else None
    t1, t2 = (getattr(known, name, None) for name in ("t1", "t2"))
    return ((2 / t2 if t2 else 0.0) + (1 / t1 if t1 else 0.0)) / 3


def measured(circuit: QuantumCircuit) -> QuantumCircuit:
    """The circuit with all qubits measured at its end, qubit i into bit i."""
    ready = circuit.copy()
    ready.measure_all()
    return ready


def unmeasured(circuit: QuantumCircuit) -> QuantumCircuit:
    """The circuit without the measurements at its end and without their classical bits."""
    bare: QuantumCircuit = circuit.remove_final_measurements(inplace=False)
    # Composed into a fresh circuit: the layout is the placement's, and Qiskit's would speak of the measured circuit.
    return QuantumCircuit(bare.num_qubits).compose(bare)


def move_observable(observable: SparsePauliOp, positions: Sequence[int], num_qubits: int) -> SparsePauliOp:
    """The observable of the virtual qubits on the qubits that hold them, in a register of ``num_qubits``."""
    return observable.apply_layout(list(positions), num_qubits=num_qubits)


def translate_in_place(circuit: QuantumCircuit, target: Target) -> QuantumCircuit:
    """Write single-qubit gates in the target's own, on the same qubits."""
    manager = generate_preset_pass_manager(1, target=target, initial_layout=list(range(circuit.num_qubits)))
    return manager.run(circuit)


def schedule(circuit: QuantumCircuit, target: Target) -> QuantumCircuit:
    """Gates as late as possible, idle time written as delays (in seconds), so that idle qubits relax."""
    return PassManager(
        [TimeUnitConversion(target=target), ALAPScheduleAnalysis(target=target), PadDelay(target=target)]
    ).run(circuit)


def delays_in_seconds(circuit: QuantumCircuit, dt: float | None) -> QuantumCircuit:
    """The same circuit with every delay in seconds; ``dt`` is the length in seconds of the unit of that name.

    Raises :class:`BackendError` for a delay in ``dt`` where that length is not known, or of a length that is no number.
    """
    delays = [item.operation for item in circuit.data if isinstance(item.operation, Delay)]
    if all(delay.unit == "s" and _plain(delay.duration) for delay in delays):
        return circuit
    result = circuit.copy_empty_like()
    for item in circuit.data:
        operation = item.operation
        if isinstance(operation, Delay):
            operation = Delay(_seconds(operation, dt), "s")
        result.append(operation, item.qubits, item.clbits)
    return result


def _seconds(delay: Delay, dt: float | None) -> float:
    if not _plain(delay.duration):
        raise BackendError(f"a delay of {delay.duration} has no known length; under relaxation a delay is a number")
    if delay.unit != "dt":
        return float(apply_prefix(delay.duration, delay.unit))
    if dt is None:
        raise BackendError("a delay is counted in dt, and the noise model does not say how long that is; give it in ns")
    return float(delay.duration) * dt


def circuit_record(circuit: QuantumCircuit) -> dict[str, Any]:
    """Depth, number of two-qubit gates and count of each gate; delays and barriers are not gates."""
    idle = {"delay", "barrier", "measure"}
    counts = {str(k): int(v) for k, v in circuit.count_ops().items() if k not in idle and not k.startswith("save_")}
    return {
        "depth": int(circuit.depth(lambda item: item.operation.name not in idle)),
        "two_qubit_gates": sum(1 for i in circuit.data if len(i.qubits) == 2 and i.operation.name not in idle),
        "gate_counts": counts,
    }
