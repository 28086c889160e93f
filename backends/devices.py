"""A device as its last calibration describes it: gates, errors, times, readout."""

from __future__ import annotations

import hashlib
import importlib
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from qiskit.circuit import Gate
from qiskit.transpiler import Target
from qiskit_aer.noise import NoiseModel

from backends.errors import BackendError
from backends.names import stored_devices
from backends.noise import model_digest

UNUSABLE_ERROR = 0.5
"""A gate or readout error from here on carries no information: the qubit or edge is not used."""
PREFERRED = ("cx", "cz", "ecr", "rxx", "rzz")
"""Two-qubit gates that the transpiler reaches from any other; the first is taken where calibrations do not decide."""


@dataclass(frozen=True, eq=False)
class Device:
    """What a circuit is translated for, and what a noise model is made from.

    Two of the same name are equal when all numbers of their calibrations are, so that what was worked out for one
    serves the other.
    """

    name: str
    target: Target
    readout: tuple[tuple[float, float], ...]
    """For each qubit p(read 1 | prepared 0) and p(read 0 | prepared 1)."""
    calibrated: str | None
    """ISO date of the calibration."""
    read: str | None = None
    """ISO date at which a service was asked for the calibration; None for a stored one."""
    unread: frozenset[int] = frozenset()
    """Qubits whose readout error is not known; ``readout`` has 0 for them."""
    noise_model: NoiseModel | None = None
    """The noise as the device's maker gives it, in place of what follows from ``target`` and ``readout``."""
    origin: tuple[str, str] | None = None
    """Class and version of the Qiskit backend whose facts these are; None for a device that has a name here."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self._digest == other._digest

    def __hash__(self) -> int:
        return hash(self._digest)

    @cached_property
    def _digest(self) -> bytes:
        gates = [
            (name, [(qubits, _numbers(props, "duration", "error")) for qubits, props in (known or {}).items()])
            for name, known in sorted(self.target.items(), key=lambda item: str(item[0]))
        ]
        times = [_numbers(qubit, "t1", "t2") for qubit in self.target.qubit_properties or ()]
        model = None if self.noise_model is None else model_digest(self.noise_model)
        about = (sorted(self.unread), model, self.origin)
        content = (self.name, self.calibrated, self.num_qubits, self.readout, gates, times, about)
        return hashlib.sha256(repr(content).encode()).digest()

    @property
    def digest(self) -> str:
        """Hexadecimal digest of everything here: the same for the same facts, in any process."""
        return self._digest.hex()

    @property
    def num_qubits(self) -> int:
        """Qubits of the whole device."""
        return int(self.target.num_qubits)

    def readout_error(self, qubit: int) -> float:
        """Mean of the two readout errors of a qubit."""
        return sum(self.readout[qubit]) / 2

    @cached_property
    def entangler(self) -> str | None:
        """The two-qubit gate with a known error on most pairs, else that on most pairs, the first of :data:`PREFERRED`.

        A few devices have a second one, which is not used.
        """
        pairs = {
            name: [
                properties for qubits, properties in (self.target[name] or {}).items() if qubits and len(qubits) == 2
            ]
            for name in sorted(self.target.operation_names)
            if isinstance(self.target.operation_from_name(name), Gate)
        }

        def rank(name: str) -> tuple[int, int, int]:
            known = sum(1 for properties in pairs[name] if getattr(properties, "error", None) is not None)
            return known, len(pairs[name]), -PREFERRED.index(name) if name in PREFERRED else -len(PREFERRED)

        return max(pairs, key=rank) if any(pairs.values()) else None

    @property
    def states_gate_errors(self) -> bool:
        """Whether the error of any gate is known."""
        return self.noise_model is not None or any(
            getattr(properties, "error", None) is not None
            for name in self.target.operation_names
            if isinstance(self.target.operation_from_name(name), Gate)
            for properties in (self.target[name] or {}).values()
        )

    @property
    def unknown_of_all(self) -> tuple[str, ...]:
        """What :meth:`unknown` says of the whole device."""
        return self.unknown(range(self.num_qubits), self.target.operation_names)

    def unknown(self, qubits: Iterable[int], gates: Iterable[str]) -> tuple[str, ...]:
        """Facts of these qubits and gates that the target does not state, such as ``error of rxx`` and ``T1, T2``.

        Nothing is missing where the maker's own noise model takes the target's place.
        """
        if self.noise_model is not None:
            return ()
        register = set(qubits)
        missing: list[str] = []
        timeless = False
        for name in sorted(set(gates) & set(self.target.operation_names)):
            here = [p for where, p in (self.target[name] or {}).items() if where and set(where) <= register]
            if isinstance(self.target.operation_from_name(name), Gate) and here:
                errors = sum(1 for properties in here if getattr(properties, "error", None) is None)
                missing += [_some(f"error of {name}", errors, len(here), "places")] if errors else []
                timeless |= any(getattr(properties, "duration", None) is None for properties in here)
        times = self.target.qubit_properties or [None] * self.num_qubits
        relaxing = sum(1 for q in register if None in _numbers(times[q], "t1", "t2"))
        for what, count in (("readout error", len(register & self.unread)), ("T1, T2", relaxing)):
            missing += [_some(what, count, len(register), "qubits")] if count else []
        return (*missing, *(["durations of gates"] if timeless else []))

    @cached_property
    def edges(self) -> dict[tuple[int, int], float]:
        """Error of the two-qubit gate on each working pair (lower qubit first, the better direction)."""
        best: dict[tuple[int, int], float] = {}
        for qubits, properties in self.target[self.entangler].items() if self.entangler else ():
            error = getattr(properties, "error", None) or 0.0
            pair = (min(qubits), max(qubits))
            if error < UNUSABLE_ERROR:
                best[pair] = min(error, best.get(pair, UNUSABLE_ERROR))
        return best


@cache
def stored_device(name: str) -> Device:
    """The stored calibration of a device (``torino``), from the installed ``qiskit_ibm_runtime``.

    Raises :class:`BackendError` when there is none of that name.
    """
    if f"fake_{name}" not in stored_devices():
        raise BackendError(f"there is no stored calibration of {name!r}; there are {', '.join(stored_devices())}")
    module = importlib.import_module(f"qiskit_ibm_runtime.fake_provider.backends.{name}.fake_{name}")
    for member in vars(module).values():
        if isinstance(member, type) and getattr(member, "backend_name", None) == f"fake_{name}":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return device_of(member(), name)
    raise BackendError(f"the installed qiskit-ibm-runtime has no class for fake_{name}; reinstall it")


def device_of(backend: Any, name: str) -> Device:
    """The device behind a ``BackendV2`` of the IBM client (a stored or a live one): target and properties."""
    target = backend.target
    properties = backend.properties()
    found = [_readout(properties, qubit) for qubit in range(target.num_qubits)]
    date = getattr(properties, "last_update_date", None)
    return Device(
        name,
        target,
        tuple(read or (0.0, 0.0) for read in found),
        date.isoformat() if date is not None else None,
        unread=frozenset(qubit for qubit, read in enumerate(found) if read is None),
    )


def _readout(properties: Any, qubit: int) -> tuple[float, float] | None:
    """Asymmetric readout error; the symmetric one where the calibration gives no more, None where it gives none."""
    if properties is None:
        return None
    known = properties.qubit_property(qubit)
    if "prob_meas1_prep0" in known and "prob_meas0_prep1" in known:
        return (float(known["prob_meas1_prep0"][0]), float(known["prob_meas0_prep1"][0]))
    if "readout_error" not in known:
        return None
    error = float(known["readout_error"][0])
    return (error, error)


def _some(what: str, missing: int, all_of: int, unit: str) -> str:
    return what if missing == all_of else f"{what} on {missing} of {all_of} {unit}"


def _numbers(properties: Any, *names: str) -> tuple[float | None, ...]:
    return tuple(getattr(properties, name, None) for name in names)
