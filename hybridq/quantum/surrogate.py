"""The quantum layer with fixed weights as a trigonometric polynomial: a small torch module that needs no Qiskit.

An expectation value depends on an angle that is encoded by r Pauli rotations as a trigonometric polynomial of degree r
(doi:10.1103/PhysRevA.103.032430), whatever else the circuit does, with noise or without. So values on a grid of 2r + 1
angles for each qubit determine the layer exactly, and no fit is involved.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from hybridq.errors import UserError
from hybridq.files import atomic_write

MAX_TERMS: Final = 3**10
"""Coefficients of one observable: 10 qubits without re-uploading. Ten observables of that many are 5 MB."""

FORMAT: Final = "hybridq surrogate 1"
_TRIES = 64
_EXACT = 1e-9


class Surrogate(nn.Module):
    """Expectation values (N, K) of angles (N, Q) in radians, in the precision of the angles.

    ``values[k] = Σ coefficients[k, j_1, …, j_Q] b[j_1](u_1) … b[j_Q](u_Q)`` over the basis
    b = 1, cos u, …, cos Du, sin u, …, sin Du.

    >>> surrogate = load_surrogate(Path("layer.safetensors"))  # doctest: +SKIP
    >>> surrogate(torch.rand(32, 4)).shape  # doctest: +SKIP
    torch.Size([32, 4])

    Args:
        coefficients: (K, 2D + 1, …, 2D + 1), an axis for each angle.

    Raises:
        ValueError: another shape.
    """

    coefficients: Tensor

    def __init__(self, coefficients: Tensor) -> None:
        super().__init__()
        sides = set(coefficients.shape[1:])
        if len(sides) != 1 or min(sides) % 2 == 0:
            raise ValueError(f"coefficients have shape {tuple(coefficients.shape)}, expected (K, 2D + 1, …, 2D + 1)")
        self.register_buffer("coefficients", coefficients)

    @property
    def qubits(self) -> int:
        """Q."""
        return self.coefficients.ndim - 1

    @property
    def degree(self) -> int:
        """D: how often each angle is encoded."""
        return self.coefficients.shape[1] // 2

    @property
    def terms(self) -> int:
        """Coefficients of one observable."""
        return self.coefficients[0].numel()

    def forward(self, angles: Tensor) -> Tensor:
        multiples = angles.unsqueeze(2) * torch.arange(1, self.degree + 1, dtype=angles.dtype, device=angles.device)
        basis = torch.cat([torch.ones_like(angles).unsqueeze(2), multiples.cos(), multiples.sin()], dim=2)
        # Half of the qubits at a time: the products of all of them would be a row of (2D + 1)^Q numbers a sample.
        half = self.qubits // 2
        first, second = _products(basis[:, :half]), _products(basis[:, half:])
        table = self.coefficients.to(angles.dtype).reshape(len(self.coefficients), first.shape[1], -1)
        partly = (first @ table.transpose(0, 1).flatten(1)).unflatten(1, (len(table), -1))
        return (partly @ second.unsqueeze(2)).squeeze(2)


def fit_surrogate(values: Callable[[Tensor], Tensor], qubits: int, degree: int = 1) -> Surrogate:
    """The surrogate of a function of angles, from its values on a grid, in float64.

    Args:
        values: expectation values (N, K) of angles (N, Q) in radians, float64.
        qubits: Q, at least 1.
        degree: how often each angle is encoded, at least 1.

    Raises:
        UserError: more than :data:`MAX_TERMS` coefficients an observable.
        ValueError: the function is no trigonometric polynomial of that degree.
    """
    side = 2 * degree + 1
    if side**qubits > MAX_TERMS:
        raise UserError(
            f"a surrogate of {qubits} qubits, each encoded {degree} time{'s' if degree > 1 else ''}, has "
            f"{side**qubits:,} coefficients an observable; at most {MAX_TERMS:,}"
        )
    points = 2 * math.pi / side * torch.arange(side, dtype=torch.float64)
    grid = torch.cartesian_prod(*[points] * qubits).reshape(-1, qubits)
    coefficients = values(grid).T.reshape(-1, *[side] * qubits)
    multiples = torch.outer(torch.arange(1, degree + 1, dtype=torch.float64), points)
    transform = torch.cat([torch.full((1, side), 0.5, dtype=torch.float64), multiples.cos(), multiples.sin()])
    coefficients = _on_every_axis(transform * 2 / side, coefficients)
    surrogate = Surrogate(coefficients.contiguous())
    generator = torch.Generator().manual_seed(0)
    angles = 2 * math.pi * torch.rand(_TRIES, qubits, generator=generator, dtype=torch.float64)
    difference = float((surrogate(angles) - values(angles)).abs().max())
    if not difference < _EXACT:
        raise ValueError(f"no trigonometric polynomial of degree {degree} in each angle (off by {difference:.1e})")
    return surrogate


@dataclass(frozen=True, eq=False)
class Spectrum:
    """``values[k] = Σ cosines[k, f] cos(ω_f · u) + sines[k, f] sin(ω_f · u)``, one of each ±ω, the constant first."""

    frequencies: NDArray[np.int64]
    """(F, Q), between -D and D."""
    cosines: NDArray[np.float64]
    """(K, F)"""
    sines: NDArray[np.float64]
    """(K, F)"""


def spectrum_of(surrogate: Surrogate) -> Spectrum:
    """The Fourier series of a surrogate."""
    degree = surrogate.degree
    side = 2 * degree + 1
    # cos ku = (e^iku + e^-iku) / 2 and sin ku = (e^iku - e^-iku) / 2i, rows are the frequencies -D … D.
    exponentials = np.zeros((side, side), dtype=np.complex128)
    exponentials[degree, 0] = 1
    for k in range(1, degree + 1):
        for sign in (1, -1):
            exponentials[degree + sign * k, k] = 0.5
            exponentials[degree + sign * k, degree + k] = -0.5j * sign
    found = _on_every_axis(torch.from_numpy(exponentials), surrogate.coefficients.to(torch.complex128)).flatten(1)
    steps = torch.arange(-degree, degree + 1)
    frequencies = torch.cartesian_prod(*[steps] * surrogate.qubits).reshape(-1, surrogate.qubits)
    middle = len(frequencies) // 2
    half = found[:, middle:]
    cosines, sines = 2 * half.real, -2 * half.imag
    cosines[:, 0] /= 2
    return Spectrum(frequencies[middle:].numpy(), cosines.numpy(), sines.numpy())


def save_surrogate(surrogate: Surrogate, path: Path, about: Mapping[str, Any]) -> None:
    """Write a safetensors file, whole or not at all; ``about`` is JSON-ready and says what it is a surrogate of."""
    metadata = {"format": FORMAT, "about": json.dumps(about)}
    with atomic_write(path) as partial:
        partial.write_bytes(save({"coefficients": surrogate.coefficients}, metadata))


def load_surrogate(path: Path) -> Surrogate:
    """A surrogate from a safetensors file; raises :class:`UserError` where it is none."""
    try:
        with safe_open(path, framework="pt") as file:
            if (file.metadata() or {}).get("format") != FORMAT:
                raise UserError(f"{path}: is not a surrogate of a quantum layer")
            return Surrogate(file.get_tensor("coefficients"))
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None


def _products(basis: Tensor) -> Tensor:
    """(N, B^n) products over n qubits of (N, n, B), the first qubit the slowest."""
    products = basis.new_ones(basis.shape[0], 1)
    for one in basis.unbind(1):
        products = (products.unsqueeze(2) * one.unsqueeze(1)).flatten(1)
    return products


def _on_every_axis(matrix: Tensor, table: Tensor) -> Tensor:
    """The matrix (B, B) applied to every axis of (K, B, …, B) but the first."""
    for axis in range(1, table.ndim):
        table = torch.tensordot(matrix, table, dims=([1], [axis])).movedim(0, axis)
    return table
