"""The quantum layer of a training: which backend, and computed by which engine."""

from __future__ import annotations

from typing import Literal

from backends import open_backend
from backends.estimator import BackendEstimator
from hybridq.errors import UserError
from hybridq.quantum.circuits import CircuitSpec
from hybridq.quantum.layer import QuantumLayer, quantum_layer


def open_layer(
    spec: CircuitSpec, *, backend: str = "aer", engine: Literal["exact", "aer"] = "exact", seed: int = 0
) -> QuantumLayer:
    """A quantum layer whose expectation values are those of ``backend``.

    ``exact`` is this project's noiseless simulator with exact gradients; ``aer`` runs the backend's own estimator with
    parameter shift and takes every simulated backend. Raises :class:`UserError` when they do not go together and
    :class:`backends.contract.BackendError` for an unknown backend.
    """
    opened = open_backend(backend, seed=seed)
    if engine == "exact":
        if opened.name != "aer":
            raise UserError(
                f"train.engine = 'exact' computes the noiseless backend aer only; for train.backend = {backend!r} set "
                "train.engine=aer"
            )
        return quantum_layer(spec, seed=seed)
    if not opened.simulated:
        raise UserError(f"train.backend = {backend!r} is hardware; training runs on simulated backends only")
    return quantum_layer(spec, engine="aer", estimator=BackendEstimator(opened), seed=seed)
