"""The project's EstimatorQNN and its gradients against the stock class."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer.primitives import EstimatorV2 as AerEstimator
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.exceptions import QiskitMachineLearningError
from qiskit_machine_learning.gradients import SPSAEstimatorGradient
from qiskit_machine_learning.neural_networks import EstimatorQNN
from quantum_programs import points, programs, reference_derivatives

from backends.contract import CircuitProgram
from hybridq.quantum.circuits import CircuitSpec
from hybridq.quantum.gradients import BroadcastParameterShift, ExactEstimatorGradient
from hybridq.quantum.qnn import BroadcastEstimatorQNN, ExactEstimatorQNN

OURS = [BroadcastEstimatorQNN, ExactEstimatorQNN]
STOCK_GATES = ("rx", "ry", "rz", "rzz", "crx", "cx", "cz", "h", "s")


class RecordingEstimator(StatevectorEstimator):
    """Exact, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[tuple[list[object], float | None]] = []

    def run(self, pubs, *, precision=None):
        pubs = list(pubs)
        self.requests.append((pubs, precision))
        return super().run(pubs, precision=precision)


def stock(program: CircuitProgram, **options) -> EstimatorQNN:
    return EstimatorQNN(
        circuit=program.circuit,
        estimator=StatevectorEstimator(),
        observables=list(program.observables),
        input_params=list(program.inputs),
        weight_params=list(program.weights),
        **{"input_gradients": True, "default_precision": 0.0, **options},
    )


def assert_same(ours, reference, tolerance: float = 1e-8) -> None:
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


@settings(max_examples=12, deadline=None, derandomize=True)
@given(programs(gates=STOCK_GATES, max_qubits=3, max_gates=7, affine=True))
def test_random_circuits_have_the_stock_classs_values_and_gradients(program):
    inputs, weights = points(program, 2)
    reference = stock(program)
    values, gradients = reference.forward(inputs, weights), reference.backward(inputs, weights)
    for network in OURS:
        ours = network.from_program(program)
        assert_same([ours.forward(inputs, weights)], [values])
        assert_same(ours.backward(inputs, weights), gradients)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(programs(max_qubits=3, max_gates=7))
def test_parameter_shift_is_right_for_every_gate_and_expression(program):
    inputs, weights = points(program, 2)
    exact, shifted = ExactEstimatorQNN.from_program(program), BroadcastEstimatorQNN.from_program(program)
    assert_same(shifted.backward(inputs, weights), exact.backward(inputs, weights), 1e-9)


def one_input() -> CircuitProgram:
    circuit = QuantumCircuit(2)
    x, w = Parameter("x"), Parameter("w")
    circuit.ry(x, 0)
    circuit.rx(w, 1)
    circuit.cx(0, 1)
    return CircuitProgram(circuit, (x,), (w,), (SparsePauliOp("ZZ"), SparsePauliOp("IZ")))


def two_inputs() -> CircuitProgram:
    return CircuitSpec(2, 1, rotations=("ry",)).build()


def no_weights() -> CircuitProgram:
    return CircuitSpec(2, 0).build()


def no_inputs() -> CircuitProgram:
    program = two_inputs()
    bound = program.circuit.assign_parameters(dict.fromkeys(program.inputs, 0.4))
    return CircuitProgram(bound, (), program.weights, program.observables)


@pytest.mark.parametrize("network", OURS)
@pytest.mark.parametrize("input_gradients", [False, True])
@pytest.mark.parametrize(
    ("build", "inputs", "weights"),
    [
        (one_input, 0.3, 0.7),
        (one_input, [[0.1], [0.2], [0.3]], [0.7]),
        (two_inputs, [0.1, 0.2], [0.3, 0.4]),
        (two_inputs, [[0.1, 0.2]], [0.3, 0.4]),
        (two_inputs, np.linspace(0, 1, 12).reshape(2, 3, 2), [0.3, 0.4]),
        (no_weights, [[0.1, 0.2], [0.3, 0.4]], None),
        (no_inputs, None, [0.3, 0.4]),
    ],
)
def test_shapes_are_those_of_the_stock_class(network, build, inputs, weights, input_gradients):
    program = build()
    ours = network.from_program(program, input_gradients=input_gradients)
    reference = stock(program, input_gradients=input_gradients)
    assert_same([ours.forward(inputs, weights)], [reference.forward(inputs, weights)])
    assert_same(ours.backward(inputs, weights), reference.backward(inputs, weights))


@pytest.mark.parametrize("network", OURS)
def test_wrong_input_width_and_sparse_output_are_refused_as_in_the_stock_class(network):
    ours = network.from_program(two_inputs())
    with pytest.raises(QiskitMachineLearningError):
        ours.forward([[0.1, 0.2, 0.3]], [0.3, 0.4])
    with pytest.raises(QiskitMachineLearningError, match="sparse"):
        TorchConnector(ours, sparse=True)


@pytest.mark.parametrize("network", OURS)
def test_without_observables_it_is_z_on_all_qubits(network):
    circuit = two_inputs().circuit.assign_parameters([0.3, 0.4, 0.5, 0.6])
    reference = EstimatorQNN(circuit=circuit, estimator=StatevectorEstimator(), default_precision=0.0)
    assert_same([network(circuit=circuit).forward(None, None)], [reference.forward(None, None)])


def test_a_batch_is_one_pub_forwards_and_one_backwards():
    estimator = RecordingEstimator()
    network = BroadcastEstimatorQNN.from_program(CircuitSpec(3, 1).build(), estimator=estimator)
    inputs, weights = np.random.default_rng(0).normal(size=(5, 3)), np.linspace(0, 1, 6)
    network.forward(inputs, weights)
    network.backward(inputs, weights)
    assert [len(pubs) for pubs, _ in estimator.requests] == [1, 1]


def test_both_passes_run_one_circuit_so_that_a_device_compiles_it_once():
    estimator = RecordingEstimator()
    network = BroadcastEstimatorQNN.from_program(CircuitSpec(3, 1).build(), estimator=estimator)
    for _ in range(2):
        network.forward(np.zeros((2, 3)), np.zeros(6))
        network.backward(np.zeros((2, 3)), np.zeros(6))
    circuits = {id(pub[0]) for pubs, _ in estimator.requests for pub in pubs}
    assert len(circuits) == 1


@pytest.mark.parametrize("precision", [None, 0.25])
def test_both_passes_ask_for_the_same_precision(precision):
    estimator = RecordingEstimator()
    network = BroadcastEstimatorQNN.from_program(two_inputs(), estimator=estimator, default_precision=precision)
    network.forward([0.1, 0.2], [0.3, 0.4])
    network.backward([0.1, 0.2], [0.3, 0.4])
    assert [asked for _, asked in estimator.requests] == [precision, precision]


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
    gradient.update_default_options(seed=7)
    assert gradient.options.seed == 7


def test_any_other_gradient_of_the_library_still_works():
    program = two_inputs()
    gradient = SPSAEstimatorGradient(StatevectorEstimator(), epsilon=1e-4, batch_size=60, seed=1)
    network = BroadcastEstimatorQNN.from_program(program, gradient=gradient)
    inputs, weights = points(program, 1)
    _, d_weights = network.backward(inputs, weights)
    np.testing.assert_allclose(d_weights, reference_derivatives(program, inputs, weights)[1], atol=0.3)


@pytest.mark.parametrize("network", OURS)
def test_a_stock_torch_connector_over_it_trains_as_over_the_stock_class(network):
    program = CircuitSpec(2, 1).build()
    results = []
    for qnn in (network.from_program(program), stock(program)):
        module = TorchConnector(qnn, np.linspace(-1, 1, 4))
        x = torch.linspace(0, 1, 6).reshape(3, 2).requires_grad_()
        values = module(x)
        values.square().sum().backward()
        results.append([values.detach().numpy(), x.grad.numpy(), module.weight.grad.numpy()])
    assert_same(*results, 1e-6)
