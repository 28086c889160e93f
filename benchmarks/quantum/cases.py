"""What is computed: circuits, batches, and the point at which everybody computes them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from backends.contract import CircuitProgram
from hybridq.quantum.circuits import CircuitSpec

CIRCUIT = (
    "CircuitSpec(Q, L), the project's default: RY(x) on each qubit, then L times [RZ, RY on each qubit, CX ring], "
    "then ⟨Z⟩ of each qubit; gradients with respect to inputs and weights"
)


@dataclass(frozen=True)
class Point:
    """Where values and gradients are computed, float64 on the CPU."""

    inputs: Tensor
    """(B, Q) radians."""
    weights: Tensor
    """(W,) radians."""
    upstream: Tensor
    """(B, Q): the gradient that arrives at the values."""

    def part(self, samples: int) -> Point:
        """The same with the first samples only."""
        return Point(self.inputs[:samples], self.weights, self.upstream[:samples])


@dataclass(frozen=True)
class Case:
    """A circuit and a batch size."""

    qubits: int
    layers: int
    batch: int

    @property
    def name(self) -> str:
        return f"Q{self.qubits} L{self.layers} B{self.batch}"

    def program(self) -> CircuitProgram:
        return CircuitSpec(self.qubits, self.layers).build()

    def point(self) -> Point:
        generator = torch.Generator().manual_seed(0)

        def uniform(*shape: int) -> Tensor:
            return math.pi * (2 * torch.rand(*shape, generator=generator, dtype=torch.float64) - 1)

        shape = (self.batch, self.qubits)
        weights = uniform(CircuitSpec(self.qubits, self.layers).num_weights)
        return Point(uniform(*shape), weights, uniform(*shape))


Q4 = Case(4, 2, 32)
NOISELESS = (Q4, Case(4, 2, 256), Case(8, 3, 64), Case(12, 4, 64), Case(16, 2, 16))
NOISY = (Q4, Case(6, 2, 32))
