"""A backend's name: what it may say, what it means, and its canonical form.

Imports no Qiskit: a mistyped name is refused before anything heavy is loaded. The stored devices are the folders of the
installed ``qiskit_ibm_runtime`` package, found without importing it.
"""

from __future__ import annotations

import difflib
import importlib.util
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from backends.errors import BackendError
from backends.hardware_options import Amplifier, DecouplingSchedule, DecouplingSequence, HardwareOptions, TwirlStrategy

Kind = Literal["aer", "fake", "noise", "ibm", "live"]
"""``live`` is ``ibm_<device>@noise``."""
Source = Literal["one_qubit", "two_qubit", "relaxation", "idle", "readout", "coherent"]
"""A source of noise by itself; see :func:`backends.noise_sources.one_source`."""
LayoutRank = Literal["best", "median", "worst"]
"""Which patch of the device the circuit is placed on; see :func:`backends.compile.place`."""

NOISELESS_BACKEND = "aer"
"""The exact noiseless simulator."""
NOT_CALIBRATED = {
    "fake_fractional": "its error rates are made up, for tests of the client; no device had them",
    "fake_nighthawk": "its error rates are made up, for trying the transpiler; fake_miami is a calibrated Nighthawk",
}
"""Folders beside the stored devices that hold no calibration of a device, and why each is left out."""
_IBM = r"ibm_[a-z][a-z0-9_]*"


@dataclass(frozen=True)
class NoiseRates:
    """A parametric noise model: probabilities, and times in microseconds.

    ``depolarizing_1q`` and ``depolarizing_2q`` are λ in E(ρ) = (1−λ)ρ + λ I/2ⁿ after each one- or two-qubit gate;
    ``meas1_prep0`` and ``meas0_prep1`` are the chances of reading 1 for a prepared 0 and 0 for a prepared 1.
    """

    depolarizing_1q: float = 0.0
    depolarizing_2q: float = 0.0
    meas1_prep0: float = 0.0
    meas0_prep1: float = 0.0
    t1_us: float | None = None
    t2_us: float | None = None


@dataclass(frozen=True)
class BackendName:
    """A parsed name; ``canonical`` names the same backend again."""

    kind: Kind
    device: str | None = None
    """``torino`` in ``fake_torino``; ``ibm_kingston`` in ``ibm_kingston`` and in ``ibm_kingston@noise``; else None."""
    shots: int | None = None
    seed: int | None = None
    scale: float = 1.0
    """Every error rate times this (λ); only where there is noise: ``fake_*``, ``ibm_*@noise``, ``noise:``."""
    source: Source | None = None
    """The one source of noise that is left; None: all of the calibration. Only where there is noise."""
    layout: LayoutRank = "best"
    """Only for ``fake_*`` and ``ibm_*@noise``, as is the next."""
    seed_transpiler: int | None = None
    """The only seed of the transpiler that is tried; None: the best of a few."""
    rep_delay_us: float | None = None
    """Pause between two executions whose price in state preparation is simulated; None: the device's default. Only for
    ``fake_*`` and ``ibm_*@noise``; that of hardware is in ``options``."""
    options: HardwareOptions | None = None
    """Only for ``ibm_*``."""
    copies: int | Literal["auto"] = "auto"
    """Copies of the circuit on the chip, each with another sample; only for ``ibm_*``, as is the next."""
    references: int | Literal["auto"] = "auto"
    """Samples that run on every copy, by which patches are compared."""
    rates: NoiseRates | None = None
    canonical: str = ""


def stored_devices() -> tuple[str, ...]:
    """Names (``fake_aachen``, …) of the devices whose calibration is installed, sorted.

    All that the installed client stores but those in :data:`NOT_CALIBRATED`.
    """
    return _stored_devices()


def stored_folder(name: str) -> Path:
    """Folder with the stored configuration and calibration of a device (``torino``).

    Raises :class:`BackendError` when there is none of that name.
    """
    if f"fake_{name}" not in stored_devices():
        raise BackendError(f"there is no stored calibration of {name!r}; there are {', '.join(stored_devices())}")
    return _stored_folder() / name


def _stored_folder() -> Path:
    spec = importlib.util.find_spec("qiskit_ibm_runtime")
    origin = None if spec is None else spec.origin
    return Path(origin or "").parent / "fake_provider" / "backends"


@cache
def _stored_devices() -> tuple[str, ...]:
    names = {f"fake_{p.parent.name}" for p in _stored_folder().glob("*/props_*.json")}
    return tuple(sorted(names - set(NOT_CALIBRATED)))


def _integer(name: str, key: str, text: str, at_least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        raise BackendError(f"{name}: {key} = {text!r} is not a whole number") from None
    if value < at_least:
        raise BackendError(f"{name}: {key} = {value}; at least {at_least}")
    return value


def _number(name: str, key: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise BackendError(f"{name}: {key} = {text!r} is not a number") from None
    if not math.isfinite(value):
        raise BackendError(f"{name}: {key} = {text!r} is not a finite number")
    return value


def _probability(name: str, key: str, text: str) -> float:
    value = _number(name, key, text)
    if not 0 <= value <= 1:
        raise BackendError(f"{name}: {key} = {text} is not a probability; between 0 and 1")
    return value


def _microseconds(name: str, key: str, text: str) -> float:
    value = _number(name, key, text)
    if value <= 0:
        raise BackendError(f"{name}: {key} = {text}; above 0 microseconds")
    return value


def _shots(name: str, key: str, text: str) -> int:
    return _integer(name, key, text, 1)


def _seed(name: str, key: str, text: str) -> int:
    return _integer(name, key, text, 0)


def _scale(name: str, key: str, text: str) -> float:
    value = _number(name, key, text)
    if value < 0:
        raise BackendError(f"{name}: {key} = {text}; at least 0")
    return value


def _one_of(*allowed: str) -> Callable[[str, str, str], str]:
    def choose(name: str, key: str, text: str) -> str:
        if text not in allowed:
            raise BackendError(f"{name}: {key} = {text}; {', '.join(allowed[:-1])} or {allowed[-1]}")
        return text

    return choose


def _resilience(name: str, key: str, text: str) -> int:
    return int(_one_of("0", "1", "2")(name, key, text))


def _precision(name: str, key: str, text: str) -> float:
    value = _number(name, key, text)
    if not 0 < value <= 1:
        raise BackendError(f"{name}: {key} = {text}; above 0 and at most 1")
    return value


def _delay(name: str, key: str, text: str) -> float:
    """A delay in microseconds, with or without its unit: ``50``, ``50us``."""
    value = _number(name, key, text.removesuffix("us").removesuffix("µs"))
    if 0 < value < 1e-2:
        raise BackendError(f"{name}: {key} = {text} is in microseconds; {value * 1e6:g} would be {text} seconds")
    if value < 0:
        raise BackendError(f"{name}: {key} = {text}; at least 0 microseconds")
    return value


def _factors(name: str, key: str, text: str) -> tuple[float, ...]:
    return tuple(_number(name, key, part) for part in text.split("/"))


def _words(name: str, key: str, text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split("/"))


def _overhead(name: str, key: str, text: str) -> float:
    value = _number(name, key, text)
    if value < 1:
        raise BackendError(f"{name}: {key} = {text}; at least 1")
    return value


def _depths(name: str, key: str, text: str) -> tuple[int, ...]:
    return tuple(_integer(name, key, part, 0) for part in text.split("/"))


def _references(name: str, key: str, text: str) -> int | str:
    return text if text == "auto" else _integer(name, key, text, 0)


def _copies(name: str, key: str, text: str) -> int | str:
    return text if text == "auto" else _integer(name, key, text, 1)


_RATES: dict[str, Callable[[str, str, str], float]] = {
    "depolarizing_1q": _probability,
    "depolarizing_2q": _probability,
    "readout": _probability,
    "meas1_prep0": _probability,
    "meas0_prep1": _probability,
    "t1_us": _microseconds,
    "t2_us": _microseconds,
}
_SWITCH = _one_of("on", "off")
_SOURCE = _one_of(*get_args(Source))
_PLACED: dict[str, Callable[[str, str, str], Any]] = {
    "layout": _one_of(*get_args(LayoutRank)),
    "seed_transpiler": _seed,
}
_OPTIONS: dict[Kind, dict[str, Callable[[str, str, str], Any]]] = {
    "aer": {"shots": _shots, "seed": _seed},
    "fake": {"shots": _shots, "scale": _scale, "seed": _seed, "source": _SOURCE, **_PLACED, "rep_delay": _delay},
    "live": {"shots": _shots, "scale": _scale, "seed": _seed, "source": _SOURCE, **_PLACED, "rep_delay": _delay},
    "noise": {**_RATES, "shots": _shots, "scale": _scale, "seed": _seed, "source": _SOURCE},
    "ibm": {
        "shots": _shots,
        "precision": _precision,
        "resilience": _resilience,
        "dd": _one_of("none", *get_args(DecouplingSequence)),
        "twirl_gates": _SWITCH,
        "twirl_measure": _SWITCH,
        "mitigation": _SWITCH,
        "copies": _copies,
        "seed": _seed,
        "rep_delay": _delay,
        "references": _references,
        "randomizations": _shots,
        "twirl_strategy": _one_of(*get_args(TwirlStrategy)),
        "zne_factors": _factors,
        "zne_extrapolator": _words,
        "zne_amplifier": _one_of(*get_args(Amplifier)),
        "dd_schedule": _one_of(*get_args(DecouplingSchedule)),
        "fractional": _SWITCH,
        "pec": _SWITCH,
        "pec_overhead": _overhead,
        "learn_randomizations": _shots,
        "learn_shots": _shots,
        "learn_depths": _depths,
    },
}


def list_backends() -> list[str]:
    """Return the names of simulated backends: noiseless, and the stored devices; asks no service."""
    return [NOISELESS_BACKEND, *stored_devices()]


def parse_name(name: str) -> BackendName:
    """Read a backend's name.

    ``aer``, ``aer:shots=4096``, ``fake_torino``, ``fake_torino:shots=1024,scale=2,seed=3`` (a comma may stand for the
    colon), ``fake_torino:source=readout`` (that source of noise alone), ``fake_torino:layout=worst,seed_transpiler=7``
    (where and how it is placed), ``fake_kingston:rep_delay=50`` (with what so short a pause between executions, in
    microseconds, costs in state preparation), ``noise:depolarizing_2q=0.01,readout=0.02,…``,
    ``ibm_<device>@noise:scale=2`` (simulated, with the device's calibration of this moment),
    ``ibm_<device>:shots=4096,resilience=1,dd=XY4,twirl_gates=on,mitigation=off,copies=16`` (``precision=0.02`` may
    stand for the shots).

    Raises :class:`BackendError` for a name or option that does not exist (with those that do) and for a value out of
    its range.
    """
    text = name.strip()
    base, options = _split(text)
    kind = _kind(base, text)
    values: dict[str, Any] = {}
    for item in options:
        key, equals, value = (part.strip() for part in item.partition("="))
        allowed = _OPTIONS[kind]
        if not equals or not value:
            raise BackendError(f"{text}: {item!r} is not option=value; the options of {base} are {', '.join(allowed)}")
        if key not in allowed:
            near = difflib.get_close_matches(key, allowed, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise BackendError(f"{text}: {base} has no option {key!r}{hint}; it has {', '.join(allowed)}")
        if key in values:
            raise BackendError(f"{text}: {key} is given twice")
        values[key] = allowed[key](text, key, value)
    if kind != "ibm" and "rep_delay" in values and "source" in values:
        raise BackendError(f"{text}: source leaves one source of noise alone, which rep_delay is not; give one of them")
    rates = _rates(text, values) if kind == "noise" else None
    hardware = _hardware(text, values) if kind == "ibm" else None
    in_order = [
        f"{key}={_format(values[key])}" for key in _OPTIONS[kind] if key in values and not _is_default(key, values)
    ]
    return BackendName(
        kind=kind,
        device={"fake": base.removeprefix("fake_"), "ibm": base, "live": base.removesuffix("@noise")}.get(kind),
        shots=int(values["shots"]) if "shots" in values else None,
        seed=int(values["seed"]) if "seed" in values else None,
        scale=values.get("scale", 1.0),
        source=values.get("source"),
        layout=values.get("layout", "best"),
        seed_transpiler=values.get("seed_transpiler"),
        rep_delay_us=None if kind == "ibm" else values.get("rep_delay"),
        options=hardware,
        copies=values.get("copies", "auto"),
        references=values.get("references", "auto"),
        rates=rates,
        canonical=f"{base}:{','.join(in_order)}" if in_order else base,
    )


def _split(text: str) -> tuple[str, list[str]]:
    base, _, rest = text.replace(":", ",", 1).partition(",")
    return base.strip(), [item.strip() for item in rest.split(",")] if rest.strip() else []


def _kind(base: str, text: str) -> Kind:
    if base == "aer":
        return "aer"
    if base == "noise":
        return "noise"
    device, at, what = base.partition("@")
    if re.fullmatch(_IBM, device) and (not at or what == "noise"):
        return "live" if at else "ibm"
    if at:
        bare = device.removeprefix("fake_").removeprefix("ibm_")
        a_device = re.fullmatch(_IBM, f"ibm_{bare}") and bare not in {"aer", "noise"}
        meant = f" (did you mean ibm_{bare}@noise?)" if a_device else ""
        raise BackendError(
            f"there is no backend {text!r}{meant}; @noise follows the name of an IBM device and nothing else"
        )
    if base in stored_devices():
        return "fake"
    if base in NOT_CALIBRATED:
        raise BackendError(f"{text}: {NOT_CALIBRATED[base]}; hybridq backends list shows what there is")
    near = difflib.get_close_matches(base.lower(), ["aer", "noise", *stored_devices()], n=1, cutoff=0.5)
    hint = f" (did you mean {near[0]}?)" if near else ""
    known = ", ".join(["aer", "aer:shots=N", "noise:RATE=…", "ibm_<device>", "ibm_<device>@noise", *stored_devices()])
    raise BackendError(f"there is no backend {text!r}{hint}; there are {known}")


def _rates(text: str, values: dict[str, Any]) -> NoiseRates:
    if not any(key in values for key in _RATES):
        raise BackendError(f"{text}: a noise model needs at least one of {', '.join(_RATES)}")
    if "readout" in values and ("meas1_prep0" in values or "meas0_prep1" in values):
        raise BackendError(f"{text}: readout sets both of meas1_prep0 and meas0_prep1; give it or them")
    t1, t2 = values.get("t1_us"), values.get("t2_us")
    if (t1 is None) != (t2 is None):
        raise BackendError(f"{text}: t1_us and t2_us are given together")
    if t1 is not None and t2 is not None and t2 > 2 * t1:
        raise BackendError(
            f"{text}: t2_us = {_format(t2)} is longer than physics allows; at most 2·t1_us = {_format(2 * t1)}"
        )
    return NoiseRates(
        depolarizing_1q=values.get("depolarizing_1q", 0.0),
        depolarizing_2q=values.get("depolarizing_2q", 0.0),
        meas1_prep0=values.get("readout", values.get("meas1_prep0", 0.0)),
        meas0_prep1=values.get("readout", values.get("meas0_prep1", 0.0)),
        t1_us=t1,
        t2_us=t2,
    )


def _hardware(text: str, values: dict[str, Any]) -> HardwareOptions:
    if "shots" in values and "precision" in values:
        raise BackendError(f"{text}: shots and precision say the same; give one of them")
    named = {"dd": "dynamical_decoupling", "mitigation": "measure_mitigation", "rep_delay": "rep_delay_us"}
    given = {
        named.get(key, key): {"on": True, "off": False, "none": None}.get(value, value)
        for key, value in values.items()
        if key not in {"copies", "references", "seed"}
    }
    try:
        return HardwareOptions(**given)
    except BackendError as error:
        raise BackendError(f"{text}: {error}") from None


def _is_default(key: str, values: dict[str, Any]) -> bool:
    return values[key] == {"scale": 1.0, "layout": "best"}.get(key)


def _format(value: float | str | tuple[float | str, ...]) -> str:
    """Write a value as a name has it; a list has slashes, since commas stand between options."""
    if isinstance(value, tuple):
        return "/".join(_format(part) for part in value)
    if isinstance(value, str):
        return value
    return str(int(value)) if float(value).is_integer() else repr(float(value))
