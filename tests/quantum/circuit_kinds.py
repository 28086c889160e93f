"""Circuits of every kind that people write, each in parameters and in numbers, and the state each of them leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import AnnotatedOperation, ControlModifier, Gate, Parameter
from qiskit.circuit.library import PauliEvolutionGate
from qiskit.quantum_info import DensityMatrix, Kraus, SparsePauliOp
from quantum_programs import STANDARD_GATES, Angle

from backends.contract import CircuitProgram

TURNING = sorted(name for name, gate in STANDARD_GATES.items() if gate.params)
"""Every standard gate with an angle."""
PARAMETERS = (Parameter("x"), Parameter("v"), Parameter("w"))
OBSERVABLES = (
    *(SparsePauliOp(label) for label in ("IIZ", "ZII", "IXI", "YIY", "ZXZ")),
    SparsePauliOp(["IZI", "XXI", "IIY"], [0.5, -0.7, 0.2]),
)
QUBITS = 3

Write = Callable[[np.random.Generator, Sequence[Angle]], QuantumCircuit]


def gates(circuit: QuantumCircuit, random: np.random.Generator, angles: Sequence[Angle], count: int = 4) -> None:
    """Standard gates with angles, bare parameters alone, on random qubits; some inverse."""
    for _ in range(count):
        fitting = [name for name in TURNING if STANDARD_GATES[name].num_qubits <= circuit.num_qubits]
        kind = STANDARD_GATES[fitting[random.integers(len(fitting))]]
        gate = kind.base_class(*[angles[random.integers(len(angles))] for _ in kind.params])
        if random.integers(3) == 0:
            gate = gate.inverse()
        circuit.append(gate, random.permutation(circuit.num_qubits)[: gate.num_qubits].tolist())


def start(random: np.random.Generator, angles: Sequence[Angle], bits: int = 0) -> QuantumCircuit:
    """Every qubit turned out of every plane, by the parameters in order."""
    circuit = QuantumCircuit(QUBITS, bits) if bits else QuantumCircuit(QUBITS)
    turn(circuit, angles)
    return circuit


def turn(circuit: QuantumCircuit, angles: Sequence[Angle]) -> None:
    for qubit in range(QUBITS):
        circuit.ry(0.4 + 0.5 * qubit, qubit)
        circuit.rx(angles[qubit % len(angles)], qubit)


def standard(random: np.random.Generator, angles: Sequence[Angle]) -> QuantumCircuit:
    circuit = start(random, angles)
    gates(circuit, random, angles, 6)
    return circuit


def controlled(random: np.random.Generator, angles: Sequence[Angle]) -> QuantumCircuit:
    circuit = start(random, angles)
    for _ in range(4):
        controls = int(random.integers(1, QUBITS))
        fitting = [name for name in TURNING if STANDARD_GATES[name].num_qubits <= QUBITS - controls]
        kind = STANDARD_GATES[fitting[random.integers(len(fitting))]]
        gate = kind.base_class(*[angles[random.integers(len(angles))] for _ in kind.params])
        more = gate.control(controls, ctrl_state=int(random.integers(2**controls)), annotated=False)
        circuit.append(more, random.permutation(QUBITS)[: more.num_qubits].tolist())
    circuit.mcp(angles[0], [0, 1], 2)
    circuit.mcrx(angles[1], [2, 0], 1)
    return circuit


def annotated(random: np.random.Generator, angles: Sequence[Angle]) -> QuantumCircuit:
    circuit = start(random, angles)
    for name in ("ry", "p", "u"):
        kind = STANDARD_GATES[name]
        gate = kind.base_class(*[angles[random.integers(len(angles))] for _ in kind.params])
        modifier = ControlModifier(2, ctrl_state=int(random.integers(4)))
        circuit.append(AnnotatedOperation(gate, modifier), random.permutation(QUBITS).tolist())
    return circuit


def nested(random: np.random.Generator, angles: Sequence[Angle]) -> QuantumCircuit:
    circuit = start(random, angles)
    for width in (1, 2):
        inner = QuantumCircuit(width, name="inner")
        gates(inner, random, angles, 2)
        outer = QuantumCircuit(width, name="outer")
        outer.append(inner.to_gate(), range(width))
        outer.append(inner.to_gate().inverse(), range(width))
        gates(outer, random, angles, 2)
        circuit.append(outer.to_gate(), random.permutation(QUBITS)[:width].tolist())
        circuit.append(outer.to_gate().inverse(), random.permutation(QUBITS)[:width].tolist())
        circuit.append(inner.to_gate().control(1, ctrl_state=int(random.integers(2))), range(width + 1))
        circuit.append(outer.to_instruction(), random.permutation(QUBITS)[:width].tolist())
    return circuit


def expressions(random: np.random.Generator, angles: Sequence[Angle]) -> QuantumCircuit:
    a, b, c = angles
    return controlled(random, [2 * a - 0.3, a * b + c, b / 2 + a, c, a - c])


def phases(random: np.random.Generator, angles: Sequence[Angle]) -> QuantumCircuit:
    part = QuantumCircuit(1, name="part", global_phase=angles[0])
    part.rx(angles[1], 0)
    circuit = start(random, angles)
    circuit.append(part.to_gate(), [0])
    circuit.append(part.to_gate().control(2), random.permutation(QUBITS).tolist())
    circuit.global_phase = angles[2]
    gates(circuit, random, angles, 2)
    return circuit


def evolutions(random: np.random.Generator, angles: Sequence[Angle]) -> QuantumCircuit:
    circuit = start(random, angles)
    circuit.append(PauliEvolutionGate(SparsePauliOp(["XZ", "YY"], [0.4, 0.7]), time=angles[0]), [2, 0])
    circuit.barrier()
    gates(circuit, random, angles, 2)
    return circuit


def others_names(random: np.random.Generator, angles: Sequence[Angle]) -> QuantumCircuit:
    circuit = start(random, angles)
    for name in ("h", "rx", "cx", "mcx", "unitary"):
        width = 1 if name in {"h", "rx"} else 2
        part = QuantumCircuit(width, name=name)
        gates(part, random, angles, 2)
        part.ry(0.3, 0)
        whole = QuantumCircuit(width, name="whole")
        whole.append(part.to_gate(), range(width))
        circuit.append((whole if random.integers(2) else part).to_gate(), random.permutation(QUBITS)[:width].tolist())
    return circuit


def idle_bits(random: np.random.Generator, angles: Sequence[Angle]) -> QuantumCircuit:
    circuit = start(random, angles, bits=int(random.integers(1, 2 * QUBITS)))
    gates(circuit, random, angles)
    part = QuantumCircuit(1, 1, name="part")
    part.ry(angles[0], 0)
    circuit.append(part.to_instruction(), [1], [0])
    return circuit


def measured(random: np.random.Generator, angles: Sequence[Angle]) -> QuantumCircuit:
    circuit = start(random, angles)
    gates(circuit, random, angles)
    circuit.measure_all()
    return circuit


def permuted(random: np.random.Generator, angles: Sequence[Angle]) -> QuantumCircuit:
    circuit = start(random, angles, bits=QUBITS)
    gates(circuit, random, angles)
    circuit.measure(range(QUBITS), random.permutation(QUBITS).tolist())
    return circuit


def partly_measured(random: np.random.Generator, angles: Sequence[Angle]) -> QuantumCircuit:
    """One qubit measured, twice, while the others go on."""
    circuit = start(random, angles, bits=2)
    gates(circuit, random, angles)
    circuit.barrier()
    circuit.measure([1, 1], [0, 1])
    circuit.ry(angles[0], 0)
    circuit.crx(angles[1], 0, 2)
    return circuit


def reset(random: np.random.Generator, angles: Sequence[Angle]) -> QuantumCircuit:
    circuit = QuantumCircuit(QUBITS)
    circuit.ry(0.7, 0)
    circuit.barrier()
    circuit.reset([1, 2, 1])
    turn(circuit, angles)
    gates(circuit, random, angles)
    return circuit


def initialized(random: np.random.Generator, angles: Sequence[Angle]) -> QuantumCircuit:
    amplitudes = random.normal(size=4) + 1j * random.normal(size=4)
    part = QuantumCircuit(1, name="part")
    part.initialize("-")
    part.ry(angles[0], 0)
    circuit = QuantumCircuit(QUBITS)
    circuit.append(part.to_instruction(), [1])
    circuit.initialize(amplitudes / np.linalg.norm(amplitudes), [2, 0])
    turn(circuit, angles)
    gates(circuit, random, angles)
    return circuit


KINDS: dict[str, Write] = {
    "standard gates": standard,
    "controlled, ctrl_state": controlled,
    "annotated": annotated,
    "custom, nested, inverse": nested,
    "expressions, repeated": expressions,
    "global phases": phases,
    "evolution, barriers": evolutions,
    "other gates' names": others_names,
    "idle classical bits": idle_bits,
    "measured at the end": measured,
    "permuted bits": permuted,
    "partly measured": partly_measured,
    "reset at the start": reset,
    "initialize at the start": initialized,
}


def written(kind: str, seed: int) -> CircuitProgram:
    """A circuit of a kind in parameters: one input, the rest weights."""
    circuit = KINDS[kind](np.random.default_rng(seed), PARAMETERS)
    used = [p for p in PARAMETERS if p in circuit.parameters]
    return CircuitProgram(circuit, tuple(used[:1]), tuple(used[1:]), OBSERVABLES)


def right_values(kind: str, seed: int, angles: Sequence[float]) -> NDArray[np.float64]:
    """The values (K,) of the same circuit written in numbers, by density matrices, measurements as dephasing."""
    state = left_by(KINDS[kind](np.random.default_rng(seed), list(angles)))
    return np.array([state.expectation_value(observable).real for observable in OBSERVABLES])


def left_by(circuit: QuantumCircuit) -> DensityMatrix:
    """The state after a circuit in numbers, averaged over what it measures."""
    return _after(circuit, DensityMatrix.from_int(0, 2**circuit.num_qubits), range(circuit.num_qubits))


def _after(circuit: QuantumCircuit, state: DensityMatrix, qubits: Sequence[int]) -> DensityMatrix:
    for item in circuit.data:
        where = [qubits[circuit.find_bit(q).index] for q in item.qubits]
        operation = item.operation
        if operation.name == "measure" and not isinstance(operation, Gate):
            state = state.evolve(Kraus([np.diag([1, 0]), np.diag([0, 1])]), where)
        elif operation.name == "reset":
            state = state.reset(where)
        elif operation.name == "barrier" or not where:
            continue
        elif isinstance(operation, PauliEvolutionGate) or not isinstance(operation, Gate | AnnotatedOperation):
            state = _after(operation.definition, state, where)
        else:
            state = state.evolve(operation, where)
    return state
