"""From a name to a backend that is ready to compile."""

from __future__ import annotations

from backends.contract import Backend
from backends.names import parse_name


def open_backend(name: str, *, seed: int = 0) -> Backend:
    """Open a backend by its name (see :func:`backends.names.parse_name`).

    ``seed`` decides simulated shots, and the transpiler's seeds on hardware; a ``seed=`` in the name goes before it.
    Opening ``ibm_*`` contacts the service; so does ``ibm_*@noise``, which then runs here under the device's calibration
    of this moment. Raises :class:`BackendError` for a name that does not exist, and for ``ibm_*`` without a working
    account.

    >>> open_backend("fake_torino:shots=1024").name
    'fake_torino:shots=1024'
    """
    parsed = parse_name(name)
    if parsed.kind == "ibm":
        from backends.ibm.backend import HardwareBackend

        return HardwareBackend(parsed, seed=seed)
    from backends.aer import AerBackend

    return AerBackend(parsed, seed=seed)
