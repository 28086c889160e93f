"""Where circuits run: noiseless Aer, noise models of devices, IBM hardware.

Knows Qiskit, Aer and IBM Runtime. Never imports torch or hybridq. Importing this package imports none of them either:
the public names are resolved on first use, so that a command line that only checks a backend's name answers at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backends.aer import simulated_under
    from backends.contract import Backend, BackendResult, CircuitProgram, CompiledCircuit, Cost
    from backends.errors import BackendError
    from backends.estimator import BackendEstimator
    from backends.names import BackendName, parse_name, stored_devices
    from backends.noise import Noise
    from backends.open import open_backend

_HOME = {
    "Backend": "contract",
    "BackendError": "errors",
    "BackendEstimator": "estimator",
    "BackendName": "names",
    "BackendResult": "contract",
    "CircuitProgram": "contract",
    "CompiledCircuit": "contract",
    "Cost": "contract",
    "Noise": "noise",
    "open_backend": "open",
    "parse_name": "names",
    "simulated_under": "aer",
    "stored_devices": "names",
}

__all__ = [
    "Backend",
    "BackendError",
    "BackendEstimator",
    "BackendName",
    "BackendResult",
    "CircuitProgram",
    "CompiledCircuit",
    "Cost",
    "Noise",
    "open_backend",
    "parse_name",
    "simulated_under",
    "stored_devices",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
