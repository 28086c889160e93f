"""The matrices of all single-qubit gates of one pool together: few operations however many layers there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from qiskit.circuit import Parameter
from torch import Tensor

from hybridq.quantum.engine.constants import Constants
from hybridq.quantum.engine.expressions import AngleMap
from hybridq.quantum.engine.noiseless.stages import LocalStage, Pool, RotationStage, SingleQubitGate, Stage


@dataclass(frozen=True)
class PoolValues:
    """What one pool's angles give in one call; B is 1 where nothing depends on the sample."""

    samples: int
    """B."""
    matrices: Tensor
    """(B, L, S, Q, 2, 2): the gates of the chains, the first gate first; empty without single-qubit gates."""
    products: Tensor
    """(B, S, Q, 2, 2): the product of each chain."""
    blocks: list[Tensor]
    """For each block of qubits (B, S', d, d), S' the stages after the product state."""
    cosines: Tensor
    """(B, R) of half the angles of the multi-qubit rotations."""
    sines: Tensor


@dataclass
class PoolGradients:
    """What a backward sweep collects, for C cotangents and G samples (G = 1 where they are summed).

    A transition is the sum over all other qubits of λ*_a ψ_b, a and b the basis states of the qubits in question, for a
    state ψ after the stage and its cotangent λ.
    """

    leading: Tensor | None = None
    """Transitions (C, G, Q, 2, 2) after the product state."""
    blocks: dict[tuple[int, int], Tensor] = field(default_factory=dict)
    """By place of the stage and number of the block: transitions (C, G, d, d)."""
    halves: dict[int, Tensor] = field(default_factory=dict)
    """By place of the rotation: (C, G) with respect to half its angle."""


class Blocks:
    """The qubits in groups of neighbours, lowest first: many small matrices as few larger ones, and back."""

    def __init__(self, widths: Sequence[int]) -> None:
        self.widths = list(widths)
        self._constants = Constants(
            **{f"vector{width}": _factor_indices(width, 1) for width in set(widths)},
            **{f"matrix{width}": _factor_indices(width, 2) for width in set(widths)},
            **{f"trace{width}": _partial_traces(width) for width in set(widths)},
        )

    def vectors(self, states: Tensor) -> list[Tensor]:
        """Product states (B, d) of each block from states (B, Q, 2) of the qubits."""
        return [self._product("vector", part, width) for part, width in self._parts(states, 1)]

    def matrices(self, gates: Tensor) -> list[Tensor]:
        """Kronecker products (B, S, d, d) for each block from gates (B, S, Q, 2, 2)."""
        return [
            self._product("matrix", part.flatten(-2), width).unflatten(-1, (2**width, 2**width))
            for part, width in self._parts(gates, 2)
        ]

    def transitions(self, number: int, of_block: Tensor) -> Tensor:
        """Transitions (..., w, 2, 2) of each qubit of a block from those of the block, (..., d, d)."""
        width = self.widths[number]
        traces = self._constants.like(of_block.real)[f"trace{width}"]
        return (of_block.flatten(-2) @ traces).unflatten(-1, (width, 2, 2))

    def _parts(self, values: Tensor, trailing: int) -> list[tuple[Tensor, int]]:
        axis = values.ndim - trailing - 1
        if len(self.widths) == 1:
            return [(values, self.widths[0])]
        return list(zip(values.split(self.widths, dim=axis), self.widths, strict=True))

    def _product(self, kind: str, factors: Tensor, width: int) -> Tensor:
        index = self._constants.like(factors.real)[f"{kind}{width}"]
        return factors.flatten(-2).index_select(-1, index).unflatten(-1, (-1, width)).prod(-1)


class PoolMatrices:
    """Matrices from angles, and gradients back to the angles.

    Args:
        pool: which stages belong to it.
        stages: of the whole circuit.
        leading: the number of stages that build the product state.
        blocks: the groups of qubits.
        inputs, weights: the program's parameters.
    """

    def __init__(
        self,
        pool: Pool,
        stages: Sequence[Stage],
        leading: int,
        blocks: Blocks,
        inputs: Sequence[Parameter],
        weights: Sequence[Parameter],
    ) -> None:
        local = [stage for stage in stages if isinstance(stage, LocalStage) and stage.pool is pool]
        rotations = [stage for stage in stages if isinstance(stage, RotationStage) and stage.pool is pool]
        idle = SingleQubitGate(0.0, np.eye(2, dtype=np.complex128), np.zeros((2, 2), dtype=np.complex128))
        length = max((len(chain) for stage in local for chain in stage.chains), default=0)
        gates = [
            chain[position] if position < len(chain) else idle
            for position in range(length)
            for stage in local
            for chain in stage.chains
        ]
        self.angles = AngleMap([g.angle for g in gates] + [r.angle for r in rotations], inputs, weights, factor=0.5)
        self._gates = len(gates)
        self._rotations = len(rotations)
        self._shape = (length, len(local), sum(blocks.widths))
        self._skip = sum(stage.pool is pool for stage in stages[:leading] if isinstance(stage, LocalStage))
        self._blocks = blocks
        sine = np.array([g.sine for g in gates], dtype=np.complex128).reshape(*self._shape, 2, 2)
        cosine = np.array([g.cosine for g in gates], dtype=np.complex128).reshape(*self._shape, 2, 2)
        self._constants = Constants(
            sine=sine,
            real_cosine=cosine.view(np.float64).reshape(len(gates), 8),
            real_sine=sine.view(np.float64).reshape(len(gates), 8),
        )

    def __call__(self, inputs: Tensor, weights: Tensor) -> PoolValues:
        """All matrices for inputs (N, X) and weights (1 or N, W)."""
        halves = self.angles(inputs, weights)
        cosines, sines = halves.cos(), halves.sin()
        if not self._gates:
            return PoolValues(len(halves), halves.new_zeros(0), halves.new_zeros(0), [], cosines, sines)
        constants = self._constants.like(halves)
        # in real arithmetic: the angles would have to be made complex first
        cosine, sine = (cosines[:, : self._gates], sines[:, : self._gates]) if self._rotations else (cosines, sines)
        entries = cosine[..., None] * constants["real_cosine"]
        entries = torch.addcmul(entries, sine[..., None], constants["real_sine"])
        matrices = torch.view_as_complex(entries.view(-1, *self._shape, 2, 2, 2))
        products = matrices[:, 0]
        for position in range(1, self._shape[0]):
            products = _matmul(matrices[:, position], products)
        blocks = self._blocks.matrices(products[:, self._skip :]) if self._shape[1] > self._skip else []
        rotations = (cosines[:, self._gates :], sines[:, self._gates :]) if self._rotations else (cosines, sines)
        return PoolValues(len(halves), matrices, products, blocks, *rotations)

    def backward(
        self, values: PoolValues, gradients: PoolGradients, later: Sequence[Tensor | None], *, per_sample: bool
    ) -> Tensor:
        """Gradient (C, G, T) with respect to half the angles.

        A gate exp(-iφP) that S follows in its chain changes the state after the stage by -iSPS† dφ; with the transition
        of its qubit that is the derivative. ``later`` are, for each of the pool's leading stages, the products
        (B, Q, 2, 2) of the leading stages after it, None after the last.
        """
        parts = []
        if self._gates:
            generators = self._generators(values)
            summed = values.samples == 1 and not per_sample
            transitions = [self._transitions(gradients)] if self._shape[1] > self._skip else []
            by_stage = []
            leading = gradients.leading
            if leading is not None and summed and later == [None]:
                transitions.insert(0, leading.sum(1, keepdim=True).unsqueeze(2))
                later, leading = [], None
            for place, product in enumerate(later):
                assert leading is not None
                own = generators[:, :, place]
                if product is not None:
                    own = _matmul(_matmul(product[:, None], own), product[:, None].mH)
                found = _contract(own, leading)
                by_stage.append((found.sum(1, keepdim=True) if summed else found).unsqueeze(3))
            if transitions:
                rest = transitions[0] if len(transitions) == 1 else torch.cat(transitions, dim=2)
                by_stage.append(_contract(generators[:, :, len(later) :] if later else generators, rest))
            parts.append((by_stage[0] if len(by_stage) == 1 else torch.cat(by_stage, dim=3)).flatten(2))
        if self._rotations:
            parts.append(torch.stack([gradients.halves[place] for place in range(self._rotations)], dim=-1))
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)

    def _generators(self, values: PoolValues) -> Tensor:
        """-iSPS† of every gate, S of its own stage: (B, L, S, Q, 2, 2)."""
        sine = self._constants.like(values.products.real)["sine"]
        found = [sine[-1][None]]
        after = values.matrices[:, -1]
        for position in range(self._shape[0] - 2, -1, -1):
            found.append(_matmul(_matmul(after, sine[position][None]), after.mH))
            if position:
                after = _matmul(after, values.matrices[:, position])
        return _stacked(found[::-1], dim=1)

    def _transitions(self, gradients: PoolGradients) -> Tensor:
        """Transitions (C, G, S', Q, 2, 2) of every qubit at the stages after the product state."""
        places = range(self._shape[1] - self._skip)
        parts = [
            self._blocks.transitions(number, _stacked([gradients.blocks[place, number] for place in places], dim=2))
            for number in range(len(self._blocks.widths))
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=3)


def _matmul(left: Tensor, right: Tensor) -> Tensor:
    """``left @ right`` of many 2 x 2 matrices, without the views that broadcasting takes where nothing broadcasts."""
    if left.shape != right.shape:
        return left @ right
    return torch.bmm(left.reshape(-1, 2, 2), right.reshape(-1, 2, 2)).view(left.shape)


def _contract(generators: Tensor, transitions: Tensor) -> Tensor:
    """(C, G, L, ...) from generators (B, L, ..., 2, 2) and transitions (C, G, ..., 2, 2)."""
    return (generators * transitions.unsqueeze(2)).real.sum((-1, -2))


def _stacked(parts: Sequence[Tensor], dim: int) -> Tensor:
    return parts[0].unsqueeze(dim) if len(parts) == 1 else torch.stack(torch.broadcast_tensors(*parts), dim=dim)


def _factor_indices(width: int, axes: int) -> NDArray[np.int64]:
    """Which entries of ``width`` flattened vectors (2) or matrices (2, 2) are the factors of each product entry."""
    entry = np.indices((2**width,) * axes).reshape(axes, -1)
    bits = (entry[:, :, None] >> np.arange(width)) & 1
    place = bits[0] if axes == 1 else 2 * bits[0] + bits[1]
    return np.asarray(place + 2**axes * np.arange(width), dtype=np.int64).reshape(-1)


def _partial_traces(width: int) -> NDArray[np.complex128]:
    """(d * d, w * 4): from the transitions of a block to those of each of its qubits."""
    row, column = np.indices((2**width, 2**width)).reshape(2, -1)
    table = np.zeros((4**width, width, 2, 2), dtype=np.complex128)
    for qubit in range(width):
        same = (row ^ column) & ~(1 << qubit) == 0
        table[np.flatnonzero(same), qubit, (row[same] >> qubit) & 1, (column[same] >> qubit) & 1] = 1
    return table.reshape(4**width, -1)
