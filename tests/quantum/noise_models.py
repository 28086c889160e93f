"""Random noise of every kind that Aer has, and Aer's density matrix as the reference for exact noisy values."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from math import factorial

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from qiskit.circuit import Delay, Reset
from qiskit.circuit.library import CXGate, HGate, IGate
from qiskit.quantum_info import Kraus, SparsePauliOp, random_quantum_channel, random_unitary
from qiskit_aer import AerSimulator
from qiskit_aer.noise import (
    QuantumError,
    amplitude_damping_error,
    coherent_unitary_error,
    depolarizing_error,
    mixed_unitary_error,
    pauli_error,
    phase_amplitude_damping_error,
    phase_damping_error,
    reset_error,
    thermal_relaxation_error,
)
from quantum_programs import programs

from backends.aer import SimulatedCircuit
from backends.contract import CircuitProgram
from backends.noise import Noise

AER_GATES = (
    *("rz", "sx", "x", "cx", "cz", "rx", "ry", "rzz", "u3", "cp", "ecr", "swap"),
    *("h", "id", "p", "r", "u", "u1", "u2", "sdg", "t", "sxdg", "cy", "rxx", "rzx", "ryy", "ccx"),
)
"""Gates that Aer's density matrix takes as they are."""

ONE_QUBIT_ERRORS: dict[str, Callable[[float, int], QuantumError]] = {
    "pauli": lambda p, seed: pauli_error([("X", p), ("Y", p / 2), ("Z", p / 5), ("I", 1 - 1.7 * p)]),
    "depolarizing": lambda p, seed: depolarizing_error(p, 1),
    "relaxation, T2 < T1": lambda p, seed: thermal_relaxation_error(50e-6, 30e-6, p * 50e-6, p),
    "relaxation, T2 > T1": lambda p, seed: thermal_relaxation_error(50e-6, 90e-6, p * 50e-6, p),
    "amplitude damping": lambda p, seed: amplitude_damping_error(p, p / 3),
    "phase damping": lambda p, seed: phase_damping_error(p),
    "both dampings": lambda p, seed: phase_amplitude_damping_error(p, p / 2, p / 3),
    "reset": lambda p, seed: reset_error(p, p / 2),
    "coherent": lambda p, seed: coherent_unitary_error(random_unitary(2, seed=seed)),
    "mixed unitary": lambda p, seed: mixed_unitary_error([(random_unitary(2, seed=seed), p), (np.eye(2), 1 - p)]),
    "kraus": lambda p, seed: QuantumError(Kraus(random_quantum_channel(2, rank=2, seed=seed))),
    "circuits": lambda p, seed: QuantumError([([(HGate(), [0]), (Reset(), [0])], p), ([(IGate(), [0])], 1 - p)]),
}
"""By kind: from a probability below 1/2 and a seed."""

TWO_QUBIT_ERRORS: dict[str, Callable[[float, int], QuantumError]] = {
    "pauli": lambda p, seed: pauli_error([("XI", p), ("ZY", p / 3), ("IZ", p / 5), ("II", 1 - p - p / 3 - p / 5)]),
    "depolarizing": lambda p, seed: depolarizing_error(p, 2),
    "relaxation": lambda p, seed: thermal_relaxation_error(50e-6, 30e-6, p * 50e-6).expand(
        thermal_relaxation_error(20e-6, 40e-6, p * 50e-6)
    ),
    "composed": lambda p, seed: depolarizing_error(p, 2).compose(
        amplitude_damping_error(p).expand(pauli_error([("X", p), ("I", 1 - p)]))
    ),
    "reset": lambda p, seed: reset_error(p).expand(reset_error(0, p / 2)),
    "coherent": lambda p, seed: coherent_unitary_error(random_unitary(4, seed=seed)),
    "kraus": lambda p, seed: QuantumError(Kraus(random_quantum_channel(4, rank=2, seed=seed))),
    "circuits": lambda p, seed: QuantumError([([(CXGate(), [1, 0]), (Reset(), [1])], p), ([(IGate(), [0])], 1 - p)]),
}


@st.composite
def errors(draw: st.DrawFn, num_qubits: int) -> QuantumError:
    """An error of any kind."""
    if num_qubits > 2:
        return draw(errors(num_qubits - 1)).expand(draw(errors(1)))
    kind = draw(st.sampled_from(sorted({1: ONE_QUBIT_ERRORS, 2: TWO_QUBIT_ERRORS}[num_qubits].items())))[1]
    return kind(draw(st.sampled_from([0.01, 0.1, 0.3])), draw(st.integers(0, 9)))


@st.composite
def noisy_programs(
    draw: st.DrawFn, *, max_qubits: int = 4, max_gates: int = 10, affine: bool = False
) -> SimulatedCircuit:
    """Any circuit with delays, and noise on some of its gates, its delays and its readout."""
    program = draw(
        programs(
            gates=AER_GATES,
            max_qubits=max_qubits,
            max_gates=max_gates,
            affine=affine,
            composed=("unitary", "monomial"),
        )
    )
    qubits = range(program.circuit.num_qubits)
    circuit = program.circuit.copy_empty_like()
    places: list[tuple[str, tuple[int, ...]]] = []
    for item in program.circuit.data:
        circuit.append(item)
        if draw(st.integers(0, 2)) == 0:
            delay = draw(st.sampled_from([Delay(300, "ns"), Delay(2.5, "us"), Delay(1e-6, "s")]))
            circuit.append(delay, [draw(st.sampled_from(qubits))])
        if draw(st.integers(0, 11)) == 0:
            circuit.barrier()
    for item in circuit.data:
        places.append((item.operation.name, tuple(circuit.find_bit(qubit).index for qubit in item.qubits)))
    noise = draw(noises(places, len(qubits)))
    program = CircuitProgram(circuit, program.inputs, program.weights, program.observables)
    return as_simulated(program, noise)


@st.composite
def noises(draw: st.DrawFn, places: list[tuple[str, tuple[int, ...]]], num_qubits: int) -> Noise:
    """Errors on some of the named gates, relaxation and readout errors on some qubits."""
    noisy = [place for place in dict.fromkeys(places) if place[0] != "barrier" and draw(st.booleans())]
    times = st.sampled_from([(np.inf, np.inf), (50e-6, 30e-6), (20e-6, 35e-6), (np.inf, 10e-6)])
    rates = st.sampled_from([(0.0, 0.0), (0.02, 0.15), (0.3, 0.05), (0.1, 0.1)])
    return Noise(
        gate_errors=tuple((name, where, draw(errors(len(where)))) for name, where in noisy),
        relaxation=tuple(draw(times) for _ in range(num_qubits)),
        readout=tuple(draw(rates) for _ in range(num_qubits)),
        basis_gates=("rz", "sx", "x", "cx"),
    )


def as_simulated(program: CircuitProgram, noise: Noise | None) -> SimulatedCircuit:
    """The program's own circuit under noise, no measurements prepared."""
    return SimulatedCircuit(program, program.circuit, program.observables, None, {}, noise=noise)


def aer_values(
    compiled: SimulatedCircuit, inputs: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Values (N, K) from Aer's density matrix at the end of the circuit, each qubit's confusion matrix applied.

    For inputs (N, X) and weights (W,) or (N, W).
    """
    rows = compiled.program.bind(inputs, weights)
    circuit = compiled.circuit.copy()
    circuit.save_density_matrix()
    bound = [
        circuit.assign_parameters(dict(zip(compiled.program.circuit.parameters, row, strict=True)), strict=False)
        for row in rows
    ]
    noise = compiled.noise
    simulator = AerSimulator(method="density_matrix", max_parallel_threads=1)
    result = simulator.run(bound, noise_model=None if noise is None else noise.model(with_readout=False)).result()
    assert result.success, result.status
    states = [result.data(i)["density_matrix"].data for i in range(len(rows))]
    readout = ((0.0, 0.0),) * circuit.num_qubits if noise is None else noise.readout
    return np.array([[_read(state, o, readout) for o in compiled.observables] for state in states])


def _read(state: NDArray[np.complex128], observable: SparsePauliOp, readout: tuple[tuple[float, float], ...]) -> float:
    total = 0.0
    qubits = len(readout)
    for label, coefficient in observable.to_list():
        change = reduce(np.kron, [_TO_Z[letter] for letter in label])
        shown = np.einsum("ij,jk,ik->i", change, state, change.conj(), optimize=True).real
        shown = shown.reshape((2,) * qubits)  # axis 0 is the highest qubit
        for axis, (letter, (a, b)) in enumerate(zip(label, reversed(readout), strict=True)):
            shown = np.moveaxis(np.tensordot([[1 - a, b], [a, 1 - b]], shown, axes=(1, axis)), 0, axis)
            if letter != "I":
                shown = shown * np.array([1, -1]).reshape([2 if i == axis else 1 for i in range(qubits)])
        total += complex(coefficient).real * float(shown.sum())
    return total


_HADAMARD = np.array([[1, 1], [1, -1]]) / np.sqrt(2)
_TO_Z = {"I": np.eye(2), "X": _HADAMARD, "Y": _HADAMARD @ np.diag([1, -1j]), "Z": np.eye(2)}
"""For each Pauli letter the unitary that turns its measurement into one of Z."""


def aer_derivatives(
    compiled: SimulatedCircuit, inputs: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Central differences of :func:`aer_values`, right to 1e-10: (N, K, X) and (N, K, W).

    Of twelfth order, with the step made smaller until the tenth order from the same points differs by less than 1e-10.
    """
    point = np.concatenate([inputs, np.tile(weights, (len(inputs), 1))], axis=1)
    samples, parameters = point.shape
    if not parameters:
        return (np.zeros((samples, len(compiled.observables), 0)),) * 2
    steps = np.arange(1, 7)
    for step in (0.02, 0.005, 0.001):
        shifts = step * np.concatenate([steps, -steps])[:, None, None] * np.eye(parameters)
        points = (point[:, None, None, :] + shifts).reshape(-1, parameters)
        values = aer_values(compiled, points[:, : inputs.shape[1]], points[:, inputs.shape[1] :])
        ahead, behind = values.reshape(samples, 2, 6, parameters, len(compiled.observables)).swapaxes(0, 1)
        twelfth, tenth = (
            np.einsum("s,nspk->nkp", _stencil(order), (ahead - behind)[:, :order]) / step for order in (6, 5)
        )
        if np.abs(twelfth - tenth).max(initial=0.0) < 1e-10:
            return twelfth[:, :, : inputs.shape[1]], twelfth[:, :, inputs.shape[1] :]
    raise AssertionError("the differences do not converge: the values jump or turn too fast here")


def _stencil(order: int) -> NDArray[np.float64]:
    """Weights of f(+k) - f(-k), k = 1…order, for a first derivative of order 2·``order``."""
    below = [factorial(order) ** 2 / (factorial(order - k) * factorial(order + k)) for k in range(1, order + 1)]
    return np.array([(-1) ** (k + 1) * weight / k for k, weight in enumerate(below, start=1)])
