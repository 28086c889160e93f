"""Stock qiskit-machine-learning code over the backends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from programs import random_angles, random_program, statevector_values, z_observables
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp
from qiskit_machine_learning.gradients import ParamShiftEstimatorGradient
from qiskit_machine_learning.neural_networks import EstimatorQNN

from backends import BackendError, BackendEstimator, CircuitProgram, open_backend


def stock_qnn(program: CircuitProgram, estimator: BackendEstimator, **options: Any) -> EstimatorQNN:
    return EstimatorQNN(
        circuit=program.circuit,
        estimator=estimator,
        observables=list(program.observables),
        input_params=program.inputs,
        weight_params=program.weights,
        **options,
    )


@pytest.mark.parametrize("name", ["aer", "fake_torino", "noise:depolarizing_2q=0.05,meas1_prep0=0.05,meas0_prep1=0.1"])
def test_the_stock_qnn_gives_what_the_backend_gives_readout_error_included(name: str) -> None:
    program = random_program(7, 3)
    inputs, weights = random_angles(program, 1, 4)
    backend = open_backend(name)
    expected = backend.run(backend.compile(program), inputs, weights).values
    qnn = stock_qnn(program, BackendEstimator(backend))
    np.testing.assert_allclose(qnn.forward(inputs, weights), expected, atol=1e-9)
    if name == "aer":
        np.testing.assert_allclose(expected, statevector_values(program, inputs, weights), atol=1e-10)


def test_the_stock_gradient_is_the_derivative_of_the_values() -> None:
    inputs, weights = ParameterVector("x", 2), ParameterVector("w", 2)
    circuit = QuantumCircuit(2)
    circuit.ry(inputs[0], 0)
    circuit.ry(inputs[1], 1)
    circuit.cx(0, 1)
    circuit.ry(weights[0], 0)
    circuit.rx(weights[1], 1)
    program = CircuitProgram(circuit, tuple(inputs), tuple(weights), z_observables(2))
    estimator = BackendEstimator(open_backend("noise:depolarizing_1q=0.02,readout=0.03"))
    qnn = stock_qnn(program, estimator, gradient=ParamShiftEstimatorGradient(estimator), input_gradients=True)
    x, w = np.array([[0.3, -0.7]]), np.array([0.5, 1.1])
    by_inputs, by_weights = qnn.backward(x, w)
    for k in range(2):
        step = 1e-4 * np.eye(2)[k]
        slope = (qnn.forward(x + step, w) - qnn.forward(x - step, w))[0] / 2e-4
        np.testing.assert_allclose(by_inputs[0, :, k], slope, atol=1e-6)
        slope = (qnn.forward(x, w + step) - qnn.forward(x, w - step))[0] / 2e-4
        np.testing.assert_allclose(by_weights[0, :, k], slope, atol=1e-6)


def test_the_shots_of_the_backend_are_used_whatever_precision_is_asked_for() -> None:
    program = random_program(7, 2)
    inputs, weights = random_angles(program, 1, 3)
    estimator = BackendEstimator(open_backend("aer:shots=64"))
    pub = (program.circuit, list(program.observables), dict(zip(program.circuit.parameters, [0.1] * 6, strict=True)))
    result = estimator.run([pub], precision=1e-6).result()[0]
    assert result.metadata["record"]["executions"] == 64
    np.testing.assert_allclose(np.abs(result.data.evs * 32) % 1, 0, atol=1e-12)
    qnn = stock_qnn(program, estimator, default_precision=1e-6)
    np.testing.assert_allclose(np.abs(qnn.forward(inputs, weights) * 32) % 1, 0, atol=1e-12)


def test_observables_and_parameters_broadcast_as_qiskit_says() -> None:
    program = random_program(7, 3)
    inputs, weights = random_angles(program, 1, 4)
    values = program.bind(inputs, weights)
    observables = [[SparsePauliOp("ZII")], [SparsePauliOp(["IXI", "IIY"], [0.5, 2.0])]]
    estimator = BackendEstimator(open_backend("aer"))
    first, second = estimator.run(
        [(program.circuit, observables, values), (program.circuit, "IIZ", values[1])]
    ).result()
    assert first.data.evs.shape == (2, 4)
    assert second.data.evs.shape == ()
    other = CircuitProgram(
        program.circuit, program.inputs, program.weights, (*(row[0] for row in observables), SparsePauliOp("IIZ"))
    )
    expected = statevector_values(other, inputs, weights)
    np.testing.assert_allclose(first.data.evs, expected[:, :2].T, atol=1e-10)
    np.testing.assert_allclose(second.data.evs, expected[1, 2], atol=1e-10)
    assert first.data.stds.shape == (2, 4)


def test_a_circuit_without_parameters_is_run() -> None:
    circuit = QuantumCircuit(2)
    circuit.x(1)
    result = BackendEstimator(open_backend("aer")).run([(circuit, ["IZ", "ZI"])]).result()[0]
    np.testing.assert_allclose(result.data.evs, [1, -1])


def test_a_circuit_is_compiled_once_and_pubs_of_one_circuit_are_run_together() -> None:
    program = random_program(7, 3)
    inputs, weights = random_angles(program, 1, 4)
    backend = open_backend("aer:shots=10")
    compiled, runs = [], []
    compile_once, run_once = backend.compile, backend.run
    backend.compile = lambda p: compiled.append(p) or compile_once(p)  # type: ignore[method-assign]
    backend.run = lambda *a: runs.append(a) or run_once(*a)  # type: ignore[method-assign]
    qnn = stock_qnn(program, BackendEstimator(backend))
    qnn.forward(inputs, weights)
    qnn.forward(inputs, weights + 1)
    assert len(compiled) == 1
    assert [len(rows) for _, rows, _ in runs] == [4, 4]


def test_too_many_qubits_are_refused_with_the_backends_sentence() -> None:
    with pytest.raises(BackendError, match="simulates at most 5"):
        BackendEstimator(open_backend("fake_manila")).run([(QuantumCircuit(6), "ZZZZZZ")]).result()
