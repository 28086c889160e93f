"""The one module that talks to qiskit-ibm-runtime: account, devices, batches, jobs, and the choice of estimator.

The service is created as the client itself is configured (its environment variables, its account store), so a proxy, a
private endpoint or a test server needs nothing of ours. Every request ends: one that is not answered is given up, an
expired login is renewed once, and what the client raises becomes an error of :mod:`backends.ibm.failures`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

import numpy as np
from qiskit import QuantumCircuit
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.providers.exceptions import QiskitBackendNotFoundError
from qiskit_ibm_runtime import Batch, NoiseLearnerV3, QiskitRuntimeService
from qiskit_ibm_runtime.decoders.result_decoder import ResultDecoder
from qiskit_ibm_runtime.exceptions import (
    IBMInputValueError,
    RuntimeInvalidStateError,
    RuntimeJobFailureError,
    RuntimeJobMaxTimeoutError,
)
from qiskit_ibm_runtime.executor_estimator import Estimator
from qiskit_ibm_runtime.utils.validations import validate_isa_circuits, validate_rzz_pubs

from backends.devices import Device, device_of
from backends.errors import BackendError
from backends.hardware_options import HardwareOptions
from backends.ibm.failures import (
    AccountError,
    NoTokenError,
    RefusedError,
    UnauthorizedError,
    from_the_client,
    plain,
    refuse_raw_key,
    understood,
)
from backends.ibm.layers import LayerNoise, Layers
from backends.ibm.repetition import RepDelay, rep_delay_of
from backends.ibm.tested import refuse_changed_client, refuse_leaking_client
from backends.ibm.their_options import estimator_options, learner_options
from backends.ibm.transport import post_once
from backends.ibm.waits import Waits

T = TypeVar("T")
RemoteState = Literal["queued", "running", "done", "failed", "cancelled"]
_STATES: dict[str, RemoteState] = {
    "INITIALIZING": "queued",
    "QUEUED": "queued",
    "RUNNING": "running",
    "DONE": "done",
    "ERROR": "failed",
}


@dataclass(frozen=True)
class JobDetails:
    """What the service counts for a job so far."""

    quantum_seconds: float
    """So far; what was charged once ``final``."""
    final: bool
    queue_position: int | None
    """None where the service does not say."""
    timestamps: dict[str, str]
    """ISO times: created, running, finished."""


@dataclass(frozen=True)
class FoundJob:
    """A job found by its tags."""

    job_id: str
    batch_id: str | None
    tags: tuple[str, ...]
    created: str


class Service:
    """The IBM account that the client finds, logged in.

    Raises :class:`BackendError` where there is no account, where its key is refused or where the service is not
    reached. Every method may raise :class:`UnavailableError`, where the same call may work later, and
    :class:`RefusedError`.
    """

    def __init__(self, waits: Waits | None = None) -> None:
        if "QISKIT_IBM_RUNTIME_LOG_LEVEL" not in os.environ:
            # Three lines at every login where no instance is configured; which one is used is in the ledger.
            logging.getLogger("qiskit_ibm_runtime").setLevel(logging.ERROR)
        self.waits = waits or Waits.from_environment()
        self._service: Any = None
        self._ask("logging in at IBM", lambda: None)

    def _login(self) -> None:
        refuse_changed_client()
        self._service = QiskitRuntimeService()
        self._devices: dict[tuple[str, bool], Any] = {}
        self._jobs: dict[str, Any] = {}
        self._batches: dict[str, Batch] = {}

    def _ask(self, what: str, call: Callable[[], T], seconds: float | None = None) -> T:
        """Call the client, with a login first where there is none, and with a new one if that has expired."""

        def with_login() -> T:
            if self._service is None:
                self._login()
            return call()

        new_login = self._service is None
        try:
            return self._within(seconds or self.waits.request, what, with_login)
        except NoTokenError:
            # Within a minute of a failure the client's token manager only waits; a new login tries at once.
            self._service = None
            raise
        except UnauthorizedError:
            self._service = None
            if new_login:
                raise
        return self._within(seconds or self.waits.request, what, with_login)

    @staticmethod
    def _within(seconds: float, what: str, call: Callable[[], T]) -> T:
        """Call in a thread of its own, given up after ``seconds``: the client waits for ever for an answer."""
        refuse_raw_key()
        answer: Future[T] = Future()

        def work() -> None:
            try:
                answer.set_result(call())
            except BaseException as error:
                answer.set_exception(error)

        threading.Thread(target=work, daemon=True).start()
        try:
            return answer.result(timeout=seconds)
        except Exception as error:
            if not from_the_client(error):
                raise
            failure = understood(error, what)
        # Raised out here it does not carry the client's error along, which may quote the key.
        raise failure

    @property
    def host(self) -> str:
        """Host that answers; the rest of the account, its key included, is not looked at."""
        url = self._ask("logging in at IBM", lambda: self._service.active_account().get("url"))
        return urlsplit(str(url)).hostname or "unknown"

    def _device(self, name: str, *, fractional: bool = False) -> Any:
        if (name, fractional) not in self._devices:
            try:
                self._devices[name, fractional] = self._service.backend(name, use_fractional_gates=fractional)
            except IBMInputValueError:
                if not fractional:
                    raise
                raise RefusedError(f"{name} has no fractional gates; leave fractional out") from None
            except QiskitBackendNotFoundError:
                # The client swallows why it could not list its devices; this request says why.
                self._service.usage()
                known = ", ".join(sorted(backend.name for backend in self._service.backends()))
                raise RefusedError(f"this IBM account has no device {name}; it has {known or 'none'}") from None
        return self._devices[name, fractional]

    def calibrated(self, name: str, *, fractional: bool = False) -> Device:
        """A device with its calibration of this moment; raises :class:`BackendError` where the account has none.

        With ``fractional`` its gates of any angle are among its gates; :class:`RefusedError` where it has none.
        """

        def read() -> Device:
            return device_of(self._device(name, fractional=fractional), name)

        return self._ask(f"reading the calibration of {name}", read)

    def rep_delay(self, name: str) -> RepDelay:
        """Pause between two executions that a device states: its default and its range."""
        return self._ask(f"asking for {name}", lambda: rep_delay_of(self._device(name)))

    def instance(self, device: str) -> str:
        """CRN of the instance through which a device is used."""

        def look() -> str:
            self._device(device)
            return str(self._service.active_instance())

        return self._ask("asking for the instance", look)

    def devices(self) -> dict[str, tuple[int, int, bool]]:
        """For each device of the account its qubits, the jobs in its queue, and whether it takes jobs."""

        def look() -> dict[str, tuple[int, int, bool]]:
            found = {}
            for backend in self._service.backends():
                status = backend.status()
                found[backend.name] = (int(backend.num_qubits), int(status.pending_jobs), bool(status.operational))
            return found

        return self._ask("asking for the devices", look)

    def queue(self, device: str) -> int:
        """Jobs in the queue of a device, everybody's."""
        status = self._ask(f"asking for the queue of {device}", lambda: self._device(device).status())
        return int(status.pending_jobs)

    def remaining_seconds(self) -> float | None:
        """Quantum seconds left in the instance's quota; None where the service states none."""
        usage = self._ask("asking for the quota", lambda: self._service.usage())
        if usage.get("usage_limit_reached"):
            return 0.0
        left = usage.get("usage_remaining_seconds")
        return None if left is None else float(left)

    def check_circuit(self, device: str, circuit: QuantumCircuit, *, fractional: bool = False) -> None:
        """Check as the service would, only before the queue; raises :class:`BackendError` naming the fault."""

        def check() -> None:
            backend = self._device(device, fractional=fractional)
            validate_isa_circuits([circuit], backend.target)
            validate_rzz_pubs([EstimatorPub.coerce((circuit, [], np.zeros(len(circuit.parameters))))])
            try:
                backend.check_faulty(circuit)
            except ValueError as error:
                raise BackendError(f"{device} reports a fault where the circuit was placed: {error}") from None

        self._ask("checking the circuit", check)

    def open_batch(self, device: str) -> str:
        """Open a batch; returns its id. :class:`RefusedError` where the service has no batches for this account."""

        def make() -> str:
            batch = Batch(self._device(device))
            batch_id = str(batch.session_id)
            self._batches[batch_id] = batch
            return batch_id

        return self._ask("opening a batch", make)

    def batch_is_open(self, batch_id: str) -> bool:
        """Whether a batch still takes jobs."""

        def look() -> bool:
            batch = self._batch(batch_id)
            details = batch.details() or {}
            return bool(details.get("accepting_jobs", details.get("state") != "closed"))

        try:
            return self._ask("looking for the batch", look)
        except AccountError:
            raise
        except RefusedError:
            return False

    def close_batch(self, batch_id: str) -> None:
        """Let a batch take no more jobs; those it has run on."""
        with contextlib.suppress(RefusedError):
            self._ask("closing the batch", lambda: self._batch(batch_id).close())

    def _batch(self, batch_id: str) -> Batch:
        if batch_id not in self._batches:
            self._batches[batch_id] = Batch.from_id(batch_id, self._service)
        return self._batches[batch_id]

    def submit(
        self,
        device: str,
        work: EstimatorPub | Layers,
        *,
        options: HardwareOptions,
        tags: list[str],
        max_execution_seconds: int,
        batch_id: str | None,
        noise: tuple[Layers, LayerNoise] | None = None,
    ) -> str:
        """Send one job, in a batch or by itself: a PUB to be estimated, or layers to be learned; returns its id.

        ``noise`` is what was learned, where ``options`` mitigate with it. :class:`UnavailableError` says with
        ``maybe_done`` whether there may be a job now all the same.
        """

        def send() -> str:
            plain = self._device(device, fractional=options.fractional)
            mode = plain if batch_id is None else self._batch(batch_id)
            self._make_safe(self._device(device))
            try:
                job = _submit_work(mode, work, noise, options, tags, max_execution_seconds)
            except QiskitBackendNotFoundError:
                # The client lists its devices before it submits, and swallows why it could not; this says why.
                self._service.usage()
                raise
            self._jobs[job.job_id()] = job
            return str(job.job_id())

        return self._ask("submitting the job", send, self.waits.transfer)

    def dry_run(
        self,
        device: str,
        work: EstimatorPub | Layers,
        *,
        options: HardwareOptions,
        tags: list[str],
        max_execution_seconds: int,
        noise: tuple[Layers, LayerNoise] | None = None,
    ) -> str:
        """Post one job to the ``mock_`` twin of a device, as the client's own dry run does; returns the job's id.

        Raises :class:`RefusedError` where the account has no such twin.
        """
        twin = f"mock_{device.partition('_')[2]}"

        def send() -> str:
            self._make_safe(self._device(device))
            mode = self._device(device, fractional=options.fractional)
            try:
                job = _submit_work(mode, work, noise, options, tags, max_execution_seconds, dry_run=True)
            except QiskitBackendNotFoundError:
                self._service.usage()
                raise RefusedError(
                    f"this IBM account has no {twin}, so the service cannot check a job of {device} without running "
                    f"it; nothing was posted"
                ) from None
            self._jobs[job.job_id()] = job
            return str(job.job_id())

        return self._ask("posting the dry run", send, self.waits.transfer)

    def usage_estimate(self, job_id: str) -> float | None:
        """Quantum seconds that the service estimates for a job; None where it does not say."""
        estimate = self._ask(f"asking for job {job_id}", lambda: self._job(job_id).usage_estimation)
        seconds = estimate.get("quantum_seconds")
        return None if seconds is None else float(seconds)

    def _make_safe(self, backend: Any) -> None:
        """See that the session which will send a job sends it once, and never the key; changes nothing else of it."""
        session = self._service._api_clients[backend._instance]._session
        refuse_leaking_client(session.auth)
        post_once(session)

    def find(self, tag: str, *, mocks: bool = False) -> list[FoundJob]:
        """All jobs of the instance in use that carry a tag, oldest first, cancelled ones included.

        Those of mock devices only with ``mocks``.
        """
        return self._look_for(job_tags=[tag], include_mocks=mocks)

    def find_all(self, device: str) -> list[FoundJob]:
        """All jobs of the instance in use that ever were sent to a device, oldest first; takes a request for 20."""
        return self._look_for(backend_name=device, program_id="executor")

    def _look_for(self, **which: Any) -> list[FoundJob]:
        def look() -> list[FoundJob]:
            jobs = self._service.jobs(limit=None, instance=self._service.active_instance(), **which)
            return [FoundJob(j.job_id(), j.session_id, tuple(j.tags or ()), j.creation_date.isoformat()) for j in jobs]

        return sorted(self._ask("looking for jobs by their tag", look), key=lambda job: (job.created, job.job_id))

    def state(self, job_id: str) -> tuple[RemoteState, str | None]:
        """State of a job and, where it failed or was cancelled, the service's reason."""

        def look() -> tuple[RemoteState, str | None]:
            job = self._job(job_id)
            status = str(job.status())
            state: RemoteState = "cancelled" if status.startswith("CANCEL") else _STATES.get(status, "running")
            if state not in {"failed", "cancelled"}:
                return state, None
            try:
                job.result()
            except (RuntimeJobFailureError, RuntimeJobMaxTimeoutError) as error:
                return state, plain(str(error.message).removeprefix("Unable to retrieve job result. "))
            except RuntimeInvalidStateError:  # cancelled: there is no more to say
                pass
            return state, None

        return self._ask(f"asking for job {job_id}", look)

    def details(self, job_id: str) -> JobDetails:
        """Times and cost of a job so far."""
        metrics = self._ask(f"asking for the cost of job {job_id}", lambda: self._job(job_id).metrics())
        usage = metrics.get("usage") or {}
        position = metrics.get("position_in_queue")
        times = metrics.get("timestamps") or {}
        return JobDetails(
            quantum_seconds=float(usage.get("qpu_charge_time_seconds") or 0.0),
            final=usage.get("status", "pending") != "pending",
            queue_position=None if position is None else int(position),
            timestamps={name: str(time) for name, time in times.items() if time},
        )

    def fetch(self, job_id: str) -> str:
        """What the service sends as the result of a job that is done, exactly as it is; it may be no result."""

        def load() -> Any:
            return self._job(job_id).result(decoder=_Verbatim)

        return self._ask(f"fetching the result of job {job_id}", load, self.waits.transfer) or ""

    def calibration(self, job_id: str) -> dict[str, Any] | None:
        """Calibration of the device when a job began to run, as the service gives it; None where it has none."""
        properties = self._ask(
            f"asking for the calibration of job {job_id}", lambda: self._job(job_id).properties(refresh=True)
        )
        return None if properties is None else dict(properties.to_dict())

    def cancel(self, job_id: str) -> bool:
        """Cancel a job; False where it had ended already."""

        def stop() -> bool:
            try:
                self._job(job_id).cancel()
            except RuntimeInvalidStateError:
                return False
            return True

        return self._ask(f"cancelling job {job_id}", stop)

    def _job(self, job_id: str) -> Any:
        if job_id not in self._jobs:
            self._jobs[job_id] = self._service.job(job_id)
        return self._jobs[job_id]


class _Verbatim(ResultDecoder):
    """Leaves a result as it came."""

    @classmethod
    def decode(cls, data: Any) -> Any:
        return data


def _submit_work(
    mode: Any,
    work: EstimatorPub | Layers,
    noise: tuple[Layers, LayerNoise] | None,
    options: HardwareOptions,
    tags: list[str],
    max_execution_seconds: int,
    *,
    dry_run: bool = False,
) -> Any:
    """Let IBM's estimator, or its noise learner, send one job."""
    if isinstance(work, Layers):
        learner = NoiseLearnerV3(mode, learner_options(options, tags, max_execution_seconds))
        return learner.run(work.instructions, dry_run=dry_run)
    theirs = estimator_options(options, tags, max_execution_seconds)
    if noise is not None:
        layers, learned = noise
        theirs.resilience.layer_noise_model = list(zip(layers.instructions, learned.maps(), strict=True))
    return Estimator(mode, theirs).run([work], dry_run=dry_run)
