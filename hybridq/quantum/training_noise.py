"""What a training step adds to exact values: noise of a strength that is drawn, and the scatter of shots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from qiskit.quantum_info import SparsePauliOp
from torch import Tensor

from backends.aer import SimulatedCircuit
from hybridq.errors import UserError
from hybridq.quantum.engine import ExactProgram, compile_noisy

STRENGTHS: Final = 33
"""Strengths of the noise in a range, ends included; each is compiled once, which takes longer than a training step."""


class RandomStrength:
    """A circuit under λ times its noise, λ drawn from torch's generator of the CPU in every call of :meth:`draw`.

    λ is one of :data:`STRENGTHS` evenly spaced values from ``low`` to ``high``, all as likely, and scales errors as
    :meth:`backends.noise.Noise.scaled` does.

    Raises:
        UserError: there is no noise, or it is scaled already.
        BackendError: naming the qubit whose error is no probability or no channel at an end of the range.
    """

    def __init__(self, compiled: SimulatedCircuit, low: float, high: float) -> None:
        given = f"noise_scale = [{low:g}, {high:g}]"
        if compiled.noise is None:
            raise UserError(f"{given}: there is no noise to scale; train under fake_torino, say")
        if compiled.record.get("scale", 1.0) != 1:
            raise UserError(f"{given}: the backend's name has a scale of its own; leave one of them out")
        device, patch = compiled.record["device"], compiled.record.get("active_qubits") or []
        size = len(compiled.noise.readout)
        self._labels = [f"qubit {q} of {device}" for q in patch] or [f"qubit {q}" for q in range(size)]
        self._compiled = compiled
        self._strengths = np.linspace(low, high, STRENGTHS).tolist()
        self._programs: dict[float, ExactProgram] = {}
        # What is a channel at the lowest strength is one at its multiples, and misreading grows: the ends tell of all.
        for end in (high, next(strength for strength in self._strengths if strength > 0)):
            self.at(end)

    def draw(self) -> ExactProgram:
        """The circuit at the strength of one training step."""
        return self.at(self._strengths[int(torch.randint(STRENGTHS, ()))])

    def at(self, strength: float) -> ExactProgram:
        """The circuit under ``strength`` times its noise."""
        if strength not in self._programs:
            assert self._compiled.noise is not None
            noise = self._compiled.noise.scaled(strength, self._labels)
            self._programs[strength] = compile_noisy(replace(self._compiled, noise=noise))
        return self._programs[strength]


def check_outcomes(observables: Sequence[SparsePauliOp]) -> None:
    """Raise :class:`UserError` where an outcome of an observable is not 1 or -1, as :func:`sampled` takes it to be."""
    for observable in observables:
        simple = observable.simplify()
        if len(simple) != 1 or not np.isclose(abs(simple.coeffs[0]), 1):
            raise UserError("engine = 'exact' draws shots of single Pauli products alone; choose engine = 'aer'")


def sampled(values: Tensor, shots: int) -> Tensor:
    """Means over ``shots`` outcomes ±1 whose expectation is ``values``, of the same shape; gradient that of ``values``.

    Drawn from torch's generator of the device. The number of outcomes 1 is binomial, which is exact for every value
    by itself; that values of one image come from the same shots, and are correlated where qubits are entangled, is left
    out. The gradient (straight-through, arXiv:1308.3432) leaves out that the scatter depends on the value, a term of
    order 1/shots, and has none of the scatter of a parameter shift with shots.
    """
    with torch.no_grad():
        ones = torch.binomial(torch.full_like(values, shots), ((1 + values) / 2).clamp(0, 1))
        scatter = 2 * ones / shots - 1 - values
    return values + scatter
