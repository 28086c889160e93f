"""From a Qiskit circuit to Pauli rotations and fixed instructions, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Barrier, ControlFlowOp, Delay, Instruction, Operation, ParameterExpression
from qiskit.circuit.library import (
    PauliEvolutionGate,
    PhaseGate,
    RGate,
    RXGate,
    RXXGate,
    RYGate,
    RYYGate,
    RZGate,
    RZXGate,
    RZZGate,
    U1Gate,
    U2Gate,
    U3Gate,
    UGate,
)
from qiskit.exceptions import QiskitError
from qiskit.quantum_info import Clifford, Operator
from qiskit.transpiler import PassManager
from qiskit.transpiler.passes import HighLevelSynthesis

from hybridq.errors import UserError

Angle: TypeAlias = ParameterExpression | float

PAULI: dict[str, NDArray[np.complex128]] = {
    "x": np.array([[0, 1], [1, 0]], dtype=np.complex128),
    "y": np.array([[0, -1j], [1j, 0]], dtype=np.complex128),
    "z": np.array([[1, 0], [0, -1]], dtype=np.complex128),
}

# One Pauli letter per qubit, in the order of the gate's qubits: Qiskit's RZX has Z on its first qubit. P and U1 equal
# RZ up to a phase of the whole circuit (their controlled forms are other classes).
_ROTATIONS: dict[type, str] = {
    RXGate: "x",
    RYGate: "y",
    RZGate: "z",
    PhaseGate: "z",
    U1Gate: "z",
    RXXGate: "xx",
    RYYGate: "yy",
    RZZGate: "zz",
    RZXGate: "zx",
}
_LARGEST_MATRIX = 4  # qubits; a larger fixed instruction is taken apart if it can be
_DEEPEST_DEFINITION = 32


@dataclass(frozen=True)
class Rotation:
    """exp(-i angle/2 P), P the product of ``paulis[j]`` on ``qubits[j]``."""

    paulis: str
    qubits: tuple[int, ...]
    angle: Angle


@dataclass(frozen=True)
class Fixed:
    """An instruction without parameters: a gate, a barrier or a delay."""

    operation: Instruction
    qubits: tuple[int, ...]

    @property
    def is_identity(self) -> bool:
        """Whether a noiseless simulation may skip it."""
        return isinstance(self.operation, Barrier | Delay) or not self.qubits

    def matrix(self) -> NDArray[np.complex128]:
        """The unitary, little-endian in ``qubits``."""
        return np.asarray(Operator(self.operation).data, dtype=np.complex128)


def lower(circuit: QuantumCircuit) -> list[Rotation | Fixed]:
    """Every parameterized gate as Pauli rotations; global phases are dropped.

    An instruction means what its definition says, as on a device: a ``PauliEvolutionGate`` is its product formula.

    Raises :class:`UserError` naming the first instruction that has no unitary meaning here (measurements, resets,
    control flow, opaque instructions).
    """
    items: list[Rotation | Fixed] = []
    _append(circuit, tuple(range(circuit.num_qubits)), items, depth=0)
    return items


def _append(circuit: QuantumCircuit, qubits: tuple[int, ...], items: list[Rotation | Fixed], *, depth: int) -> None:
    for instruction in circuit.data:
        operation = instruction.operation
        where = tuple(qubits[circuit.find_bit(qubit).index] for qubit in instruction.qubits)
        if not where:
            continue  # a global phase
        if instruction.clbits or isinstance(operation, ControlFlowOp):
            raise _refusal(operation)
        if not isinstance(operation, Instruction):
            _append(_synthesized(operation), where, items, depth=depth + 1)
        elif _is_parameterized(operation):
            rotations = _rotations(operation, where)
            if rotations is None:
                _append_definition(operation, where, items, depth=depth)
            else:
                items.extend(rotations)
        elif isinstance(operation, Barrier | Delay):
            items.append(Fixed(operation, where))
        elif isinstance(operation, PauliEvolutionGate) or (
            len(where) > _LARGEST_MATRIX and operation.definition is not None
        ):
            _append_definition(operation, where, items, depth=depth)
        else:
            fixed = Fixed(operation, where)
            try:
                fixed.matrix()
            except QiskitError as error:
                raise _refusal(operation) from error
            items.append(fixed)


def _synthesized(operation: Operation) -> QuantumCircuit:
    """An operation that is no instruction (an annotated gate, a Clifford) as a circuit of gates."""
    if isinstance(operation, Clifford):
        return operation.to_circuit()
    circuit = QuantumCircuit(operation.num_qubits)
    circuit.append(operation, range(operation.num_qubits))
    try:
        found = PassManager([HighLevelSynthesis(basis_gates=["rx", "ry", "rz", "p", "u", "h", "cx"])]).run(circuit)
    except (QiskitError, TypeError) as error:
        raise _refusal(operation) from error
    if not all(isinstance(instruction.operation, Instruction) for instruction in found.data):
        raise _refusal(operation)
    return found


def _is_parameterized(operation: Instruction) -> bool:
    # Instruction.is_parameterized() overlooks the parameters of a controlled gate, which live in its base gate
    return any(isinstance(angle, ParameterExpression) and angle.parameters for angle in operation.params)


def _append_definition(
    operation: Instruction, qubits: tuple[int, ...], items: list[Rotation | Fixed], *, depth: int
) -> None:
    try:
        definition = getattr(operation, "definition", None)
    except (QiskitError, TypeError) as error:
        raise _refusal(operation) from error
    if definition is None or depth == _DEEPEST_DEFINITION:
        raise _refusal(operation)
    _append(definition, qubits, items, depth=depth + 1)


def _rotations(operation: Instruction, qubits: tuple[int, ...]) -> list[Rotation] | None:
    """The gate as rotations, first one first; None where its definition has to be asked."""
    kind = operation.base_class
    angles: list[Any] = list(operation.params)
    if kind in _ROTATIONS:
        return [Rotation(_ROTATIONS[kind], qubits, angles[0])]
    if kind in {UGate, U3Gate}:
        theta, phi, lam = angles
    elif kind is U2Gate:
        theta, phi, lam = np.pi / 2, *angles
    elif kind is RGate:
        # R(θ, φ) = RZ(φ) RX(θ) RZ(-φ)
        theta, phi = angles
        return [Rotation("z", qubits, -phi), Rotation("x", qubits, theta), Rotation("z", qubits, phi)]
    else:
        return None
    return [Rotation("z", qubits, lam), Rotation("y", qubits, theta), Rotation("z", qubits, phi)]


def _refusal(operation: Any) -> UserError:
    return UserError(
        f"circuit: the instruction '{operation.name}' cannot be differentiated exactly; allowed are unitary gates with "
        "real parameters, barriers and delays"
    )
