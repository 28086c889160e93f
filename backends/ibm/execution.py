"""Submit the chunks of a task, wait for them, and keep what they gave: nothing lost, nothing paid twice.

A chunk goes through these states, each in the ledger before the next step is taken::

    (nothing) -> intended -> submitted -> queued -> running -> done
                     |           |          |          |
                     +-----------+----------+----------+----> failed, cancelled

``intended`` means that the job may or may not exist. Such a chunk is looked up at the service by its tag, for some
time, before it is sent again. ``failed`` and ``cancelled`` stand until :func:`execute` is called again, which is when
those chunks, and no others, are sent anew. ``done`` means that the raw result is on disk.

:func:`execute` walks over the chunks again and again and takes for each the one step that its state allows. What the
service does meanwhile, an outage, a full queue, an answer that never came, only means that a step is taken later.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from backends.errors import BackendError
from backends.ibm.client import Service
from backends.ibm.failures import AccountError, NotFoundError, RefusedError, UnavailableError
from backends.ibm.keep import keep_charge, keep_details, keep_result
from backends.ibm.ledger import PENDING, JobRow, Ledger
from backends.ibm.reconcile import settle, sweep
from backends.ibm.results import ExecutionResult, read_results
from backends.ibm.task import Task

Phase = Literal["submitting", "waiting", "trouble", "finished"]
Stage = Literal["submitted", "finished"]
STAGES: tuple[Stage, ...] = ("submitted", "finished")
RECENT = 3600.0
"""Seconds. An intent older than this is looked up once: a request that old has become a job by now, or never will."""


@dataclass(frozen=True)
class Status:
    """Where an evaluation stands, for people who wait."""

    phase: Phase
    message: str
    chunks: int
    submitted: int
    """Chunks that have a job, finished ones included."""
    finished: int
    """Chunks whose result is on disk."""
    failed: int
    queue_position: int | None
    """Of the next job to run; where the service does not say, the jobs in the device's queue."""
    quantum_seconds: float
    """Used so far."""
    pause_seconds: float
    """Until the next look."""


@dataclass(frozen=True)
class Unfinished:
    """Not all results are here: they were not waited for, or a chunk is not sent that was not to be sent."""

    key: str
    job_ids: tuple[str, ...]
    """Of the chunks that have a job."""


def execute(
    task: Task,
    *,
    service: Service,
    ledger: Ledger,
    status: Callable[[Status], None] | None = None,
    detach: bool = False,
    submit: bool = True,
) -> ExecutionResult | Unfinished:
    """Bring a task to its end from wherever it stands.

    With ``detach`` only until everything is submitted. Without ``submit`` nothing is sent: what is at the service is
    waited for (looked at once, with ``detach``), and chunks that are not there, or that failed, are left as they are.

    Raises :class:`BackendError` when another process is at work on it, when the service refuses (account, quota, a
    request it does not take), and, with ``submit``, after all other chunks are finished, when chunks failed or were
    cancelled. Calling it again goes on from there.
    """
    with ledger.lock(task.key):
        task = task.save()
        ledger.add_evaluation(
            task.key,
            run=task.run,
            backend=task.backend,
            device=task.device,
            folder=task.folder,
            chunks=len(task.chunks),
        )
        execution = _Execution(task, service, ledger, status or (lambda _: None), submit)
        execution.run(until="submitted" if detach else "finished")
        return execution.outcome()


def cancel(key: str, *, service: Service, ledger: Ledger) -> list[str]:
    """Cancel the jobs of an evaluation that have not ended; returns the ids of those that were stopped."""
    stopped = []
    with ledger.lock(key):
        evaluation = ledger.evaluation(key)
        if evaluation is not None and evaluation.batch_id is not None:
            service.close_batch(evaluation.batch_id)
            ledger.set_batch(key, None)
        for row in ledger.latest(key).values():
            if row.state == "intended":  # its job may exist
                row = settle(service, ledger, row) or row
            if row.state in PENDING and row.job_id is not None and service.cancel(row.job_id):
                ledger.update(row.tag, state="cancelled", reason="cancelled here")
                stopped.append(row.job_id)
                details = service.details(row.job_id)
                ledger.update(row.tag, charged_seconds=details.quantum_seconds if details.final else None)
    return stopped


class _Execution:
    def __init__(
        self, task: Task, service: Service, ledger: Ledger, status: Callable[[Status], None], submit: bool
    ) -> None:
        self.task, self.service, self.ledger, self.status, self.submit = task, service, ledger, status, submit
        self.waits = service.waits
        self.digest = task.digest()
        latest = ledger.latest(task.key)
        if any(row.digest != self.digest for row in latest.values()):
            raise BackendError(
                f"{task.folder} does not hold what the jobs of this evaluation were sent with; restore it, or repeat "
                f"the evaluation under another label"
            )
        # A chunk that failed in an earlier call has no row here, and so is sent again.
        self.rows = {chunk: row for chunk, row in latest.items() if row.state not in {"failed", "cancelled"}}
        for chunk, row in self.rows.items():
            if row.state == "done" and not task.details_path(chunk, str(row.job_id)).is_file():
                self.rows[chunk] = replace(row, state="submitted")  # its files were deleted
        self.looked_for_until: dict[str, float] = {}
        """For intents whose job may exist, the time (monotonic) until which it is looked for."""
        self.not_sent: set[str] = set()
        """Tags of intents that certainly made no job."""
        self.swept: set[Stage] = set(STAGES) if self.is_over("finished") else set()
        """When the service was asked for jobs beyond those in the ledger: ``submitted``, ``finished``."""
        self.checked = False
        self.queue_position: int | None = None
        self.running_seconds = 0.0

    def run(self, until: Stage) -> None:
        """Take steps until everything is submitted, or finished."""
        tries = 0
        while True:
            phase: Phase = "waiting"
            try:
                self.one_pass()
                tries, message, pause = 0, "", self.waits.between_looks()
            except UnavailableError as error:
                tries, phase, message = tries + 1, "trouble", str(error)
                pause = self.waits.after_trouble(tries, error.retry_after)
            # With all results on disk there is nothing left that an outage could hold up.
            if self.is_over("finished") or (tries == 0 and self.is_over(until)):
                self.report("finished", message, 0.0)
                return
            self.report(phase, message, pause)
            time.sleep(pause)

    def is_over(self, until: Stage) -> bool:
        """Whether there is nothing left to wait for."""
        states = [self.rows[c].state if c in self.rows else "intended" for c in range(len(self.task.chunks))]
        waited_for = {*(["intended"] if self.submit else []), *(PENDING if until == "finished" else [])}
        return not waited_for & set(states)

    def report(self, phase: Phase, message: str, pause: float) -> None:
        """Tell the caller where it stands."""
        rows = list(self.rows.values())
        self.status(
            Status(
                phase=phase,
                message=message,
                chunks=len(self.task.chunks),
                submitted=sum(row.job_id is not None for row in rows),
                finished=sum(row.state == "done" for row in rows),
                failed=sum(row.state in {"failed", "cancelled"} for row in rows),
                queue_position=self.queue_position,
                quantum_seconds=sum(row.charged_seconds or 0.0 for row in rows) + self.running_seconds,
                pause_seconds=pause,
            )
        )

    def one_pass(self) -> None:
        """One step for each chunk, in their order; a chunk that cannot be sent holds back those after it only."""
        self.queue_position, self.running_seconds = None, 0.0
        trouble: UnavailableError | None = None
        first_pending = True
        for chunk in range(len(self.task.chunks)):
            row = self.rows.get(chunk)
            if row is None or row.state == "intended":
                if trouble is None:
                    try:
                        if self.submit:
                            self.send_or_find(chunk)
                        elif row is not None:
                            self.settle(row)
                        self.report("submitting", "", 0.0)
                    except UnavailableError as error:
                        trouble = error
            elif row.state in PENDING:
                self.look(row, ask_details=first_pending)
                first_pending = False
            elif row.state == "done" and row.charged_seconds is None:
                self.rows[chunk] = keep_charge(self.service, self.ledger, row)
        if trouble is not None:
            raise trouble
        for stage in STAGES:
            if self.is_over(stage) and stage not in self.swept:
                self.rows.update((row.chunk, row) for row in sweep(self.service, self.ledger, self.task.key))
                self.swept.add(stage)
        if self.is_over("submitted"):
            self.close_batch()

    # Submitting.

    def send_or_find(self, chunk: int) -> None:
        """Submit a chunk, unless its job exists already."""
        row = self.rows.get(chunk)
        if row is None:
            self.check_circuit()
            estimated = self.task.chunks[chunk].estimated_seconds
            row = self.ledger.intend(self.task.key, chunk, digest=self.digest, estimated_seconds=estimated)
            self.rows[chunk] = row
            self.not_sent.add(row.tag)
            self.send(row)
        elif row.tag in self.not_sent:
            self.send(row)
        elif not self.settle(row):
            if time.monotonic() >= self.looked_for_until.setdefault(row.tag, self.end_of_search(row)):
                self.send(row)
            else:
                raise UnavailableError(
                    f"chunk {chunk + 1} may have become a job although no answer came: looking for that job before "
                    f"anything is sent again"
                )

    def end_of_search(self, row: JobRow) -> float:
        """Until when an intent left by another process is looked for."""
        return time.monotonic() + (self.waits.grace if _age(row) < RECENT else 0.0)

    def check_circuit(self) -> None:
        """Check the circuit as the service would, once, before anything is sent."""
        if not self.checked:
            self.service.check_circuit(self.task.device, self.task.circuit)
            self.checked = True

    def send(self, row: JobRow) -> None:
        """Submit an intended job, write down its id, and see that it is the only one."""
        self.check_circuit()
        batch_id, instance = self.batch(), self.service.instance(self.task.device)
        self.ledger.update(row.tag, state="intended")  # as of now
        self.not_sent.discard(row.tag)
        try:
            job_id = self.service.submit(
                self.task.device,
                self.task.pub(row.chunk),
                options=self.task.options,
                tags=[self.ledger.evaluation_tag(self.task.key), row.tag],
                max_execution_seconds=self.task.chunks[row.chunk].max_execution_seconds,
                batch_id=batch_id,
            )
        except UnavailableError as error:
            if error.maybe_done:
                self.looked_for_until[row.tag] = time.monotonic() + self.waits.grace
            else:
                self.not_sent.add(row.tag)
            raise
        except RefusedError as error:
            self.rows[row.chunk] = self.ledger.update(row.tag, state="failed", reason=str(error))
            raise
        self.rows[row.chunk] = row = self.ledger.update(
            row.tag, state="submitted", job_id=job_id, batch_id=batch_id, instance=instance
        )
        # Behind a proxy urllib3 repeats a request whose answer was lost, and says nothing of the first job.
        self.settle(row)

    def settle(self, row: JobRow) -> bool:
        """Whether a chunk has a job at the service; see :func:`backends.ibm.reconcile.settle`."""
        found = settle(self.service, self.ledger, row)
        if found is not None:
            self.rows[row.chunk] = found
        return found is not None

    # Batches.

    def batch(self) -> str | None:
        """The open batch of the evaluation, or a new one; None, for job mode, where the service refuses batches."""
        evaluation = self.ledger.evaluation(self.task.key)
        batch_id = evaluation.batch_id if evaluation is not None else None
        if batch_id is not None and self.service.batch_is_open(batch_id):
            return batch_id
        try:
            batch_id = self.service.open_batch(self.task.device)
        except AccountError:
            raise
        except RefusedError:
            return None
        self.ledger.set_batch(self.task.key, batch_id)
        return batch_id

    def close_batch(self) -> None:
        """Close the batch that may be open: it takes no more jobs, and ends when the last one has run."""
        evaluation = self.ledger.evaluation(self.task.key)
        if evaluation is not None and evaluation.batch_id is not None:
            self.service.close_batch(evaluation.batch_id)
            self.ledger.set_batch(self.task.key, None)

    # Waiting.

    def look(self, row: JobRow, *, ask_details: bool) -> None:
        """Ask how a job is, and keep its result if it is done."""
        job_id = str(row.job_id)
        if self.task.result_path(row.chunk, job_id).is_file():
            self.rows[row.chunk] = keep_details(self.task, self.service, self.ledger, row)
            return
        try:
            state, reason = self.service.state(job_id)
        except NotFoundError as error:
            if _age(row) < self.waits.grace:
                raise UnavailableError(str(error)) from None
            raise BackendError(
                f"IBM does not know job {job_id} of chunk {row.chunk + 1}: it was sent with the instance "
                f"{row.instance}; use the account and instance it was sent with"
            ) from None
        match state:
            case "done":
                self.rows[row.chunk] = keep_result(self.task, self.service, self.ledger, row)
            case "failed" | "cancelled":
                details = self.service.details(job_id)
                charged = details.quantum_seconds if details.final else None
                self.rows[row.chunk] = self.ledger.update(row.tag, state=state, reason=reason, charged_seconds=charged)
            case _:
                if state != row.state:
                    self.rows[row.chunk] = self.ledger.update(row.tag, state=state)
                if ask_details:
                    details = self.service.details(job_id)
                    self.queue_position = details.queue_position
                    self.running_seconds = details.quantum_seconds
                    if state == "queued" and self.queue_position is None:
                        self.queue_position = self.service.queue(self.task.device)

    # The end.

    def outcome(self) -> ExecutionResult | Unfinished:
        """The results where all are here; raises where a chunk that was to be sent failed."""
        if self.submit:
            self.raise_for_failed()
        chunks = range(len(self.task.chunks))
        if any(chunk not in self.rows or self.rows[chunk].state != "done" for chunk in chunks):
            ids = [self.rows[chunk].job_id for chunk in chunks if chunk in self.rows]
            return Unfinished(self.task.key, tuple(str(job_id) for job_id in ids if job_id is not None))
        surplus = [str(row.job_id) for row in self.ledger.jobs(self.task.key) if row.state == "surplus"]
        return read_results(self.task, [self.rows[chunk] for chunk in chunks], surplus)

    def raise_for_failed(self) -> None:
        """Raise where a chunk failed in this call."""
        failed = [row for row in self.rows.values() if row.state in {"failed", "cancelled"}]
        if failed:
            first = min(failed, key=lambda row: row.chunk)
            was = "failed" if first.state == "failed" else "was cancelled"
            said = f": {first.reason}" if first.reason else ""
            others = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
            finished = sum(row.state == "done" for row in self.rows.values())
            raise BackendError(
                f"job {first.job_id} of chunk {first.chunk + 1} {was}{others}{said}; {finished} of "
                f"{len(self.task.chunks)} chunks are finished and kept, and the same command sends only the others "
                f"again"
            )


def _age(row: JobRow) -> float:
    """Seconds since a row was changed last."""
    return (datetime.now(UTC) - datetime.fromisoformat(row.updated)).total_seconds()
