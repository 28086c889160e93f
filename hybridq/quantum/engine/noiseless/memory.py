"""Memory that a circuit needs, checked before any of it is taken."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

from qiskit.quantum_info import SparsePauliOp

from hybridq.errors import UserError
from hybridq.quantum.engine.noiseless.stages import GatherStage, RotationStage, Stage

# Bytes of tables and work for each amplitude, single-precision copies of the tables included.
_DIAGONAL = 40  # of one observable: its values while they are put together, its two tables
_FLIPPING = 24  # of one observable and one set of flipped qubits: its phases
_GATHER = 60  # of one gather or rotation: indices, their inverse, phases
_SWEEP = 128  # the states of one sample on the way forward and back

_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


class CircuitTooLargeError(UserError):
    """A circuit whose exact values need more memory than the machine has."""


def check_memory(num_qubits: int, observables: Sequence[SparsePauliOp], stages: Sequence[Stage]) -> None:
    """Raise :class:`CircuitTooLargeError` where the tables and one sample of a circuit do not fit into the machine."""
    flipped = {tuple(flips) for observable in observables for flips in observable.paulis.x.tolist() if any(flips)}
    gathers = sum(isinstance(stage, GatherStage | RotationStage) for stage in stages)
    each = _SWEEP + len(observables) * (_DIAGONAL + _FLIPPING * len(flipped)) + _GATHER * gathers
    needed, available = each * 2**num_qubits, machine_memory()
    if needed > available:
        fitting = num_qubits - math.ceil(math.log2(needed / available))
        raise CircuitTooLargeError(
            f"circuit: exact values of {num_qubits} qubits need {_gigabytes(needed)}, this machine has "
            f"{_gigabytes(available)}; allowed are about {max(fitting, 0)} qubits with as many gates and observables"
        )


def machine_memory() -> int:
    """Bytes of memory that this process may use at most: the machine's, or its container's where that is less."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _CGROUP_LIMITS:
        try:
            limits.append(int(Path(path).read_text(encoding="ascii")))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return min(limits)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.0f} GB"
