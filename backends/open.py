"""From a name to a backend that is ready to compile."""

from __future__ import annotations

from backends.contract import Backend
from backends.errors import BackendError
from backends.names import parse_name


def open_backend(name: str, *, seed: int = 0) -> Backend:
    """Open a backend by its name (see :func:`backends.names.parse_name`).

    ``seed`` decides simulated shots and the transpiler's seeds; a ``seed=`` in the name goes before it. Opening
    ``ibm_*@noise`` asks the service for the device's calibration of this moment, under which it then runs here. Raises
    :class:`BackendError` for a name that does not exist, for ``ibm_*@noise`` without a working account, and for
    ``ibm_*`` itself: its jobs cost quantum time and outlive the process, so they are prepared
    (:mod:`backends.ibm.prepare`), shown, and executed (:mod:`backends.ibm.execution`) under a key in the ledger.

    >>> open_backend("fake_torino:shots=1024").name
    'fake_torino:shots=1024'
    """
    parsed = parse_name(name)
    if parsed.kind == "ibm":
        raise BackendError(
            f"{parsed.canonical} is hardware, where every job costs: hybridq evaluate RUN --backend {parsed.canonical} "
            f"plans, asks and submits"
        )
    from backends.aer import AerBackend

    return AerBackend(parsed, seed=seed)
