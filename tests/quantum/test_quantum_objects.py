"""The quantum layer under a noise model of other gates, and on any Qiskit backend."""

from __future__ import annotations

import pytest
import torch
from ions import Ions
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit_aer.noise import NoiseModel, depolarizing_error
from qiskit_ibm_runtime.fake_provider import FakeManilaV2

from backends import BackendError, BackendEstimator, open_backend
from hybridq.errors import UserError
from hybridq.quantum.circuits import CircuitSpec
from hybridq.quantum.engine_choice import exact_compiler
from hybridq.quantum.layer import QuantumLayer, quantum_layer

RING = CircuitSpec(qubits=3, layers=1)
INPUTS = torch.tensor([[0.2, 1.1, -0.7], [0.9, -0.4, 0.3]], dtype=torch.float64)


def layer(backend: object, **options: object) -> QuantumLayer:
    return quantum_layer(RING, backend=backend, dtype=torch.float64, **options)


def other_gates() -> NoiseModel:
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.3, 1), ["sx", "x"])
    model.add_all_qubit_quantum_error(depolarizing_error(0.3, 2), ["cz"])
    return model


def test_a_noise_model_of_other_gates_changes_values_and_the_layer_says_why() -> None:
    with pytest.warns(UserWarning, match="backend: translated to cz, rz, sx, the gates of the noise model"):
        noisy = layer(other_gates())
    change = (noisy(INPUTS) - layer("aer")(INPUTS)).abs().max()
    assert change > 0.2
    assert noisy.note is not None
    assert "errors on 19 of 42 gates (cz 3 of 3, rz 0 of 23, sx 16 of 16)" in noisy.note
    with pytest.warns(UserWarning, match="translated to"):
        through_aer = layer(other_gates(), engine="aer")
    torch.testing.assert_close(through_aer(INPUTS), noisy(INPUTS), atol=1e-9, rtol=0)
    assert through_aer.note == noisy.note


@pytest.mark.filterwarnings("ignore:backend")
def test_training_under_a_strength_of_such_a_model_has_its_noise() -> None:
    trained = layer(other_gates(), noise_scale=(1.0, 1.0)).train()
    torch.testing.assert_close(trained(INPUTS), layer(other_gates())(INPUTS), atol=1e-12, rtol=0)
    twice = layer(other_gates(), noise_scale=(2.0, 2.0)).train()
    assert 0 < twice(INPUTS).abs().max() < trained(INPUTS).abs().max() / 10


def test_a_model_that_meets_nothing_is_refused_with_both_sets() -> None:
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.3, 1), "x")
    with pytest.raises(BackendError, match="errors on x and the circuit has the gates cx, ry, rz: none of them meet"):
        layer(model)
    with pytest.raises(BackendError, match="none of them meet"):
        exact_compiler(model)(RING.build())


def test_a_stored_device_as_an_object_trains_like_its_name() -> None:
    by_name, by_object = layer("fake_manila"), layer(FakeManilaV2())
    torch.testing.assert_close(by_object(INPUTS), by_name(INPUTS), atol=0, rtol=0)


def test_the_noise_of_a_qiskit_backend_is_exact_and_its_run_gives_counts_about_it() -> None:
    device = GenericBackendV2(4, seed=3)
    exact = layer(device)
    assert exact.note is None
    exact(INPUTS).sum().backward()
    counted = layer(device, engine="aer")
    assert isinstance(counted.neural_network.estimator, BackendEstimator)
    assert counted.neural_network.estimator.backend.shots == device.options.shots
    assert (counted(INPUTS) - exact(INPUTS)).abs().max() < 5 / device.options.shots**0.5
    assert (exact(INPUTS) - layer("aer")(INPUTS)).abs().max() > 1e-3


def test_a_backend_that_states_no_errors_needs_its_shots_run() -> None:
    ions = Ions()
    with pytest.raises(UserError, match=r"not known: error of .*; give an Aer NoiseModel .* engine = 'aer' in a layer"):
        layer(ions)
    opened = open_backend(ions, shots=200, simulated=True)
    with pytest.warns(UserWarning, match="backend: placed without, since ions does not state them: error of r, "):
        counted = layer(opened, engine="aer")
    counted(INPUTS).sum().backward()
    assert counted.weight.grad.abs().max() > 0
    with pytest.raises(UserError, match="runs circuits for their counts; choose engine = 'aer'"):
        layer(opened)


def test_training_never_runs_what_may_be_hardware() -> None:
    ions = Ions()
    with pytest.raises(UserError, match="ions is not known to be a simulator, and jobs on a device cost"):
        layer(ions, engine="aer")
    assert ions.calls == []
