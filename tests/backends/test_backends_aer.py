"""The noiseless simulator, exact and sampled."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from programs import random_angles, random_program, statevector_values, z_observables
from qiskit import QuantumCircuit
from qiskit.circuit.library import efficient_su2
from qiskit.quantum_info import SparsePauliOp

from backends import Backend, BackendError, CircuitProgram, open_backend

PAULI_SUMS = (
    SparsePauliOp(["ZII", "IXY", "III"], [0.5, -1.5, 0.25]),
    SparsePauliOp(["YIX", "ZZZ"], [1.0, 2.0]),
    SparsePauliOp(["IIZ"], [1.0]),
)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), qubits=st.integers(1, 5))
def test_exact_values_are_those_of_the_state_vector_on_every_qubit(seed: int, qubits: int) -> None:
    program = random_program(seed, qubits)
    inputs, weights = random_angles(program, seed, 3)
    expected = statevector_values(program, inputs, weights)
    gaps = np.diff(np.sort(expected[0]))
    assume(qubits == 1 or gaps.min() > 0.02)  # distinct ⟨Z⟩, so that no two qubits can be taken for each other
    backend = open_backend("aer")
    result = backend.run(backend.compile(program), inputs, weights)
    np.testing.assert_allclose(result.values, expected, atol=1e-10)
    assert not result.standard_errors.any()


def test_exact_values_of_pauli_sums_are_those_of_the_state_vector() -> None:
    program = random_program(5, 3, observables=PAULI_SUMS)
    inputs, weights = random_angles(program, 1, 4)
    backend = open_backend("aer")
    result = backend.run(backend.compile(program), inputs, weights)
    np.testing.assert_allclose(result.values, statevector_values(program, inputs, weights), atol=1e-10)


@pytest.mark.parametrize("observables", [None, PAULI_SUMS])
def test_sampled_values_lie_within_their_standard_errors(observables: tuple[SparsePauliOp, ...] | None) -> None:
    program = random_program(2, 3, observables=observables)
    inputs, weights = random_angles(program, 3, 40)
    backend = open_backend("aer:shots=2000", seed=4)
    result = backend.run(backend.compile(program), inputs, weights)
    score = (result.values - statevector_values(program, inputs, weights)) / result.standard_errors
    assert np.abs(score).max() < 4.5
    assert 0.8 < np.sqrt((score**2).mean()) < 1.2


def test_the_standard_error_of_z_is_that_of_a_coin() -> None:
    program = random_program(2, 3)
    inputs, weights = random_angles(program, 3, 5)
    backend = open_backend("aer:shots=500")
    result = backend.run(backend.compile(program), inputs, weights)
    np.testing.assert_allclose(result.standard_errors, np.sqrt((1 - result.values**2) / 499), rtol=1e-9)


def test_observables_that_commute_share_one_measured_circuit() -> None:
    program = random_program(2, 3, observables=(*z_observables(3), SparsePauliOp(["ZZI", "ZZZ"], [1.0, 0.5])))
    backend = open_backend("aer:shots=100")
    cost = backend.cost(backend.compile(program), 7)
    assert (cost.circuits, cost.executions, cost.quantum_seconds) == (7, 700, 0.0)
    other = backend.compile(random_program(2, 3, observables=PAULI_SUMS))
    assert backend.cost(other, 7).circuits == 21


def test_the_same_angles_and_seed_give_the_same_shots_and_others_give_others() -> None:
    program = random_program(2, 3)
    inputs, weights = random_angles(program, 3, 5)

    def values(seed: int, shift: float = 0.0) -> np.ndarray:
        backend = open_backend("aer:shots=1000", seed=seed)
        return backend.run(backend.compile(program), inputs + shift, weights).values

    np.testing.assert_array_equal(values(1), values(1))
    assert (values(1) != values(2)).any()
    assert (values(1) != values(1, 1e-9)).any()
    named = open_backend("aer:shots=1000,seed=1", seed=9)
    np.testing.assert_array_equal(named.run(named.compile(program), inputs, weights).values, values(1))


def test_equal_rows_of_a_batch_are_sampled_independently() -> None:
    program = random_program(2, 3)
    inputs, weights = random_angles(program, 3, 1)
    backend = open_backend("aer:shots=1000")
    values = backend.run(backend.compile(program), np.repeat(inputs, 6, axis=0), weights).values
    assert len(np.unique(values[:, 0])) > 1


def test_weights_may_differ_from_row_to_row() -> None:
    program = random_program(8, 3)
    inputs, weights = random_angles(program, 3, 4)
    rows = weights + np.arange(4)[:, None]
    backend = open_backend("aer")
    together = backend.run(backend.compile(program), inputs, rows).values
    for i in range(4):
        np.testing.assert_allclose(together[i], statevector_values(program, inputs[i : i + 1], rows[i])[0], atol=1e-10)


@pytest.mark.parametrize("name", ["aer", "aer:shots=50"])
def test_a_circuit_without_parameters_and_an_empty_batch_are_run(name: str) -> None:
    circuit = QuantumCircuit(2)
    circuit.x(0)
    program = CircuitProgram(circuit, (), (), z_observables(2))
    backend = open_backend(name)
    compiled = backend.compile(program)
    np.testing.assert_array_equal(backend.run(compiled, np.zeros((3, 0)), []).values, [[-1, 1]] * 3)
    assert backend.run(compiled, np.zeros((0, 0)), []).values.shape == (0, 2)


def test_composite_gates_are_written_out() -> None:
    circuit = QuantumCircuit(3)
    circuit.append(efficient_su2(3, reps=1).to_instruction(), range(3))
    program = CircuitProgram(circuit, tuple(circuit.parameters), (), z_observables(3))
    inputs, _ = random_angles(program, 0, 2)
    backend = open_backend("aer")
    values = backend.run(backend.compile(program), inputs, []).values
    np.testing.assert_allclose(values, statevector_values(program, inputs, np.zeros(0)), atol=1e-10)


def test_the_record_says_what_ran_and_is_json() -> None:
    program = random_program(2, 3)
    inputs, weights = random_angles(program, 3, 5)
    backend = open_backend("aer:shots=100", seed=3)
    assert isinstance(backend, Backend)
    record = json.loads(json.dumps(backend.run(backend.compile(program), inputs, weights).record))
    assert record["backend"] == "aer:shots=100"
    assert (record["kind"], record["simulated"], record["device"], record["seed"]) == ("sampled", True, None, 3)
    assert (record["samples"], record["shots"], record["circuits"], record["executions"]) == (5, 100, 5, 500)
    assert record["two_qubit_gates"] == program.circuit.num_nonlocal_gates()
    assert record["depth"] == program.circuit.depth()
    assert (record["job_ids"], record["quantum_seconds"]) == ([], 0.0)
    assert {"qiskit", "qiskit_aer", "python"} <= set(record["versions"])


def test_more_qubits_than_the_simulator_takes_are_refused() -> None:
    circuit = QuantumCircuit(25)
    with pytest.raises(BackendError, match="the circuit has 25 qubits; aer simulates at most 24"):
        open_backend("aer").compile(CircuitProgram(circuit, (), (), z_observables(25)))


def test_angles_that_are_no_numbers_and_wrong_shapes_are_refused() -> None:
    program = random_program(2, 3)
    inputs, weights = random_angles(program, 3, 2)
    backend = open_backend("aer")
    compiled = backend.compile(program)
    with pytest.raises(BackendError, match="not a finite number"):
        backend.run(compiled, inputs * np.nan, weights)
    with pytest.raises(ValueError, match="expected"):
        backend.run(compiled, inputs[:, :2], weights)


def test_an_observable_that_is_not_hermitian_is_refused() -> None:
    with pytest.raises(BackendError, match="observable 0 is not Hermitian"):
        open_backend("aer").compile(random_program(2, 2, observables=(SparsePauliOp(["ZI"], [1j]),)))
