"""The torch layer: precision, weights, training, and the engines behind it."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from qiskit.primitives import StatevectorEstimator
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.exceptions import QiskitMachineLearningError
from qiskit_machine_learning.neural_networks import EstimatorQNN
from quantum_programs import reference_values
from torch import nn

from backends.contract import CircuitProgram
from hybridq.errors import UserError
from hybridq.quantum.circuits import CircuitSpec
from hybridq.quantum.layer import QuantumLayer, quantum_layer
from hybridq.quantum.qnn import BroadcastEstimatorQNN, ExactEstimatorQNN

SPEC = CircuitSpec(qubits=3, layers=2)


class CountingEstimator(StatevectorEstimator):
    """Exact, and counts the parameter sets that it was asked for."""

    parameter_sets = 0

    def run(self, pubs, *, precision=None):
        pubs = list(pubs)
        self.parameter_sets += sum(int(np.prod(np.shape(values)[:-1])) for _, _, values in pubs)
        return super().run(pubs, precision=precision)


def test_it_is_a_torch_connector_that_holds_an_estimator_qnn():
    layer = quantum_layer(SPEC)
    assert isinstance(layer, TorchConnector)
    assert isinstance(layer.neural_network, EstimatorQNN)
    assert layer.sparse is False


def test_values_are_those_of_the_circuit():
    layer = quantum_layer(SPEC, dtype=torch.float64)
    x = torch.linspace(-1, 2, 6, dtype=torch.float64).reshape(2, 3)
    reference = reference_values(SPEC.build(), x.numpy(), layer.weight.detach().numpy())
    np.testing.assert_allclose(layer(x).detach().numpy(), reference, atol=1e-12)


def test_the_weights_are_one_entry_that_round_trips():
    layer, other = quantum_layer(SPEC, seed=1), quantum_layer(SPEC, seed=2)
    assert list(layer.state_dict()) == ["weight"]
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    other.load_state_dict(layer.state_dict())
    x = torch.rand(4, 3)
    torch.testing.assert_close(other(x), layer(x), atol=0, rtol=0)


@pytest.mark.parametrize("remake", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_a_copy_gives_the_same_values_and_has_weights_of_its_own(remake):
    layer = quantum_layer(SPEC)
    x = torch.rand(4, 3)
    before = layer(x)
    other = remake(layer)
    torch.testing.assert_close(other(x), before, atol=0, rtol=0)
    with torch.no_grad():
        other.weight.add_(1.0)
    torch.testing.assert_close(layer(x), before, atol=0, rtol=0)


@pytest.mark.parametrize(
    ("given", "expected"),
    [(torch.float32, torch.float32), (torch.float64, torch.float64), (torch.bfloat16, torch.float32)],
)
@pytest.mark.parametrize("weights", [torch.float32, torch.float64])
@pytest.mark.parametrize("estimator", [None, StatevectorEstimator()])
def test_the_result_has_the_precision_of_the_input(given, expected, weights, estimator):
    layer = quantum_layer(SPEC, engine="exact" if estimator is None else "aer", estimator=estimator, dtype=weights)
    x = torch.rand(2, 3).to(given).requires_grad_()
    values = layer(x)
    values.sum().backward()
    assert (values.dtype, layer.weight.dtype, x.grad.dtype, layer.weight.grad.dtype) == (
        expected,
        weights,
        given,
        weights,
    )


def test_a_module_turned_to_double_computes_in_double():
    layer = quantum_layer(SPEC).double()
    x = torch.rand(2, 3, dtype=torch.float64)
    reference = reference_values(SPEC.build(), x.numpy(), layer.weight.detach().numpy())
    np.testing.assert_allclose(layer(x).detach().numpy(), reference, atol=1e-12)


@pytest.mark.parametrize("shape", [(3,), (1, 3), (5, 3), (2, 4, 3), (0, 3)])
def test_leading_dimensions_are_kept(shape):
    assert quantum_layer(SPEC)(torch.rand(shape)).shape == shape


def test_a_circuit_without_inputs_is_one_run():
    program = SPEC.build()
    bound = CircuitProgram(
        program.circuit.assign_parameters(dict.fromkeys(program.inputs, 0.2)), (), program.weights, program.observables
    )
    assert quantum_layer(bound)().shape == (3,)


def test_a_circuit_without_weights_passes_gradients_to_its_inputs():
    layer = quantum_layer(CircuitSpec(2, 0))
    x = torch.tensor([[0.3, 0.8]], requires_grad=True)
    layer(x).sum().backward()
    torch.testing.assert_close(x.grad, -torch.sin(x.detach()))


def test_a_wrong_width_and_sparse_output_are_refused():
    layer = quantum_layer(SPEC)
    with pytest.raises(QiskitMachineLearningError, match="expected"):
        layer(torch.rand(2, 4))
    with pytest.raises(QiskitMachineLearningError, match="sparse"):
        QuantumLayer(layer.neural_network, sparse=True)


@pytest.mark.parametrize("spec", [CircuitSpec(4, 2), CircuitSpec(8, 3), CircuitSpec(4, 1, entanglement="linear")])
def test_every_weight_and_input_has_a_gradient_from_step_one(spec):
    for seed in range(3):
        layer = quantum_layer(spec, seed=seed)
        x = (0.75 * torch.randn(16, spec.qubits, generator=torch.Generator().manual_seed(seed))).requires_grad_()
        values = layer(x)
        values.square().sum().backward()
        assert layer.weight.grad.abs().min() > 1e-4
        assert (x.grad.abs().amax(dim=0) > 1e-3).all()


def test_initial_weights_follow_the_seed_and_leave_torchs_generator_alone():
    before = torch.get_rng_state()
    layer = quantum_layer(SPEC, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(layer.weight, quantum_layer(SPEC, seed=3).weight)
    assert not torch.equal(layer.weight, quantum_layer(SPEC, seed=4).weight)
    assert layer.weight.abs().max() <= np.pi / 2


def test_given_initial_weights_are_copied():
    given = torch.linspace(0, 1, 12, dtype=torch.float64)
    layer = QuantumLayer(ExactEstimatorQNN.from_program(SPEC.build()), given, dtype=torch.float64)
    given.add_(1.0)
    torch.testing.assert_close(layer.weight.detach(), given - 1.0)


def test_five_training_steps_agree_between_the_engine_and_an_estimator():
    spec = CircuitSpec(2, 1)
    x = torch.linspace(-1, 1, 8, dtype=torch.float64).reshape(4, 2)
    trained = []
    for estimator in (None, StatevectorEstimator()):
        torch.manual_seed(0)
        layer = quantum_layer(
            spec, engine="exact" if estimator is None else "aer", estimator=estimator, dtype=torch.float64
        )
        model = nn.Sequential(nn.Linear(2, 2), layer, nn.Linear(2, 1)).double()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        for _ in range(5):
            optimizer.zero_grad()
            (model(x) - 0.3).square().mean().backward()
            optimizer.step()
        trained.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    torch.testing.assert_close(*trained, atol=1e-8, rtol=0)


@pytest.mark.parametrize(("frozen", "shifted"), [("weight", 3), ("input", 12), ("neither", 15)])
def test_only_derivatives_that_are_needed_are_run(frozen, shifted):
    estimator = CountingEstimator()
    layer = QuantumLayer(BroadcastEstimatorQNN.from_program(SPEC.build(), estimator=estimator))
    layer.weight.requires_grad_(frozen != "weight")
    layer(torch.rand(2, 3, requires_grad=frozen != "input")).sum().backward()
    assert estimator.parameter_sets == 2 + 2 * 2 * shifted


def test_dead_weights_are_named_at_construction():
    with pytest.warns(UserWarning, match=r"w\[6\], w\[7\], w\[8\]"):
        quantum_layer(CircuitSpec(3, 1, rotations=("rx", "ry", "rz")))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quantum_layer(SPEC)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"engine": "gpu"}, "allowed are exact, aer"),
        ({"engine": "aer"}, "an estimator is needed"),
        ({"engine": "exact", "estimator": StatevectorEstimator()}, "an estimator is needed for aer and only there"),
    ],
)
def test_a_wrong_engine_is_refused_in_one_sentence(options, sentence):
    with pytest.raises(UserError, match=sentence):
        quantum_layer(SPEC, **options)
