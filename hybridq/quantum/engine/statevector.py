"""Exact expectation values of a compiled circuit as a differentiable torch function.

Single-qubit gates between entangling ones are multiplied together and combined into blocks of up to four qubits, one
matrix product each for the whole batch; the gates before the first entangling one give a product state, which is built
directly; runs of CX, CZ and other monomial gates are one index gather.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from qiskit.circuit import Parameter
from torch import Tensor

from backends.contract import CircuitProgram
from hybridq.quantum.engine.constants import Constants
from hybridq.quantum.engine.expressions import AngleMap
from hybridq.quantum.engine.lower import lower
from hybridq.quantum.engine.observables import PauliSums
from hybridq.quantum.engine.stages import (
    GatherStage,
    LocalStage,
    MatrixStage,
    Pool,
    RotationStage,
    SingleQubitGate,
    Stage,
    schedule,
)

_LARGEST_BLOCK = 4  # qubits: a 16 x 16 matrix product is still bound by memory traffic, not by arithmetic


@dataclass(frozen=True)
class _Values:
    """What one pool's angles give in one call."""

    qubit_matrices: Tensor
    """(B, S, Q, 2, 2): the product of each chain; empty without single-qubit gates."""
    blocks: list[Tensor]
    """For each block of qubits (B, S', d, d), S' the stages after the product state."""
    cosines: Tensor
    """(B, R) of half the angles of the multi-qubit rotations."""
    sines: Tensor


Step = Callable[[Tensor, dict[Pool, _Values]], Tensor]


class CompiledProgram:
    """``values = compiled(inputs, weights)``, differentiable once or more with torch autograd.

    >>> compiled = compile_program(CircuitSpec(qubits=4, layers=2).build())  # doctest: +SKIP
    >>> compiled(torch.rand(32, 4), torch.rand(16)).shape  # doctest: +SKIP
    torch.Size([32, 4])

    Made by :func:`compile_program`.
    """

    def __init__(self, program: CircuitProgram) -> None:
        self.program = program
        num_qubits = program.circuit.num_qubits
        stages = schedule(lower(program.circuit), num_qubits, program.inputs)
        self._observables = PauliSums(program.observables, num_qubits)
        final = stages[-1] if stages else None
        if self._observables.is_diagonal and isinstance(final, GatherStage):
            self._observables.absorb(final.gather)
            stages = stages[:-1]
        self._block_widths = _balanced(num_qubits, _LARGEST_BLOCK)
        leading = next((i for i, stage in enumerate(stages) if not isinstance(stage, LocalStage)), len(stages))
        self._pools = {
            pool: _PoolMatrices(pool, stages, leading, self._block_widths, program.inputs, program.weights)
            for pool in Pool
            if any(isinstance(stage, LocalStage | RotationStage) and stage.pool is pool for stage in stages)
        }
        places = _places(stages)
        self._leading = [
            (stage.pool, places[i]) for i, stage in enumerate(stages[:leading]) if isinstance(stage, LocalStage)
        ]
        skipped = {pool: sum(leading_pool is pool for leading_pool, _ in self._leading) for pool in Pool}
        self._steps = [
            self._step(stage, places[i] - (skipped[stage.pool] if isinstance(stage, LocalStage) else 0))
            for i, stage in enumerate(stages)
            if i >= leading
        ]
        ground = np.zeros((1, 2**num_qubits), dtype=np.complex128)
        ground[0, 0] = 1.0
        self._ground = Constants(state=ground)

    @property
    def num_inputs(self) -> int:
        """X."""
        return len(self.program.inputs)

    @property
    def num_weights(self) -> int:
        """W."""
        return len(self.program.weights)

    @property
    def num_observables(self) -> int:
        """K."""
        return len(self.program.observables)

    def __call__(self, inputs: Tensor, weights: Tensor) -> Tensor:
        """Expectation values (N, K) for inputs (N, X) under weights (W,) or (N, W), all in radians.

        Computed in the wider of the two precisions (float32 with complex64, float64 with complex128; half precision is
        widened to float32), on the device of the arguments; autocasting is ignored.

        Raises:
            ValueError: a shape does not fit.
        """
        if inputs.ndim != 2 or inputs.shape[1] != self.num_inputs:
            raise ValueError(f"inputs have shape {tuple(inputs.shape)}, expected (N, {self.num_inputs})")
        if tuple(weights.shape) not in {(self.num_weights,), (len(inputs), self.num_weights)}:
            raise ValueError(
                f"weights have shape {tuple(weights.shape)}, expected ({self.num_weights},) or "
                f"({len(inputs)}, {self.num_weights})"
            )
        dtype = torch.promote_types(torch.promote_types(inputs.dtype, weights.dtype), torch.float32)
        with torch.autocast(inputs.device.type, enabled=False):
            values = self._expectations(inputs.to(dtype), torch.atleast_2d(weights.to(dtype)))
        return values.expand(len(inputs), -1)

    def jacobian(self, inputs: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Derivatives of every value: (N, K, X) with respect to the inputs, (N, K, W) to the weights.

        Arguments as in the call. One backward sweep for all K observables, vectorized over them.
        """
        with torch.enable_grad():
            x = inputs.detach().requires_grad_()
            w = weights.detach().expand(len(inputs), self.num_weights).clone().requires_grad_()
            values = self(x, w)
            gradients: Sequence[Tensor | None] = (None, None)
            if values.requires_grad:
                each = torch.eye(values.shape[1], dtype=values.dtype, device=values.device)
                each = each[:, None, :].expand(-1, len(x), -1)
                gradients = torch.autograd.grad(values, (x, w), each, is_grads_batched=True, allow_unused=True)
        d_inputs, d_weights = (
            values.new_zeros(len(x), values.shape[1], argument.shape[1])
            if gradient is None
            else gradient.transpose(0, 1)
            for gradient, argument in zip(gradients, (x, w), strict=True)
        )
        return d_inputs, d_weights

    def _expectations(self, inputs: Tensor, weights: Tensor) -> Tensor:
        pools = {pool: matrices(inputs, weights) for pool, matrices in self._pools.items()}
        state = self._product_state(pools) if self._leading else self._ground.like(weights)["state"]
        for step in self._steps:
            state = step(state, pools)
        return self._observables(state)

    def _product_state(self, pools: dict[Pool, _Values]) -> Tensor:
        (pool, place), *rest = self._leading
        vectors = pools[pool].qubit_matrices[:, place, :, :, 0]
        for pool, place in rest:
            vectors = (pools[pool].qubit_matrices[:, place] * vectors[..., None, :]).sum(-1)
        return _kronecker(vectors[..., None])[..., 0]

    def _step(self, stage: Stage, place: int) -> Step:
        if isinstance(stage, LocalStage):
            first, used = 0, []
            for width in self._block_widths:
                used.append(any(stage.chains[first : first + width]))
                first += width
            return _LocalStep(stage.pool, place, used)
        if isinstance(stage, GatherStage):
            return _GatherStep(stage)
        if isinstance(stage, RotationStage):
            return _RotationStep(stage, place)
        return _MatrixStep(stage)


def compile_program(program: CircuitProgram) -> CompiledProgram:
    """Translate a program once; the result is called for every batch.

    Raises:
        UserError: naming the first instruction, angle or coefficient that has no exact real expectation value here.
    """
    return CompiledProgram(program)


class _PoolMatrices:
    """All angles of one pool at once: a constant number of operations however many layers there are."""

    def __init__(
        self,
        pool: Pool,
        stages: Sequence[Stage],
        leading: int,
        block_widths: Sequence[int],
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
        self._shape = (length, len(local), sum(block_widths))
        self._skip = sum(stage.pool is pool for stage in stages[:leading] if isinstance(stage, LocalStage))
        self._block_widths = block_widths
        self._angles = AngleMap([g.angle for g in gates] + [r.angle for r in rotations], inputs, weights, factor=0.5)
        self._constants = Constants(
            cosine=np.array([g.cosine for g in gates], dtype=np.complex128).reshape(-1, 2, 2),
            sine=np.array([g.sine for g in gates], dtype=np.complex128).reshape(-1, 2, 2),
        )

    def __call__(self, inputs: Tensor, weights: Tensor) -> _Values:
        halves = self._angles(inputs, weights)
        cosines, sines = halves.cos(), halves.sin()
        length, stages, qubits = self._shape
        gates = length * stages * qubits
        if not gates:
            return _Values(halves.new_zeros(0), [], cosines, sines)
        constants = self._constants.like(halves)
        matrices = cosines[:, :gates, None, None] * constants["cosine"]
        matrices = matrices + sines[:, :gates, None, None] * constants["sine"]
        matrices = matrices.unflatten(1, self._shape)
        product = matrices[:, 0]
        for position in range(1, length):
            product = matrices[:, position] @ product
        blocks = []
        if stages > self._skip:
            first = 0
            for width in self._block_widths:
                blocks.append(_kronecker(product[:, self._skip :, first : first + width]))
                first += width
        return _Values(product, blocks, cosines[:, gates:], sines[:, gates:])


@dataclass(frozen=True)
class _LocalStep:
    pool: Pool
    place: int
    used: list[bool]

    def __call__(self, state: Tensor, pools: dict[Pool, _Values]) -> Tensor:
        blocks = [block[:, self.place] for block in pools[self.pool].blocks]
        # Each turn multiplies the lowest qubits and rotates them to the top; after all turns the order is as before.
        for block, used in zip(blocks, self.used, strict=True):
            state = state.flatten(1).unflatten(1, (-1, block.shape[-1]))
            if used:
                state = state @ (block[0] if len(block) == 1 else block).mT
            state = state.transpose(1, 2)
        return state.flatten(1)


class _GatherStep:
    def __init__(self, stage: GatherStage) -> None:
        self._signed = not np.array_equal(stage.gather.phase, np.ones_like(stage.gather.phase))
        self._constants = Constants(
            source=stage.gather.source, inverse=stage.gather.inverse_source, phase=stage.gather.phase
        )

    def __call__(self, state: Tensor, pools: dict[Pool, _Values]) -> Tensor:
        constants = self._constants.like(state.real)
        state = _Gather.apply(state, constants["source"], constants["inverse"])
        return state * constants["phase"] if self._signed else state


class _RotationStep:
    def __init__(self, stage: RotationStage, place: int) -> None:
        self._pool = stage.pool
        self._place = place
        self._constants = Constants(
            source=stage.pauli.source, inverse=stage.pauli.inverse_source, phase=-1j * stage.pauli.phase
        )

    def __call__(self, state: Tensor, pools: dict[Pool, _Values]) -> Tensor:
        constants = self._constants.like(state.real)
        values = pools[self._pool]
        cosine, sine = values.cosines[:, self._place, None], values.sines[:, self._place, None]
        turned = _Gather.apply(state, constants["source"], constants["inverse"]) * constants["phase"]
        return cosine * state + sine * turned


class _MatrixStep:
    def __init__(self, stage: MatrixStage) -> None:
        self._qubits = stage.qubits
        self._constants = Constants(matrix=stage.matrix)

    def __call__(self, state: Tensor, pools: dict[Pool, _Values]) -> Tensor:
        matrix = self._constants.like(state.real)["matrix"]
        num_qubits = state.shape[1].bit_length() - 1
        axes = [num_qubits - qubit for qubit in reversed(self._qubits)]  # axis 0 is the batch, axis 1 the highest qubit
        ends = list(range(-len(axes), 0))
        moved = state.unflatten(1, [2] * num_qubits).movedim(axes, ends)
        product = moved.flatten(-len(axes)) @ matrix.mT
        return product.unflatten(-1, [2] * len(axes)).movedim(ends, axes).flatten(1)


class _Gather(torch.autograd.Function):
    """``state[:, source]`` for a permutation, whose derivative is a gather too (that of indexing is a slow scatter)."""

    generate_vmap_rule = True

    @staticmethod
    def forward(state: Tensor, source: Tensor, inverse: Tensor) -> Tensor:
        return state.index_select(1, source)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        _, source, inverse = inputs
        ctx.save_for_backward(source, inverse)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        source, inverse = ctx.saved_tensors
        return _Gather.apply(gradient, inverse, source), None, None


def _kronecker(factors: Tensor) -> Tensor:
    """Kronecker product over axis -3, the first factor the least significant: (..., n, r, c) to (..., r**n, c**n)."""
    count = factors.shape[-3]
    if count == 1:
        return factors[..., 0, :, :]
    if count % 2:
        return _pair(factors[..., -1, :, :], _kronecker(factors[..., :-1, :, :]))
    return _kronecker(_pair(factors[..., 1::2, :, :], factors[..., 0::2, :, :]))


def _pair(high: Tensor, low: Tensor) -> Tensor:
    product = high[..., :, None, :, None] * low[..., None, :, None, :]
    return product.flatten(-4, -3).flatten(-2, -1)


def _balanced(total: int, largest: int) -> list[int]:
    """``total`` qubits in the fewest blocks of at most ``largest``, of nearly equal width."""
    count = -(-total // largest)
    return [total // count + (i < total % count) for i in range(count)]


def _places(stages: Sequence[Stage]) -> list[int]:
    """The position of each stage among those of its kind and pool."""
    seen: dict[tuple[type, Pool | None], int] = {}
    places = []
    for stage in stages:
        kind = (type(stage), stage.pool if isinstance(stage, LocalStage | RotationStage) else None)
        places.append(seen.get(kind, 0))
        seen[kind] = places[-1] + 1
    return places
