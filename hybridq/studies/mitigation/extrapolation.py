"""Zero-noise extrapolation: from values at several noise factors to the value without noise (arXiv:2005.10921)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal

import numpy as np

from hybridq.typing import FloatArray

Extrapolation = Literal["linear", "exponential"]

FASTEST_DECAY: Final = 1.0
"""Largest rate b of the exponential, which bounds the result: near zero, shot noise alone would ask for any rate."""
_GRID = np.linspace(-1, 1, 17)
_PRECISION = 1e-5


def linear(factors: Sequence[float], values: FloatArray) -> FloatArray:
    """The intercept of the least-squares line through ``values`` (F, …) over ``factors`` (F,).

    >>> linear([1, 3, 5], np.array([0.9, 0.7, 0.5]))
    array(1.)
    """
    x = np.asarray(factors, dtype=np.float64)
    centred = x - x.mean()
    weights = 1 / len(x) - x.mean() * centred / (centred @ centred)
    return np.tensordot(weights, values, axes=1)


def exponential(factors: Sequence[float], values: FloatArray) -> FloatArray:
    """a of the least-squares curve a·exp(−b·factor) through ``values`` (F, …), with 0 ≤ b ≤ ``FASTEST_DECAY``.

    Depolarizing noise on its own takes ⟨Z⟩ to zero like this; relaxation does not, nor does readout error, which is
    to be corrected first. For each b the best a is known; b is searched on grids, each finer than the one before.
    """
    x = np.asarray(factors, dtype=np.float64)
    flat = values.reshape(len(x), -1).T
    rate, reach = np.full(len(flat), FASTEST_DECAY / 2), FASTEST_DECAY / 2
    while reach > _PRECISION:
        rates = np.clip(rate[:, None] + reach * _GRID, 0.0, FASTEST_DECAY)
        curves = np.exp(-rates[..., None] * x)
        explained = (curves @ flat[..., None])[..., 0] ** 2 / (curves**2).sum(axis=-1)
        rate = np.take_along_axis(rates, explained.argmax(axis=1)[:, None], axis=1)[:, 0]
        reach *= _GRID[1] - _GRID[0]
    curves = np.exp(-rate[:, None] * x)
    return np.asarray((curves * flat).sum(axis=1) / (curves**2).sum(axis=1)).reshape(values.shape[1:])


EXTRAPOLATIONS: Final[dict[Extrapolation, Callable[[Sequence[float], FloatArray], FloatArray]]] = {
    "linear": linear,
    "exponential": exponential,
}
