"""Noise taken from Aer models: local and all-qubit errors, relaxation of delays, readout; against Aer itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import random_angles, random_program, z_observables
from qiskit import QuantumCircuit
from qiskit.circuit import Delay, Parameter
from qiskit.circuit.library import RXGate, XGate
from qiskit.quantum_info import Kraus, SparsePauliOp, random_quantum_channel, random_unitary
from qiskit_aer import AerSimulator
from qiskit_aer.noise import (
    LocalNoisePass,
    NoiseModel,
    PauliLindbladError,
    QuantumError,
    ReadoutError,
    RelaxationNoisePass,
    coherent_unitary_error,
    depolarizing_error,
    pauli_error,
    reset_error,
    thermal_relaxation_error,
)
from qiskit_ibm_runtime.fake_provider import FakeManilaV2

from backends import BackendError, CircuitProgram, Noise, open_backend, simulated_under
from backends.noise import model_digest

PAULIS = (
    SparsePauliOp(["IIZ"], [1.0]),
    SparsePauliOp(["IZI"], [1.0]),
    SparsePauliOp(["ZII"], [1.0]),
    SparsePauliOp(["IXY", "ZIZ", "III"], [1.0, 0.5, 0.1]),
)


def random_error(rng: np.random.Generator, qubits: int) -> QuantumError:
    """One of the kinds of error that Aer has."""
    p, seed = float(rng.uniform(0.02, 0.3)), int(rng.integers(2**31))
    match int(rng.integers(6)):
        case 0:
            return depolarizing_error(p, qubits)
        case 1:
            return pauli_error([("XY"[:qubits], p), ("ZI"[:qubits], 0.1), ("II"[:qubits], 0.9 - p)])
        case 2:
            return QuantumError(Kraus(random_quantum_channel(2**qubits, 2**qubits, rank=2, seed=seed)))
        case 3:
            return coherent_unitary_error(random_unitary(2**qubits, seed=seed))
        case 4:
            return PauliLindbladError(["XZ"[:qubits], "YY"[:qubits]], [p, 0.05])
        case _:
            one = thermal_relaxation_error(50.0, 70.0, 100 * p).compose(reset_error(0.05))
            return one if qubits == 1 else one.tensor(reset_error(0.02, 0.01))


def random_model(rng: np.random.Generator, qubits: int) -> NoiseModel:
    """Errors for all qubits and for some, readout errors, relaxation of delays; on more qubits than there are."""
    model = NoiseModel()
    for name, size in (("rx", 1), ("ry", 1), ("rz", 1), ("h", 1), ("sdg", 1), ("delay", 1), ("cx", 2), ("cz", 2)):
        if rng.random() < 0.7:
            model.add_all_qubit_quantum_error(random_error(rng, size), name)
        for where in {tuple(rng.permutation(qubits + 1)[:size].tolist()) for _ in range(int(rng.integers(3)))}:
            model.add_quantum_error(random_error(rng, size), name, where, warnings=False)
    a, b = rng.uniform(0, 0.3, (2, 2))
    model.add_all_qubit_readout_error(ReadoutError([[1 - a[0], a[0]], [a[1], 1 - a[1]]]))
    model.add_readout_error(
        ReadoutError([[1 - b[0], b[0]], [b[1], 1 - b[1]]]), [int(rng.integers(qubits))], warnings=False
    )
    t1s = rng.uniform(20e-6, 80e-6, qubits + 1)
    relax = RelaxationNoisePass(list(t1s), list(t1s * rng.uniform(0.3, 2, qubits + 1)), dt=1e-9, op_types=Delay)
    model._custom_noise_passes.append(relax)
    return model


def with_delays(program: CircuitProgram, rng: np.random.Generator) -> CircuitProgram:
    """The same program with idle time between its gates, in several units."""
    circuit = program.circuit.copy_empty_like()
    for item in program.circuit.data:
        circuit.append(item)
        if rng.random() < 0.3:
            length, unit = [(3.0, "us"), (2500, "dt"), (700.0, "ns"), (1.5e-6, "s")][int(rng.integers(4))]
            circuit.delay(length, int(rng.integers(circuit.num_qubits)), unit)
    return CircuitProgram(circuit, program.inputs, program.weights, program.observables)


def density_matrix(circuit: QuantumCircuit, model: NoiseModel) -> np.ndarray:
    """Aer's own."""
    ready = circuit.copy()
    ready.save_density_matrix()
    return np.asarray(
        AerSimulator(method="density_matrix", noise_model=model).run(ready).result().data()["density_matrix"]
    )


def confusion(model: NoiseModel, qubit: int) -> np.ndarray:
    """p(read i | is j) of a qubit."""
    error = model._local_readout_errors.get((qubit,), model._default_readout_error)
    return np.eye(2) if error is None else error.probabilities.T


def read_value(bound: QuantumCircuit, observable: SparsePauliOp, model: NoiseModel) -> float:
    """Term by term: H and S† before the measurement, Aer's probabilities, the confusion of every qubit, parity."""
    n, total = bound.num_qubits, 0.0
    for label, coefficient in zip(observable.paulis.to_labels(), observable.coeffs.real, strict=True):
        circuit = bound.copy()
        for q, pauli in enumerate(reversed(label)):
            if pauli == "Y":
                circuit.sdg(q)
            if pauli in "XY":
                circuit.h(q)
        tensor = np.diag(density_matrix(circuit, model)).real.reshape((2,) * n)
        for q, pauli in enumerate(reversed(label)):
            shown = confusion(model, q)
            row = np.ones(2) if pauli == "I" else shown[0] - shown[1]
            tensor = np.expand_dims(np.tensordot(row, tensor, axes=(0, n - 1 - q)), n - 1 - q)
        total += coefficient * float(tensor.reshape(()))
    return total


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**6), qubits=st.integers(2, 3))
def test_a_model_read_in_and_written_out_gives_aers_density_matrix(seed: int, qubits: int) -> None:
    rng = np.random.default_rng(seed)
    model = random_model(rng, qubits)
    program = with_delays(random_program(seed, qubits), rng)
    inputs, weights = random_angles(program, seed, 1)
    bound = program.circuit.assign_parameters(program.bind(inputs, weights)[0])
    again = Noise.from_model(model, qubits).model(with_readout=True)
    np.testing.assert_allclose(density_matrix(bound, again), density_matrix(bound, model), atol=1e-10)
    for q in range(qubits):
        np.testing.assert_allclose(confusion(again, q), confusion(model, q), atol=1e-15)


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_a_program_as_it_stands_under_a_model_has_aers_values_readout_error_included(seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = random_model(rng, 3)
    program = with_delays(random_program(seed, 3, observables=PAULIS), rng)
    inputs, weights = random_angles(program, seed, 2)
    simulated = simulated_under(program, Noise.from_model(model, 3))
    result = open_backend("aer").run(simulated, inputs, weights)
    for row, got in zip(program.bind(inputs, weights), result.values, strict=True):
        bound = program.circuit.assign_parameters(row)
        np.testing.assert_allclose(got, [read_value(bound, o, model) for o in PAULIS], atol=1e-9)
    assert not result.standard_errors.any()
    assert (result.record["kind"], result.record["method"]) == ("noise model", "density matrix")


def test_the_circuit_of_a_program_under_a_model_is_its_own() -> None:
    program = random_program(5, 3)
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.1, 2), "cz")
    assert simulated_under(program, Noise.from_model(model, 3)).circuit == program.circuit


def test_an_error_on_some_qubits_replaces_the_one_on_all_for_them_in_that_order_alone() -> None:
    everywhere, here = depolarizing_error(0.3, 2), pauli_error([("XI", 0.2), ("II", 0.8)])
    model = NoiseModel()
    model.add_all_qubit_quantum_error(everywhere, "cx")
    model.add_quantum_error(here, "cx", [0, 1], warnings=False)
    noise = Noise.from_model(model, 3)
    found = {where: error for _, where, error in noise.gate_errors}
    assert set(found) == {(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)}
    assert found[0, 1] == here
    assert all(found[where] == everywhere for where in set(found) - {(0, 1)})
    assert noise.only_reads_wrong is False


def test_errors_bind_to_the_label_of_a_gate_that_has_one() -> None:
    model = NoiseModel(basis_gates=["rx", "calibrated"])
    model.add_all_qubit_quantum_error(depolarizing_error(0.25, 1), "calibrated")
    circuit = QuantumCircuit(2)
    circuit.append(RXGate(0.0, label="calibrated"), [0])
    circuit.rx(0.0, 1)
    program = CircuitProgram(circuit, (), (), z_observables(2))
    simulated = simulated_under(program, Noise.from_model(model, 2))
    values = open_backend("aer").run(simulated, np.zeros((1, 0)), []).values
    np.testing.assert_allclose(values, [[0.75, 1.0]], atol=1e-12)


def test_a_model_made_from_a_device_is_read_with_its_reset_errors_and_relaxation() -> None:
    model = NoiseModel.from_backend(FakeManilaV2())
    noise = Noise.from_model(model, 5)
    assert ("reset", (3,)) in {(name, where) for name, where, _ in noise.gate_errors}
    assert noise.basis_gates == tuple(model.basis_gates)
    circuit = QuantumCircuit(5)
    circuit.sx(0)
    circuit.cx(0, 1)
    circuit.delay(50_000, 1, "dt")
    circuit.reset(2)
    circuit.x(2)
    circuit.cx(3, 2)
    again = noise.model(with_readout=False)
    np.testing.assert_allclose(density_matrix(circuit, again), density_matrix(circuit, model), atol=1e-10)


def correlated() -> NoiseModel:
    model = NoiseModel()
    model.add_readout_error(np.full((4, 4), 0.25), [0, 2])
    return model


def on(instruction: str) -> NoiseModel:
    model = NoiseModel()
    model.add_quantum_error(pauli_error([("X", 0.1), ("I", 0.9)]), instruction, [1])
    return model


def unnamed() -> NoiseModel:
    """A gate without a label, which NoiseModel takes for a name."""
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.1, 1), XGate())
    return model


def passing(*passes: object) -> NoiseModel:
    model = NoiseModel()
    model._custom_noise_passes.extend(passes)
    return model


TIMES = ([5e-5] * 3, [5e-5] * 3)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (correlated, "joint readout error of qubits 0, 2; only one for each qubit is possible"),
        (unnamed, "an error on an instruction without a name"),
        (lambda: on("measure"), "quantum error on measure of qubit 1; a readout error is possible"),
        (lambda: passing(LocalNoisePass(lambda *_: None)), "custom passes (LocalNoisePass)"),
        (lambda: passing(*[RelaxationNoisePass(*TIMES, op_types=Delay)] * 2), "only one RelaxationNoisePass"),
        (lambda: passing(RelaxationNoisePass(*TIMES)), "after other instructions than delays"),
        (
            lambda: passing(RelaxationNoisePass(*TIMES, op_types=Delay, excited_state_populations=[0, 0.1, 0])),
            "only a temperature of 0",
        ),
        (
            lambda: passing(RelaxationNoisePass([1.0], [1.0], op_types=Delay)),
            "T1 and T2 of 1 qubits; the register has 3",
        ),
    ],
)
def test_what_has_no_place_in_the_noise_is_refused_by_name(model: Callable[[], NoiseModel], said: str) -> None:
    with pytest.raises(BackendError) as caught:
        Noise.from_model(model(), 3)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_errors_on_qubits_outside_the_register_are_none_of_its_business() -> None:
    assert Noise.from_model(on("measure"), 1).only_reads_wrong
    model = NoiseModel()
    model.add_quantum_error(depolarizing_error(0.1, 2), "cx", [0, 5])
    assert Noise.from_model(model, 5).gate_errors == ()


def test_a_delay_without_a_known_length_is_refused_where_qubits_relax() -> None:
    circuit = QuantumCircuit(1)
    circuit.delay(100, 0, "dt")
    relaxing = Noise.from_model(passing(RelaxationNoisePass([5e-5], [5e-5], op_types=Delay)), 1)
    with pytest.raises(BackendError, match="counted in dt"):
        simulated_under(CircuitProgram(circuit, (), (), z_observables(1)), relaxing)
    simulated_under(CircuitProgram(circuit, (), (), z_observables(1)), Noise.from_model(on("x"), 1))
    open_ended = QuantumCircuit(1)
    open_ended.delay(length := Parameter("length"), 0, "s")
    with pytest.raises(BackendError, match="a delay of length has no known length"):
        simulated_under(CircuitProgram(open_ended, (length,), (), z_observables(1)), relaxing)


def test_noise_of_another_register_and_too_many_qubits_are_refused() -> None:
    with pytest.raises(BackendError, match="the circuit has 2 qubits and the noise is that of 3"):
        simulated_under(random_program(0, 2), Noise.from_model(on("x"), 3))
    wide = CircuitProgram(QuantumCircuit(21), (), (), z_observables(21))
    with pytest.raises(BackendError, match="the circuit has 21 qubits; under noise at most 20"):
        simulated_under(wide, Noise.from_model(on("x"), 21))


def small_model(
    p: float = 0.1, *, qubit: int = 0, everywhere: float = 0.02, read: float = 0.05, t1: float = 50e-6, gate: str = "sx"
) -> NoiseModel:
    model = NoiseModel(basis_gates=["rz", gate, "cx"])
    model.add_quantum_error(depolarizing_error(p, 1), gate, [qubit])
    model.add_all_qubit_quantum_error(depolarizing_error(everywhere, 2), "cx")
    model.add_readout_error(ReadoutError([[1 - read, read], [0.1, 0.9]]), [0])
    model._custom_noise_passes.append(RelaxationNoisePass(t1s=[t1], t2s=[60e-6], dt=1e-9, op_types=Delay))
    return model


def test_a_model_is_called_by_what_is_in_it() -> None:
    """Names of results rest on it: equal models share a name, any other number is another one."""
    changes = [{}, {"p": 0.11}, {"qubit": 1}, {"everywhere": 0.03}, {"read": 0.06}, {"t1": 51e-6}, {"gate": "x"}]
    digests = [model_digest(small_model(**change)) for change in changes]
    assert len(set(digests)) == len(changes)
    assert digests == [model_digest(small_model(**change)) for change in changes]
