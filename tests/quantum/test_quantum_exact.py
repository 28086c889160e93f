"""The exact engines behind backends: a layer under a device's noise, and evaluations that Aer confirms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from qiskit.primitives import StatevectorEstimator
from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.neural_networks import EstimatorQNN

from backends import BackendEstimator, open_backend
from hybridq.errors import UserError
from hybridq.quantum.circuits import CircuitSpec
from hybridq.quantum.engine_choice import aer_fallback_reason, run_exactly
from hybridq.quantum.layer import quantum_layer
from hybridq.quantum.qnn import BroadcastEstimatorQNN

RING = CircuitSpec(qubits=4, layers=1)
NOISY = ["fake_torino", "fake_brisbane:scale=0.5", "noise:depolarizing_2q=0.02,readout=0.03,t1_us=50,t2_us=60"]


@pytest.mark.parametrize("name", NOISY)
def test_a_layer_under_noise_has_the_values_and_gradients_of_aer(name: str) -> None:
    ours = quantum_layer(RING, backend=name, seed=1, dtype=torch.float64)
    aer = quantum_layer(RING, backend=name, engine="aer", seed=1, dtype=torch.float64)
    assert isinstance(ours, TorchConnector)
    assert isinstance(ours.neural_network, EstimatorQNN)
    results = []
    for layer in (ours, aer):
        inputs = torch.linspace(-1, 2, 12, dtype=torch.float64).reshape(3, 4).requires_grad_()
        values = layer(inputs)
        (values * torch.linspace(0.5, 1.5, 12, dtype=torch.float64).reshape(3, 4)).sum().backward()
        results.append((values.detach(), inputs.grad, layer.weight.grad))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)


def test_a_stock_connector_over_the_noisy_network_trains_like_our_layer() -> None:
    layer = quantum_layer(RING, backend="fake_torino", dtype=torch.float64)
    stock = TorchConnector(layer.neural_network, layer.weight.detach().numpy())
    inputs = torch.rand(2, 4)
    layer(inputs.double()).sum().backward()
    stock(inputs).sum().backward()
    torch.testing.assert_close(stock.weight.grad, layer.weight.grad.float(), atol=1e-5, rtol=0)


def test_an_aer_noise_model_acts_on_the_circuit_as_it_is() -> None:
    model = NoiseModel()
    model.add_quantum_error(depolarizing_error(0.2, 1), "ry", [2])
    model.add_readout_error(ReadoutError([[0.9, 0.1], [0.3, 0.7]]), [0])
    clean = quantum_layer(CircuitSpec(qubits=3, layers=0), dtype=torch.float64)
    noisy = quantum_layer(CircuitSpec(qubits=3, layers=0), backend=model, dtype=torch.float64)
    inputs = torch.tensor([[0.3, 0.8, 1.4]], dtype=torch.float64)
    z = clean(inputs)[0]
    expected = torch.stack([0.6 * z[0] + 0.2, z[1], 0.8 * z[2]])
    torch.testing.assert_close(noisy(inputs)[0], expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", NOISY)
@pytest.mark.parametrize("reuploading", [False, True])
def test_an_exact_run_is_what_the_backend_itself_gives(name: str, reuploading: bool) -> None:
    backend = open_backend(name)
    compiled = backend.compile(CircuitSpec(qubits=3, layers=2, reuploading=reuploading).build())
    random = np.random.default_rng(0)
    inputs, weights = random.normal(size=(5, 3)), random.normal(size=12)
    exact, aer = run_exactly(backend, compiled, inputs, weights), backend.run(compiled, inputs, weights)
    assert exact is not None
    np.testing.assert_allclose(exact.values, aer.values, atol=1e-9)
    assert not exact.standard_errors.any()
    assert exact.record["method"] == "exact noisy engine"
    assert set(aer.record) == set(exact.record)


@pytest.mark.parametrize("name", ["aer", "aer:shots=64", "fake_torino:shots=64", "fake_torino:scale=0"])
def test_what_has_shots_or_no_noise_is_left_to_the_backend(name: str) -> None:
    backend = open_backend(name)
    compiled = backend.compile(RING.build())
    assert run_exactly(backend, compiled, np.zeros((1, 4)), np.zeros(8)) is None


def test_above_its_size_aer_takes_over_and_the_layer_says_so() -> None:
    large = CircuitSpec(qubits=9, layers=1, entanglement="linear")
    name = "noise:depolarizing_2q=0.01"
    backend = open_backend(name)
    compiled = backend.compile(large.build())
    assert run_exactly(backend, compiled, np.zeros((1, 9)), np.zeros(18)) is None
    assert "9 qubits: above 8 Aer computes" in str(aer_fallback_reason(backend, 9))
    assert aer_fallback_reason(backend, 8) is None
    assert aer_fallback_reason(open_backend("aer"), 16) is None
    layer = quantum_layer(large, backend=name)
    assert layer.note == aer_fallback_reason(backend, 9)
    assert isinstance(layer.neural_network, BroadcastEstimatorQNN)
    assert isinstance(layer.neural_network.estimator, BackendEstimator)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"engine": "gpu"}, "allowed are exact, aer"),
        ({"engine": "exact", "estimator": StatevectorEstimator()}, "runs no estimator"),
    ],
)
def test_an_engine_and_a_backend_that_do_not_go_together_are_refused(options, sentence) -> None:
    with pytest.raises(UserError, match=sentence):
        quantum_layer(RING, **options)
