"""One source of noise at a time: what is left of a noise model when all others are taken away.

A calibrated gate error is depolarizing first, then the relaxation of its qubits for the gate's time, as Aer puts it
together; here it is taken apart again. The sources ``one_qubit``, ``two_qubit``, ``relaxation``, ``idle`` and
``readout`` together are the whole model. ``coherent`` is none of its parts: a calibration says how far a gate is from
the ideal one, not in which way, and this is the way that hurts most for the same average gate fidelity.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import Gate
from qiskit.quantum_info import Operator, average_gate_fidelity
from qiskit.transpiler import Target
from qiskit_aer.noise import QuantumError, coherent_unitary_error, depolarizing_error, thermal_relaxation_error
from scipy.linalg import schur
from scipy.optimize import brentq

from backends.errors import BackendError
from backends.names import Source
from backends.noise import Noise

_Entry = tuple[str, tuple[int, ...], QuantumError]


def one_source(noise: Noise, source: Source, target: Target) -> Noise:
    """``noise`` with one of its sources alone; ``target`` has the gates of its qubits and how long they take (seconds).

    ``one_qubit`` and ``two_qubit``: the depolarizing part of the gates on so many qubits; ``relaxation``: T1 and T2
    during gates; ``idle``: T1 and T2 while qubits wait; ``readout``: the readout error. ``coherent``: every gate with
    an error is over-rotated instead, U^(1+η), with the η ≥ 0 that has the gate's calibrated average fidelity.

    Raises :class:`BackendError` for ``coherent`` where a gate with an error takes angles: it has no rotation of its
    own.
    """
    size = len(noise.readout)
    if source == "readout":
        return replace(noise, gate_errors=(), relaxation=((np.inf, np.inf),) * size)
    quiet = replace(noise, gate_errors=(), readout=((0.0, 0.0),) * size)
    if source == "idle":
        return quiet
    return replace(quiet, gate_errors=tuple(_parts(noise, source, target)), relaxation=((np.inf, np.inf),) * size)


def _parts(noise: Noise, source: Source, target: Target) -> Iterable[_Entry]:
    wanted = {"one_qubit": 1, "two_qubit": 2}.get(source)
    for name, qubits, error in noise.gate_errors:
        if wanted in (None, len(qubits)):
            if source == "coherent":
                part = _over_rotation(target.operation_from_name(name), error)
            else:
                relaxation = _relaxation(noise, target, name, qubits)
                part = relaxation if source == "relaxation" else _depolarizing(error, relaxation)
            if part is not None and not part.ideal():
                yield name, qubits, part


def _relaxation(noise: Noise, target: Target, name: str, qubits: tuple[int, ...]) -> QuantumError | None:
    """What the qubits of a gate relax while it lasts."""
    seconds = target[name][qubits].duration
    times = [noise.relaxation[qubit] for qubit in qubits]
    if not seconds or not np.isfinite(times).any():
        return None
    each = [thermal_relaxation_error(t1, t2, seconds) for t1, t2 in times]
    return reduce(lambda joint, single: joint.expand(single), each)


def _depolarizing(error: QuantumError, relaxation: QuantumError | None) -> QuantumError | None:
    """The depolarizing channel that, followed by ``relaxation``, is as faithful as ``error``.

    F(R∘D) = F(R) − p (d·F(R) − 1)/d with d = 2ⁿ, solved for p; None where relaxation alone is less faithful already.
    """
    dimension = 2**error.num_qubits
    relaxed = 1.0 if relaxation is None else average_gate_fidelity(relaxation)
    p = dimension * (relaxed - average_gate_fidelity(error)) / (dimension * relaxed - 1)
    return depolarizing_error(p, error.num_qubits) if p > 0 else None


def _over_rotation(gate: Gate, error: QuantumError) -> QuantumError | None:
    """The gate's own unitary to a small power η, as unfaithful on average as ``error``; None for the identity."""
    if gate.params:
        raise BackendError(
            f"source = coherent: the gate {gate.name} takes angles and has no rotation of its own to turn too far; "
            "take a device with fixed gates (sx, x, cz, cx, ecr)"
        )
    triangle, vectors = schur(Operator(gate).data, output="complex")
    phases = np.angle(np.diag(triangle))
    phases[phases < -np.pi + 1e-6] += 2 * np.pi  # -1, of which rounding decides on which side of the cut it lies
    lost = 1 - average_gate_fidelity(error)
    most = _infidelity(phases, 1.0)
    if most < 1e-12:
        return None
    power = brentq(lambda eta: _infidelity(phases, eta) - lost, 0.0, 1.0) if lost < most else 1.0
    return coherent_unitary_error(vectors @ np.diag(np.exp(1j * power * phases)) @ vectors.conj().T)


def _infidelity(phases: NDArray[np.float64], power: float) -> float:
    """1 − average gate fidelity (to the identity) of the unitary with these eigenphases times ``power``."""
    dimension = len(phases)
    trace = abs(np.exp(1j * power * phases).sum())
    return float(1 - (trace**2 + dimension) / (dimension**2 + dimension))
