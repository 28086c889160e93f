"""The steps of a simulation: each takes a batch of states forwards, and states with their cotangents backwards.

Backwards, a step undoes itself (it is unitary) on the state and on C cotangents at once, stacked along the first axis:
(1 + C, B, 2**Q). No state of the way forward is kept, so memory does not depend on the depth. The method is the adjoint
differentiation of arXiv:2009.02823. Where no earlier step asks for the state, only the cotangents go on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from hybridq.quantum.engine.constants import Constants
from hybridq.quantum.engine.noiseless.pools import PoolGradients, PoolValues
from hybridq.quantum.engine.noiseless.stages import GatherStage, MatrixStage, Pool, RotationStage

Pools = Mapping[Pool, PoolValues]
Gradients = Mapping[Pool, PoolGradients]


class Step(Protocol):
    """One stage of a compiled circuit."""

    def forward(self, state: Tensor, pools: Pools) -> Tensor:
        """States (B, 2**Q) after the step."""
        ...

    def undo(self, stack: Tensor, pools: Pools) -> Tensor:
        """Any stack of states or cotangents (S, B, 2**Q) before the step from those after it."""
        ...


class ParameterizedStep(Step, Protocol):
    """A step with angles."""

    def collect(self, stack: Tensor, pools: Pools, gradients: Gradients, per_sample: bool) -> None:
        """Leave the step's gradients, from the state and its cotangents (1 + C, B, 2**Q) after it."""
        ...


@dataclass(frozen=True)
class LocalStep:
    """Single-qubit gates on all qubits, as one matrix product a block of qubits."""

    pool: Pool
    place: int
    used: list[bool]
    """Which blocks have a gate."""

    def forward(self, state: Tensor, pools: Pools) -> Tensor:
        for block, lower, used in self._blocks(pools[self.pool]):
            if used:
                state = _apply(block, state, lower)
        return state

    def undo(self, stack: Tensor, pools: Pools) -> Tensor:
        for block, lower, used in self._blocks(pools[self.pool]):
            if used:
                # written out, since a batched product with a lazily conjugated matrix is four times slower
                stack = _apply(block.conj_physical().mT, stack, lower)
        return stack

    def collect(self, stack: Tensor, pools: Pools, gradients: Gradients, per_sample: bool) -> None:
        values = pools[self.pool]
        summed = values.samples == 1 and not per_sample
        for number, (block, lower, _) in enumerate(self._blocks(values)):
            gradients[self.pool].blocks[self.place, number] = _transition(stack, block.shape[-1], lower, summed)

    def _blocks(self, values: PoolValues) -> Iterator[tuple[Tensor, int, bool]]:
        lower = 1
        for blocks, used in zip(values.blocks, self.used, strict=True):
            yield blocks[:, self.place], lower, used
            lower *= blocks.shape[-1]


def _apply(block: Tensor, states: Tensor, lower: int) -> Tensor:
    """Matrices (1 or B, d, d) on the block of qubits above the lowest log2(lower), of states (..., B, 2**Q)."""
    size = block.shape[-1]
    one = len(block) == 1
    if lower == 1:
        if states.shape[-1] == size and one:
            return states @ block[0].mT
        return (states.unflatten(-1, (-1, size)) @ (block[0] if one else block).mT).flatten(-2)
    return ((block[0] if one else block[:, None]) @ states.unflatten(-1, (-1, size, lower))).flatten(-3)


def _transition(stack: Tensor, size: int, lower: int, summed: bool) -> Tensor:
    """Transitions (C, G, d, d) of a block of qubits between a state and its cotangents, stacked (1 + C, B, 2**Q)."""
    if lower == 1:
        if stack.shape[-1] == size and not summed:
            return stack[1:, :, :, None].conj() * stack[0, :, None, :]
        parts = stack.unflatten(-1, (-1, size))
        if summed:
            parts = parts.flatten(1, 2)
            return (parts[1:].mH @ parts[0])[:, None]
        return parts[1:].mH @ parts[0]
    parts = stack.unflatten(-1, (-1, size, lower))
    found = parts[0] @ parts[1:].mH
    return (found.sum((1, 2))[:, None] if summed else found.sum(2)).mT


class GatherStep:
    """CX, CZ, SWAP and their like: one index gather with phases."""

    def __init__(self, stage: GatherStage, num_qubits: int) -> None:
        gather = stage.gather(num_qubits)
        self._signed = gather.phase is not None
        phases = {} if gather.phase is None else {"phase": gather.phase, "undone": gather.phase.conj()}
        self._constants = Constants(source=gather.source, inverse=gather.inverse_source, **phases)

    def forward(self, state: Tensor, pools: Pools) -> Tensor:
        constants = self._constants.like(state.real)
        state = gathered(state, constants)
        return state * constants["phase"] if self._signed else state

    def undo(self, stack: Tensor, pools: Pools) -> Tensor:
        constants = self._constants.like(stack.real)
        if self._signed:
            stack = stack * constants["undone"]
        return _select(stack, constants["inverse"])


class RotationStep:
    """A rotation about a Pauli string on several qubits."""

    def __init__(self, stage: RotationStage, place: int, num_qubits: int) -> None:
        self._pool = stage.pool
        self._place = place
        pauli = stage.pauli(num_qubits)
        phase = np.ones(len(pauli.source), dtype=np.complex128) if pauli.phase is None else pauli.phase
        self._constants = Constants(source=pauli.source, inverse=pauli.inverse_source, phase=-1j * phase)

    def forward(self, state: Tensor, pools: Pools) -> Tensor:
        constants = self._constants.like(state.real)
        values = pools[self._pool]
        cosine = values.cosines[:, self._place, None]
        sine = values.sines[:, self._place, None]
        return cosine * state + sine * (gathered(state, constants) * constants["phase"])

    def collect(self, stack: Tensor, pools: Pools, gradients: Gradients, per_sample: bool) -> None:
        constants = self._constants.like(stack.real)
        # the derivative with respect to half the angle is -iP of the state after the step, since P commutes with it
        turned = stack[0].index_select(1, constants["source"]) * constants["phase"]
        slope = torch.linalg.vecdot(stack[1:], turned).real
        summed = pools[self._pool].samples == 1 and not per_sample
        gradients[self._pool].halves[self._place] = slope.sum(1, keepdim=True) if summed else slope

    def undo(self, stack: Tensor, pools: Pools) -> Tensor:
        constants = self._constants.like(stack.real)
        values = pools[self._pool]
        turned = _select(stack, constants["source"]) * constants["phase"]
        cosine = values.cosines[:, self._place, None]
        sine = values.sines[:, self._place, None]
        return cosine * stack - sine * turned


class MatrixStep:
    """A fixed unitary on a few qubits."""

    def __init__(self, stage: MatrixStage) -> None:
        self._qubits = stage.qubits
        self._constants = Constants(transposed=stage.matrix.T.copy(), undone=stage.matrix.conj())

    def forward(self, state: Tensor, pools: Pools) -> Tensor:
        return self._product(state, self._constants.like(state.real)["transposed"])

    def undo(self, stack: Tensor, pools: Pools) -> Tensor:
        return self._product(stack, self._constants.like(stack.real)["undone"])

    def _product(self, state: Tensor, matrix: Tensor) -> Tensor:
        num_qubits = state.shape[-1].bit_length() - 1
        first = state.ndim - 1  # the axis of the highest qubit
        axes = [first + num_qubits - 1 - qubit for qubit in reversed(self._qubits)]
        ends = list(range(-len(axes), 0))
        moved = state.unflatten(-1, [2] * num_qubits).movedim(axes, ends)
        product = moved.flatten(-len(axes)) @ matrix
        return product.unflatten(-1, [2] * len(axes)).movedim(ends, axes).flatten(first)


def gathered(state: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
    """``state[:, source]``."""
    if state.requires_grad:
        gather: Tensor = _Gather.apply(state, constants["source"], constants["inverse"])
        return gather
    return state.index_select(1, constants["source"])


def _select(stack: Tensor, index: Tensor) -> Tensor:
    return (
        stack.flatten(0, 1).index_select(1, index).view_as(stack)
    )  # in two dimensions three times faster than in three


class _Gather(torch.autograd.Function):
    """``state[:, source]`` for a permutation, whose derivative is a gather too (that of indexing is a slow scatter)."""

    generate_vmap_rule = True

    @staticmethod
    def forward(state: Tensor, source: Tensor, inverse: Tensor) -> Tensor:
        return state.index_select(1, source)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[1:])
        ctx.save_for_forward(*inputs[1:])

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:
        source, inverse = ctx.saved_tensors
        return _Gather.apply(tangent, source, inverse)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        source, inverse = ctx.saved_tensors
        return _Gather.apply(gradient, inverse, source), None, None
