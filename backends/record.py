"""The record of a run: everything needed to say later what ran, as plain JSON values."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from backends.contract import Backend, CompiledCircuit, Cost

_PACKAGES = ("qiskit", "qiskit-aer", "qiskit-ibm-runtime", "numpy")


@cache
def versions() -> dict[str, str]:
    """Installed versions of what takes part in a run."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package.replace("-", "_")] = version(package)
        except PackageNotFoundError:
            continue
    return found


def run_record(
    backend: Backend,
    compiled: CompiledCircuit,
    *,
    seed: int | None,
    samples: int,
    cost: Cost,
    seconds: float,
    job_ids: tuple[str, ...] = (),
    quantum_seconds: float | None = 0.0,
    **more: Any,
) -> dict[str, Any]:
    """What ran where, how long and with what; ``seconds`` is wall-clock time.

    ``seed`` is None where nothing was drawn. ``quantum_seconds`` is what the service charged, 0.0 on a simulator and
    None while the service has not said.
    """
    return {
        "backend": backend.name,
        "kind": backend.kind,
        "simulated": backend.simulated,
        **compiled.record,
        "versions": dict(versions()),
        "seed": seed,
        "samples": samples,
        "shots": backend.shots,
        "circuits": cost.circuits,
        "executions": cost.executions,
        "job_ids": list(job_ids),
        "quantum_seconds": quantum_seconds,
        "seconds": round(seconds, 4),
        **more,
    }
