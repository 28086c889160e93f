"""The torch layer: precision, weights, training, and the engines behind it."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from qiskit.primitives import StatevectorEstimator
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.exceptions import QiskitMachineLearningError
from qiskit_machine_learning.neural_networks import EstimatorQNN
from quantum_programs import PREFIXES, cosine_chain, cosine_chain_answers, points, programs, reference_values
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


@pytest.mark.parametrize(
    ("prefix", "estimator"),
    [*[(prefix, None) for prefix in PREFIXES], ("rotation by an input", StatevectorEstimator())],
)
def test_values_and_gradients_belong_to_their_own_qubit(prefix, estimator):
    engine = "exact" if estimator is None else "aer"
    layer = quantum_layer(cosine_chain(3, prefix), engine=engine, estimator=estimator, dtype=torch.float64)
    inputs, weights = np.array([[0.3, 1.2, 0.3], [0.2, -0.3, 2.2]]), np.array([0.1, -0.2, 0.15])
    values, by_inputs, by_weights = cosine_chain_answers(inputs, weights)
    assert np.diff(np.sort(values, axis=1)).min() > 0.05
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weights))
    x = torch.tensor(inputs, requires_grad=True)
    outer = torch.tensor([[1.0, 2.0, -3.0], [0.5, -4.0, 5.0]], dtype=torch.float64)
    result = layer(x)
    (result * outer).sum().backward()
    np.testing.assert_allclose(result.detach(), values, atol=1e-12)
    np.testing.assert_allclose(x.grad, np.einsum("nk,nkx->nx", outer, by_inputs), atol=1e-12)
    np.testing.assert_allclose(layer.weight.grad, np.einsum("nk,nkw->w", outer, by_weights), atol=1e-12)


def assert_stock_gradients(program: CircuitProgram) -> None:
    """In double precision to 1e-9 of what the stock network gives, in single to 1e-5 of the largest gradient."""
    inputs, weights = points(program, 2)
    stock = EstimatorQNN(
        circuit=program.circuit,
        estimator=StatevectorEstimator(),
        observables=list(program.observables),
        input_params=program.inputs,
        weight_params=program.weights,
        input_gradients=True,
        default_precision=0.0,
    )
    values, (by_inputs, by_weights) = stock.forward(inputs, weights), stock.backward(inputs, weights)
    outer = np.random.default_rng(1).normal(size=values.shape)
    zeros = np.zeros((2, values.shape[1], 0))
    expected = [
        values,
        np.einsum("nk,nkx->nx", outer, zeros if by_inputs is None else by_inputs),
        np.einsum("nk,nkw->w", outer, zeros if by_weights is None else by_weights),
    ]
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        layer = QuantumLayer(ExactEstimatorQNN.from_program(program), weights, dtype=dtype)
        x = torch.tensor(inputs, dtype=dtype, requires_grad=True)
        result = layer(x)
        ((result * torch.tensor(outer, dtype=dtype)).sum() + 0.0 * (x.sum() + layer.weight.sum())).backward()
        for mine, theirs in zip((result.detach(), x.grad, layer.weight.grad), expected, strict=True):
            assert mine.dtype == dtype
            size = max(1.0, np.abs(theirs).max(initial=0.0)) if dtype == torch.float32 else 1.0
            np.testing.assert_allclose(mine, theirs, atol=tolerance * size, rtol=0)


@settings(max_examples=6, deadline=None, derandomize=True)
@given(programs(max_qubits=3, max_gates=6, composed=("unitary", "controlled")))
def test_any_circuit_trains_with_the_stock_networks_gradients(program):
    assert_stock_gradients(program)


@pytest.mark.slow
@settings(max_examples=100, deadline=None, derandomize=True)
@given(programs(max_qubits=6, max_gates=12, composed=("unitary", "monomial", "controlled", "idle")))
def test_many_circuits_train_with_the_stock_networks_gradients(program):
    assert_stock_gradients(program)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_on_a_gpu_it_computes_there_what_it_computes_here():
    layer = quantum_layer(SPEC, dtype=torch.float64)
    x = torch.rand(4, 3, dtype=torch.float64)
    here = layer(x)
    here.sum().backward()
    gradient = layer.weight.grad.clone()
    layer.zero_grad()
    there = layer.to("cuda")(x.cuda())
    there.sum().backward()
    assert (there.device.type, layer.weight.grad.device.type) == ("cuda", "cuda")
    torch.testing.assert_close(there.cpu(), here, atol=1e-12, rtol=0)
    torch.testing.assert_close(layer.weight.grad.cpu(), gradient, atol=1e-12, rtol=0)


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
    spec, engine = CircuitSpec(2, 1), "exact" if estimator is None else "aer"
    layer = quantum_layer(spec, engine=engine, estimator=estimator, dtype=weights)
    x = torch.rand(1, 2).to(given).requires_grad_()
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


def test_a_circuit_without_weights_passes_gradients_to_its_inputs():
    layer = quantum_layer(CircuitSpec(2, 0))
    x = torch.tensor([[0.3, 0.8]], requires_grad=True)
    layer(x).sum().backward()
    torch.testing.assert_close(x.grad, -torch.sin(x.detach()))


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
        ({"engine": "exact", "estimator": StatevectorEstimator()}, "estimator"),
    ],
)
def test_a_wrong_engine_is_refused_in_one_sentence(options, sentence):
    with pytest.raises(UserError, match=sentence):
        quantum_layer(SPEC, **options)


@pytest.mark.parametrize("reuploading", [False, True])
def test_transforms_of_torch_func_give_the_gradients_of_the_backward_pass(reuploading):
    layer = quantum_layer(CircuitSpec(qubits=3, layers=2, reuploading=reuploading), dtype=torch.float64)
    inputs, weight = torch.rand(5, 3, dtype=torch.float64, requires_grad=True), layer.weight.detach()

    def values(inputs, weight):
        return torch.func.functional_call(layer, {"weight": weight}, (inputs,))

    expected = torch.autograd.functional.jacobian(values, (inputs, weight))
    reverse = torch.func.jacrev(values, argnums=(0, 1))(inputs, weight)
    forward = torch.func.jacfwd(values, argnums=(0, 1))(inputs, weight)
    found = layer(inputs)
    rows = torch.eye(found.numel(), dtype=torch.float64).view(-1, *found.shape)
    batched = torch.func.vmap(lambda row: torch.autograd.grad(found, (inputs, layer.weight), row, retain_graph=True))(
        rows
    )
    per_sample = torch.func.vmap(torch.func.jacrev(lambda x, w: values(x[None], w)[0]), in_dims=(0, None))(
        inputs, weight
    )
    for some in (reverse, forward, [part.view_as(like) for part, like in zip(batched, expected, strict=True)]):
        for part, like in zip(some, expected, strict=True):
            torch.testing.assert_close(part, like, rtol=0, atol=1e-12)
    own = torch.stack([expected[0][i, :, i] for i in range(5)])
    torch.testing.assert_close(per_sample, own, rtol=0, atol=1e-12)


@pytest.mark.parametrize("weights", [[0.1, 0.2], np.zeros(13)])
def test_the_wrong_number_of_initial_weights_is_named(weights):
    network = ExactEstimatorQNN.from_program(CircuitSpec(qubits=3, layers=2).build())
    with pytest.raises(QiskitMachineLearningError, match=f"{len(weights)} initial weights .* 12"):
        QuantumLayer(network, weights)
