"""Classical stand-ins for the circuit: the controls without which a claim about a quantum layer says nothing.

Each is a map (N, Q) -> (N, Q) in the circuit's place, with everything around it unchanged.
"""

from __future__ import annotations

import math
from itertools import product
from typing import Final, Literal

import torch
from torch import Tensor, nn

from hybridq.quantum.circuits import CircuitSpec

Branch = Literal["circuit", "mlp", "linear", "fourier"]
MOST_FREQUENCIES: Final = 64
"""Of a circuit with more, this many are drawn."""


def classical_branch(kind: Branch, spec: CircuitSpec, seed: int) -> nn.Module:
    """``mlp``, ``linear`` or ``fourier`` for the circuit that ``spec`` describes; ``seed`` decides its weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind == "mlp":
            return _matched_mlp(spec)
        return nn.Linear(spec.qubits, spec.qubits) if kind == "linear" else FourierFeatures(spec)


def _matched_mlp(spec: CircuitSpec) -> nn.Sequential:
    """One hidden layer whose width brings the number of parameters closest to the circuit's."""
    each = 2 * spec.qubits + 1  # parameters of a hidden unit
    hidden = max(1, round((spec.num_weights - spec.qubits) / each))
    return nn.Sequential(nn.Linear(spec.qubits, hidden), nn.Tanh(), nn.Linear(hidden, spec.qubits))


class FourierFeatures(nn.Module):
    """q = A cos(Ω u + b) with the frequencies Ω of the circuit, fixed, and A, b learned.

    A circuit whose input i is encoded r times by Pauli rotations is a trigonometric polynomial with the frequencies
    -r … r of every u_i (doi:10.1103/PhysRevA.103.032430); this has the same frequencies (one of each pair ±ω, and 0)
    with free coefficients instead of the circuit's. Has more parameters than the circuit.
    """

    frequencies: Tensor

    def __init__(self, spec: CircuitSpec) -> None:
        super().__init__()
        repeats = max(1, spec.layers) if spec.reuploading else 1
        found = _half_spectrum(spec.qubits, repeats)
        self.register_buffer("frequencies", found)
        self.phases = nn.Parameter(2 * math.pi * torch.rand(len(found)))
        self.mixing = nn.Linear(len(found), spec.qubits, bias=False)

    def forward(self, u: Tensor) -> Tensor:
        """Angles (N, Q) in radians to features (N, Q)."""
        return self.mixing(torch.cos(u @ self.frequencies.T + self.phases))


def _half_spectrum(qubits: int, repeats: int) -> Tensor:
    """(F, Q): one of each pair ±ω, low frequencies first; drawn with torch's generator where there are too many."""
    if (2 * repeats + 1) ** qubits <= 8 * MOST_FREQUENCIES:
        rows = [row for row in product(range(-repeats, repeats + 1), repeat=qubits) if row >= (0,) * qubits]
        table = torch.tensor(sorted(rows, key=lambda row: (sum(map(abs, row)), row)), dtype=torch.float32)
    else:
        drawn = torch.randint(-repeats, repeats + 1, (8 * MOST_FREQUENCIES, qubits)).tolist()
        half = {max(tuple(row), tuple(-value for value in row)) for row in drawn}
        table = torch.tensor(sorted(half), dtype=torch.float32)
    if len(table) > MOST_FREQUENCIES:
        table = table[torch.randperm(len(table))[:MOST_FREQUENCIES].sort().values]
    return table
