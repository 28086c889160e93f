"""How far each method's ⟨Z⟩ and decisions are from the noiseless ones, over repetitions of the whole experiment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from hybridq.studies.mitigation.device import SimulatedDevice
from hybridq.studies.mitigation.learned import fit_correction
from hybridq.studies.mitigation.methods import Method
from hybridq.typing import FloatArray


@dataclass
class Errors:
    """Of ⟨Z⟩ (N, Q), over R repetitions: ``rms² = bias_rms² + sd²``, up to the chance of few repetitions."""

    noiseless: FloatArray
    repetitions: int = 0
    total: FloatArray = field(init=False)
    squares: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        self.total, self.squares = np.zeros_like(self.noiseless), np.zeros_like(self.noiseless)

    def add(self, values: FloatArray) -> None:
        """One repetition (N, Q)."""
        error = values - self.noiseless
        self.repetitions += 1
        self.total += error
        self.squares += error**2

    @property
    def rms(self) -> float:
        """Root mean square error over images, qubits and repetitions."""
        return float(np.sqrt(self.squares.mean() / self.repetitions))

    @property
    def sd(self) -> float:
        """Scatter from repetition to repetition, root mean square over images and qubits; 0 for exact values."""
        return float(np.sqrt(self._variances.mean()))

    @property
    def bias_mean(self) -> float:
        """Mean error."""
        return float(self.total.mean() / self.repetitions)

    @property
    def bias_rms(self) -> float:
        """Of the mean error of each image and qubit the root mean square, without what chance adds to that mean."""
        squared = (self.total / self.repetitions) ** 2 - self._variances / self.repetitions
        return float(np.sqrt(max(squared.mean(), 0.0)))

    @property
    def _variances(self) -> FloatArray:
        if self.repetitions == 1:
            return np.zeros_like(self.total)
        return np.maximum(self.squares - self.total**2 / self.repetitions, 0.0) / (self.repetitions - 1)


@dataclass
class Outcome:
    """What one method made of the images."""

    errors: Errors
    probabilities: list[FloatArray] = field(default_factory=list)
    """Of each repetition, (N, C)."""


def repeat(
    device: SimulatedDevice,
    methods: Sequence[Method],
    noiseless: tuple[FloatArray, FloatArray],
    decide: Callable[[FloatArray], FloatArray],
    *,
    repetitions: int,
    seed: int,
    progress: Callable[[int, int], None],
) -> dict[Method, Outcome]:
    """Run the experiment ``repetitions`` times: shots, readout calibration and learned correction anew each time.

    ``noiseless`` has the exact ⟨Z⟩ of the evaluated images (N, Q), from which errors are counted, and of the training
    images (M, Q), on which the learned correction is fitted; ``decide`` gives probabilities (N, C) from ⟨Z⟩ (N, Q). The
    methods share their shots where they run the same circuits.
    """
    evaluated, training = noiseless
    outcomes = {method: Outcome(Errors(evaluated)) for method in methods}
    progress(0, repetitions)
    for number in range(repetitions):
        shown = device.show(np.random.default_rng([seed, 5, number]))
        for method, outcome in outcomes.items():
            values = method.infer(shown.evaluated, shown.readout)
            if method.learned:
                values = fit_correction(method.infer(shown.training, shown.readout), training)(values)
            outcome.errors.add(values)
            outcome.probabilities.append(decide(values))
        progress(number + 1, repetitions)
    return outcomes
