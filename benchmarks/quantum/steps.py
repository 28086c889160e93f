"""One forward and backward pass, the same way for everybody: inputs and weights are leaves, one upstream gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.quantum.cases import Point


@dataclass(frozen=True)
class Step:
    """Call it to run one forward and backward pass; on a GPU the call returns when the GPU is done."""

    values: Callable[[Tensor], Tensor]
    """From inputs (B, Q) to values (B, K), under ``weights``."""
    inputs: Tensor
    weights: Tensor
    upstream: Tensor

    def __call__(self) -> None:
        self.inputs.grad = None
        self.weights.grad = None
        torch.autograd.backward(self._values(), self.upstream)
        if self.inputs.is_cuda:
            torch.cuda.synchronize()

    def results(self) -> tuple[Tensor, Tensor, Tensor]:
        """Values (B, K) and the gradients (B, Q) and (W,) of the last call, float64 on the CPU."""
        with torch.no_grad():
            values = self._values()
        assert self.inputs.grad is not None
        assert self.weights.grad is not None
        first, second, third = (t.detach().cpu().double() for t in (values, self.inputs.grad, self.weights.grad))
        return first, second, third

    def _values(self) -> Tensor:
        return self.values(self.inputs)


def leaves(point: Point, dtype: torch.dtype, device: str = "cpu") -> tuple[Tensor, Tensor, Tensor]:
    """Inputs and weights that take gradients, and the upstream gradient."""
    inputs, weights, upstream = (
        t.to(device=device, dtype=dtype, copy=True) for t in (point.inputs, point.weights, point.upstream)
    )
    return inputs.requires_grad_(), weights.requires_grad_(), upstream


def largest_difference(step: Step, reference: Step) -> float:
    """Over values and both gradients, relative to the largest entry of each where that is above 1."""
    differences = []
    for ours, theirs in zip(step.results(), reference.results(), strict=True):
        differences.append(float((ours - theirs).abs().max() / theirs.abs().max().clamp_min(1.0)))
    return max(differences)
