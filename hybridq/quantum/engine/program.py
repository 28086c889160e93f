"""What every exact engine promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch
from torch import Tensor

from backends.contract import CircuitProgram
from hybridq.quantum.engine.observables import real_coefficients

SHARED_FROM: Final = 2**16
"""Numbers in the states of a batch from which several threads are faster than one."""


class ExactProgram(ABC):
    """``values = compiled(inputs, weights)``: exact expectation values, differentiable with torch autograd.

    Computed in the wider of the two arguments' precisions (half precision is widened to float32) and on their device;
    autocasting is ignored.
    """

    def __init__(self, program: CircuitProgram, memory: int) -> None:
        real_coefficients(program.observables)
        self.program = program
        self.memory = memory
        """Bytes of working memory after which a batch is computed in chunks."""
        self.note: str | None = None
        """What somebody who reads the values has to know about the circuit, such as that it was translated."""

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

        Raises:
            ValueError: a shape does not fit, or a number is complex.
        """
        x, w = self._in_one_precision(inputs, weights)
        with self.threads_for(len(x)):
            if torch.is_autocast_enabled(x.device.type):
                with torch.autocast(x.device.type, enabled=False):
                    return self._values(x, w)
            return self._values(x, w)

    def jacobian(self, inputs: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Derivatives of every value: (N, K, X) with respect to the inputs, (N, K, W) to the weights.

        Arguments as in the call.
        """
        return self._jacobian(*self._in_one_precision(inputs.detach(), weights.detach()))

    @contextmanager
    def threads_for(self, samples: int) -> Iterator[None]:
        """One thread of torch for a batch that is too small to share, as many as there are for others.

        A second thread gives them nothing on an idle machine (2 % more time at 4 qubits, batch 32). Where other
        processes have its core, each of the many small operators may wait for it: 20 to 40 ms a step instead of 1.2.
        """
        before = torch.get_num_threads()
        if before == 1 or samples * 2**self.program.circuit.num_qubits >= SHARED_FROM:
            yield
            return
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    @abstractmethod
    def _values(self, inputs: Tensor, weights: Tensor) -> Tensor: ...

    @abstractmethod
    def _jacobian(self, inputs: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]: ...

    def _in_one_precision(self, inputs: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        if inputs.ndim != 2 or inputs.shape[1] != self.num_inputs:
            raise ValueError(f"inputs have shape {tuple(inputs.shape)}, expected (N, {self.num_inputs})")
        if tuple(weights.shape) not in {(self.num_weights,), (len(inputs), self.num_weights)}:
            raise ValueError(
                f"weights have shape {tuple(weights.shape)}, expected ({self.num_weights},) or "
                f"({len(inputs)}, {self.num_weights})"
            )
        if inputs.is_complex() or weights.is_complex():
            raise ValueError("inputs or weights are complex numbers; angles are real numbers in radians")
        dtype = torch.promote_types(torch.promote_types(inputs.dtype, weights.dtype), torch.float32)
        return inputs.to(dtype), weights.to(dtype)
