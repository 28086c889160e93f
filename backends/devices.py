"""A device as its last calibration describes it: gates, errors, times, readout."""

from __future__ import annotations

import hashlib
import importlib
import warnings
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, cached_property
from typing import Any

from qiskit.circuit import Gate
from qiskit.transpiler import Target

from backends.errors import BackendError
from backends.names import stored_devices

BROKEN = 0.5
"""A gate or readout error from here on carries no information: the qubit or edge is not used."""


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

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self._digest == other._digest

    def __hash__(self) -> int:
        return hash(self._digest)

    @cached_property
    def _digest(self) -> bytes:
        gates = [
            (name, [(qubits, _numbers(props, "duration", "error")) for qubits, props in (known or {}).items()])
            for name, known in self.target.items()
        ]
        times = [_numbers(qubit, "t1", "t2") for qubit in self.target.qubit_properties or ()]
        content = (self.name, self.calibrated, self.num_qubits, self.readout, gates, times)
        return hashlib.sha256(repr(content).encode()).digest()

    @property
    def num_qubits(self) -> int:
        """Qubits of the whole device."""
        return int(self.target.num_qubits)

    def readout_error(self, qubit: int) -> float:
        """Mean of the two readout errors of a qubit."""
        return sum(self.readout[qubit]) / 2

    @cached_property
    def entangler(self) -> str | None:
        """The two-qubit gate on most pairs; a few devices have a second one on some, which is not used."""
        pairs = {
            name: sum(1 for qubits in self.target[name] or {} if qubits is not None and len(qubits) == 2)
            for name in self.target.operation_names
            if isinstance(self.target.operation_from_name(name), Gate)
        }
        return max(sorted(pairs), key=lambda name: pairs[name]) if any(pairs.values()) else None

    @cached_property
    def edges(self) -> dict[tuple[int, int], float]:
        """Error of the two-qubit gate on each working pair (lower qubit first, the better direction)."""
        best: dict[tuple[int, int], float] = {}
        for qubits, properties in self.target[self.entangler].items() if self.entangler else ():
            error = getattr(properties, "error", None) or 0.0
            pair = (min(qubits), max(qubits))
            if error < BROKEN:
                best[pair] = min(error, best.get(pair, BROKEN))
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


def live_device(name: str) -> Device:
    """The calibration of ``ibm_torino``, …, as the service gives it now; asked for anew at every call.

    Raises :class:`BackendError` without a working account, and where the service has no such device or no calibration
    of it.
    """
    from backends.ibm.client import Service

    device = Service().calibrated(name)
    if device.calibrated is None:
        raise BackendError(f"the service has no calibration of {name} at this moment")
    return replace(device, read=datetime.now(UTC).isoformat(timespec="seconds"))


def device_of(backend: Any, name: str) -> Device:
    """The device behind a ``BackendV2`` of the IBM client (a stored or a live one): target and properties."""
    target = backend.target
    properties = backend.properties()
    readout = tuple(_readout(properties, qubit) for qubit in range(target.num_qubits))
    date = getattr(properties, "last_update_date", None)
    return Device(name, target, readout, date.isoformat() if date is not None else None)


def _readout(properties: Any, qubit: int) -> tuple[float, float]:
    """Asymmetric readout error; the symmetric one where the calibration gives no more."""
    if properties is None:
        return (0.0, 0.0)
    known = properties.qubit_property(qubit)
    if "prob_meas1_prep0" in known and "prob_meas0_prep1" in known:
        return (float(known["prob_meas1_prep0"][0]), float(known["prob_meas0_prep1"][0]))
    error = float(known["readout_error"][0]) if "readout_error" in known else 0.0
    return (error, error)


def _numbers(properties: Any, *names: str) -> tuple[float | None, ...]:
    return tuple(getattr(properties, name, None) for name in names)
