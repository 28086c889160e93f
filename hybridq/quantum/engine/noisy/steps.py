"""Pauli vectors in torch: transfer matrices from angles, and the steps that apply them in either direction.

States go forwards through a circuit (Schrödinger's picture), observables backwards (Heisenberg's); both are rows of
shape (B, 4**Q).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from qiskit.circuit import Parameter
from torch import Tensor

from hybridq.quantum.engine.constants import Constants
from hybridq.quantum.engine.expressions import AngleMap
from hybridq.quantum.engine.lower import Angle, Rotation
from hybridq.quantum.engine.noisy.stages import Chain, ChainStage, Stage, TurnStage, merged
from hybridq.quantum.engine.noisy.transfer import Channel, pauli_turn
from hybridq.typing import FloatArray

_GROUND = np.array([1.0, 0.0, 0.0, 1.0])  # the Pauli vector of |0>


class EncodingVectors:
    """Pauli vectors of single qubits that start in |0> and pass a chain of rotations and channels each.

    Args:
        chains: for each qubit its items, the first one first.
        inputs, weights: the program's parameters.
    """

    def __init__(self, chains: Sequence[Chain], inputs: Sequence[Parameter], weights: Sequence[Parameter]) -> None:
        links = _Links(chains)
        self._length = links.length
        self._angles = AngleMap(links.angles, inputs, weights)
        self._first = Constants(**{name: part[0] @ _GROUND for name, part in links.parts.items()})
        self._rest = Constants(**{name: part[1:] for name, part in links.parts.items()})

    def __call__(self, inputs: Tensor, weights: Tensor) -> Tensor:
        """(B, Q, 4) for inputs (N, X) and weights (1 or N, W); B is 1 where no vector depends on a batched value."""
        angles = self._angles(inputs, weights).unflatten(1, (self._length, -1))
        cosines, sines = angles.cos()[..., None], angles.sin()[..., None]
        vectors = _combined(self._first.like(angles), cosines[:, 0], sines[:, 0])
        if self._length > 1:
            matrices = _combined(self._rest.like(angles), cosines[:, 1:, ..., None], sines[:, 1:, ..., None])
            for matrix in matrices.unbind(1):
                vectors = (matrix @ vectors[..., None])[..., 0]
        return vectors


@dataclass(frozen=True)
class StepValues:
    """What the angles of one call give to the steps."""

    blocks: list[list[Tensor]]
    """For each chain stage its matrices on pairs of qubits, and on the last one where Q is odd: (d, d) or (N, d, d)."""
    cosines: Tensor
    """(B, T) of the rotations of several qubits."""
    sines: Tensor


class StepMatrices:
    """The matrices of all stages at once: a constant number of operations however many there are."""

    def __init__(
        self, stages: Sequence[Stage], num_qubits: int, inputs: Sequence[Parameter], weights: Sequence[Parameter]
    ) -> None:
        chains = [chain for stage in stages if isinstance(stage, ChainStage) for chain in stage.chains]
        turns = [stage.rotation.angle for stage in stages if isinstance(stage, TurnStage)]
        links = _Links(chains)
        self.length = links.length
        self._links = len(links.angles)
        self._num_qubits = num_qubits
        self._angles = AngleMap([*links.angles, *turns], inputs, weights)
        self._constants = Constants(**links.parts)

    def __call__(self, inputs: Tensor, weights: Tensor) -> StepValues:
        """For inputs (N, X) and weights (1 or N, W)."""
        angles = self._angles(inputs, weights)
        cosines, sines = angles.cos(), angles.sin()
        blocks = self._blocks(cosines[:, : self._links], sines[:, : self._links]) if self._links else []
        return StepValues(blocks, cosines[:, self._links :], sines[:, self._links :])

    def _blocks(self, cosines: Tensor, sines: Tensor) -> list[list[Tensor]]:
        c, s = (part.unflatten(1, (self.length, -1))[..., None, None] for part in (cosines, sines))
        links = _combined(self._constants.like(cosines), c, s).unbind(1)
        products = links[0]
        for link in links[1:]:
            products = link @ products
        products = products.unflatten(1, (-1, self._num_qubits))
        blocks: list[list[Tensor]] = [[] for _ in range(products.shape[1])]
        pairs, alone = products.split([self._num_qubits // 2 * 2, self._num_qubits % 2], dim=2)
        if pairs.shape[2]:
            _deal(_paired(pairs.unflatten(2, (-1, 2))), blocks)
        if alone.shape[2]:
            _deal(alone, blocks)
        return blocks


class Step(Protocol):
    """One stage of a compiled circuit."""

    def __call__(self, rows: Tensor, values: StepValues, *, backwards: bool) -> Tensor:
        """States after the stage from those before it, or ``backwards`` observables before it from those after it."""
        ...


def steps_of(stages: Sequence[Stage], num_qubits: int) -> list[Step]:
    """The steps that do what the stages say, in the same order."""
    chains = turns = 0
    steps: list[Step] = []
    for stage in stages:
        if isinstance(stage, ChainStage):
            steps.append(_ChainStep(chains, stage))
            chains += 1
        elif isinstance(stage, TurnStage):
            steps.append(_TurnStep(turns, stage.rotation, num_qubits))
            turns += 1
        else:
            steps += [_FixedStep(channel, num_qubits) for channel in merged(stage.channels, num_qubits)]
    return steps


class _ChainStep:
    def __init__(self, place: int, stage: ChainStage) -> None:
        self._place = place
        self._used = [any(stage.chains[first : first + 2]) for first in range(0, len(stage.chains), 2)]

    def __call__(self, rows: Tensor, values: StepValues, *, backwards: bool) -> Tensor:
        # Each turn multiplies the lowest qubits and rotates them to the top; after all turns the order is as before.
        for block, used in zip(values.blocks[self._place], self._used, strict=True):
            rows = rows.unflatten(1, (-1, block.shape[-1]))
            if used:
                rows = rows @ (block if backwards else block.mT)
            rows = rows.transpose(1, 2).flatten(1)
        return rows


class _TurnStep:
    def __init__(self, place: int, rotation: Rotation, num_qubits: int) -> None:
        turn = pauli_turn(rotation.paulis, rotation.qubits, num_qubits)
        self._place = place
        self._bits = [2] * (2 * num_qubits)
        # index ^ mask turns the order round along the axes whose bit is set; axis 1 is the highest bit
        self._flipped = [2 * num_qubits - bit for bit in range(2 * num_qubits) if turn.mask >> bit & 1]
        self._constants = Constants(anticommutes=turn.anticommutes, signs=turn.signs)

    def __call__(self, rows: Tensor, values: StepValues, *, backwards: bool) -> Tensor:
        constants = self._constants.like(rows)
        cosine, sine = values.cosines[:, self._place, None], values.sines[:, self._place, None]
        partners = rows.unflatten(1, self._bits).flip(self._flipped).flatten(1)
        kept = rows * (1 + (cosine - 1) * constants["anticommutes"])
        return torch.addcmul(kept, partners, sine * constants["signs"], value=-1 if backwards else 1)


class _FixedStep:
    def __init__(self, channel: Channel, num_qubits: int) -> None:
        self._whole = channel.qubits == tuple(range(num_qubits))
        self._axes = [num_qubits - qubit for qubit in reversed(channel.qubits)]  # axis 1 is the highest qubit
        self._digits = [4] * num_qubits
        self._constants = Constants(matrix=_cleaned(channel.matrix))

    def __call__(self, rows: Tensor, values: StepValues | None, *, backwards: bool) -> Tensor:
        matrix = self._constants.like(rows)["matrix"]
        if not backwards:
            matrix = matrix.mT
        if self._whole:
            return rows @ matrix
        ends = list(range(-len(self._axes), 0))
        moved = rows.unflatten(1, self._digits).movedim(self._axes, ends)
        product = moved.flatten(ends[0]) @ matrix
        return product.unflatten(-1, self._digits[: len(ends)]).movedim(ends, self._axes).flatten(1)


def before(channels: Sequence[Channel], observables: FloatArray) -> FloatArray:
    """Observables (K, 4**Q) before some channels, from what they are after them."""
    num_qubits = (observables.shape[1].bit_length() - 1) // 2
    rows = torch.from_numpy(observables)
    for channel in reversed(merged(channels, num_qubits)):
        rows = _FixedStep(channel, num_qubits)(rows, None, backwards=True)
    return rows.numpy()


class _Links:
    """Chains on single qubits as equally many links: constant + cos(angle) cosine + sin(angle) sine, 4 x 4 each."""

    def __init__(self, chains: Sequence[Chain]) -> None:
        idle: _Link = (0.0, np.eye(4), np.zeros((4, 4)), np.zeros((4, 4)))
        each = [_links(chain) for chain in chains]
        self.length = max([1, *(len(links) for links in each)]) if each else 0
        ordered = [links[i] if i < len(links) else idle for i in range(self.length) for links in each]
        self.angles: list[Angle] = [link[0] for link in ordered]
        shape = (self.length, len(each), 4, 4)
        self.parts = {
            name: _cleaned(np.array([link[1 + j] for link in ordered]).reshape(shape))
            for j, name in enumerate(("constant", "cosine", "sine"))
        }
        """Of each (length, chains, 4, 4)."""


_Link = tuple[Angle, FloatArray, FloatArray, FloatArray]


def _links(chain: Chain) -> list[_Link]:
    """One link for each rotation, the channels multiplied in."""
    links: list[_Link] = []
    ahead = np.eye(4)
    for item in chain:
        if isinstance(item, Rotation):
            constant, cosine, sine = pauli_turn(item.paulis, (0,), 1).parts()
            links.append((item.angle, constant @ ahead, cosine @ ahead, sine @ ahead))
            ahead = np.eye(4)
        elif links:
            angle, constant, cosine, sine = links[-1]
            links[-1] = (angle, item.matrix @ constant, item.matrix @ cosine, item.matrix @ sine)
        else:
            ahead = item.matrix @ ahead
    return links


def _cleaned(matrices: FloatArray) -> FloatArray:
    """Without the rounding errors of zeros: their products are denormal in float32, which is three times slower."""
    return np.where(np.abs(matrices) < 1e-15, 0.0, matrices)


def _combined(parts: Mapping[str, Tensor], cosines: Tensor, sines: Tensor) -> Tensor:
    return torch.addcmul(torch.addcmul(parts["constant"], cosines, parts["cosine"]), sines, parts["sine"])


def _deal(matrices: Tensor, blocks: list[list[Tensor]]) -> None:
    """Give each stage its matrices of (B, stages, n, d, d)."""
    flat = matrices.flatten(1, 2)
    each = iter(flat[0].unbind(0) if len(flat) == 1 else flat.unbind(1))
    for own in blocks:
        own += [next(each) for _ in range(matrices.shape[2])]


def _paired(factors: Tensor) -> Tensor:
    """Kronecker products (..., 16, 16) of matrices (..., 2, 4, 4), the first factor the least significant."""
    low, high = factors.unbind(-3)
    return (high[..., :, None, :, None] * low[..., None, :, None, :]).flatten(-4, -3).flatten(-2)


def joint_vectors(vectors: Tensor) -> Tensor:
    """Kronecker products (B, 4**n) of vectors (B, n, 4), the first factor the least significant."""
    total, *others = vectors.unbind(1)
    for vector in others:
        total = (vector.unsqueeze(2) * total.unsqueeze(1)).flatten(1)
    return total
