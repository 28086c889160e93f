"""The cells of a noise study: one setting each, and the backend that it names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from backends.names import NOISELESS_BACKEND, LayoutRank, parse_name
from hybridq.studies.noise.config import NoiseStudy

FIRST_OF_A_CELL = ("device", "source", "scale", "shots", "draw", "layout", "seed_transpiler")
"""Fields that are in every cell's key. Frozen; see :mod:`backends.key_content`."""


@dataclass(frozen=True)
class Cell:
    """One setting of the noise. The noiseless simulator is a device without a source, at strength 0."""

    device: str = NOISELESS_BACKEND
    source: str = "none"
    """``none``, ``all``, or a source by itself."""
    scale: float = 0.0
    shots: int | None = None
    """None: exact values."""
    draw: int | None = None
    """Which of several draws of the same number of shots; None where the values are exact."""
    layout: LayoutRank = "best"
    seed_transpiler: int | None = None
    """None: the best of a few."""

    @property
    def exact_backend(self) -> str:
        """The backend's name without shots; the cells of a number of shots and its draws share its exact values."""
        options = []
        if self.device != NOISELESS_BACKEND:
            options.append(f"scale={self.scale!r}")
            if self.source != "all":
                options.append(f"source={self.source}")
            if self.layout != "best":
                options.append(f"layout={self.layout}")
            if self.seed_transpiler is not None:
                options.append(f"seed_transpiler={self.seed_transpiler}")
        return parse_name(",".join([self.device, *options])).canonical

    @property
    def backend(self) -> str:
        """The canonical name of the backend, on which ``hybridq evaluate`` gives the same (other shots, if any)."""
        shots = [] if self.shots is None else [f"shots={self.shots}"]
        return parse_name(",".join([self.exact_backend, *shots])).canonical


REFERENCE = Cell()


def cells_of(study: NoiseStudy) -> list[Cell]:
    """Every cell once, the noiseless one first; cells on the same backend stand together."""
    return list(dict.fromkeys(_cells(study)))


def _cells(study: NoiseStudy) -> Iterator[Cell]:
    draws = list(product(study.shots, range(study.draws)))
    yield REFERENCE
    yield from (Cell(shots=shots, draw=draw) for shots, draw in draws)
    for device in study.devices:
        strengths = product(study.sources, sorted(study.scales))
        yield from (Cell(device, source, scale) for source, scale in strengths)
        yield Cell(device, "all", 1.0)  # what shots, layouts and seeds are compared with
        yield from (Cell(device, "all", 1.0, shots, draw) for shots, draw in draws)
        if parse_name(device).kind != "noise":  # where there are no places to choose from
            yield from (Cell(device, "all", 1.0, layout=layout) for layout in study.layouts)
            yield from (Cell(device, "all", 1.0, seed_transpiler=seed) for seed in study.seeds_transpiler)
    for device in study.others:
        yield from (Cell(device, "all", scale) for scale in sorted({1.0, *study.scales}))
