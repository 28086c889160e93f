"""Folded and twirled circuits and readout calibration, against Aer's density matrix and plain averages."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from noise_models import aer_values, as_simulated
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import CXGate, CZGate, ECRGate, PauliGate, RYGate, U3Gate
from qiskit.quantum_info import Clifford, Operator, Pauli, SparsePauliOp
from qiskit_aer import AerSimulator
from qiskit_aer.noise import amplitude_damping_error, coherent_unitary_error
from scipy.linalg import expm

from backends import BackendError, open_backend
from backends.aer import SimulatedCircuit
from backends.contract import CircuitProgram
from backends.mitigation.folding import fold, folded
from backends.mitigation.readout import Readout, calibrated, preparation
from backends.mitigation.twirling import twirled
from backends.noise import Noise
from hybridq.quantum.circuits import CircuitSpec
from hybridq.quantum.engine import compile_noisy, compile_program
from hybridq.quantum.joint_shots import bit_probabilities, products_of, sampled

DEVICES = ("fake_torino", "fake_brisbane", "fake_manila", "noise:depolarizing_2q=0.02,readout=0.03,t1_us=80,t2_us=60")
"""With CZ, ECR and CX."""


def compiled_on(device: str, qubits: int = 3, layers: int = 1) -> SimulatedCircuit:
    compiled = open_backend(device).compile(CircuitSpec(qubits, layers).build())
    assert isinstance(compiled, SimulatedCircuit)
    return compiled


def some_angles(compiled: SimulatedCircuit, samples: int = 3) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    random = np.random.default_rng(1)
    program = compiled.program
    return random.normal(size=(samples, len(program.inputs))), random.normal(size=len(program.weights))


def exact(compiled: SimulatedCircuit, inputs: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return compile_noisy(compiled)(torch.from_numpy(inputs), torch.from_numpy(weights)).numpy()


@pytest.mark.parametrize("device", DEVICES)
def test_without_noise_a_folded_circuit_does_what_the_circuit_does(device: str) -> None:
    compiled = compiled_on(device)
    inputs, weights = some_angles(compiled)
    quiet = replace(folded(compiled, 5), noise=None)
    plain = compile_program(compiled.program)(torch.from_numpy(inputs), torch.from_numpy(weights)).numpy()
    assert np.allclose(exact(quiet, inputs, weights), plain, atol=1e-10)


@pytest.mark.parametrize("device", DEVICES)
def test_a_folded_circuit_has_as_many_times_the_gates_that_err_and_no_others(device: str) -> None:
    compiled = compiled_on(device)
    errs = {name for name, *_ in compiled.noise.gate_errors}

    def count(circuit: QuantumCircuit) -> dict[str, int]:
        return {name: number for name, number in circuit.count_ops().items() if name in errs}

    once = count(compiled.circuit)
    assert once
    for factor in (1, 3, 5):
        assert count(folded(compiled, factor).circuit) == {name: factor * number for name, number in once.items()}


@pytest.mark.parametrize("device", DEVICES)
def test_values_of_folded_circuits_are_those_of_aers_density_matrix(device: str) -> None:
    compiled = compiled_on(device, qubits=2)
    inputs, weights = some_angles(compiled, 2)
    amplified = folded(compiled, 3)
    assert np.allclose(exact(amplified, inputs, weights), aer_values(amplified, inputs, weights), atol=1e-7)


def test_folding_once_leaves_the_values_as_they_are() -> None:
    compiled = compiled_on("fake_manila")
    inputs, weights = some_angles(compiled)
    assert np.allclose(exact(folded(compiled, 1), inputs, weights), exact(compiled, inputs, weights), atol=1e-12)


def test_noise_grows_with_the_factor() -> None:
    compiled = compiled_on("fake_manila", layers=2)
    inputs, weights = some_angles(compiled, 20)
    plain = compile_program(compiled.program)(torch.from_numpy(inputs), torch.from_numpy(weights)).numpy()
    errors = [np.abs(exact(folded(compiled, factor), inputs, weights) - plain).mean() for factor in (1, 3, 5)]
    assert errors == sorted(errors)


def test_what_cannot_be_folded_is_refused() -> None:
    compiled = compiled_on("fake_manila")
    with pytest.raises(ValueError, match="factor = 2"):
        folded(compiled, 2)
    with pytest.raises(BackendError, match="translated for a device"):
        folded(as_simulated(compiled.program, compiled.noise), 3)
    circuit = QuantumCircuit(1)
    circuit.t(0)
    with pytest.raises(BackendError, match="inverse of t is tdg"):
        fold(circuit, 3)


def test_gates_of_old_devices_fold_too() -> None:
    angle = Parameter("θ")
    circuit = QuantumCircuit(2)
    circuit.append(U3Gate(0.3, -1.2, 0.7), [0])
    circuit.append(RYGate(angle), [1])
    circuit.ecr(0, 1)
    circuit.sx(1)
    unitary = Operator(circuit.assign_parameters({angle: 0.4}))
    assert Operator(fold(circuit, 3).assign_parameters({angle: 0.4})).equiv(unitary)


@pytest.mark.parametrize("gate", [CXGate(), CZGate(), ECRGate()], ids=lambda gate: gate.name)
def test_a_twirled_error_is_the_average_over_all_paulis_around_the_gate(gate: CXGate | CZGate | ECRGate) -> None:
    """Sixteen circuits on Aer, whose Paulis err nowhere, against one with the averaged error."""
    turn = expm(-1j * SparsePauliOp.from_list([("ZX", 0.2), ("IY", 0.1), ("XZ", -0.3)]).to_matrix())
    error = coherent_unitary_error(turn).compose(amplitude_damping_error(0.2).expand(amplitude_damping_error(0.1)))
    noise = Noise(((gate.name, (0, 1), error),), ((np.inf, np.inf),) * 2, ((0.01, 0.05),) * 2, ("ry", gate.name))

    def program(before: Pauli, after: Pauli) -> CircuitProgram:
        circuit = QuantumCircuit(2)
        circuit.ry(0.7, 0)
        circuit.ry(-0.4, 1)
        circuit.append(PauliGate(before.to_label().lstrip("-")), [0, 1])
        circuit.append(gate, [0, 1])
        circuit.append(PauliGate(after.to_label().lstrip("-")), [0, 1])
        circuit.rx(0.9, 0)
        circuit.rx(0.3, 1)
        observables = tuple(SparsePauliOp(label) for label in ("IZ", "ZI"))
        return CircuitProgram(circuit, (), (), observables)

    nothing = np.zeros((1, 0))
    each = []
    for letters in product("IXYZ", repeat=2):
        before = Pauli("".join(letters))
        after = before.evolve(Clifford(gate), frame="s")
        each.append(aer_values(as_simulated(program(before, after), noise), nothing, nothing[0]))
    still = Pauli("II")
    plain = as_simulated(program(still, still), noise)
    average = twirled(plain)
    assert np.allclose(exact(average, nothing, nothing[0]), np.mean(each, axis=0), atol=1e-8)
    assert np.allclose(aer_values(average, nothing, nothing[0]), np.mean(each, axis=0), atol=1e-8)
    assert not np.allclose(aer_values(plain, nothing, nothing[0]), np.mean(each, axis=0), atol=1e-3)


def test_depolarizing_noise_is_twirled_already() -> None:
    compiled = compiled_on("noise:depolarizing_1q=0.002,depolarizing_2q=0.03,readout=0.02")
    inputs, weights = some_angles(compiled)
    assert np.allclose(exact(twirled(compiled), inputs, weights), exact(compiled, inputs, weights), atol=1e-10)


def test_readout_error_is_taken_back_exactly_where_nothing_else_errs() -> None:
    compiled = compiled_on("noise:meas1_prep0=0.03,meas0_prep1=0.12")
    inputs, weights = some_angles(compiled)
    shown = exact(compiled, inputs, weights)
    plain = compile_program(compiled.program)(torch.from_numpy(inputs), torch.from_numpy(weights)).numpy()
    assert not np.allclose(shown, plain, atol=0.05)
    assert np.allclose(calibrated(compiled).correct(shown), plain, atol=1e-10)
    assert np.allclose(measured_readout(compiled).correct(shown), plain, atol=1e-10)


def measured_readout(compiled: SimulatedCircuit) -> Readout:
    nothing = np.zeros((1, 0))
    zeros, ones = (exact(preparation(compiled, bit), nothing, nothing[0])[0] for bit in (0, 1))
    return Readout(zeros, ones)


@pytest.mark.parametrize("device", ["fake_torino", "fake_manila"])
def test_measured_readout_is_the_calibrated_one_of_the_same_qubits_but_for_preparing_them(device: str) -> None:
    compiled = compiled_on(device, qubits=4)
    table, found = calibrated(compiled), measured_readout(compiled)
    rates = [compiled.noise.readout[int(np.argmax(o.paulis.z[0]))] for o in compiled.observables]
    assert np.allclose(table.zeros, [1 - 2 * a for a, _ in rates])
    assert np.allclose(table.ones, [2 * b - 1 for _, b in rates])
    assert len({round(float(zero), 6) for zero in table.zeros}) > 1
    assert np.allclose(found.zeros, table.zeros, atol=1e-9)
    assert np.all(found.ones >= table.ones - 1e-9)
    assert np.allclose(found.ones, table.ones, atol=0.01)


def test_a_readout_that_tells_nothing_is_refused() -> None:
    with pytest.raises(BackendError, match="qubit 1 shows"):
        Readout(np.array([0.9, 0.1]), np.array([-0.9, 0.2])).correct(np.zeros((1, 2)))


def jointly(compiled: SimulatedCircuit) -> SimulatedCircuit:
    return replace(compiled, observables=products_of(compiled.observables), runs=())


def test_the_distribution_of_the_bits_read_is_aers() -> None:
    """Aer's probabilities of the measured circuit under the noise, each qubit's confusion applied."""
    compiled = compiled_on("fake_manila")
    inputs, weights = some_angles(compiled, 2)
    found = bit_probabilities(exact(jointly(compiled), inputs, weights))
    simulator = AerSimulator(method="density_matrix", max_parallel_threads=1)
    rows = compiled.program.bind(inputs, weights)
    places = [int(np.argmax(o.paulis.z[0])) for o in compiled.observables]
    for row, probabilities in zip(rows, found, strict=True):
        circuit = compiled.circuit.assign_parameters(
            dict(zip(compiled.program.circuit.parameters, row, strict=True)), strict=False
        )
        circuit.save_probabilities(places)
        noise = compiled.noise.model(with_readout=False)
        shown = simulator.run(circuit, noise_model=noise).result().data(0)["probabilities"].reshape((2,) * 3)
        for axis, place in enumerate(reversed(places)):
            a, b = compiled.noise.readout[place]
            shown = np.moveaxis(np.tensordot([[1 - a, b], [a, 1 - b]], shown, axes=(1, axis)), 0, axis)
        assert np.allclose(probabilities, shown.ravel(), atol=1e-7)


def test_sampled_values_scatter_about_the_exact_ones_as_shots_do() -> None:
    compiled = compiled_on("fake_manila")
    inputs, weights = some_angles(compiled, 2)
    z = exact(compiled, inputs, weights)
    probabilities = bit_probabilities(exact(jointly(compiled), inputs, weights))
    random = np.random.default_rng(0)
    drawn = np.stack([sampled(probabilities, 50, random) for _ in range(4000)])
    spread = np.sqrt((1 - z**2) / 50)
    assert np.all(np.abs(drawn.mean(axis=0) - z) < 5 * spread / np.sqrt(4000))
    assert np.allclose(drawn.std(axis=0), spread, rtol=0.06)
