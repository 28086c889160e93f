"""Exact expectation values of a compiled circuit as a differentiable torch function.

Single-qubit gates between entangling ones are multiplied together and combined into blocks of up to four qubits, one
matrix product each for the whole batch; the gates before the first entangling one give a product state, which is built
directly; runs of CX, CZ and other monomial gates are one index gather. The backward pass is one adjoint sweep
(arXiv:2009.02823) for any number of observables, and keeps no state but the last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backends.contract import CircuitProgram
from hybridq.quantum.engine.constants import Constants
from hybridq.quantum.engine.lower import lower
from hybridq.quantum.engine.noiseless.memory import check_memory
from hybridq.quantum.engine.noiseless.pauli_sums import PauliSums
from hybridq.quantum.engine.noiseless.pools import Blocks, PoolGradients, PoolMatrices, PoolValues
from hybridq.quantum.engine.noiseless.stages import GatherStage, LocalStage, Pool, RotationStage, Stage, schedule
from hybridq.quantum.engine.noiseless.steps import GatherStep, LocalStep, MatrixStep, Pools, RotationStep, Step
from hybridq.quantum.engine.program import ExactProgram

MEMORY = 2**29
"""Bytes of working memory after which a batch is computed in chunks."""
_LARGEST_BLOCK = 4  # qubits: a 16 x 16 matrix product is still bound by memory traffic, not by arithmetic
_COPIES = 4  # of a state, and of each cotangent, alive at once in a sweep


class CompiledProgram(ExactProgram):
    """A noiseless circuit: ``values = compiled(inputs, weights)``, differentiable once or more.

    >>> compiled = compile_program(CircuitSpec(qubits=4, layers=2).build())  # doctest: +SKIP
    >>> compiled(torch.rand(32, 4), torch.rand(16)).shape  # doctest: +SKIP
    torch.Size([32, 4])

    Made by :func:`compile_program`.
    """

    def __init__(self, program: CircuitProgram, memory: int = MEMORY) -> None:
        super().__init__(program, memory)
        num_qubits = program.circuit.num_qubits
        stages = schedule(lower(program.circuit), num_qubits, program.inputs)
        check_memory(num_qubits, program.observables, stages)
        final = stages[-1] if stages else None
        gates = final if isinstance(final, GatherStage) else None
        self._observables = PauliSums(program.observables, num_qubits, after=gates)
        if self._observables.absorbed:
            stages = stages[:-1]
        self._blocks = Blocks(_balanced(num_qubits, _LARGEST_BLOCK))
        leading = next((i for i, stage in enumerate(stages) if not isinstance(stage, LocalStage)), len(stages))
        self._matrices = {
            pool: PoolMatrices(pool, stages, leading, self._blocks, program.inputs, program.weights)
            for pool in Pool
            if any(isinstance(stage, LocalStage | RotationStage) and stage.pool is pool for stage in stages)
        }
        places = _places(stages)
        self._leading = [
            (stage.pool, places[i]) for i, stage in enumerate(stages[:leading]) if isinstance(stage, LocalStage)
        ]
        skipped = {pool: sum(leading_pool is pool for leading_pool, _ in self._leading) for pool in Pool}
        self._steps = [
            _step(
                stage,
                places[i] - (skipped[stage.pool] if isinstance(stage, LocalStage) else 0),
                self._blocks,
                num_qubits,
            )
            for i, stage in enumerate(stages)
            if i >= leading
        ]
        collecting = [i for i, step in enumerate(self._steps) if isinstance(step, LocalStep | RotationStep)]
        self._first_parameterized = min(collecting, default=None)
        ground = np.zeros((1, 2**num_qubits), dtype=np.complex128)
        ground[0, 0] = 1.0
        self._ground = Constants(state=ground)

    def _values(self, inputs: Tensor, weights: Tensor) -> Tensor:
        if torch._C._are_functorch_transforms_active():  # torch.func: vmap, grad, jacrev and their like
            return self.plain(inputs, torch.atleast_2d(weights)).expand(len(inputs), -1)
        values: Tensor = _Expectations.apply(inputs, weights, self)
        return values

    def _jacobian(self, inputs: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        x, w = inputs, torch.atleast_2d(weights)
        each = torch.eye(self.num_observables, dtype=x.dtype, device=x.device)[:, None, :]
        with torch.no_grad():
            parts = []
            for x_rows, w_rows in self._parts(x, w, cotangents=self.num_observables):
                sweep = self._forward(x_rows, w_rows)
                parts.append(self._backward(sweep, x_rows, w_rows, each.expand(-1, len(x_rows), -1), per_sample=True))
            d_inputs, d_weights = (torch.cat(part, dim=1).transpose(0, 1) for part in zip(*parts, strict=True))
        return d_inputs, d_weights

    def plain(self, inputs: Tensor, weights: Tensor) -> Tensor:
        """The same values (B, K), B = 1 or N, in steps that autograd follows one by one, for second derivatives."""
        sweep = self._forward(inputs, weights)
        return self._observables(sweep.state)

    def _forward(self, inputs: Tensor, weights: Tensor) -> _Sweep:
        pools = {pool: matrices(inputs, weights) for pool, matrices in self._matrices.items()}
        vectors = self._product_vectors(pools) if self._leading else []
        state = _kronecker(vectors) if vectors else self._ground.like(weights)["state"]
        for step in self._steps:
            state = step.forward(state, pools)
        return _Sweep(pools, vectors, state)

    def _product_vectors(self, pools: Pools) -> list[Tensor]:
        """The product state: for each block of qubits (B, d), lowest first."""
        (pool, place), *rest = self._leading
        qubits = pools[pool].products[:, place, :, :, 0]
        for pool, place in rest:
            qubits = (pools[pool].products[:, place] * qubits[..., None, :]).sum(-1)
        return self._blocks.vectors(qubits)

    def _backward(
        self, sweep: _Sweep, inputs: Tensor, weights: Tensor, cotangents: Tensor, *, per_sample: bool
    ) -> tuple[Tensor, Tensor]:
        """Gradients (C, N, X) and (C, N, W) from cotangents (C, N, K); (C, 1, W), summed, unless ``per_sample``."""
        state, pools = sweep.state, sweep.pools
        if len(state) == 1 and not per_sample:
            cotangents = cotangents.sum(1, keepdim=True)
        if len(state) != cotangents.shape[1]:
            state = state.expand(cotangents.shape[1], -1)
        gradients = {pool: PoolGradients() for pool in pools}
        stack = self._observables.backward(state, cotangents)
        if self._first_parameterized is not None:
            stack = torch.cat([state[None], stack])
        for index, step in reversed(list(enumerate(self._steps))):
            if isinstance(step, LocalStep | RotationStep):
                step.collect(stack, pools, gradients, per_sample)
                if index == self._first_parameterized:
                    stack = stack[1:]
            if index or self._leading:
                stack = step.undo(stack, pools)
        later = self._leading_backward(stack, sweep, gradients, per_sample)
        d_inputs = d_weights = None
        for pool, matrices in self._matrices.items():
            d_halves = matrices.backward(pools[pool], gradients[pool], later[pool], per_sample=per_sample)
            for_inputs, for_weights = matrices.angles.backward(inputs, weights, d_halves)
            if for_inputs is not None:
                d_inputs = for_inputs if d_inputs is None else d_inputs + for_inputs
            if for_weights is not None:
                for_weights = for_weights if per_sample else for_weights.sum(1, keepdim=True)
                d_weights = for_weights if d_weights is None else d_weights + for_weights
        if d_inputs is None:
            d_inputs = inputs.new_zeros(len(cotangents), *inputs.shape)
        if d_weights is None:
            d_weights = weights.new_zeros(len(cotangents), len(inputs) if per_sample else 1, weights.shape[1])
        return d_inputs, d_weights

    def _leading_backward(
        self, cotangents: Tensor, sweep: _Sweep, gradients: dict[Pool, PoolGradients], per_sample: bool
    ) -> dict[Pool, list[Tensor | None]]:
        """Leaves the transitions after the product state; for each leading stage the product of the later ones."""
        pools = sweep.pools
        later: dict[Pool, list[Tensor | None]] = {pool: [] for pool in pools}
        if not self._leading:
            return later
        if len(sweep.vectors[0]) == 1 and not per_sample:
            cotangents = cotangents.sum(1, keepdim=True)
        # Of a product state, the transition of a block is its cotangent, contracted with all other blocks, times it.
        parts = [
            self._blocks.transitions(number, contracted.conj()[..., :, None] * vector[..., None, :])
            for number, (contracted, vector) in enumerate(
                zip(_contracted(cotangents, sweep.vectors), sweep.vectors, strict=True)
            )
        ]
        transitions = parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)
        product: Tensor | None = None
        for pool, place in reversed(self._leading):
            gradients[pool].leading = transitions
            own = pools[pool].products[:, place]
            later[pool].insert(0, product)
            product = own if product is None else product @ own
        return later

    def _parts(
        self, inputs: Tensor, weights: Tensor, *others: Tensor, cotangents: int = 1
    ) -> Iterator[tuple[Tensor, ...]]:
        """Rows that are computed together so that the working memory stays within the limit; at least one each.

        ``weights`` (1, W) go with every part; all others have a row a sample.
        """
        each = _COPIES * (1 + cotangents) * 16 * 2**self.program.circuit.num_qubits
        size = max(1, self.memory // each)
        if len(inputs) <= size:
            yield inputs, weights, *others
            return
        for start in range(0, len(inputs), size):
            rows = slice(start, start + size)
            yield inputs[rows], weights if len(weights) == 1 else weights[rows], *(other[rows] for other in others)


def compile_program(program: CircuitProgram, *, memory: int = MEMORY) -> CompiledProgram:
    """Translate a program once; the result is called for every batch.

    Args:
        program: any circuit of unitary gates, and Pauli sums.
        memory: bytes of working memory after which a batch is computed in chunks (one sample at least).

    Raises:
        UserError: naming the first instruction, angle or coefficient that has no exact real expectation value here.
        CircuitTooLargeError: a :class:`UserError` that names the memory needed, before it is taken.
    """
    return CompiledProgram(program, memory)


@dataclass(frozen=True)
class _Sweep:
    """What the way forward leaves for the way back."""

    pools: dict[Pool, PoolValues]
    vectors: list[Tensor]
    """The product state before the first step, block by block; empty where there is none."""
    state: Tensor


class _Expectations(torch.autograd.Function):
    """Values by sweeping forwards, gradients by sweeping backwards, chunk by chunk."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weights: Tensor, program: CompiledProgram) -> Tensor:
        ctx.program = program
        ctx.save_for_backward(inputs, weights)
        weights = torch.atleast_2d(weights)
        parts = []
        for x, w in program._parts(inputs, weights):
            sweep = program._forward(x, w)
            values = program._observables(sweep.state)
            parts.append(values if len(values) == len(x) else values.expand(len(x), -1))
        ctx.sweep = sweep if len(parts) == 1 and any(ctx.needs_input_grad) else None
        return parts[0].contiguous() if len(parts) == 1 else torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        inputs, weights = ctx.saved_tensors
        program: CompiledProgram = ctx.program
        # create_graph: a derivative of the derivative is wanted; functorch: many gradients at once
        again = torch.is_grad_enabled()
        if again or torch._C._are_functorch_transforms_active():
            with torch.enable_grad():
                values = program.plain(inputs, torch.atleast_2d(weights)).expand(len(inputs), -1)
            if not values.requires_grad:  # no angle depends on them
                return torch.zeros_like(inputs), torch.zeros_like(weights), None
            wanted = [tensor for tensor in (inputs, weights) if tensor.requires_grad]
            found = iter(torch.autograd.grad(values, wanted, gradient, create_graph=again, allow_unused=True))
            d_inputs, d_weights = (next(found) if tensor.requires_grad else None for tensor in (inputs, weights))
            return d_inputs, d_weights, None
        sweep, ctx.sweep = ctx.sweep, None
        of_inputs: list[Tensor] = []
        of_weights: list[Tensor] = []
        per_sample = weights.ndim == 2
        table = torch.atleast_2d(weights)
        with program.threads_for(len(inputs)):
            for x, w, cotangents in program._parts(inputs, table, gradient):
                swept = program._forward(x, w) if sweep is None else sweep
                to_inputs, to_weights = program._backward(swept, x, w, cotangents[None], per_sample=per_sample)
                of_inputs.append(to_inputs[0])
                of_weights.append(to_weights[0])
        if len(of_inputs) == 1:
            return of_inputs[0], of_weights[0].view_as(weights), None
        of_all = torch.cat(of_weights)
        return torch.cat(of_inputs), of_all if per_sample else of_all.sum(0), None


def _kronecker(vectors: Sequence[Tensor]) -> Tensor:
    """Product states (B, 2**Q) from those of the blocks, lowest first."""
    *lower, state = vectors
    for block in reversed(lower):
        state = (state[..., :, None] * block[..., None, :]).flatten(-2)
    return state


def _contracted(cotangents: Tensor, vectors: Sequence[Tensor]) -> list[Tensor]:
    """For each block the cotangents (C, B, 2**Q) contracted with all other blocks: (C, B, d)."""
    if len(vectors) == 1:
        return [cotangents]
    half = len(vectors) // 2
    low, high = _kronecker(vectors[:half]).conj(), _kronecker(vectors[half:]).conj()
    table = cotangents.unflatten(-1, (high.shape[-1], low.shape[-1]))
    for_low = (high[..., None, :] @ table).squeeze(-2)
    for_high = (table @ low[..., None]).squeeze(-1)
    return [*_contracted(for_low, vectors[:half]), *_contracted(for_high, vectors[half:])]


def _step(stage: Stage, place: int, blocks: Blocks, num_qubits: int) -> Step:
    if isinstance(stage, LocalStage):
        starts = np.cumsum([0, *blocks.widths])
        used = [any(stage.chains[first:last]) for first, last in pairwise(starts)]
        return LocalStep(stage.pool, place, used)
    if isinstance(stage, GatherStage):
        return GatherStep(stage, num_qubits)
    if isinstance(stage, RotationStage):
        return RotationStep(stage, place, num_qubits)
    return MatrixStep(stage)


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
