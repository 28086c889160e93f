"""The project's EstimatorQNN and its gradients against the stock class."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer.primitives import EstimatorV2 as AerEstimator
from qiskit_machine_learning.gradients import ParamShiftEstimatorGradient, SPSAEstimatorGradient
from qiskit_machine_learning.neural_networks import EstimatorQNN
from quantum_programs import RecordingEstimator, points, programs, reference_derivatives

from backends.contract import CircuitProgram
from hybridq.quantum.circuits import CircuitSpec
from hybridq.quantum.gradients import BroadcastParameterShift, ExactEstimatorGradient
from hybridq.quantum.qnn import BroadcastEstimatorQNN, ExactEstimatorQNN

OURS = [BroadcastEstimatorQNN, ExactEstimatorQNN]
STOCK_COMPOSED = ("unitary", "monomial", "controlled", "idle")
"""What the stock gradient takes: it fails at global phases, and Statevector exponentiates evolutions exactly."""

X = Parameter("x")


def stock(program: CircuitProgram, **options) -> EstimatorQNN:
    return EstimatorQNN(
        circuit=program.circuit,
        estimator=StatevectorEstimator(),
        observables=list(program.observables),
        input_params=list(program.inputs),
        weight_params=list(program.weights),
        **{"input_gradients": True, "default_precision": 0.0, **options},
    )


def assert_same(ours, reference, tolerance: float = 1e-9) -> None:
    for mine, theirs in zip(ours, reference, strict=True):
        assert (mine is None) == (theirs is None)
        if theirs is not None:
            assert mine.shape == theirs.shape
            np.testing.assert_allclose(mine, theirs, atol=tolerance, rtol=0)


@pytest.mark.parametrize(
    "spec",
    [CircuitSpec(3, 1), CircuitSpec(2, 2, encoding="rx", rotations=("rx", "rz"), entangler="cz", reuploading=True)],
)
@pytest.mark.parametrize("network", OURS)
def test_the_layers_circuit_has_the_stock_classs_values_and_gradients(network, spec):
    program = spec.build()
    inputs, weights = points(program, 2)
    ours, reference = network.from_program(program), stock(program)
    assert_same([ours.forward(inputs, weights)], [reference.forward(inputs, weights)])
    assert_same(ours.backward(inputs, weights), reference.backward(inputs, weights))


def assert_stock_values_and_gradients(program: CircuitProgram) -> None:
    inputs, weights = points(program, 2)
    reference = stock(program)
    values, gradients = reference.forward(inputs, weights), reference.backward(inputs, weights)
    for network in OURS:
        ours = network.from_program(program)
        assert_same([ours.forward(inputs, weights)], [values])
        assert_same(ours.backward(inputs, weights), gradients)


def assert_shift_is_exact(program: CircuitProgram) -> None:
    inputs, weights = points(program, 2)
    exact, shifted = ExactEstimatorQNN.from_program(program), BroadcastEstimatorQNN.from_program(program)
    assert_same(shifted.backward(inputs, weights), exact.backward(inputs, weights))


@settings(max_examples=8, deadline=None, derandomize=True)
@given(programs(max_qubits=3, max_gates=6, composed=STOCK_COMPOSED))
def test_random_circuits_have_the_stock_classs_values_and_gradients(program):
    assert_stock_values_and_gradients(program)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(programs(max_qubits=3, max_gates=7))
def test_parameter_shift_is_right_for_every_gate_and_expression(program):
    assert_shift_is_exact(program)


@pytest.mark.slow
@settings(max_examples=100, deadline=None, derandomize=True)
@given(programs(max_qubits=6, max_gates=12, composed=STOCK_COMPOSED))
def test_many_random_circuits_have_the_stock_classs_values_and_gradients(program):
    assert_stock_values_and_gradients(program)


@pytest.mark.parametrize("angle", [0 * X, X - X, X - X - 1, X**0], ids=str)
def test_parameter_shift_is_right_where_parameters_cancel_out_of_an_angle(angle):
    circuit = QuantumCircuit(1)
    circuit.ry(angle, 0)
    assert_shift_is_exact(CircuitProgram(circuit, (X,), (), (SparsePauliOp("Z"),)))


@pytest.mark.slow
@settings(max_examples=100, deadline=None, derandomize=True)
@given(programs(max_qubits=6, max_gates=12))
def test_parameter_shift_is_right_for_many_circuits(program):
    assert_shift_is_exact(program)


def two_inputs() -> CircuitProgram:
    return CircuitSpec(2, 1, rotations=("ry",)).build()


def test_both_passes_run_one_circuit_so_that_a_device_compiles_it_once():
    estimator = RecordingEstimator()
    network = BroadcastEstimatorQNN.from_program(CircuitSpec(3, 1).build(), estimator=estimator)
    for _ in range(2):
        network.forward(np.zeros((2, 3)), np.zeros(6))
        network.backward(np.zeros((2, 3)), np.zeros(6))
    circuits = {id(pub[0]) for pubs, _ in estimator.requests for pub in pubs}
    assert len(circuits) == 1


def test_without_input_gradients_the_inputs_are_not_shifted():
    estimator = RecordingEstimator()
    network = BroadcastEstimatorQNN.from_program(two_inputs(), estimator=estimator, input_gradients=False)
    network.backward(np.zeros((3, 2)), [0.3, 0.4])
    ((_, _, values),), _ = estimator.requests[0]
    assert values.shape[:2] == (3, 2 * 2)


def test_the_exact_gradient_plugs_into_the_stock_class():
    program = CircuitSpec(2, 1).build()
    inputs, weights = points(program, 3)
    plugged = stock(program, gradient=ExactEstimatorGradient())
    assert_same(plugged.backward(inputs, weights), stock(program).backward(inputs, weights))
    only_weights = stock(program, gradient=ExactEstimatorGradient(), input_gradients=False)
    assert_same(only_weights.backward(inputs, weights), (None, stock(program).backward(inputs, weights)[1]))


def test_parameter_shift_plugs_into_the_stock_class_with_aers_estimator():
    program = CircuitSpec(2, 1).build()
    inputs, weights = points(program, 2)
    gradient = BroadcastParameterShift(AerEstimator())
    assert_same(stock(program, gradient=gradient).backward(inputs, weights), stock(program).backward(inputs, weights))


@pytest.mark.parametrize("gradient", [ExactEstimatorGradient, BroadcastParameterShift])
def test_a_gradient_job_answers_every_question_as_the_stock_gradient_does(gradient):
    one, other = (
        CircuitSpec(2, 1).build().circuit,
        CircuitSpec(2, 1, rotations=("ry",), reuploading=True).build().circuit,
    )
    z, yx = SparsePauliOp("IZ"), SparsePauliOp(["YX", "ZZ"], [0.5, -1.2])
    values = np.random.default_rng(0).normal(size=(5, 6))
    questions = [
        (one, z, values[0], None),
        (other, yx, values[1, :4], None),
        (one, yx, values[2], [one.parameters[4], one.parameters[1]]),
        (one, z, values[0], [one.parameters[0]]),
        (one, yx, values[0], None),
    ]
    circuits, observables, at, parameters = zip(*questions, strict=True)
    asked = [list(circuits), list(observables), list(at), list(parameters)]
    ours = gradient(StatevectorEstimator()).run(*asked).result()
    stock = ParamShiftEstimatorGradient(StatevectorEstimator()).run(*asked).result()
    assert_same(ours.gradients, stock.gradients)
    assert [list(m["parameters"]) for m in ours.metadata] == [list(m["parameters"]) for m in stock.metadata]


def test_any_other_gradient_of_the_library_still_works():
    program = two_inputs()
    gradient = SPSAEstimatorGradient(StatevectorEstimator(), epsilon=1e-4, batch_size=60, seed=1)
    network = BroadcastEstimatorQNN.from_program(program, gradient=gradient)
    inputs, weights = points(program, 1)
    _, d_weights = network.backward(inputs, weights)
    np.testing.assert_allclose(d_weights, reference_derivatives(program, inputs, weights)[1], atol=0.3)
