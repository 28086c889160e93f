"""A lowered circuit as few stages: layers of single-qubit gates, gathers, two-qubit rotations, other matrices.

Gates move to the earliest stage that can take them, across gates on other qubits, so that a layer of rotations becomes
one stage and a ring of CX one gather.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Parameter

from hybridq.quantum.engine.expressions import depends_on
from hybridq.quantum.engine.lower import PAULI, Angle, Fixed, Rotation
from hybridq.quantum.engine.monomial import LocalMatrix, Monomial, gather_of, is_monomial

ComplexMatrix = NDArray[np.complex128]


class Pool(Enum):
    """Which values an angle depends on: the same for the whole batch, or one per sample."""

    SHARED = "shared"
    SAMPLE = "sample"


@dataclass(frozen=True)
class SingleQubitGate:
    """cos(angle/2) ``cosine`` + sin(angle/2) ``sine``, both (2, 2); a fixed gate has angle 0."""

    angle: Angle
    cosine: ComplexMatrix
    sine: ComplexMatrix


@dataclass
class LocalStage:
    """Single-qubit gates, for each qubit a chain with the first gate first."""

    pool: Pool
    chains: list[list[SingleQubitGate]]


@dataclass
class GatherStage:
    """Any number of monomial gates, the first one first."""

    gates: list[LocalMatrix]

    def gather(self, num_qubits: int) -> Monomial:
        """All of them on the whole register."""
        return gather_of(self.gates, num_qubits)


@dataclass(frozen=True)
class RotationStage:
    """exp(-i angle/2 P) of a Pauli string P on several qubits, one letter for each."""

    pool: Pool
    angle: Angle
    paulis: str
    qubits: tuple[int, ...]

    def pauli(self, num_qubits: int) -> Monomial:
        """P on the whole register."""
        return gather_of(
            [(PAULI[letter], (q,)) for letter, q in zip(self.paulis, self.qubits, strict=True)], num_qubits
        )


@dataclass(frozen=True)
class MatrixStage:
    """A fixed unitary on a few qubits, little-endian in ``qubits``."""

    matrix: ComplexMatrix
    qubits: tuple[int, ...]


Stage = LocalStage | GatherStage | RotationStage | MatrixStage


def schedule(items: Sequence[Rotation | Fixed], num_qubits: int, inputs: Sequence[Parameter]) -> list[Stage]:
    """The stages whose product is the circuit."""
    building = _Building(num_qubits)
    for item in items:
        if isinstance(item, Rotation):
            pool = Pool.SAMPLE if depends_on(item.angle, inputs) else Pool.SHARED
            if len(item.qubits) == 1:
                gate = SingleQubitGate(item.angle, np.eye(2, dtype=np.complex128), -1j * PAULI[item.paulis])
                building.add_local(gate, item.qubits[0], pool)
            else:
                building.add_last(RotationStage(pool, item.angle, item.paulis, item.qubits), item.qubits)
        elif not item.is_identity:
            building.add_fixed(item.matrix(), item.qubits)
    return building.stages


@dataclass
class _Building:
    num_qubits: int
    stages: list[Stage] = field(default_factory=list)
    last: dict[int, int] = field(default_factory=dict)
    """The last stage that touches a qubit."""

    def add_fixed(self, matrix: ComplexMatrix, qubits: tuple[int, ...]) -> None:
        single = len(qubits) == 1
        touched = self.stages[self.last[qubits[0]]] if single and qubits[0] in self.last else None
        if (not single or isinstance(touched, GatherStage)) and is_monomial(matrix):
            self._add_gather((matrix, qubits))
        elif single:
            gate = SingleQubitGate(0.0, matrix, np.zeros((2, 2), dtype=np.complex128))
            self.add_local(gate, qubits[0], touched.pool if isinstance(touched, LocalStage) else None)
        else:
            self.add_last(MatrixStage(matrix, qubits), qubits)

    def add_local(self, gate: SingleQubitGate, qubit: int, pool: Pool | None) -> None:
        """``pool`` None: the gate fits either."""
        for position in range(self.last.get(qubit, 0), len(self.stages)):
            stage = self.stages[position]
            if isinstance(stage, LocalStage) and pool in {None, stage.pool}:
                stage.chains[qubit].append(gate)
                self.last[qubit] = position
                return
        chains: list[list[SingleQubitGate]] = [[] for _ in range(self.num_qubits)]
        chains[qubit].append(gate)
        self.add_last(LocalStage(pool or Pool.SHARED, chains), (qubit,))

    def _add_gather(self, gate: LocalMatrix) -> None:
        _, qubits = gate
        for position in range(max(self.last.get(qubit, 0) for qubit in qubits), len(self.stages)):
            stage = self.stages[position]
            if isinstance(stage, GatherStage):
                stage.gates.append(gate)
                self.last.update(dict.fromkeys(qubits, position))
                return
        self.add_last(GatherStage([gate]), qubits)

    def add_last(self, stage: Stage, qubits: tuple[int, ...]) -> None:
        self.stages.append(stage)
        self.last.update(dict.fromkeys(qubits, len(self.stages) - 1))
