"""How much noise a run bears: the strength at which its AUC has dropped by so much, with an interval."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from hybridq.studies.noise.store import SavedCell
from hybridq.typing import FloatArray

DROPS: Final = (0.01, 0.05)
"""Of AUC, from the noiseless simulator's."""


@dataclass(frozen=True)
class BearableNoise:
    """Of one run under one source on one device: the strength λ at which AUC has dropped by ``drop``.

    ``strength``, ``low`` and ``high`` are infinite where the drop is not reached at any strength up to ``most``.
    """

    device: str
    source: str
    drop: float
    strength: float
    low: float
    high: float
    """95 %: the middle of the same crossing in resamples of the images (whole groups where there are groups)."""
    most: float
    """The largest strength that was computed."""

    def __str__(self) -> str:
        if np.isinf(self.strength):
            above = "" if np.isinf(self.low) else f" (interval from {self.low:.2f}×)"
            return f"not reached up to {self.most:g}×{above}"
        high = f"{self.high:.2f}×" if np.isfinite(self.high) else f"above {self.most:g}×"
        return f"{self.strength:.2f}× [{self.low:.2f}×, {high}]"


def bearable_noise(reference: SavedCell, cells: Iterable[SavedCell]) -> list[BearableNoise]:
    """For every device and source of the exact cells on the best qubits, and every drop of ``DROPS``."""
    curves: dict[tuple[str, str], list[SavedCell]] = {}
    for saved in cells:
        cell = saved.cell
        if cell.scale > 0 and cell.shots is None and cell.layout == "best" and cell.seed_transpiler is None:
            curves.setdefault((cell.device, cell.source), []).append(saved)
    found = []
    for (device, source), points in curves.items():
        points.sort(key=lambda saved: saved.cell.scale)
        scales = [0.0, *(saved.cell.scale for saved in points)]
        drops = np.array([0.0, *(reference.row["auc"] - saved.row["auc"] for saved in points)])
        zero = np.zeros_like(reference.resampled_auc)
        resampled = np.stack([zero, *(reference.resampled_auc - s.resampled_auc for s in points)], axis=1)
        resampled = resampled[np.isfinite(resampled).all(axis=1)]
        for drop in DROPS:
            strength = float(crossing(scales, drops[None, :], drop)[0])
            # Order statistics: an infinite crossing has no mean with its neighbour.
            crossings = crossing(scales, resampled, drop) if len(resampled) else np.array([0.0, np.inf])
            low, high = np.quantile(crossings, [0.025, 0.975], method="inverted_cdf")
            found.append(
                BearableNoise(
                    device, source, drop, strength, min(float(low), strength), max(float(high), strength), scales[-1]
                )
            )
    return found


def crossing(scales: Sequence[float], drops: FloatArray, level: float) -> FloatArray:
    """For each row of ``drops`` (B, S) at the rising ``scales`` (S,), the first at which it reaches ``level``: (B,).

    Straight lines between the scales; infinite where no scale reaches it. At the first scale, 0, nothing has dropped.
    """
    grid = np.asarray(scales, dtype=np.float64)
    reached = drops >= level
    after = np.maximum(reached.argmax(axis=1), 1)
    rows = np.arange(len(drops))
    low, high = drops[rows, after - 1], drops[rows, after]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        where = grid[after - 1] + (level - low) / (high - low) * (grid[after] - grid[after - 1])
    return np.where(reached.any(axis=1), where, np.inf)
