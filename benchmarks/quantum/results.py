"""What a run found, as plain values for tables and JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.quantum.timing import Timing

Tick = Callable[[str, int, int], None]
"""Told what is being measured, how much of it is done, and of how much."""


@dataclass(frozen=True)
class Row:
    """One measured thing."""

    section: str
    case: str
    name: str
    threads: int
    timing: Timing | None = None
    """None where nothing was measured; ``note`` says why."""
    precision: str = ""
    device: str = "cpu"
    batch: int = 0
    samples: int = 0
    """How many of the batch were run; the times are scaled to the batch."""
    largest_difference: float | None = None
    """From the float64 reference, over values and both gradients."""
    note: str = ""

    @property
    def scaled(self) -> bool:
        return self.samples < self.batch


@dataclass(frozen=True)
class Figure:
    """One number that is no time of a call."""

    section: str
    name: str
    threads: int
    value: float
    unit: str = ""


@dataclass
class Found:
    """Everything that was found, by one section or by all."""

    rows: list[Row] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Found:
        def row(values: dict[str, Any]) -> Row:
            timing = values["timing"]
            return Row(**{**values, "timing": None if timing is None else Timing(**timing)})

        return cls([row(values) for values in content["rows"]], [Figure(**values) for values in content["figures"]])

    def add(self, other: Found) -> None:
        self.rows.extend(other.rows)
        self.figures.extend(other.figures)

    def median_ms(self, section: str, case: str, name: str, threads: int, precision: str | None = None) -> float | None:
        """On the CPU; None where it was not measured."""
        for row in self.rows:
            found = (row.section, row.case, row.name, row.threads, row.device)
            if found == (section, case, name, threads, "cpu") and precision in {None, row.precision} and row.timing:
                return row.timing.median_ms
        return None

    def value(self, section: str, name: str, threads: int) -> float | None:
        """Of a figure; None where it was not measured."""
        for figure in self.figures:
            if (figure.section, figure.name, figure.threads) == (section, name, threads):
                return figure.value
        return None
