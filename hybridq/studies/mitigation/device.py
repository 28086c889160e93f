"""What a simulated device shows for a circuit in every version that mitigation asks for: exact, or drawn from shots."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from backends.aer import SimulatedCircuit
from backends.hardware_options import PEC_OVERHEAD
from backends.mitigation.folding import folded
from backends.mitigation.layer_noise import LayerNoise
from backends.mitigation.readout import Readout, calibrated, preparation
from backends.mitigation.twirling import twirled
from hybridq.quantum.engine import compile_noisy
from hybridq.quantum.joint_shots import bit_probabilities, products_of, sampled, sampled_with_signs
from hybridq.studies.mitigation.methods import ReadoutFrom, Version
from hybridq.typing import FloatArray

Kept = Callable[[str, Callable[[], FloatArray]], FloatArray]
"""The array of a name, computed unless it is at hand already."""


@dataclass(frozen=True)
class Shown:
    """One experiment: ⟨Z⟩ as read, with shot noise where there are shots."""

    evaluated: dict[Version, FloatArray]
    """(N, Q)"""
    training: dict[Version, FloatArray]
    """(M, Q)"""
    readout: dict[ReadoutFrom, Readout]


class SimulatedDevice:
    """Exact values of every version of a circuit, computed once; experiments are drawn from them.

    Args:
        compiled: the circuit under a noise model, of at most ``hybridq.quantum.engine.noisy.program.MAX_QUBITS``
            qubits.
        weights: (W,) radians.
        evaluated, training: angles (N, X) and (M, X) of the images, radians.
        versions: those that are asked for.
        shots: of each circuit; None for exact values.
        kept: keeps the exact values by name, since large circuits take long.
        progress: called with how many circuits are done, and of how many.
    """

    def __init__(
        self,
        compiled: SimulatedCircuit,
        weights: FloatArray,
        evaluated: FloatArray,
        training: FloatArray,
        versions: Iterable[Version],
        *,
        shots: int | None,
        kept: Kept,
        progress: Callable[[int, int], None],
    ) -> None:
        self.shots = shots
        self._versions = tuple(dict.fromkeys(versions))
        self._split = len(evaluated)
        self._calibrated = calibrated(compiled)
        self._injecting = tuple(version for version in self._versions if version.injected is not None)
        self._versions = tuple(version for version in self._versions if version.injected is None)
        self.circuits = {factor: folded(compiled, factor) for factor in {v.factor for v in self._versions}}
        """The circuit at each noise factor."""
        # Folding adds no gate that the circuit does not have, so that its errors are averaged once.
        averaged = twirled(compiled) if any(version.twirled for version in self._versions) else compiled
        runs = dict.fromkeys((version.twirled, version.factor) for version in self._versions)
        angles = np.concatenate([evaluated, training])
        self._exact: dict[tuple[bool, int], FloatArray] = {}
        self.noise = LayerNoise(compiled) if self._injecting else None
        """What is learned of the noise of gates; None where no method asks for it."""
        strengths = sorted({strength for version in self._injecting for strength in self._strengths(version)})
        total = len(runs) + len(strengths) + 1
        progress(0, total)
        for done, (twirling, factor) in enumerate(runs, start=1):
            circuit = self.circuits[factor]
            if twirling:
                circuit = replace(circuit, noise=averaged.noise)
            name = f"{'twirled' if twirling else 'plain'}-{factor}"
            self._exact[twirling, factor] = kept(name, partial(self._values, circuit, angles, weights))
            progress(done, total)
        self._injected: dict[float, FloatArray] = {}
        for done, strength in enumerate(strengths, start=len(runs) + 1):
            assert self.noise is not None
            name, circuit = f"learned-noise-{strength:.6g}", self.noise.at(strength)
            self._injected[strength] = kept(name, partial(self._values, circuit, angles, weights))
            progress(done, total)
        nothing = np.zeros((1, 0))
        self._prepared = [self._values(preparation(compiled, bit), nothing, nothing[0]) for bit in (0, 1)]
        progress(total, total)

    @property
    def overhead(self) -> float:
        """How many times the shots PEC takes; 1 where no noise is learned."""
        return 1.0 if self.noise is None else min(self.noise.overhead, PEC_OVERHEAD)

    @property
    def not_cancelled(self) -> float:
        """Share of the learned noise that PEC leaves, since cancelling all of it would take too many shots."""
        if self.noise is None or self.noise.overhead <= PEC_OVERHEAD:
            return 0.0
        return 1 - math.log(PEC_OVERHEAD) / math.log(self.noise.overhead)

    def _strengths(self, version: Version) -> tuple[float, ...]:
        """How strong learned noise is in what runs for a version.

        The circuits of PEC, signs left aside, have more noise: the Paulis of the inverse are those of the noise.
        """
        if version.injected == "amplified":
            return (float(version.factor),)
        left = self.not_cancelled
        return (left,) if self.shots is None else (left, 2 - left)

    def _values(self, circuit: SimulatedCircuit, angles: FloatArray, weights: FloatArray) -> FloatArray:
        """⟨Z⟩ of every qubit, or with shots the probabilities of all bit strings."""
        if self.shots is not None:  # the exact engine reads the products; nothing is prepared for Aer to run
            circuit = replace(circuit, observables=products_of(circuit.observables), runs=())
        exact = compile_noisy(circuit)
        with torch.inference_mode():
            values = exact(torch.from_numpy(angles), torch.from_numpy(weights)).numpy()
        return values if self.shots is None else bit_probabilities(values)

    def show(self, random: np.random.Generator) -> Shown:
        """One experiment with shots drawn anew; without shots all are the same."""
        each = {
            version: self._read(self._exact[version.twirled, version.factor], version.times_shots, random)
            for version in self._versions
        }
        zeros, ones = (self._read(prepared, 1, random)[0] for prepared in self._prepared)
        each |= {version: self._inject(version, random) for version in self._injecting}
        return Shown(
            evaluated={version: values[: self._split] for version, values in each.items()},
            training={version: values[self._split :] for version, values in each.items()},
            readout={"calibration": self._calibrated, "measured": Readout(zeros, ones)},
        )

    def _inject(self, version: Version, random: np.random.Generator) -> FloatArray:
        strengths = self._strengths(version)
        if len(strengths) == 1:
            return self._read(self._injected[strengths[0]], version.times_shots, random)
        assert self.shots is not None
        signed, unsigned = (self._injected[strength] for strength in strengths)
        shots = round(version.times_shots * self.shots * self.overhead)
        return sampled_with_signs(signed, unsigned, math.sqrt(self.overhead), shots, random)

    def _read(self, exact: FloatArray, times: int, random: np.random.Generator) -> FloatArray:
        return exact if self.shots is None else sampled(exact, times * self.shots, random)
