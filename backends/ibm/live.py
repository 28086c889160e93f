"""Devices as the service knows them at this moment."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from backends.devices import Device
from backends.errors import BackendError
from backends.ibm.client import Service
from backends.ibm.repetition import RepDelay


def live_device(name: str) -> Device:
    """The calibration of ``ibm_kingston``, …, as the service gives it now; asked for anew at every call.

    Raises :class:`BackendError` without a working account, and where the service has no such device or no calibration
    of it.
    """
    device = Service().calibrated(name)
    if device.calibrated is None:
        raise BackendError(f"the service has no calibration of {name} at this moment")
    return replace(device, read=datetime.now(UTC).isoformat(timespec="seconds"))


def live_rep_delay(name: str) -> RepDelay:
    """Return what the service states of ``ibm_kingston``, … now; raises :class:`BackendError` as a login does."""
    return Service().rep_delay(name)
