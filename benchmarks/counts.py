"""What a step costs in counts instead of seconds: operators, bytes, circuits, PUBs. The same on every machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from qiskit.primitives import BaseEstimatorV2, PrimitiveResult, PubResult
from qiskit.primitives.base.base_primitive_job import BasePrimitiveJob
from qiskit.primitives.containers.estimator_pub import EstimatorPub, EstimatorPubLike
from qiskit_aer import AerSimulator
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode


def operators_dispatched(step: Callable[[], object]) -> int:
    """ATen operators that one call dispatches on the CPU, backward pass included; a first call warms up.

    At a few qubits a step takes as long as this many dispatches, a few microseconds each.
    """
    step()
    with _Operators() as counted:
        step()
    return counted.number


class _Operators(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.number = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.number += 1
        return func(*args, **(kwargs or {}))


def peak_bytes(step: Callable[[], object]) -> int:
    """The most memory that torch holds on the CPU at once for one call, in bytes; a first call warms up.

    What was allocated before the call, such as the arguments, is not counted.
    """
    step()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=False) as profiled:
        step()
    assert profiled.profiler is not None
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    changes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    return int(np.cumsum([0, *changes]).max())


@dataclass
class AerRuns:
    """What Aer was given while it was watched."""

    circuits: int = 0
    """Circuits simulated, each parameter set counted."""


@contextmanager
def aer_watched() -> Iterator[AerRuns]:
    """Count the circuits that any ``AerSimulator`` runs inside the block."""
    counted = AerRuns()
    run = AerSimulator.run

    def counting(simulator: AerSimulator, circuits: Any, *args: Any, **options: Any) -> Any:
        job = run(simulator, circuits, *args, **options)
        counted.circuits += len(job.result().results)
        return job

    AerSimulator.run = counting
    try:
        yield counted
    finally:
        AerSimulator.run = run


class CountingEstimator(BaseEstimatorV2):
    """Hands everything to an estimator and counts the PUBs and their parameter sets."""

    def __init__(self, estimator: BaseEstimatorV2) -> None:
        self._estimator = estimator
        self.pubs = 0
        self.parameter_sets = 0

    def run(
        self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None
    ) -> BasePrimitiveJob[PrimitiveResult[PubResult], Any]:
        """As the estimator does."""
        coerced = [EstimatorPub.coerce(pub, precision) for pub in pubs]
        self.pubs += len(coerced)
        self.parameter_sets += sum(pub.parameter_values.size for pub in coerced)
        return self._estimator.run(coerced, precision=precision)
