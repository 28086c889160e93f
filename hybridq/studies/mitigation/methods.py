"""The methods of error mitigation that are compared, alone and combined: what each needs and what it makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np

from backends.hardware_options import LEARN_DEPTHS, LEARN_RANDOMIZATIONS, LEARN_SHOTS, TWIRLS, ZNE_FACTORS
from backends.mitigation.readout import Readout
from hybridq.studies.mitigation.extrapolation import EXTRAPOLATIONS, Extrapolation
from hybridq.typing import FloatArray

ReadoutFrom = Literal["calibration", "measured"]
Injection = Literal["amplified", "cancelled"]
"""What is done to noise that was learned: PEA, PEC."""

CALIBRATION_CIRCUITS: Final = 2
"""Circuits that measure the readout of all qubits at once: |0…0⟩ and |1…1⟩."""
LEARNING_EXECUTIONS: Final = 9 * len(LEARN_DEPTHS) * LEARN_RANDOMIZATIONS * LEARN_SHOTS
"""That learn the noise of a layer on hardware, in nine bases, with the defaults of the client."""
EXACT_SHOTS: Final = 4096
"""Shots of a circuit by which they are counted where values are exact."""


class Version(NamedTuple):
    """How the circuit of an image is run."""

    twirled: bool = False
    factor: int = 1
    """Times its own noise."""
    times_shots: int = 1
    injected: Injection | None = None
    """Whether ``factor`` is of learned noise alone, or that noise is cancelled."""


@dataclass(frozen=True)
class Method:
    """Steps in this order: what runs, readout correction, extrapolation, learned correction."""

    twirling: bool = False
    readout: ReadoutFrom | None = None
    extrapolation: Extrapolation | None = None
    learned: bool = False
    times_shots: int = 1
    """More shots in place of mitigation, for as many executions as extrapolation takes."""
    injection: Injection | None = None
    """What is done to learned noise of two-qubit gates, which are twirled for it; amplified, it is extrapolated."""

    @property
    def name(self) -> str:
        """Its steps in words; ``none`` where there are none."""
        steps = {
            f"{self.times_shots} × shots": self.times_shots > 1,
            "readout (calibration)": self.readout == "calibration",
            "readout": self.readout == "measured",
            "twirling": self.twirling,
            "PEC": self.injection == "cancelled",
            f"{self._amplifier} linear": self.extrapolation == "linear",
            f"{self._amplifier} exp.": self.extrapolation == "exponential",
            "learned": self.learned,
        }
        return " + ".join(step for step, taken in steps.items() if taken) or "none"

    @property
    def _amplifier(self) -> str:
        return "PEA" if self.injection == "amplified" else "ZNE"

    @property
    def versions(self) -> tuple[Version, ...]:
        """What has to run for each image."""
        factors = (1,) if self.extrapolation is None else ZNE_FACTORS
        return tuple(Version(self.twirling, factor, self.times_shots, self.injection) for factor in factors)

    @property
    def circuits_multiplier(self) -> int:
        """Executions (circuits × shots) of an image, in those of the circuit as it is, before any overhead of PEC."""
        return sum(version.times_shots for version in self.versions)

    @property
    def randomizations(self) -> int:
        """Circuits among which the shots of one are divided: as many as the client twirls with on hardware."""
        return TWIRLS if self.twirling or self.injection is not None else 1

    def extra_circuits(self, training_images: int, learning: int = 0) -> int:
        """Circuits of full shots before the first image; ``learning`` of them learn the noise of gates."""
        calibration = CALIBRATION_CIRCUITS if self.readout == "measured" else 0
        calibration += 0 if self.injection is None else learning
        return calibration + (training_images * self.circuits_multiplier if self.learned else 0)

    def infer(self, shown: Mapping[Version, FloatArray], readout: Mapping[ReadoutFrom, Readout]) -> FloatArray:
        """⟨Z⟩ (N, Q) from what each version ``shown`` of the circuits (N, Q) gave, before any learned correction."""
        values = np.stack([shown[version] for version in self.versions])
        if self.readout is not None:
            values = readout[self.readout].correct(values)
        if self.extrapolation is None:
            return values[0]
        return EXTRAPOLATIONS[self.extrapolation](ZNE_FACTORS, values)


NONE: Final = Method()
METHODS: Final = (
    NONE,
    Method(readout="calibration"),
    Method(readout="measured"),
    Method(twirling=True),
    Method(extrapolation="linear"),
    Method(extrapolation="exponential"),
    Method(learned=True),
    Method(readout="measured", extrapolation="linear"),
    Method(readout="measured", extrapolation="exponential"),
    Method(readout="measured", twirling=True, extrapolation="exponential"),
    Method(readout="measured", learned=True),
    Method(readout="measured", extrapolation="linear", learned=True),
    Method(readout="measured", twirling=True, extrapolation="exponential", learned=True),
)
MORE_SHOTS: Final = Method(times_shots=len(ZNE_FACTORS))
"""What the executions of an extrapolation buy without it; only where there are shots."""


LEARNED_NOISE: Final = (
    Method(injection="amplified", extrapolation="linear"),
    Method(injection="amplified", extrapolation="exponential"),
    Method(injection="cancelled"),
    Method(injection="amplified", readout="measured", extrapolation="linear"),
    Method(injection="amplified", readout="measured", extrapolation="exponential"),
    Method(injection="cancelled", readout="measured"),
)
"""PEA and PEC; only where they are asked for."""


def methods_for(shots: int | None, *, learned_noise: bool = False) -> tuple[Method, ...]:
    """The methods that say something for so many shots (None for exact values), PEA and PEC with ``learned_noise``."""
    usual = METHODS if shots is None else (NONE, MORE_SHOTS, *METHODS[1:])
    return (*usual, *LEARNED_NOISE) if learned_noise else usual


def learning_circuits(layers: int, shots: int | None) -> int:
    """Circuits of full shots that learn the noise of so many layers."""
    return -(-layers * LEARNING_EXECUTIONS // (shots or EXACT_SHOTS))
