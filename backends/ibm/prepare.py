"""From a program to the task that is sent: copies placed on the device, samples arranged on them, jobs planned.

What a result depends on is named by the caller's key, and by nothing here: two callers with keys of their own for the
same work would pay for it twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from numpy.typing import ArrayLike

from backends.contract import CircuitProgram
from backends.devices import Device
from backends.errors import BackendError
from backends.hardware_options import HardwareOptions
from backends.ibm.arrangement import Arrangement, Collected, arrange, references_for
from backends.ibm.circuit import HardwareCircuit
from backends.ibm.client import Service
from backends.ibm.copies import place_copies
from backends.ibm.layers import layers_of, noise_key
from backends.ibm.noise_store import NoiseStore
from backends.ibm.plan import Charged, Plan, make_plan
from backends.ibm.results import ExecutionResult
from backends.ibm.task import Submission
from backends.names import BackendName


@dataclass(frozen=True)
class Prepared:
    """The circuit on the chip, which sample runs where, and what that costs; nothing is sent yet."""

    device: Device
    compiled: HardwareCircuit
    arrangement: Arrangement
    plan: Plan
    host: str
    """Of the service that answers."""
    noise_max_age_hours: float = 24.0
    """For how long noise that is learned may be used."""


def prepare(
    program: CircuitProgram,
    name: BackendName,
    samples: int,
    *,
    service: Service,
    seed: int = 0,
    reference_chunk: bool | None = None,
    seconds_per_circuit: float = 0.0,
    price_per_second: float | None = None,
    charged: Callable[[str], Charged | None] = lambda instance: None,
    store: NoiseStore | None = None,
    noise_max_age_hours: float = 24.0,
) -> Prepared:
    """Place copies of a program on ``ibm_*``, under its calibration of this moment, and plan the jobs for ``samples``.

    ``seed`` decides placement and arrangement; ``charged`` says how estimates came out on an instance (CRN). Noise of
    layers, where the options need it, is taken from ``store`` if it is there and no older than
    ``noise_max_age_hours``. Raises
    :class:`BackendError` where the account has no such device, where the circuit does not fit on it or cannot run
    there, where the repetition delay is out of its range, and where one sample is more than a job takes.
    """
    for k, observable in enumerate(program.observables):
        if not observable.coeffs.any():
            raise BackendError(f"observable {k} is zero on what the circuit leaves: leave it out, it needs no device")
    options = name.options or HardwareOptions()
    device = service.calibrated(str(name.device), fractional=options.fractional)
    rep_delay = service.rep_delay(device.name)
    rep_delay.chosen(options.rep_delay_us, device.name)
    asked = None if name.references == "auto" else name.references
    wanted = copies_of(name)
    compiled = place_copies(program, device, copies=wanted, seed=seed, samples=samples, references=asked)
    if not compiled.circuit.parameters:
        raise BackendError("the circuit has no parameters left after translation: there is nothing to run in a batch")
    service.check_circuit(device.name, compiled.circuit, fractional=options.fractional)
    copies = len(compiled.copies)
    references = references_for(samples, copies) if asked is None else asked
    arrangement = arrange(samples, copies, references=references, seed=seed)
    host = service.host
    layers = layers_of(compiled.circuit, options) if options.injects_noise else None
    noise = None
    if layers is not None and store is not None:
        noise = store.find(noise_key(device.name, host, layers.known, options), noise_max_age_hours)
    plan = make_plan(
        compiled,
        arrangement,
        options,
        rep_delay=rep_delay,
        quota_seconds=service.remaining_seconds(),
        reference_chunk=reference_chunk,
        seconds_per_circuit=seconds_per_circuit,
        price_per_second=price_per_second,
        charged=charged(service.instance(device.name)),
        layers=layers,
        noise=noise,
    )
    return Prepared(device, compiled, arrangement, plan, host, noise_max_age_hours)


def copies_of(name: BackendName) -> int | Literal["auto"]:
    """Copies that a name asks for; one under PEC unless it has a number, since it cancels the noise of all."""
    one = name.copies == "auto" and name.options is not None and name.options.pec
    return 1 if one else name.copies


def make_task(
    prepared: Prepared,
    inputs: ArrayLike,
    weights: ArrayLike,
    *,
    key: str,
    folder: Path,
    backend: str,
    run: str = "",
    record: dict[str, Any] | None = None,
) -> Submission:
    """The task for :func:`backends.ibm.execution.execute`; ``inputs`` (N, X) and ``weights`` (W,) in radians.

    ``key`` has to name all that decides the result, and ``record`` is kept beside what is kept here. Raises
    ``ValueError`` for inputs or weights of the wrong shape.
    """
    compiled, plan = prepared.compiled, prepared.plan
    return Submission(
        key=key,
        device=prepared.device.name,
        circuit=compiled.circuit,
        observables=compiled.observables,
        values=prepared.arrangement.values(compiled, inputs, weights),
        options=plan.workload.options,
        chunks=plan.chunks,
        folder=folder.absolute(),
        run=run,
        backend=backend,
        noise=plan.noise,
        noise_max_age_hours=prepared.noise_max_age_hours,
        record={
            **(record or {}),
            "host": prepared.host,
            "circuit": dict(compiled.record),
            "plan": plan.as_dict(),
            "rep_delay_seconds": plan.workload.rep_delay_seconds,
            "circuit_seconds": compiled.circuit_seconds,
            "arrangement": prepared.arrangement.as_dict(),
        },
    )


def collect(task: Submission, result: ExecutionResult) -> Collected:
    """Sort the values of a task's copies back to its samples."""
    return Arrangement.from_dict(task.record["arrangement"]).collect(result.evs, result.stds)
