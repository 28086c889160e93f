"""The quantum layer as a trigonometric polynomial."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from backends import open_backend
from hybridq.errors import UserError
from hybridq.export.classifier import times_encoded
from hybridq.quantum.circuits import CircuitSpec
from hybridq.quantum.engine_choice import exact_compiler
from hybridq.quantum.surrogate import (
    MAX_TERMS,
    Surrogate,
    fit_surrogate,
    load_surrogate,
    save_surrogate,
    spectrum_of,
)

SPECS = st.builds(
    CircuitSpec,
    qubits=st.integers(1, 4),
    layers=st.integers(0, 2),
    rotations=st.sampled_from([("rz", "ry"), ("rx",), ("rz", "ry", "rz")]),
    entanglement=st.sampled_from(["ring", "full", "ranged", "none"]),
    entangler=st.sampled_from(["cx", "cz"]),
    reuploading=st.booleans(),
    superposition=st.booleans(),
    attention=st.sampled_from(["none", "fourier"]),
)


def layer(spec: CircuitSpec, backend: str = "aer", seed: int = 0):
    """The exact layer with random weights, and a surrogate of it."""
    exact = exact_compiler(open_backend(backend))(spec.build())
    weights = random_angles(1, spec.num_weights, seed)[0]

    def values(angles: torch.Tensor) -> torch.Tensor:
        return exact(angles, weights)

    return values, fit_surrogate(values, spec.qubits, times_encoded(spec))


def random_angles(count: int, columns: int, seed: int) -> torch.Tensor:
    """Far outside of one period."""
    return 20 * torch.rand(count, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 10


@settings(deadline=None, max_examples=30)
@given(spec=SPECS, seed=st.integers(0, 99))
def test_it_is_the_exact_layer_in_every_circuit(spec: CircuitSpec, seed: int) -> None:
    values, surrogate = layer(spec, seed=seed)
    angles = random_angles(20, spec.qubits, seed + 1)
    torch.testing.assert_close(surrogate(angles), values(angles), rtol=0, atol=1e-12)
    narrow = surrogate(angles.float())
    assert narrow.dtype == torch.float32
    torch.testing.assert_close(narrow.double(), values(angles.float().double()), rtol=0, atol=1e-6 * surrogate.degree)


@pytest.mark.parametrize("backend", ["fake_manila", "fake_torino:scale=2", "noise:depolarizing_2q=0.05,readout=0.03"])
@pytest.mark.parametrize("reuploading", [False, True])
def test_it_is_the_noisy_layer_too(backend: str, reuploading: bool) -> None:
    values, surrogate = layer(CircuitSpec(3, 2, reuploading=reuploading), backend)
    angles = random_angles(10, 3, 5)
    torch.testing.assert_close(surrogate(angles), values(angles), rtol=0, atol=1e-12)


def test_its_derivatives_are_those_of_the_layer() -> None:
    values, surrogate = layer(CircuitSpec(3, 2))
    angles = random_angles(5, 3, 1)
    of_layer, of_surrogate = (torch.func.jacrev(f)(angles) for f in (values, surrogate))
    torch.testing.assert_close(of_surrogate, of_layer, rtol=0, atol=1e-11)


def test_an_encoding_alone_has_the_one_coefficient_that_a_textbook_says() -> None:
    _, surrogate = layer(CircuitSpec(2, 0))
    expected = torch.zeros(2, 3, 3, dtype=torch.float64)
    expected[0, 1, 0] = expected[1, 0, 1] = 1  # ⟨Z⟩ = cos u, of the first and of the second angle
    torch.testing.assert_close(surrogate.coefficients, expected, rtol=0, atol=1e-15)
    assert (surrogate.qubits, surrogate.degree, surrogate.terms) == (2, 1, 9)


@pytest.mark.parametrize(("qubits", "degree"), [(1, 1), (1, 3), (2, 2), (3, 1)])
def test_values_are_the_sum_that_the_definition_says(qubits: int, degree: int) -> None:
    side = 2 * degree + 1
    coefficients = torch.rand(2, *[side] * qubits, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    angles = random_angles(4, qubits, 2)
    for u, found in zip(angles.tolist(), Surrogate(coefficients)(angles), strict=True):
        basis = [
            [1.0, *(math.cos(k * x) for k in range(1, side // 2 + 1)), *(math.sin(k * x) for k in range(1, degree + 1))]
            for x in u
        ]
        for k in range(2):
            expected = sum(
                float(coefficients[(k, *term)]) * math.prod(basis[i][j] for i, j in enumerate(term))
                for term in product(range(side), repeat=qubits)
            )
            assert float(found[k]) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("spec", [CircuitSpec(3, 2), CircuitSpec(2, 2, reuploading=True), CircuitSpec(1, 1)])
def test_the_spectrum_is_the_function(spec: CircuitSpec) -> None:
    values, surrogate = layer(spec)
    spectrum = spectrum_of(surrogate)
    angles = random_angles(6, spec.qubits, 3)
    phases = angles.numpy() @ spectrum.frequencies.T
    rebuilt = np.cos(phases) @ spectrum.cosines.T + np.sin(phases) @ spectrum.sines.T
    np.testing.assert_allclose(rebuilt, values(angles).numpy(), rtol=0, atol=1e-12)
    both = {tuple(sign * row) for row in spectrum.frequencies for sign in (1, -1)}
    assert both == set(product(range(-surrogate.degree, surrogate.degree + 1), repeat=spec.qubits))
    assert len(spectrum.frequencies) == (surrogate.terms + 1) // 2


def test_a_function_of_a_higher_degree_is_noticed() -> None:
    values, _ = layer(CircuitSpec(2, 3, reuploading=True))
    with pytest.raises(ValueError, match="degree 2"):
        fit_surrogate(values, 2, 2)


def test_what_is_too_large_is_refused_before_anything_is_computed() -> None:
    def never(angles: torch.Tensor) -> torch.Tensor:
        raise AssertionError

    assert MAX_TERMS == 3**10
    with pytest.raises(UserError, match=r"11 qubits, each encoded 1 time, has 177,147 .* at most 59,049"):
        fit_surrogate(never, 11)


def test_a_saved_surrogate_is_read_back_as_it_was_and_anything_else_refused(tmp_path: Path) -> None:
    _, surrogate = layer(CircuitSpec(3, 1))
    path = tmp_path / "layer.safetensors"
    save_surrogate(surrogate, path, {"backend": "aer"})
    assert torch.equal(load_surrogate(path).coefficients, surrogate.coefficients)
    save_file({"coefficients": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="is not a surrogate"):
        load_surrogate(tmp_path / "other.safetensors")
    (tmp_path / "torn.safetensors").write_bytes(path.read_bytes()[:50])
    for name in ("torn.safetensors", "missing.safetensors"):
        with pytest.raises(UserError, match=f"{name}: cannot be read"):
            load_surrogate(tmp_path / name)
