"""Exact expectation values of a noisy circuit as a differentiable torch function.

A state is the real vector of its 4**Q Pauli expectation values, gates and errors are real matrices on it.

- Where every input angle comes before its qubit is entangled, the observables are evolved backwards through the noisy
  circuit once, whatever the batch; a sample is then a product of one vector a qubit, and its values are one contraction
  with them.
- Otherwise (inputs uploaded again, weights that differ from sample to sample) the state of each sample is evolved
  forwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp
from torch import Tensor

from backends.aer import SimulatedCircuit
from backends.compile import unmeasured
from backends.measurement import group_observables
from backends.noise import Noise
from hybridq.errors import UserError
from hybridq.quantum.engine.constants import Constants
from hybridq.quantum.engine.noiseless.program import MEMORY
from hybridq.quantum.engine.noisy.stages import ChainStage, TurnStage, is_encoding, schedule_noisy, split_encoding
from hybridq.quantum.engine.noisy.steps import EncodingVectors, StepMatrices, before, joint_vectors, steps_of
from hybridq.quantum.engine.noisy.transfer import noisy_items, pauli_vector
from hybridq.quantum.engine.program import ExactProgram
from hybridq.typing import FloatArray

MAX_QUBITS = 8
"""Largest circuit: a Pauli vector of 65,536 numbers for each observable or sample."""


class NoisyProgram(ExactProgram):
    """``values = noisy(inputs, weights)``, differentiable with torch autograd.

    Made by :func:`compile_noisy`. Stateless: what depends on weights is computed in every call.

    A batch whose intermediate results would take more than about ``memory`` bytes is computed in chunks, and each chunk
    is computed again in the backward pass instead of being kept, in that of a second derivative too: beyond arguments
    and values, memory does not grow with N.
    """

    def __init__(self, compiled: SimulatedCircuit, memory: int = MEMORY) -> None:
        super().__init__(compiled.program, memory)
        self.note = compiled.record.get("note")
        self._runs = [
            _Evolution(circuit, rows, compiled.noise, self.program.inputs, self.program.weights)
            for circuit, rows in _measured_circuits(compiled)
        ]

    def _values(self, inputs: Tensor, weights: Tensor) -> Tensor:
        first, *rest = (run.values(inputs, torch.atleast_2d(weights), self.memory) for run in self._runs)
        return sum(rest, first)

    def _jacobian(self, inputs: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        first, *rest = (run.jacobian(inputs, torch.atleast_2d(weights), self.memory) for run in self._runs)
        return sum((d_inputs for d_inputs, _ in rest), first[0]), sum((d_weights for _, d_weights in rest), first[1])


def compile_noisy(compiled: SimulatedCircuit, *, memory: int = MEMORY) -> NoisyProgram:
    """Translate what a simulator would run into transfer matrices, once; the result is called for every batch.

    The values are those of :meth:`backends.aer.AerBackend.run` without shots: errors bind to gates by name and qubits,
    relaxation to delays, readout error included, the changes of basis as noisy as ``compiled.runs`` has them. Where no
    runs were prepared, observables with X or Y are measured after a noiseless change of basis.

    Raises:
        UserError: more than :data:`MAX_QUBITS` qubits, or an instruction, angle or delay without an exact meaning here.
        BackendError: an observable is not Hermitian.
    """
    num_qubits = compiled.circuit.num_qubits
    if num_qubits > MAX_QUBITS:
        raise UserError(f"the circuit has {num_qubits} qubits; the exact noisy engine takes at most {MAX_QUBITS}")
    return NoisyProgram(compiled, memory)


class _Evolution:
    """One measured circuit with its share (K, 4**Q) of the observables."""

    def __init__(
        self,
        circuit: QuantumCircuit,
        observables: FloatArray,
        noise: Noise | None,
        inputs: Sequence[Parameter],
        weights: Sequence[Parameter],
    ) -> None:
        num_qubits = circuit.num_qubits
        leading, rest = split_encoding(noisy_items(circuit, noise), num_qubits, inputs)
        stages, final = schedule_noisy(rest, num_qubits)
        self._is_product = not any(is_encoding(item, inputs) for item in rest)
        self._encoding = EncodingVectors(leading, inputs, weights)
        self._matrices = StepMatrices(stages, num_qubits, inputs, weights)
        self._steps = steps_of(stages, num_qubits)
        self._observables = Constants(rows=before(final, observables))
        self._half = num_qubits // 2
        # Numbers in memory for one sample, gradients included: the states and the matrices that autograd keeps.
        chains = sum(isinstance(stage, ChainStage) for stage in stages)
        turns = sum(isinstance(stage, TurnStage) for stage in stages)
        blocks = num_qubits - self._half
        states = 4 + blocks * chains + 4 * turns
        matrices = chains * (48 * num_qubits * self._matrices.length + 512 * blocks)
        self._numbers = 2 * (4**num_qubits * states + matrices)
        self._contracted_numbers = 4 * len(observables) * 4**blocks

    def values(self, inputs: Tensor, weights: Tensor, memory: int) -> Tensor:
        """(N, K) for inputs (N, X) and weights (1 or N, W)."""
        compute: Callable[..., Tensor] = self.forwards
        numbers = self._numbers
        shared: list[Tensor] = []
        if self._is_product and len(weights) == 1:
            compute, numbers = self._contracted, self._contracted_numbers
            shared = [self._backwards(inputs, weights)]
        size = _samples(memory, numbers * inputs.element_size())
        # torch.func: vmap, grad, jacrev and their like follow every step
        if len(inputs) <= size or torch._C._are_functorch_transforms_active():
            return compute(inputs, weights, *shared).expand(len(inputs), -1)
        x_parts = inputs.split(size)
        w_parts = weights.split(size) if len(weights) > 1 else [weights] * len(x_parts)

        def results(*arguments: Tensor) -> tuple[Tensor, ...]:
            return (compute(*arguments),)

        parts = [
            _ComputedAgain.apply(results, x, w, *shared)[0].expand(len(x), -1)
            for x, w in zip(x_parts, w_parts, strict=True)
        ]
        return torch.cat(parts)

    def jacobian(self, inputs: Tensor, weights: Tensor, memory: int) -> tuple[Tensor, Tensor]:
        """(N, K, X) and (N, K, W) for inputs (N, X) and weights (1 or N, W), neither with a history."""
        count = len(self._observables.like(inputs)["rows"])
        size = _samples(memory, (1 + count) * self._numbers * inputs.element_size())
        each = torch.eye(count, dtype=inputs.dtype, device=inputs.device)[:, None, :]
        parts = []
        weights = weights.expand(len(inputs), -1)
        with torch.autocast(inputs.device.type, enabled=False), torch.enable_grad():
            for x, w in zip(inputs.split(size), weights.split(size), strict=True):
                arguments = (x.clone().requires_grad_(), w.clone().requires_grad_())
                # the zeros give values a history where nothing depends on the arguments
                values = self.forwards(*arguments) + 0 * (arguments[0].sum() + arguments[1].sum())
                cotangents = each.expand(-1, len(values), -1)
                gradients = torch.autograd.grad(values, arguments, cotangents, is_grads_batched=True)
                parts.append([gradient.transpose(0, 1) for gradient in gradients])
        d_inputs, d_weights = (torch.cat(part) for part in zip(*parts, strict=True))
        return d_inputs, d_weights

    def forwards(self, inputs: Tensor, weights: Tensor) -> Tensor:
        """(B, K) from the state of each sample."""
        values = self._matrices(inputs, weights)
        rows = joint_vectors(self._encoding(inputs, weights))
        for step in self._steps:
            rows = step(rows, values, backwards=False)
        return rows @ self._observables.like(rows)["rows"].mT

    def _backwards(self, inputs: Tensor, weights: Tensor) -> Tensor:
        """Observables (K, 4**Q) of the encoded product state."""
        values = self._matrices(inputs, weights)
        rows = self._observables.like(weights)["rows"]
        for step in reversed(self._steps):
            rows = step(rows, values, backwards=True)
        return rows

    def _contracted(self, inputs: Tensor, weights: Tensor, observables: Tensor) -> Tensor:
        """(B, K) from observables of the product state, contracted with one half of its qubits after the other."""
        vectors = self._encoding(inputs, weights)
        if not self._half:
            return vectors[:, 0] @ observables.mT
        low, high = vectors.split([self._half, vectors.shape[1] - self._half], dim=1)
        tables = observables.reshape(-1, 4**self._half)
        partly = (joint_vectors(low) @ tables.mT).unflatten(1, (len(observables), -1))
        return (partly @ joint_vectors(high).unsqueeze(2)).squeeze(2)


class _ComputedAgain(torch.autograd.Function):
    """A function of tensors that keeps nothing but its arguments for the backward pass, however often it is derived."""

    @staticmethod
    def forward(ctx: Any, compute: Callable[..., tuple[Tensor, ...]], *arguments: Tensor) -> tuple[Tensor, ...]:
        ctx.compute = compute
        ctx.save_for_backward(*arguments)
        return compute(*arguments)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        needed = ctx.needs_input_grad[1:]
        derivative = _Derivative(ctx.compute, needed)
        arguments = (*ctx.saved_tensors, *cotangents)
        # create_graph: the derivative is a function like the one that it is of, computed again in its own backward pass
        apart = torch.is_grad_enabled() and not torch._C._are_functorch_transforms_active()
        found = iter(_ComputedAgain.apply(derivative, *arguments) if apart else derivative(*arguments))
        return None, *(next(found) if wanted else None for wanted in needed)


@dataclass(frozen=True)
class _Derivative:
    """The vector-Jacobian product of a function, itself a function of the arguments and then the cotangents."""

    compute: Callable[..., tuple[Tensor, ...]]
    needed: tuple[bool, ...]
    """For each argument of the function: whether its gradient is wanted."""

    def __call__(self, *given: Tensor) -> tuple[Tensor, ...]:
        again = torch.is_grad_enabled()
        arguments, cotangents = list(given[: len(self.needed)]), given[len(self.needed) :]
        for place, wanted in enumerate(self.needed):
            if not again or (wanted and not arguments[place].requires_grad):
                arguments[place] = arguments[place].detach().requires_grad_(wanted)
        wanted_ones = [argument for argument, wanted in zip(arguments, self.needed, strict=True) if wanted]
        with torch.autocast(given[0].device.type, enabled=False), torch.enable_grad():
            results = zip(self.compute(*arguments), cotangents, strict=True)
            derived = [(values, cotangent) for values, cotangent in results if values.requires_grad]
            if not derived:  # no angle depends on the arguments
                return tuple(torch.zeros_like(argument) for argument in wanted_ones)
            values, cotangents = zip(*derived, strict=True)
            return torch.autograd.grad(values, wanted_ones, cotangents, create_graph=again, materialize_grads=True)


def _samples(memory: int, bytes_each: int) -> int:
    """How many samples are computed at once."""
    return max(1, memory // bytes_each)


def _measured_circuits(compiled: SimulatedCircuit) -> list[tuple[QuantumCircuit, FloatArray]]:
    """Circuits to run and, for each, what the observables read (K, 4**Q): sums of Pauli strings at its end."""
    readout = compiled.noise.readout if compiled.noise is not None else ((0.0, 0.0),) * compiled.circuit.num_qubits
    if compiled.runs:
        return [(_bare(ready), _rows(group.read_as(readout), "Z" * len(group.basis))) for group, ready in compiled.runs]
    groups = group_observables(compiled.observables)
    rows = [_rows(group.read_as(readout), group.basis) for group in groups]
    return [(compiled.circuit, np.sum(rows, axis=0))]


def _bare(ready: QuantumCircuit) -> QuantumCircuit:
    """The circuit without its measurements and saved values."""
    circuit = ready.copy_empty_like()
    for instruction in ready.data:
        if not instruction.operation.name.startswith("save_"):
            circuit.append(instruction)
    return unmeasured(circuit)


def _rows(observables: Sequence[SparsePauliOp], basis: str) -> FloatArray:
    """Sums of products of Z as Pauli vectors, with each Z replaced by its qubit's letter in ``basis``."""

    def measured(label: str) -> str:
        return "".join(letter if z == "Z" else "I" for z, letter in zip(label, reversed(basis), strict=True))

    return np.array(
        [pauli_vector([measured(label) for label in o.paulis.to_labels()], o.coeffs.real) for o in observables]
    )
