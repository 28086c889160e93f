"""Noise models: of stored devices on the qubits in use, and of given rates."""

from __future__ import annotations

import numpy as np
import pytest
from programs import random_angles, random_program, statevector_values, z_observables
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, depolarizing_error
from qiskit_ibm_runtime.fake_provider import FakeBelemV2, FakeManilaV2

from backends import BackendError, CircuitProgram, open_backend, stored_devices
from backends.aer import N_TRAJECTORIES, AerBackend, SimulatedCircuit
from backends.names import parse_name
from backends.noise import scale_error

MIXED = (
    SparsePauliOp(["IIZ"], [1.0]),
    SparsePauliOp(["IZI"], [1.0]),
    SparsePauliOp(["ZII"], [1.0]),
    SparsePauliOp(["ZIZ", "ZZZ", "III"], [1.0, -0.5, 0.1]),
    SparsePauliOp(["IXY", "ZIZ"], [1.0, 0.5]),
)


def values(name: str, program: CircuitProgram, inputs: np.ndarray, weights: np.ndarray, seed: int = 0) -> np.ndarray:
    backend = open_backend(name, seed=seed)
    return backend.run(backend.compile(program), inputs, weights).values


def compiled(name: str, program: CircuitProgram) -> SimulatedCircuit:
    result = open_backend(name).compile(program)
    assert isinstance(result, SimulatedCircuit)
    return result


@pytest.mark.parametrize("fake", [FakeManilaV2, FakeBelemV2])
def test_exact_values_are_those_of_the_whole_device_simulated_with_its_readout_error(fake: type) -> None:
    """Against Aer's own noise model of all five qubits, the confusion matrix applied to the probabilities."""
    device = fake()
    program = random_program(6, 3)
    inputs, weights = random_angles(program, 2, 2)
    name = str(device.name)
    small = compiled(name, program)
    patch = small.record["active_qubits"]
    simulator = AerSimulator(method="density_matrix", noise_model=NoiseModel.from_backend(device))
    for row, got in zip(inputs, values(name, program, inputs, weights), strict=True):
        angles = dict(zip((*program.inputs, *program.weights), (*row, *weights), strict=True))
        whole = QuantumCircuit(5).compose(small.circuit.assign_parameters(angles), qubits=patch)
        whole.save_probabilities()
        tensor = simulator.run(whole).result().data()["probabilities"].reshape((2,) * 5)
        for q in range(5):
            known = device.properties().qubit_property(q)
            a, b = known["prob_meas1_prep0"][0], known["prob_meas0_prep1"][0]
            tensor = np.moveaxis(np.tensordot([[1 - a, b], [a, 1 - b]], tensor, axes=(1, 4 - q)), 0, 4 - q)
        marginals = [tensor.sum(axis=tuple(i for i in range(5) if i != 4 - q)) for q in small.physical_qubits or ()]
        np.testing.assert_allclose(got, [p[0] - p[1] for p in marginals], atol=1e-10)


@pytest.mark.parametrize(
    ("name", "shots"),
    [
        ("fake_torino", 100_000),
        ("fake_brisbane", 100_000),
        ("noise:depolarizing_1q=0.01,depolarizing_2q=0.05,meas1_prep0=0.02,meas0_prep1=0.2,t1_us=20,t2_us=10", 100_000),
    ],
)
def test_exact_noisy_values_agree_with_shots_readout_error_included(name: str, shots: int) -> None:
    program = random_program(11, 3, observables=MIXED)
    inputs, weights = random_angles(program, 5, 2)
    exact = values(name, program, inputs, weights)
    sampler = open_backend(f"{name}{',' if ':' in name else ':'}shots={shots}", seed=8)
    sampled = sampler.run(sampler.compile(program), inputs, weights)
    assert np.abs((sampled.values - exact) / sampled.standard_errors).max() < 4.5
    assert np.abs(exact - statevector_values(program, inputs, weights)).max() > 5 * sampled.standard_errors.max()


@pytest.mark.parametrize("name", ["fake_torino:scale=0", "fake_brisbane:scale=0", "fake_cairo:scale=0"])
@pytest.mark.parametrize(("seed", "qubits"), [(1, 4), (23, 5)])
def test_at_scale_zero_a_device_is_noiseless_and_no_qubit_is_taken_for_another(
    name: str, seed: int, qubits: int
) -> None:
    program = random_program(seed, qubits, gates=20)
    inputs, weights = random_angles(program, seed, 2)
    expected = statevector_values(program, inputs, weights)
    assert np.diff(np.sort(expected[0])).min() > 0.01
    np.testing.assert_allclose(values(name, program, inputs, weights), expected, atol=1e-9)


def test_noise_grows_with_its_scale_and_scale_one_is_the_calibration() -> None:
    program = random_program(1, 3)
    inputs, weights = random_angles(program, 1, 3)
    exact = statevector_values(program, inputs, weights)
    errors = [
        np.abs(values(f"fake_torino:scale={scale}", program, inputs, weights) - exact).mean() for scale in (0.5, 1, 2)
    ]
    assert errors == sorted(errors)
    assert errors[1] == np.abs(values("fake_torino", program, inputs, weights) - exact).mean()


def test_readout_error_is_asymmetric() -> None:
    circuit = QuantumCircuit(2)
    circuit.rx(angle := Parameter("angle"), 0)
    program = CircuitProgram(circuit, (angle,), (), (*z_observables(2), SparsePauliOp(["ZZ"], [1.0])))
    read = values("noise:meas1_prep0=0.1,meas0_prep1=0.3", program, np.array([[0.0], [np.pi]]), np.zeros(0))
    np.testing.assert_allclose(read, [[0.8, 0.8, 0.64], [-0.4, 0.8, -0.32]], atol=1e-12)


def test_relaxation_and_idle_time_follow_t1_and_the_stated_gate_times() -> None:
    """Qubit 2 is excited and waits for two CX; it decays for the gates' time exactly, and so do the busy ones."""
    circuit = QuantumCircuit(3)
    circuit.x(2)
    circuit.barrier()
    circuit.cx(0, 1)
    circuit.cx(1, 2)
    program = CircuitProgram(circuit, (), (), z_observables(3))
    got = values("noise:t1_us=10,t2_us=10", program, np.zeros((1, 0)), np.zeros(0))[0]
    busy = 35e-9 + 2 * 300e-9
    np.testing.assert_allclose(got[2], 1 - 2 * np.exp(-busy / 10e-6), atol=1e-6)
    np.testing.assert_allclose(got[:2], 1.0, atol=1e-9)


def test_a_change_of_frame_takes_no_time_and_sx_takes_its_own() -> None:
    """Qubit 1 is excited and waits for two SX; the RZ between them is done in no time."""
    circuit = QuantumCircuit(2)
    circuit.x(1)
    circuit.barrier()
    circuit.sx(0)
    circuit.rz(angle := Parameter("angle"), 0)
    circuit.sx(0)
    circuit.barrier()
    program = CircuitProgram(circuit, (angle,), (), z_observables(2))
    got = values("noise:t1_us=10,t2_us=10", program, np.array([[0.4]]), np.zeros(0))[0]
    np.testing.assert_allclose(got[1], 1 - 2 * np.exp(-3 * 35e-9 / 10e-6), atol=1e-6)


@pytest.mark.parametrize(
    "name", ["fake_torino", "fake_brisbane", "noise:depolarizing_1q=0.001,depolarizing_2q=0.01", "fake_almaden"]
)
def test_no_gate_of_the_circuit_that_runs_escapes_the_noise_model(name: str) -> None:
    """A circuit in gates the noise model has no entry for would run noiseless without a word."""
    small = compiled(name, random_program(3, 4))
    assert small.noise is not None
    entries = {(gate, qubits) for gate, qubits, _ in small.noise.gate_errors}
    frame_changes = {"rz", "u1", "delay"}
    for item in small.circuit.data:
        qubits = tuple(small.circuit.find_bit(q).index for q in item.qubits)
        assert item.operation.name in frame_changes or (item.operation.name, qubits) in entries
    assert small.circuit.num_qubits == 4


def test_idle_qubits_of_a_device_wait_and_relax() -> None:
    small = compiled("fake_brisbane", random_program(3, 4))
    assert small.circuit.count_ops()["delay"] > 0
    assert small.noise is not None
    assert all(0 < t2 <= 2 * t1 < 1e-2 for t1, t2 in small.noise.relaxation)


def test_scaling_an_error_composes_like_a_power() -> None:
    error = depolarizing_error(0.05, 2)
    twice = scale_error(error, 2.0)
    np.testing.assert_allclose(
        twice.to_quantumchannel().data, error.compose(error).to_quantumchannel().data, atol=1e-12
    )


def test_a_scale_that_makes_readout_no_probability_names_the_qubit() -> None:
    program = random_program(3, 2)
    with pytest.raises(BackendError, match=r"scale = 200 makes the readout error of qubit \d+ of torino"):
        open_backend("fake_torino:scale=200").compile(program)
    with pytest.raises(BackendError, match=r"qubit 0 \(0.6\) more than a probability; at most 1.67"):
        open_backend("noise:readout=0.6,scale=2").compile(program)


def test_a_circuit_larger_than_the_device_or_the_simulation_is_refused() -> None:
    with pytest.raises(BackendError, match="the circuit has 6 qubits; fake_manila simulates at most 5"):
        open_backend("fake_manila").compile(random_program(0, 6))
    with pytest.raises(BackendError, match="the circuit has 21 qubits; fake_torino simulates at most 20"):
        open_backend("fake_torino").compile(random_program(0, 21))


ROUGH = "noise:depolarizing_1q=0.01,depolarizing_2q=0.05,meas1_prep0=0.02,meas0_prep1=0.2,t1_us=20,t2_us=10"


@pytest.mark.parametrize("name", ["fake_torino:scale=3", ROUGH])
def test_trajectories_agree_with_the_density_matrix_within_their_standard_errors(name: str) -> None:
    program = random_program(11, 3, observables=MIXED)
    inputs, weights = random_angles(program, 5, 2)
    exact = values(name, program, inputs, weights)
    backend = AerBackend(parse_name(name), seed=5, density_matrix_qubits=2)
    result = backend.run(backend.compile(program), inputs, weights)
    assert result.record["method"] == "trajectories"
    assert (result.standard_errors > 0).all()
    score = (result.values - exact) / result.standard_errors
    assert np.abs(score).max() < 4
    assert 0.4 < np.sqrt((score**2).mean()) < 1.6


def test_trajectories_take_over_by_themselves_above_twelve_qubits_and_the_record_says_so() -> None:
    """A rotated qubit with its depolarizing error, a CX that spreads another one, and eleven idle ones."""
    circuit = QuantumCircuit(13)
    circuit.rx(angle := Parameter("angle"), 0)
    circuit.cx(0, 12)
    program = CircuitProgram(circuit, (angle,), (), z_observables(13))
    backend = open_backend("noise:depolarizing_2q=0.2")
    result = backend.run(backend.compile(program), np.array([[0.6]]), np.zeros(0))
    assert result.record["method"] == "trajectories"
    assert result.record["trajectories"] == N_TRAJECTORIES
    assert result.record["shots"] is None
    assert result.record["note"] == (
        "13 qubits: above 12 Aer's density matrix is replaced by 1,024 trajectories; values carry a standard error"
    )
    expected = 0.8 * np.cos(0.6)
    moved = [0, 12]
    assert (result.standard_errors > 0).all()
    assert np.abs((result.values[:, moved] - expected) / result.standard_errors[:, moved]).max() < 4
    np.testing.assert_allclose(np.delete(result.values, moved, axis=1), 1.0, atol=1e-12)
    sampler = open_backend("noise:depolarizing_2q=0.2,shots=200")
    sampled = sampler.run(sampler.compile(program), np.array([[0.6]]), np.zeros(0))
    assert (sampled.record["method"], sampled.record["trajectories"], sampled.record["shots"]) == (
        "trajectories",
        200,
        200,
    )
    assert sampled.record["note"].endswith("replaced by trajectories, one for each shot")
    assert np.abs((sampled.values[0, moved] - expected) / sampled.standard_errors[0, moved]).max() < 4


def test_trajectories_that_all_agree_still_carry_an_error_and_a_constant_carries_none() -> None:
    circuit = QuantumCircuit(2)
    circuit.x(0)
    program = CircuitProgram(circuit, (), (), (SparsePauliOp("IZ"), SparsePauliOp("II")))
    backend = AerBackend(parse_name("noise:depolarizing_1q=1e-9"), density_matrix_qubits=1)
    result = backend.run(backend.compile(program), np.zeros((1, 0)), np.zeros(0))
    np.testing.assert_allclose(result.values, [[-1, 1]], atol=1e-12)
    np.testing.assert_allclose(result.standard_errors, [[1 / N_TRAJECTORIES, 0]])


@pytest.mark.parametrize("name", ["noise:meas1_prep0=0.1,meas0_prep1=0.2", "noise:depolarizing_1q=0.1,scale=0"])
def test_noise_that_touches_no_gate_is_simulated_exactly_at_any_size(name: str) -> None:
    circuit = QuantumCircuit(13)
    circuit.x(12)
    program = CircuitProgram(circuit, (), (), z_observables(13))
    backend = open_backend(name)
    result = backend.run(backend.compile(program), np.zeros((1, 0)), np.zeros(0))
    assert result.record["method"] == "state vector"
    read = (0.8, -0.6) if "meas" in name else (1.0, -1.0)
    np.testing.assert_allclose(result.values, [[read[0]] * 12 + [read[1]]], atol=1e-12)
    assert not result.standard_errors.any()


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("aer", "state vector"),
        ("aer:shots=10", "state vector"),
        ("fake_torino", "density matrix"),
        ("fake_torino:shots=10", "density matrix"),
        ("fake_torino:scale=0", "state vector"),
    ],
)
def test_every_record_names_the_method(name: str, method: str) -> None:
    program = random_program(3, 2)
    backend = open_backend(name)
    record = backend.run(backend.compile(program), *random_angles(program, 0, 1)).record
    assert record["method"] == method
    assert "note" not in record


def test_a_circuit_compiled_for_shots_is_not_run_for_exact_values() -> None:
    program = random_program(3, 2)
    with pytest.raises(TypeError, match="cannot run a circuit that was compiled for 10 shots"):
        open_backend("aer").run(open_backend("aer:shots=10").compile(program), *random_angles(program, 0, 1))


def test_the_record_of_a_simulated_device_says_simulated_and_from_when_its_calibration_is() -> None:
    backend = open_backend("fake_torino")
    program = random_program(3, 4)
    record = backend.run(backend.compile(program), *random_angles(program, 0, 1)).record
    assert (record["kind"], record["simulated"], record["device"]) == ("simulated device", True, "torino")
    assert record["calibrated"].startswith("2025-02-26")
    assert sorted(record["layout"]) == sorted(record["active_qubits"])
    assert set(record["gate_counts"]) <= {"cz", "rz", "sx", "x"}
    assert record["gate_counts"]["cz"] == record["two_qubit_gates"]


def test_a_device_whose_stored_gates_are_all_broken_is_refused() -> None:
    with pytest.raises(BackendError, match="kyoto has no connected patch of that many working qubits"):
        open_backend("fake_kyoto").compile(random_program(0, 2))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(stored_devices()) - {"fake_kyoto"}))
def test_every_stored_device_compiles_and_runs(name: str) -> None:
    backend = open_backend(name)
    qubits = min(3, backend.num_qubits or 0)
    program = random_program(3, qubits)
    inputs, weights = random_angles(program, 0, 2)
    expected = statevector_values(program, inputs, weights)
    assert np.abs(backend.run(backend.compile(program), inputs, weights).values - expected).max() < 0.6
    open_backend(f"{name}:scale=0.5").compile(program)  # every error of a real device has a half
    quiet = open_backend(f"{name}:scale=0")
    np.testing.assert_allclose(quiet.run(quiet.compile(program), inputs, weights).values, expected, atol=1e-9)
