"""The classical controls in the circuit's place."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hybridq.models.controls import classical_branch
from hybridq.quantum.circuits import CircuitSpec
from hybridq.quantum.layer import quantum_layer


def size(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("kind", ["mlp", "linear", "fourier"])
@pytest.mark.parametrize("spec", [CircuitSpec(1, 1), CircuitSpec(4, 2), CircuitSpec(8, 3, reuploading=True)])
def test_a_branch_has_the_circuits_width_and_follows_its_seed(kind, spec):
    angles = torch.rand(5, spec.qubits)
    before = torch.get_rng_state()
    first, again, other = (classical_branch(kind, spec, seed)(angles) for seed in (0, 0, 1))
    assert first.shape == (5, spec.qubits)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("spec", [CircuitSpec(4, 2), CircuitSpec(4, 4), CircuitSpec(8, 3)])
def test_the_mlp_has_as_many_parameters_as_the_circuit_within_half_a_hidden_unit(spec):
    assert abs(size(classical_branch("mlp", spec, 0)) - spec.num_weights) <= (2 * spec.qubits + 1) / 2


@pytest.mark.parametrize(("spec", "highest"), [(CircuitSpec(2, 2), 1), (CircuitSpec(2, 2, reuploading=True), 2)])
def test_the_frequencies_are_those_of_the_circuit(spec, highest):
    steps = 8
    grid = np.stack(np.meshgrid(*[2 * np.pi * np.arange(steps) / steps] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    with torch.no_grad():
        values = quantum_layer(spec, dtype=torch.float64)(torch.tensor(grid)).numpy().reshape(steps, steps, 2)
    spectrum = np.abs(np.fft.fft2(values, axes=(0, 1))).max(axis=-1)
    frequency = np.fft.fftfreq(steps, 1 / steps).astype(int)
    found = {(int(frequency[i]), int(frequency[j])) for i, j in np.argwhere(spectrum > 1e-9)}
    offered = {tuple(map(int, row)) for row in classical_branch("fourier", spec, 0).frequencies}
    assert found <= offered | {(-i, -j) for i, j in offered}
    assert max(map(max, offered)) == highest
    assert len(offered) == ((2 * highest + 1) ** 2 + 1) / 2
