"""What training steps add to exact values: shots with their true scatter, and noise of any strength."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from qiskit.quantum_info import SparsePauliOp

from backends import open_backend
from backends.contract import CircuitProgram
from backends.errors import BackendError
from hybridq.errors import UserError
from hybridq.quantum.circuits import CircuitSpec
from hybridq.quantum.engine_choice import simulated_circuit
from hybridq.quantum.layer import quantum_layer
from hybridq.quantum.training_noise import RandomStrength, check_outcomes, sampled

SPEC = CircuitSpec(qubits=3, layers=1)
NOISE = "noise:depolarizing_1q=0.005,depolarizing_2q=0.02,meas1_prep0=0.02,meas0_prep1=0.05"
ANGLES = torch.tensor([[0.3, -0.8, 1.1], [1.9, 0.4, -0.2]], dtype=torch.float64)


def random_strength(name: str = NOISE, low: float = 0.0, high: float = 2.0) -> RandomStrength:
    return RandomStrength(simulated_circuit(open_backend(name), SPEC.build()), low, high)


def test_means_of_shots_scatter_about_the_value_as_binomials_do() -> None:
    torch.manual_seed(0)
    values = torch.tensor([-1.0, -0.7, 0.0, 0.2, 0.95, 1.0], dtype=torch.float64)
    count, shots = 40_000, 16
    found = sampled(values.expand(count, -1), shots)
    variance = (1 - values**2) / shots
    error = (variance / count).sqrt()
    assert ((found.mean(dim=0) - values).abs() <= 4 * error).all()
    torch.testing.assert_close(found.var(dim=0), variance, rtol=0.05, atol=1e-12)
    ones = (found + 1) / 2 * shots
    torch.testing.assert_close(ones, ones.round(), rtol=0, atol=1e-9)


def test_shots_scatter_as_those_of_the_backend_itself() -> None:
    name, repeats = f"{NOISE},shots=50", 600
    layer = quantum_layer(SPEC, backend=name, dtype=torch.float64)
    backend = open_backend(name)
    program = SPEC.build()
    inputs = ANGLES[:1].expand(repeats, -1)
    theirs = backend.run(backend.compile(program), inputs.numpy(), layer.weight.detach().numpy()).values
    torch.manual_seed(0)
    ours = layer(inputs).detach().numpy()
    error = np.sqrt((theirs.var(axis=0) + ours.var(axis=0)) / repeats)
    assert (np.abs(theirs.mean(axis=0) - ours.mean(axis=0)) <= 4 * error).all()
    assert ours.var(axis=0) == pytest.approx(theirs.var(axis=0), rel=0.3)


def test_the_gradient_of_shots_is_that_of_the_exact_values() -> None:
    layer = quantum_layer(SPEC, backend=f"{NOISE},shots=20", dtype=torch.float64)
    exact = quantum_layer(SPEC, backend=NOISE, dtype=torch.float64)
    gradients = []
    for some in (layer, exact):
        x = ANGLES.clone().requires_grad_()
        (some(x) * torch.arange(6).view(2, 3)).sum().backward()
        gradients.append((x.grad, some.weight.grad))
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("name", ["aer:shots=20", f"{NOISE},shots=20"])
def test_shots_are_drawn_in_training_mode_alone_and_follow_torchs_seed(name: str) -> None:
    layer = quantum_layer(SPEC, backend=name, dtype=torch.float64)
    exact = quantum_layer(SPEC, backend=name.replace(":shots=20", "").replace(",shots=20", ""), dtype=torch.float64)
    torch.manual_seed(1)
    first, second = layer(ANGLES), layer(ANGLES)
    torch.manual_seed(1)
    assert torch.equal(layer(ANGLES), first)
    assert not torch.equal(first, second)
    assert not torch.equal(first, exact(ANGLES))
    torch.testing.assert_close(layer.eval()(ANGLES), exact(ANGLES), rtol=0, atol=0)


@pytest.mark.parametrize("name", [NOISE, "fake_manila", f"{NOISE},t1_us=80,t2_us=90"])
@pytest.mark.parametrize("strength", [0.0, 0.0625, 1.0, 2.0])
def test_a_strength_is_the_backends_scale(name: str, strength: float) -> None:
    separator = "," if ":" in name else ":"
    scaled = quantum_layer(SPEC, backend=f"{name}{separator}scale={strength}", dtype=torch.float64)
    values = random_strength(name).at(strength)(ANGLES, scaled.weight)
    torch.testing.assert_close(values, scaled(ANGLES), rtol=0, atol=1e-12)


def test_strengths_are_drawn_over_the_whole_range_by_torchs_seed() -> None:
    strengths = random_strength(low=0.5, high=1.5)
    allowed = {id(strengths.at(value)) for value in np.linspace(0.5, 1.5, 33)}
    torch.manual_seed(0)
    drawn = [id(strengths.draw()) for _ in range(500)]
    torch.manual_seed(0)
    assert [id(strengths.draw()) for _ in range(500)] == drawn
    assert set(drawn) == allowed


def test_a_layer_with_random_strength_is_the_backend_itself_in_evaluation_mode() -> None:
    layer = quantum_layer(SPEC, backend=NOISE, noise_scale=(0, 2), dtype=torch.float64)
    exact = quantum_layer(SPEC, backend=NOISE, dtype=torch.float64)
    torch.manual_seed(0)
    assert len({layer(ANGLES).sum().item() for _ in range(20)}) > 5
    torch.testing.assert_close(layer.eval()(ANGLES), exact(ANGLES), rtol=0, atol=0)
    copied = copy.deepcopy(layer).train()
    torch.manual_seed(3)
    expected = layer.train()(ANGLES)
    torch.manual_seed(3)
    assert torch.equal(copied(ANGLES), expected)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"backend": "aer"}, "no noise to scale"),
        ({"backend": "aer:shots=100"}, "no noise to scale"),
        ({"backend": f"{NOISE},scale=2"}, "a scale of its own"),
        ({"backend": NOISE, "engine": "aer"}, "needs engine = 'exact'"),
        ({"backend": NOISE, "circuit": CircuitSpec(9, 1)}, "too large"),
    ],
)
def test_a_range_of_strengths_without_exact_noise_is_refused(options, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        quantum_layer(**{"circuit": SPEC, "noise_scale": (0, 2), **options})


def test_a_strength_that_makes_an_error_no_probability_is_refused_before_training() -> None:
    with pytest.raises(BackendError, match=r"scale = 3 makes the readout error of qubit 0 .*; at most 2\.5"):
        quantum_layer(SPEC, backend="noise:readout=0.4", noise_scale=(0, 3))


@pytest.mark.parametrize("observable", [("ZZ", -1.0), ("XI", 1.0)])
def test_single_pauli_products_of_either_sign_have_two_outcomes(observable: tuple[str, float]) -> None:
    check_outcomes([SparsePauliOp.from_list([observable])])
    check_outcomes([SparsePauliOp.from_list([observable, ("IY", 0.0)])])


@pytest.mark.parametrize("terms", [[("ZZ", 0.5)], [("ZZ", 1.0), ("IZ", 1.0)]])
def test_other_observables_have_not(terms: list[tuple[str, float]]) -> None:
    with pytest.raises(UserError, match="single Pauli products alone"):
        check_outcomes([SparsePauliOp("ZZ"), SparsePauliOp.from_list(terms)])


def test_a_strength_is_compiled_once() -> None:
    strengths = random_strength()
    assert strengths.at(0.5) is strengths.at(0.5)
    assert strengths.at(0.5) is not strengths.at(1.0)


def test_shots_of_sums_of_paulis_are_left_to_the_estimator() -> None:
    program = SPEC.build()
    summed = CircuitProgram(
        program.circuit, program.inputs, program.weights, (SparsePauliOp.from_list([("ZII", 0.5), ("IIZ", 0.5)]),)
    )
    with pytest.raises(UserError, match="single Pauli products alone; choose engine = 'aer'"):
        quantum_layer(summed, backend="aer:shots=100")
    assert quantum_layer(summed, backend="aer:shots=100", engine="aer")(ANGLES).shape == (2, 1)
