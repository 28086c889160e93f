"""What is asked of the hardware for every circuit: shots, error mitigation, limits. Imports no Qiskit.

The defaults of a resilience level are those of IBM's estimator; an option left at None keeps its level's default.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from backends.errors import BackendError
from backends.key_content import key_content

DecouplingSequence = Literal["XX", "XpXm", "XY4"]

TWIRLS = 32
"""Circuit randomizations where anything is twirled; shots are divided over them."""
ZNE_FACTORS = (1, 3, 5)
"""Noise amplifications of zero-noise extrapolation, resilience level 2."""
FIRST_OPTIONS = (
    *("shots", "resilience", "dynamical_decoupling", "twirl_gates", "twirl_measure", "measure_mitigation"),
    "precision",
)
"""Options that are in every digest of what was sent. Frozen; see :mod:`backends.key_content`."""


@dataclass(frozen=True)
class HardwareOptions:
    """Options of one evaluation on hardware; raises :class:`BackendError` for values the service would not take.

    ``resilience`` 0 is plain; 1 twirls the measurement and mitigates readout (TREX); 2 also twirls gates and
    extrapolates to zero noise by gate folding.
    """

    shots: int = 4096
    """Shots of every circuit in every measurement basis; not used where ``precision`` is given."""
    resilience: int = 1
    dynamical_decoupling: DecouplingSequence | None = None
    """Pulses on idle qubits, or None for none."""
    twirl_gates: bool | None = None
    twirl_measure: bool | None = None
    measure_mitigation: bool | None = None
    """Mitigation of readout error (TREX); it needs twirled measurements."""
    precision: float | None = None
    """Standard error of ⟨Z⟩ near zero to aim at: ⌈1/precision²⌉ shots, rounded up to full twirls, take the place of
    ``shots``."""
    rep_delay_us: float | None = None
    """Pause between two executions in microseconds; None: the device's default."""

    def __post_init__(self) -> None:
        if self.shots < 1:
            raise BackendError(f"shots = {self.shots}; at least 1")
        if self.resilience not in {0, 1, 2}:
            raise BackendError(f"resilience = {self.resilience}; 0, 1 or 2")
        if self.dynamical_decoupling not in {None, *get_args(DecouplingSequence)}:
            raise BackendError(
                f"dynamical decoupling = {self.dynamical_decoupling!r}; {', '.join(get_args(DecouplingSequence))}"
            )
        if self.precision is not None and not 0 < self.precision <= 1:
            raise BackendError(f"precision = {self.precision:g}; above 0 and at most 1")
        if self.rep_delay_us is not None and not 0 <= self.rep_delay_us < math.inf:
            raise BackendError(f"rep_delay = {self.rep_delay_us:g}; microseconds, at least 0")
        if self.mitigates_readout and self.twirl_measure is False:
            raise BackendError(
                "mitigation of readout error needs twirled measurements: leave measurement twirling on, or turn "
                "the mitigation off"
            )
        if self.precision is None and self.twirls > 1 and self.shots % self.twirls:
            near = max(self.twirls, round(self.shots / self.twirls) * self.twirls)
            raise BackendError(
                f"shots = {self.shots} cannot be divided over {self.twirls} randomizations; where gates or "
                f"measurements are twirled (resilience 1 and 2) a multiple of {self.twirls}, such as {near}"
            )

    @property
    def mitigates_readout(self) -> bool:
        """Whether TREX runs, with its calibration circuits."""
        return self.resilience > 0 if self.measure_mitigation is None else self.measure_mitigation

    @property
    def twirls(self) -> int:
        """Randomizations of each circuit; 1 where nothing is twirled."""
        gates = self.resilience == 2 if self.twirl_gates is None else self.twirl_gates
        measure = self.resilience > 0 if self.twirl_measure is None else self.twirl_measure
        return TWIRLS if gates or measure or self.mitigates_readout else 1

    @property
    def noise_factors(self) -> tuple[int, ...]:
        """Noise amplifications each circuit runs at; (1,) without extrapolation."""
        return ZNE_FACTORS if self.resilience == 2 else (1,)

    @property
    def circuit_shots(self) -> int:
        """Shots really sent for each circuit and basis (and noise factor), all randomizations together."""
        if self.precision is None:
            return self.shots
        return math.ceil(math.ceil(round(1 / self.precision**2, 6)) / self.twirls) * self.twirls

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, JSON-ready; those that are newer than :data:`FIRST_OPTIONS` only where they are used."""
        return key_content(self, FIRST_OPTIONS)
