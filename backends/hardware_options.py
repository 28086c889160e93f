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
DecouplingSchedule = Literal["alap", "asap"]
TwirlStrategy = Literal["active", "active-accum", "active-circuit", "all"]
Amplifier = Literal["gate_folding", "gate_folding_front", "gate_folding_back", "pea"]

TWIRLS = 32
"""Circuit randomizations where anything is twirled and no other number is asked for; shots are divided over them."""
ZNE_FACTORS = (1, 3, 5)
"""Noise amplifications of zero-noise extrapolation, resilience level 2."""
EXTRAPOLATORS = {
    "exponential": 2,
    "linear": 2,
    "double_exponential": 4,
    **{f"polynomial_degree_{degree}": degree + 1 for degree in range(1, 8)},
    "fallback": 1,
}
"""Extrapolators of the client, and how many noise factors each needs."""
PEC_OVERHEAD = 10.0
"""How many times its shots a circuit may take under error cancellation where no other number is asked for."""
LEARN_RANDOMIZATIONS, LEARN_SHOTS, LEARN_DEPTHS = 32, 128, (0, 1, 2, 4, 16, 32)
"""Defaults of the job that learns the noise of layers of gates; they are the client's."""
FIRST_OPTIONS = (
    *("shots", "resilience", "dynamical_decoupling", "twirl_gates", "twirl_measure", "measure_mitigation"),
    "precision",
)
"""Options that are in every digest of what was sent. Frozen; see :mod:`backends.key_content`."""


@dataclass(frozen=True)
class HardwareOptions:
    """Options of one evaluation on hardware; raises :class:`BackendError` for values the service would not take.

    ``resilience`` 0 is plain; 1 twirls the measurement and mitigates readout (TREX); 2 also twirls gates and
    extrapolates to zero noise, by gate folding or by noise that was learned (PEA). With ``pec`` learned noise is
    cancelled instead (PEC).
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
    randomizations: int | None = None
    """Randomizations of each circuit where anything is twirled; None: :data:`TWIRLS`."""
    twirl_strategy: TwirlStrategy | None = None
    """Which qubits are twirled around each layer of gates; None: the client's ``active-accum``."""
    zne_factors: tuple[float, ...] | None = None
    """Noise amplifications of zero-noise extrapolation; None: :data:`ZNE_FACTORS`. Only at resilience 2, as the next
    two."""
    zne_extrapolator: tuple[str, ...] | None = None
    """Extrapolators of :data:`EXTRAPOLATORS`, tried in order; None: the client's, exponential and then linear."""
    zne_amplifier: Amplifier | None = None
    """Which gates are folded where a factor folds only some: random ones (None), the first or the last; ``pea`` folds
    none, and amplifies noise that was learned."""
    dd_schedule: DecouplingSchedule | None = None
    """When gates run between which idle time is decoupled: as late (None) or as soon as possible."""
    fractional: bool = False
    """Gates of any angle, such as rx, where the device has them; not with twirled gates, nor with decoupling."""
    pec: bool = False
    """Cancel noise that was learned (probabilistic error cancellation); not with extrapolation."""
    pec_overhead: float | None = None
    """How many times its shots a circuit may take under ``pec``; None: :data:`PEC_OVERHEAD`. Where the noise would take
    more, only so much of it is cancelled."""
    learn_randomizations: int | None = None
    """Randomizations of each learning circuit; None: :data:`LEARN_RANDOMIZATIONS`. Needs PEA or PEC, like the next."""
    learn_shots: int | None = None
    """Shots of each of those randomizations; None: :data:`LEARN_SHOTS`."""
    learn_depths: tuple[int, ...] | None = None
    """How often, in pairs, a layer is repeated while its noise is learned; None: :data:`LEARN_DEPTHS`."""

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
        # A list where it was read from JSON.
        for name in ("zne_factors", "zne_extrapolator", "learn_depths"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        self._refuse_cancellation()
        self._refuse_learning()
        self._refuse_unused()
        self._refuse_extrapolation()
        self._refuse_fractional()
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

    def _refuse_cancellation(self) -> None:
        """Refuse what does not go with PEA and PEC, which inject noise around twirled gates and measurements."""
        if self.pec and self.resilience == 2:
            raise BackendError(
                "pec: at resilience 2 noise is extrapolated, which excludes cancelling it; take resilience 1 (or 0)"
            )
        if self.pec_overhead is not None and not self.pec:
            raise BackendError(f"pec_overhead = {self.pec_overhead:g}: noise is not cancelled; only with pec")
        if self.pec_overhead is not None and not 1 <= self.pec_overhead < math.inf:
            raise BackendError(f"pec_overhead = {self.pec_overhead:g}; at least 1")
        if not self.injects_noise:
            return
        method = "pec" if self.pec else "zne_amplifier = pea"
        for name in ("twirl_gates", "twirl_measure"):
            if getattr(self, name) is False:
                raise BackendError(f"{method} needs twirled gates and measurements; leave {name} out")
        if self.fractional:
            raise BackendError(f"{method} needs twirled gates, and fractional gates cannot be twirled; leave one out")
        if self.dynamical_decoupling is not None:
            raise BackendError(
                f"{method} and dynamical decoupling ({self.dynamical_decoupling}) are not offered together, since "
                f"noise is learned without it; leave one of them out"
            )

    def _refuse_learning(self) -> None:
        given = {name: getattr(self, name) for name in ("learn_randomizations", "learn_shots", "learn_depths")}
        for name, value in given.items():
            if value is not None and not self.injects_noise:
                raise BackendError(f"{name}: no noise is learned; only with pec or zne_amplifier = pea")
        for name in ("learn_randomizations", "learn_shots"):
            if given[name] is not None and given[name] < 1:
                raise BackendError(f"{name} = {given[name]}; at least 1")
        depths = self.learn_depths
        if depths is not None and (len(depths) < 2 or len(set(depths)) < len(depths) or min(depths) < 0):
            raise BackendError(
                f"learn_depths = {'/'.join(map(str, depths))}; at least two different whole numbers of at least 0"
            )

    def _refuse_unused(self) -> None:
        """Refuse what would change nothing, and values that do not exist."""
        choices = (("twirl_strategy", TwirlStrategy), ("zne_amplifier", Amplifier), ("dd_schedule", DecouplingSchedule))
        for name, allowed in choices:
            if getattr(self, name) not in {None, *get_args(allowed)}:
                raise BackendError(f"{name} = {getattr(self, name)!r}; {', '.join(get_args(allowed))}")
        if self.randomizations is not None and self.randomizations < 1:
            raise BackendError(f"randomizations = {self.randomizations}; at least 1")
        if self.randomizations is not None and not self.is_twirled:
            raise BackendError(
                f"randomizations = {self.randomizations}: nothing is twirled at resilience {self.resilience}; turn "
                f"twirling of gates or measurements on, or leave it out"
            )
        if self.twirl_strategy is not None and not self.twirls_gates:
            raise BackendError(
                f"twirl_strategy = {self.twirl_strategy}: gates are not twirled at resilience {self.resilience}; turn "
                f"gate twirling on, or leave it out"
            )
        if self.dd_schedule is not None and self.dynamical_decoupling is None:
            raise BackendError(
                f"dd_schedule = {self.dd_schedule}: nothing is decoupled; name a sequence (dd=XY4), or leave it out"
            )

    def _refuse_fractional(self) -> None:
        if self.fractional and self.twirls_gates:
            raise BackendError(
                f"fractional gates cannot be twirled, and at resilience {self.resilience} gates are: take resilience 0 "
                f"or 1 without gate twirling, or leave fractional gates out"
            )
        if self.fractional and self.dynamical_decoupling is not None:
            raise BackendError(
                f"fractional gates and dynamical decoupling ({self.dynamical_decoupling}) are not offered together; "
                f"leave one of them out"
            )

    def _refuse_extrapolation(self) -> None:
        given = {name: getattr(self, name) for name in ("zne_factors", "zne_extrapolator", "zne_amplifier")}
        for name, value in given.items():
            if value is not None and self.resilience != 2:
                raise BackendError(f"{name}: nothing is extrapolated at resilience {self.resilience}; only at 2")
        factors = self.zne_factors
        if factors is not None and (
            len(factors) < 2 or len(set(factors)) < len(factors) or not all(1 <= f < math.inf for f in factors)
        ):
            raise BackendError(
                f"zne_factors = {'/'.join(f'{f:g}' for f in factors)}; at least two different numbers of at least 1"
            )
        for name in self.zne_extrapolator or ():
            if name not in EXTRAPOLATORS:
                raise BackendError(f"zne_extrapolator = {name}; {', '.join(EXTRAPOLATORS)}")
            if len(self.noise_factors) < EXTRAPOLATORS[name]:
                raise BackendError(
                    f"zne_extrapolator = {name} needs at least {EXTRAPOLATORS[name]} noise factors; there are "
                    f"{len(self.noise_factors)}"
                )
        if self.zne_extrapolator == ():
            raise BackendError("zne_extrapolator is empty; name one or leave it out")

    @property
    def mitigates_readout(self) -> bool:
        """Whether TREX runs, with its calibration circuits."""
        return self.resilience > 0 if self.measure_mitigation is None else self.measure_mitigation

    @property
    def twirls(self) -> int:
        """Randomizations of each circuit; 1 where nothing is twirled."""
        return (self.randomizations or TWIRLS) if self.is_twirled else 1

    @property
    def twirls_gates(self) -> bool:
        """Whether gates are twirled."""
        return self.resilience == 2 or self.pec if self.twirl_gates is None else self.twirl_gates

    @property
    def injects_noise(self) -> bool:
        """Whether noise is learned, and then amplified (PEA) or cancelled (PEC)."""
        return self.pec or self.zne_amplifier == "pea"

    @property
    def folds_gates(self) -> bool:
        """Whether circuits grow with the noise factor; under PEA they do not."""
        return self.zne_amplifier != "pea"

    @property
    def most_overhead(self) -> float:
        """How many times its shots a circuit may take; 1 without PEC."""
        return (self.pec_overhead or PEC_OVERHEAD) if self.pec else 1.0

    @property
    def learning(self) -> tuple[int, int, tuple[int, ...]]:
        """Randomizations, shots of each, and depths in pairs of the circuits that learn noise."""
        depths = LEARN_DEPTHS if self.learn_depths is None else self.learn_depths
        return self.learn_randomizations or LEARN_RANDOMIZATIONS, self.learn_shots or LEARN_SHOTS, depths

    @property
    def is_twirled(self) -> bool:
        """Whether gates or measurements are twirled."""
        measure = self.resilience > 0 if self.twirl_measure is None else self.twirl_measure
        return self.twirls_gates or measure or self.mitigates_readout

    @property
    def noise_factors(self) -> tuple[float, ...]:
        """Noise amplifications each circuit runs at; (1,) without extrapolation."""
        return (self.zne_factors or ZNE_FACTORS) if self.resilience == 2 else (1,)

    @property
    def circuit_shots(self) -> int:
        """Shots really sent for each circuit and basis (and noise factor), all randomizations together."""
        if self.precision is None:
            return self.shots
        return math.ceil(math.ceil(round(1 / self.precision**2, 6)) / self.twirls) * self.twirls

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, JSON-ready; those that are newer than :data:`FIRST_OPTIONS` only where they are used."""
        return key_content(self, FIRST_OPTIONS)
