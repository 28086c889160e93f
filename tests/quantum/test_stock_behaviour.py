"""Whatever a user does with ``EstimatorQNN`` and ``TorchConnector`` gives the same with the project's classes.

Every check runs on the stock classes too, and compares: what comes out, its shape, or the class of the exception. The
differences that are meant are the last part of this file.
"""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.primitives import StatevectorEstimator, StatevectorSampler
from qiskit.providers import Options
from qiskit.quantum_info import Pauli, SparsePauliOp
from qiskit.transpiler import CouplingMap, generate_preset_pass_manager
from qiskit_machine_learning.algorithms import VQR, NeuralNetworkClassifier, NeuralNetworkRegressor
from qiskit_machine_learning.circuit.library import qnn_circuit
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.exceptions import QiskitMachineLearningError
from qiskit_machine_learning.gradients import DerivativeType, ParamShiftEstimatorGradient
from qiskit_machine_learning.neural_networks import EffectiveDimension, EstimatorQNN, SamplerQNN
from qiskit_machine_learning.optimizers import COBYLA, L_BFGS_B
from torch import Tensor, nn

from hybridq.quantum.gradients import BroadcastParameterShift, ExactEstimatorGradient
from hybridq.quantum.layer import QuantumLayer
from hybridq.quantum.qnn import BroadcastEstimatorQNN, ExactEstimatorQNN

OURS = [BroadcastEstimatorQNN, ExactEstimatorQNN]
X, W = ParameterVector("x", 2), ParameterVector("w", 2)

Arguments = dict[str, Any]


def one_qubit_circuit() -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.h(0)
    circuit.ry(X[0], 0)
    circuit.rx(W[0], 0)
    return circuit


def two_qubit_circuit() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.ry(X[0], 0)
    circuit.ry(X[1], 1)
    circuit.rx(W[0], 0)
    circuit.cx(0, 1)
    circuit.ry(W[1], 1)
    return circuit


def one_and_one() -> Arguments:
    two = [SparsePauliOp(["Z", "X"]), SparsePauliOp(["Z", "X"], [2, 2])]
    return {"circuit": one_qubit_circuit(), "observables": two, "input_params": [X[0]], "weight_params": [W[0]]}


def two_and_two() -> Arguments:
    two = (SparsePauliOp(["ZZ", "XX"]), SparsePauliOp("IY"))
    return {"circuit": two_qubit_circuit(), "observables": two, "input_params": X, "weight_params": W}


def one_observable() -> Arguments:
    return {**two_and_two(), "observables": SparsePauliOp(["ZI", "XY", "II"], [1.0, -0.4, 0.2])}


def one_pauli() -> Arguments:
    return {**two_and_two(), "observables": Pauli("ZY")}


def default_observable() -> Arguments:
    return {"circuit": two_qubit_circuit(), "input_params": X, "weight_params": W}


def other_order() -> Arguments:
    return {**two_and_two(), "input_params": [X[1], X[0]], "weight_params": [W[1], W[0]]}


def other_roles() -> Arguments:
    return {**two_and_two(), "input_params": [W[1], X[0]], "weight_params": [X[1], W[0]]}


def only_weights() -> Arguments:
    return {**one_observable(), "input_params": None, "weight_params": two_qubit_circuit().parameters}


def only_inputs() -> Arguments:
    return {**one_observable(), "input_params": two_qubit_circuit().parameters, "weight_params": None}


def no_parameters() -> Arguments:
    return {"circuit": two_qubit_circuit().assign_parameters([0.1, 0.2, 0.3, 0.4]), "observables": Pauli("ZY")}


def expressions() -> Arguments:
    circuit = QuantumCircuit(2)
    circuit.ry(X[0] * X[1] + W[0], 0)
    circuit.crx(2 * W[1], 0, 1)
    circuit.rzz(X[0], 0, 1)
    circuit.ry(W[0], 1)
    return {**two_and_two(), "circuit": circuit}


def library_circuit() -> Arguments:
    circuit, inputs, weights = qnn_circuit(2)
    return {"circuit": circuit, "observables": SparsePauliOp("ZI"), "input_params": inputs, "weight_params": weights}


def device_circuit() -> Arguments:
    """Translated and placed on qubits 2 and 1 of 3."""
    line = CouplingMap.from_line(3)
    passes = generate_preset_pass_manager(
        1, coupling_map=line, basis_gates=["rz", "sx", "x", "cx"], initial_layout=[2, 1], seed_transpiler=3
    )
    circuit = passes.run(two_qubit_circuit())
    observables = [SparsePauliOp(label).apply_layout(circuit.layout) for label in ("ZZ", "IX")]
    return {"circuit": circuit, "observables": observables, "input_params": X, "weight_params": W}


def device_circuit_with_default_observable() -> Arguments:
    return {**device_circuit(), "observables": None}


def stock_network(arguments: Arguments) -> EstimatorQNN:
    return EstimatorQNN(**{"estimator": StatevectorEstimator(), "default_precision": 0.0, **arguments})


MAKERS = [stock_network, *[lambda arguments, network=network: network(**arguments) for network in OURS]]

Outcome = tuple[str, Any]


def outcome(call: Callable[[], Any]) -> Outcome:
    """What a call gives, or the class of what it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return "gives", call()
        except Exception as error:
            return "raises", type(error)


def assert_same(ours: Any, stock: Any, tolerance: float = 1e-9) -> None:
    """Equal structure, shape, kind of number, and values."""
    if isinstance(stock, tuple | list):
        assert isinstance(ours, tuple | list)
        assert len(ours) == len(stock)
        for mine, theirs in zip(ours, stock, strict=True):
            assert_same(mine, theirs, tolerance)
    elif isinstance(stock, Tensor):
        assert (ours.shape, ours.dtype, ours.device) == (stock.shape, stock.dtype, stock.device)
        torch.testing.assert_close(ours.detach(), stock.detach(), atol=tolerance, rtol=0)
    elif isinstance(stock, np.ndarray):
        assert ours.shape == stock.shape
        np.testing.assert_allclose(ours, stock, atol=tolerance, rtol=0)
    else:
        assert ours == stock


# EstimatorQNN

ROWS = np.array([[0.1, 0.2], [-0.7, 1.1]])

GIVEN: dict[str, tuple[Callable[[], Arguments], Any, Any]] = {
    "numbers": (one_and_one, 1, 2),
    "NumPy numbers": (one_and_one, np.float32(1), np.float64(2)),
    "lists of one": (one_and_one, [1], [2]),
    "rows of one": (one_and_one, [[1], [2]], [1]),
    "rows of rows of one": (one_and_one, [[[1], [2]], [[3], [4]]], [1]),
    "one sample": (two_and_two, [0.1, 0.2], [0.3, 0.4]),
    "a batch of one": (two_and_two, ROWS[:1], [0.3, 0.4]),
    "a batch": (two_and_two, ROWS, [0.3, 0.4]),
    "three dimensions": (two_and_two, np.stack([ROWS, 1 - ROWS]), [0.3, 0.4]),
    "four dimensions": (two_and_two, ROWS[:, None, None, :], [0.3, 0.4]),
    "integers": (two_and_two, [[1, 2], [3, 4]], [1, 2]),
    "booleans": (two_and_two, [True, False], [1, 2]),
    "tensors": (two_and_two, torch.ones(2, 2), torch.ones(2)),
    "a column of weights": (two_and_two, ROWS, [[0.3], [0.4]]),
    "one observable": (one_observable, ROWS, [0.3, 0.4]),
    "one Pauli string": (one_pauli, ROWS, [0.3, 0.4]),
    "the default observable": (default_observable, ROWS, [0.3, 0.4]),
    "another order of parameters": (other_order, ROWS, [0.3, 0.4]),
    "gates with inputs and weights exchanged": (other_roles, ROWS, [0.3, 0.4]),
    "no inputs": (only_weights, None, [0.1, 0.2, 0.3, 0.4]),
    "rows without inputs": (only_weights, np.zeros((2, 0)), [0.1, 0.2, 0.3, 0.4]),
    "no weights, one sample": (only_inputs, [0.1, 0.2, 0.3, 0.4], None),
    "no weights, a batch": (only_inputs, np.tile(ROWS, 2), None),
    "no weights, three dimensions": (only_inputs, np.tile(ROWS, 2)[None], None),
    "no weights, an empty list of them": (only_inputs, [0.1, 0.2, 0.3, 0.4], []),
    "no parameters": (no_parameters, None, None),
    "expressions and repeated parameters": (expressions, ROWS, [0.3, 0.4]),
    "the library's circuit": (library_circuit, ROWS[:1], np.linspace(-1, 1, 8)),
    "a device's circuit": (device_circuit, ROWS, [0.3, 0.4]),
    "a device's circuit, default observable": (device_circuit_with_default_observable, ROWS, [0.3, 0.4]),
}


def passes(network: EstimatorQNN, inputs: Any, weights: Any) -> list[Outcome]:
    """Forwards, and backwards with input gradients off and on."""
    found = [outcome(lambda: network.forward(inputs, weights))]
    for wanted in (False, True):
        network.input_gradients = wanted
        found.append(outcome(lambda: network.backward(inputs, weights)))
    return found


@cache
def stock_passes(name: str) -> list[Outcome]:
    build, inputs, weights = GIVEN[name]
    return passes(stock_network(build()), inputs, weights)


@pytest.mark.parametrize("network", OURS)
@pytest.mark.parametrize("name", GIVEN)
def test_values_and_derivatives_have_the_stock_shapes_and_values(network, name):
    build, inputs, weights = GIVEN[name]
    expected = stock_passes(name)
    assert [kind for kind, _ in expected] == ["gives"] * 3
    assert_same(passes(network(**build()), inputs, weights), expected)


REFUSED = {
    "inputs too wide": (two_and_two, [[0.1, 0.2, 0.3]], [0.3, 0.4]),
    "inputs too narrow": (two_and_two, [0.1], [0.3, 0.4]),
    "inputs where there are none": (only_weights, [[0.1]], [0.1, 0.2, 0.3, 0.4]),
    "rows of different length": (two_and_two, [[0.1, 0.2], [0.3]], [0.3, 0.4]),
    "words": (two_and_two, ["a", "b"], [0.3, 0.4]),
    "complex inputs": (two_and_two, [0.1, 0.2j], [0.3, 0.4]),
    "too many weights": (two_and_two, ROWS, [0.3, 0.4, 0.5]),
    "too few weights": (two_and_two, ROWS, [0.3]),
    "weights for every sample": (two_and_two, ROWS, np.ones((2, 2))),
    "weights where there are none": (only_inputs, [0.1, 0.2, 0.3, 0.4], [0.1]),
    "words as weights": (two_and_two, ROWS, "ab"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_arguments_are_refused_with_the_stock_exception(name):
    build, inputs, weights = REFUSED[name]
    expected = passes(stock_network(build()), inputs, weights)
    assert [kind for kind, _ in expected] == ["raises"] * 3
    for network in OURS:
        assert passes(network(**build()), inputs, weights) == expected


MISSING = [(None, None), (None, [0.3, 0.4]), ([0.1, 0.2], None), (0.1, [0.3, 0.4])]


@pytest.mark.parametrize(("inputs", "weights"), MISSING)
def test_too_few_values_are_refused_forwards_with_the_stock_exception(inputs, weights):
    for make in MAKERS:
        assert outcome(lambda: make(two_and_two()).forward(inputs, weights)) == ("raises", ValueError)  # noqa: B023


@pytest.mark.parametrize(("inputs", "weights"), MISSING[1:])
def test_too_few_values_are_refused_backwards_with_the_stock_exception(inputs, weights):
    for make in MAKERS:
        network = make({**two_and_two(), "input_gradients": True})
        assert outcome(lambda: network.backward(inputs, weights)) == ("raises", ValueError)  # noqa: B023


@pytest.mark.parametrize(
    "changed",
    [
        {"weight_params": None},
        {"input_params": [X[0]]},
        {"weight_params": [*W, Parameter("v")]},
        {"weight_params": [W[0], Parameter("v")]},
        {"observables": []},
    ],
    ids=["no weights named", "an input not named", "a weight too many", "a foreign weight", "no observable"],
)
def test_wrong_construction_is_refused_with_the_stock_exception(changed):
    arguments = {**two_and_two(), **changed}
    expected = outcome(lambda: stock_network(arguments))
    assert expected[0] == "raises"
    for network in OURS:
        assert outcome(lambda: network(**arguments)) == expected  # noqa: B023


@pytest.mark.parametrize("network", OURS)
@pytest.mark.parametrize("build", [two_and_two, default_observable, only_weights, only_inputs, device_circuit])
def test_properties_are_those_of_the_stock_class(network, build):
    ours, stock = network(**build()), stock_network(build())
    for name in (
        "num_inputs",
        "num_weights",
        "output_shape",
        "sparse",
        "input_gradients",
        "circuit",
        "observables",
        "input_params",
        "weight_params",
        "num_virtual_qubits",
    ):
        assert getattr(ours, name) == getattr(stock, name), name
    assert isinstance(ours, EstimatorQNN)
    with pytest.raises(TypeError):
        network(two_qubit_circuit())


@pytest.mark.parametrize("network", OURS)
@pytest.mark.parametrize("remake", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
def test_networks_are_copied_and_pickled_like_the_stock_class(network, remake):
    expected = remake(stock_network(two_and_two())).forward(ROWS, [0.3, 0.4])
    ours = network(**two_and_two())
    ours.forward(ROWS, [0.3, 0.4])
    assert_same(remake(ours).forward(ROWS, [0.3, 0.4]), expected)


def test_the_librarys_algorithms_run_on_it_with_the_same_results():
    targets, classes = np.array([0.1, 0.4]), np.array([1, -1])
    results = []
    for make in MAKERS:
        regressor = NeuralNetworkRegressor(
            make(one_observable()), optimizer=L_BFGS_B(maxiter=2), initial_point=np.array([0.1, 0.2])
        )
        classifier = NeuralNetworkClassifier(
            make(one_observable()), optimizer=COBYLA(maxiter=4), initial_point=np.array([0.1, 0.2])
        )
        dimension = EffectiveDimension(make(one_observable()), ROWS[:1], ROWS)
        results.append(
            [
                regressor.fit(ROWS, targets).predict(ROWS),
                classifier.fit(ROWS, classes).weights,
                *dimension.run_monte_carlo(),
            ]
        )
    for ours in results[1:]:
        assert_same(ours, results[0], 1e-8)


# TorchConnector


def layers(arguments: Arguments, *given: Any, **options: Any) -> list[TorchConnector]:
    """The stock connector over the stock network, and ours over each of ours, with the same weights."""
    arguments = {"input_gradients": True, **arguments}
    if not given and "initial_weights" not in options:
        options["initial_weights"] = 0.3 + 0.4 * np.arange(stock_network(arguments).num_weights)
    return [
        TorchConnector(stock_network(arguments), *given, **options),
        *[QuantumLayer(network(**arguments), *given, **options) for network in OURS],
    ]


def passed(layer: TorchConnector, inputs: Tensor | None) -> list[Any]:
    """Values and the gradients of their weighted sum; a gradient without elements is none."""
    if inputs is not None:
        inputs = inputs.detach().clone().requires_grad_(inputs.is_floating_point())
    values = layer(inputs)
    if values.requires_grad:
        (values * (1 + torch.arange(values.numel()).reshape(values.shape))).sum().backward()
    gradients = [None if inputs is None else inputs.grad, layer.weight.grad]
    return [values, *[gradient if gradient is not None and gradient.numel() else None for gradient in gradients]]


LAYER_INPUTS: dict[str, tuple[Callable[[], Arguments], Tensor | None]] = {
    "one sample": (two_and_two, torch.tensor([0.1, 0.2])),
    "a batch of one": (two_and_two, torch.tensor([[0.1, 0.2]])),
    "a batch": (two_and_two, torch.tensor(ROWS, dtype=torch.float32)),
    "a transposed batch": (two_and_two, torch.arange(6.0).reshape(2, 3).T),
    "integers": (two_and_two, torch.tensor([[1, 2], [3, 4]])),
    "half precision": (two_and_two, torch.tensor([[0.5, 0.25]], dtype=torch.float16)),
    "nothing where there are no inputs": (only_weights, None),
    "a row of nothing": (only_weights, torch.zeros(1, 0)),
    "the library's circuit": (library_circuit, torch.tensor([0.1, 0.2])),
    "expressions": (expressions, torch.tensor(ROWS, dtype=torch.float32)),
    "no weights": (only_inputs, torch.tensor([[0.1, 0.2, 0.3, 0.4]])),
}


@pytest.mark.parametrize("name", LAYER_INPUTS)
def test_the_layer_gives_the_stock_connectors_values_and_gradients(name):
    build, inputs = LAYER_INPUTS[name]
    stock, *ours = layers(build())
    expected = passed(stock, inputs)
    for layer in ours:
        # half precision rounds the gradient of the inputs; single precision the rest
        assert_same(passed(layer, inputs), expected, 1e-3 if name == "half precision" else 1e-5)


@pytest.mark.parametrize("shape", [(2, 3, 2), (2, 1, 3, 2)])
def test_more_dimensions_give_the_stock_connectors_values(shape):
    inputs = torch.linspace(-1, 2, int(np.prod(shape))).reshape(shape)
    stock, *ours = layers(two_and_two())
    for layer in ours:
        assert_same(layer(inputs), stock(inputs), 1e-5)


@pytest.mark.parametrize("inputs", [torch.ones(1, 3), torch.ones(3, 1), torch.ones(3), None])
def test_a_wrong_width_is_refused_with_the_stock_exception(inputs):
    for layer in layers(two_and_two()):
        with pytest.raises(QiskitMachineLearningError):
            layer(inputs)


def test_sparse_output_is_refused_with_the_stock_exception_and_dense_is_stated():
    for make in MAKERS:
        connector = TorchConnector if make is stock_network else QuantumLayer
        with pytest.raises(QiskitMachineLearningError):
            connector(make(two_and_two()), sparse=True)
        assert connector(make(two_and_two()), sparse=False).sparse is False
        assert connector(make(two_and_two()), [0.1, 0.2], None).sparse is False


@pytest.mark.filterwarnings("ignore:To copy construct")
@pytest.mark.parametrize(
    "given",
    [[1, 2], (1, 2), np.array([1.0, 2.0]), torch.tensor([1.0, 2.0], dtype=torch.float64), nn.Parameter(torch.ones(2))],
    ids=["list", "tuple", "array", "tensor", "parameter"],
)
def test_initial_weights_have_the_stock_forms_and_are_copied(given):
    stock, *ours = layers(two_and_two(), given)
    for layer in ours:
        assert_same(layer.weight, stock.weight, 0)
        assert layer.weight.requires_grad
        assert layer.weight is not given
    assert layers(two_and_two(), initial_weights=None)[1].weight.shape == stock.weight.shape


MODULE_HABITS: dict[str, Callable[[TorchConnector], Any]] = {
    "weight": lambda layer: layer.weight,
    "one parameter": lambda layer: [name for name, _ in layer.named_parameters()],
    "get_parameter": lambda layer: layer.get_parameter("weight"),
    "the network": lambda layer: (layer.neural_network.num_inputs, layer.neural_network.num_weights),
    "by keyword": lambda layer: layer(input_data=torch.ones(1, 2)),
    "no_grad": lambda layer: torch.no_grad()(layer)(torch.ones(1, 2)).requires_grad,
    "with a graph": lambda layer: layer(torch.ones(1, 2)).requires_grad,
    "frozen": lambda layer: layer.requires_grad_(False)(torch.ones(1, 2)).requires_grad,
    "frozen, inputs free": lambda layer: passed(layer.requires_grad_(False), torch.ones(1, 2)),
    "eval and train": lambda layer: (layer.eval().training, layer.train().training),
    "eval": lambda layer: layer.eval()(torch.ones(1, 2)),
    "zero_grad": lambda layer: (passed(layer, torch.ones(1, 2)), layer.zero_grad(), layer.weight.grad)[2],
    "gradients add up": lambda layer: (passed(layer, torch.ones(1, 2)), passed(layer, torch.ones(1, 2)))[1],
    "new data": lambda layer: (setattr(layer.weight, "data", torch.ones(2)), layer(torch.ones(1, 2)))[1],
    "in place": lambda layer: (layer.weight.data.add_(1.0), layer(torch.ones(1, 2)))[1],
    "double": lambda layer: layer.double().weight.dtype,
    "deepcopy": lambda layer: copy.deepcopy(layer)(torch.ones(1, 2)),
    "a copy's own weights": lambda layer: (copy.deepcopy(layer).weight.data.add_(1.0), layer.weight)[1],
    "pickle": lambda layer: pickle.loads(pickle.dumps(layer))(torch.ones(1, 2)),
    "setting the weight": lambda layer: setattr(layer, "weight", torch.ones(2)),
    "setting the network": lambda layer: setattr(layer, "neural_network", None),
    "in a model": lambda layer: nn.Sequential(nn.Identity(), layer, nn.Flatten(0))(torch.ones(1, 2)),
}


@pytest.mark.parametrize("name", MODULE_HABITS)
def test_as_a_torch_module_it_behaves_like_the_stock_connector(name):
    stock, *ours = [outcome(lambda: MODULE_HABITS[name](layer)) for layer in layers(two_and_two())]  # noqa: B023
    for layer in ours:
        assert_same(layer, stock, 1e-5)


def test_default_weights_are_those_of_the_stock_class_for_the_same_torch_seed():
    torch.manual_seed(3)
    stock = TorchConnector(stock_network(two_and_two()))
    for network in OURS:
        torch.manual_seed(3)
        assert torch.equal(QuantumLayer(network(**two_and_two())).weight, stock.weight)


def test_single_precision_weights_and_inputs_do_not_make_the_circuit_less_exact():
    inputs = torch.tensor(ROWS, dtype=torch.float32)
    for network in OURS:
        layer = QuantumLayer(network(**two_and_two()))
        exact = layer.neural_network.forward(inputs.numpy(), layer.weight.detach().numpy())
        assert np.array_equal(layer(inputs).detach().numpy(), exact.astype(np.float32))


def test_a_batch_has_the_sum_of_its_samples_gradients():
    for layer in layers(two_and_two()):
        model = nn.Sequential(nn.Linear(4, 2), layer, nn.Linear(2, 1))
        data = torch.linspace(-1, 1, 12).reshape(3, 4)
        model(data).square().sum().backward()
        batch = [p.grad.clone() for p in model.parameters()]
        model.zero_grad()
        for row in data:
            model(row).square().sum().backward()
        assert_same([p.grad for p in model.parameters()], batch, 1e-5)


def test_training_steps_agree_with_the_stock_classes():
    data = torch.linspace(-1, 1, 6).reshape(3, 2)
    trained = []
    for layer in layers(two_and_two()):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(2, 2), layer, nn.Linear(2, 1))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        for _ in range(2):
            optimizer.zero_grad()
            (model(data) - 0.3).square().mean().backward()
            optimizer.step()
        trained.append([p.detach() for p in model.parameters()])
    for ours in trained[1:]:
        assert_same(ours, trained[0], 1e-5)


@pytest.mark.parametrize("network", OURS)
def test_a_stock_connector_over_our_network_is_as_good_as_over_the_stock_network(network):
    inputs = torch.tensor(ROWS, dtype=torch.float32)
    expected = passed(layers(two_and_two())[0], inputs)
    mixed = TorchConnector(network(**two_and_two(), input_gradients=True), [0.3, 0.7])
    assert_same(passed(mixed, inputs), expected, 1e-5)


def test_with_input_gradients_off_the_inputs_get_none_as_in_the_stock_connector():
    stock, *ours = layers({**two_and_two(), "input_gradients": False})
    assert passed(stock, torch.ones(1, 2))[1] is None
    for layer in ours:
        assert passed(layer, torch.ones(1, 2))[1] is None


# State dictionaries: ours holds the weights once, the stock one twice


def test_the_weights_of_a_stock_connector_can_be_loaded():
    stock, *ours = layers(two_and_two())
    stock.weight.data.add_(1.0)
    for layer in ours:
        layer.load_state_dict(stock.state_dict())
        assert_same(layer.weight, stock.weight, 0)
        nn.Sequential(layer).load_state_dict(nn.Sequential(stock).state_dict())


def test_the_weights_can_be_loaded_by_a_stock_connector_and_back_when_it_is_told_to_be_lenient():
    stock, *ours = layers(two_and_two())
    for layer in ours:
        layer.weight.data.add_(1.0)
        assert stock.load_state_dict(layer.state_dict(), strict=False).unexpected_keys == []
        assert_same(stock.weight, layer.weight, 0)
        layer.weight.data.add_(1.0)
        assert layer.load_state_dict(stock.state_dict(), strict=False).missing_keys == []
        assert_same(layer.weight, stock.weight, 0)


# Differences that are meant


def test_the_result_keeps_the_inputs_precision_where_the_stock_connector_rounds_to_single():
    inputs = torch.tensor(ROWS, dtype=torch.float64)
    stock, *ours = layers(two_and_two())
    assert stock.double()(inputs).dtype == torch.float32
    exact = stock_network(two_and_two()).forward(ROWS, stock.weight.detach().numpy())
    for layer in ours:
        values = layer.double()(inputs)
        assert values.dtype == torch.float64
        np.testing.assert_allclose(values.detach(), exact, atol=1e-12, rtol=0)


def test_bfloat16_is_taken_where_the_stock_connector_refuses_it():
    inputs = torch.ones(1, 2, dtype=torch.bfloat16)
    stock, *ours = layers(two_and_two())
    assert outcome(lambda: stock(inputs)) == ("raises", TypeError)
    for layer in ours:
        assert layer(inputs).dtype == torch.float32


def test_our_layers_take_an_empty_batch_where_the_stock_connector_refuses_it():
    stock, *ours = layers(two_and_two())
    assert outcome(lambda: stock(torch.zeros(0, 2))) == ("raises", ValueError)
    for layer in ours:
        values, _, of_weights = passed(layer, torch.zeros(0, 2))
        assert values.shape == (0, 2)
        assert torch.equal(of_weights, torch.zeros(2))
    assert ours[1].neural_network.forward(np.zeros((0, 2)), [0.3, 0.4]).shape == (0, 2)


def test_a_number_that_is_none_passes_through_the_exact_engine_where_estimators_refuse_it():
    inputs = torch.tensor([[float("nan"), 1.0], [0.1, 0.2]])
    stock, broadcast, exact = layers(one_observable())
    for layer in (stock, broadcast):
        assert outcome(lambda: layer(inputs))[0] == "raises"  # noqa: B023
    assert exact(inputs).isnan().tolist() == [[True], [False]]


def test_the_exact_engine_has_second_derivatives_where_the_stock_connector_fails():
    def curvature(layer: TorchConnector) -> Tensor:
        inputs = torch.ones(1, 2, requires_grad=True)
        (slope,) = torch.autograd.grad(layer(inputs).sum(), inputs, create_graph=True)
        return torch.autograd.grad(slope.sum(), inputs)[0]

    stock, broadcast, exact = layers(one_observable())
    for layer in (stock, broadcast):
        assert outcome(lambda: curvature(layer)) == ("raises", RuntimeError)  # noqa: B023
    inputs = torch.tensor(ROWS, requires_grad=True)
    assert torch.autograd.gradgradcheck(exact.double(), (inputs,))


def test_a_circuit_that_cannot_be_differentiated_is_refused_at_construction_not_at_the_first_gradient():
    measured = two_qubit_circuit()
    measured.measure_all()
    measured.h(0)
    arguments = {**two_and_two(), "circuit": measured}
    assert outcome(lambda: stock_network(arguments).backward(ROWS, [0.3, 0.4])) == (
        "raises",
        QiskitMachineLearningError,
    )
    with pytest.raises(Exception, match="'measure'"):
        ExactEstimatorQNN(**arguments)


# Arguments of the stock constructors: used, or said in one warning not to apply


def warned(call: Callable[[], Any]) -> tuple[Any, list[str]]:
    """What a call gives, and the sentences of its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        given = call()
    assert all(warning.filename == __file__ for warning in caught if "apply" in str(warning.message))
    return given, [str(warning.message) for warning in caught if warning.category is UserWarning]


def transpiler() -> Any:
    """Passes for two qubits, exchanged."""
    return generate_preset_pass_manager(
        1,
        coupling_map=CouplingMap.from_line(2),
        basis_gates=["rz", "sx", "x", "cx"],
        initial_layout=[1, 0],
        seed_transpiler=3,
    )


def test_the_exact_network_says_in_one_warning_which_stock_arguments_do_not_apply():
    estimator = StatevectorEstimator()
    stock = ParamShiftEstimatorGradient(estimator)
    network, sentences = warned(
        lambda: ExactEstimatorQNN(**two_and_two(), estimator=estimator, gradient=stock, default_precision=0.1)
    )
    assert len(sentences) == 1
    assert sentences[0].startswith("ExactEstimatorQNN: estimator, gradient, default_precision do not apply; ")
    assert network.estimator is estimator
    assert_same(network.forward(ROWS, [0.3, 0.4]), stock_network(two_and_two()).forward(ROWS, [0.3, 0.4]))


@pytest.mark.parametrize("given", [{}, {"estimator": None, "gradient": None, "default_precision": 0.0}])
def test_the_exact_network_says_nothing_where_nothing_was_given(given):
    assert warned(lambda: ExactEstimatorQNN(**two_and_two(), **given))[1] == []


@pytest.mark.parametrize("name", ["estimator", "gradient"])
def test_what_is_set_on_an_exact_network_later_is_said_not_to_apply(name):
    network = ExactEstimatorQNN(**two_and_two())
    _, sentences = warned(lambda: setattr(network, name, StatevectorEstimator()))
    assert len(sentences) == 1
    assert f"{name} does not apply" in sentences[0]


@pytest.mark.parametrize("network", OURS)
@pytest.mark.parametrize("build", [default_observable, expressions])
def test_a_pass_manager_transpiles_the_circuit_with_the_same_values_and_slopes(network, build):
    arguments = {**build(), "observables": None, "input_gradients": True}
    stock = stock_network({**arguments, "pass_manager": transpiler()})
    ours, sentences = warned(lambda: network(**arguments, pass_manager=transpiler()))
    assert sentences == []
    assert ours.circuit.count_ops() == stock.circuit.count_ops()
    assert_same(ours.forward(ROWS, [0.3, 0.4]), stock.forward(ROWS, [0.3, 0.4]))
    assert_same(list(ours.backward(ROWS, [0.3, 0.4])), list(stock.backward(ROWS, [0.3, 0.4])))


class PhysicalEstimator(StatevectorEstimator):
    """Exact, and takes only what a device takes."""

    def run(self, pubs: Any, *, precision: float | None = None) -> Any:
        pubs = list(pubs)
        for circuit, *_ in pubs:
            assert set(circuit.count_ops()) <= {"rz", "sx", "x", "cx"}
        return super().run(pubs, precision=precision)


def test_a_pass_manager_transpiles_the_shifted_circuits_too():
    arguments = {**default_observable(), "input_gradients": True, "pass_manager": transpiler()}
    network = BroadcastEstimatorQNN(**arguments, estimator=PhysicalEstimator())
    assert_same(list(network.backward(ROWS, [0.3, 0.4])), list(stock_network(arguments).backward(ROWS, [0.3, 0.4])))


def test_gradients_take_the_stock_arguments_in_the_stock_order():
    observables = [SparsePauliOp("ZI"), SparsePauliOp("XY")]
    circuits, values = [expressions()["circuit"]] * 2, [[0.1, 0.2, 0.3, 0.4]] * 2
    given = (StatevectorEstimator(), None, DerivativeType.REAL, transpiler())
    expected = ParamShiftEstimatorGradient(*given).run(circuits, observables, values).result().gradients
    shift, sentences = warned(lambda: BroadcastParameterShift(*given))
    assert sentences == []
    assert_same(np.array(shift.run(circuits, observables, values).result().gradients), np.array(expected))
    exact, sentences = warned(lambda: ExactEstimatorGradient(*given))
    assert len(sentences) == 1
    assert sentences[0].startswith("ExactEstimatorGradient: estimator, pass_manager do not apply; ")
    assert_same(np.array(exact.run(circuits, observables, values).result().gradients), np.array(expected))


@pytest.mark.parametrize("gradient", [BroadcastParameterShift, ExactEstimatorGradient])
def test_options_and_other_derivatives_are_said_not_to_apply(gradient):
    estimators = [StatevectorEstimator()] if gradient is BroadcastParameterShift else []
    options = Options(shots=100)
    made, sentences = warned(lambda: gradient(*estimators, options=options, derivative_type=DerivativeType.COMPLEX))
    assert len(sentences) == 1
    assert sentences[0].startswith(f"{gradient.__name__}: options, derivative_type do not apply; ")
    assert made.options.shots == 100
    assert made.derivative_type is DerivativeType.REAL
    assert warned(lambda: gradient(*estimators))[1] == []


@pytest.mark.parametrize("gradient", [BroadcastParameterShift, ExactEstimatorGradient])
def test_options_of_one_run_are_said_not_to_apply(gradient):
    estimators = [StatevectorEstimator()] if gradient is BroadcastParameterShift else []
    asked = ([two_qubit_circuit()], [SparsePauliOp("ZI")], [[0.1, 0.2, 0.3, 0.4]])
    with pytest.warns(UserWarning, match=rf"{gradient.__name__}\.run: shots does not apply"):
        result = gradient(*estimators).run(*asked, shots=100).result()
    assert result.options.shots == 100


def sampler_network(*, sparse: bool) -> SamplerQNN:
    return SamplerQNN(
        sampler=StatevectorSampler(seed=1),
        circuit=two_qubit_circuit(),
        input_params=X,
        weight_params=W,
        input_gradients=True,
        sparse=sparse,
    )


@pytest.mark.parametrize(
    "build",
    [lambda: sampler_network(sparse=False), lambda: stock_network({**two_and_two(), "input_gradients": True})],
    ids=["sampler", "stock estimator"],
)
def test_any_network_of_the_library_runs_as_in_the_stock_connector(build):
    inputs = torch.tensor(ROWS, dtype=torch.float32)
    expected = passed(TorchConnector(build(), [0.3, 0.7]), inputs)
    layer = QuantumLayer(build(), [0.3, 0.7])
    assert_same(passed(layer, inputs), expected, 1e-6)
    assert list(layer.state_dict()) == ["weight"]
    with pytest.raises(RuntimeError, match="create_graph=True needs the exact engine"):
        torch.autograd.grad(layer(inputs).sum(), layer.weight, create_graph=True)


@pytest.mark.parametrize("network", OURS)
def test_the_librarys_regressor_builds_its_network_of_ours(network, monkeypatch):
    targets = np.array([0.1, 0.4])
    found = []
    for kind in (None, network):
        if kind is not None:
            monkeypatch.setattr("qiskit_machine_learning.algorithms.regressors.vqr.EstimatorQNN", kind)
        features, ansatz = QuantumCircuit(2), QuantumCircuit(2)
        features.ry(X[0], 0)
        features.ry(X[1], 1)
        ansatz.cx(0, 1)
        ansatz.rx(W[0], 0)
        ansatz.ry(W[1], 1)
        regressor = VQR(
            feature_map=features,
            ansatz=ansatz,
            optimizer=L_BFGS_B(maxiter=2),
            initial_point=np.array([0.1, 0.2]),
            estimator=StatevectorEstimator(),
        )
        regressor.neural_network._default_precision = 0.0
        found.append(regressor.fit(ROWS, targets).predict(ROWS))
        assert isinstance(regressor.neural_network, kind or EstimatorQNN)
    assert_same(found[1], found[0], 1e-7)


def test_initialize_stays_initialize_in_shifted_circuits() -> None:
    ran = []

    class Looking(StatevectorEstimator):
        def run(self, pubs, *, precision=None):  # type: ignore[no-untyped-def]
            ran.extend(dict(pub[0].count_ops()) for pub in pubs)
            return super().run(pubs, precision=precision)

    angle = Parameter("x")
    circuit = QuantumCircuit(2)
    circuit.initialize([0.5, 0.5, 0.5, 0.5])
    circuit.crx(angle, 0, 1)
    job = BroadcastParameterShift(Looking()).run([circuit], [SparsePauliOp("XX")], [[np.pi / 2]])
    assert job.result().gradients[0] == pytest.approx([-1 / (2 * np.sqrt(2))])
    assert [counted["initialize"] for counted in ran] == [1]
