"""Expectation values of Pauli sums from a batch of state vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import ParameterExpression
from qiskit.quantum_info import SparsePauliOp

from hybridq.errors import UserError


def real_coefficients(observables: Sequence[SparsePauliOp]) -> list[NDArray[np.float64]]:
    """The coefficients (T,) of every sum; raises :class:`UserError` naming one that is no finite real number."""
    return [_real(k, observable) for k, observable in enumerate(observables)]


def _real(k: int, observable: SparsePauliOp) -> NDArray[np.float64]:
    if observable.coeffs.dtype != object:
        coefficients = observable.coeffs
        if np.isfinite(coefficients).all() and np.all(np.abs(coefficients.imag) <= 1e-12):
            return np.asarray(coefficients.real, dtype=np.float64)
    for label, coefficient in zip(observable.paulis.to_labels(), observable.coeffs, strict=True):
        shown = str(coefficient)
        if isinstance(coefficient, ParameterExpression):
            raise UserError(f"observable {k}: the coefficient {shown} of {label} is symbolic; assign a number first")
        if not np.isfinite(coefficient) or abs(complex(coefficient).imag) > 1e-12:
            raise UserError(f"observable {k}: the coefficient {shown} of {label} must be a real number")
    return np.array([complex(coefficient).real for coefficient in observable.coeffs])
