"""Submit the chunks of a task, wait for them, and keep what they gave: nothing lost, nothing paid twice.

A chunk goes through these states, each in the ledger before the next step is taken::

    (nothing) -> intended -> submitted -> queued -> running -> done
                     |           |          |          |
                     +-----------+----------+----------+----> failed, cancelled

``intended`` means that the job may or may not exist. Such a chunk is looked up at the service by its tag, for some
time, before it is sent again. ``failed`` and ``cancelled`` stand until :func:`execute` is called again, which is when
those chunks, and no others, are sent anew. ``done`` means that the raw result is on disk and can be read.

Before anything is sent, results on disk and jobs at the service that the ledger does not have are looked for and taken
over (:mod:`backends.ibm.reconcile`), so that another machine, or one whose ledger is gone, goes on where the first was.

Where noise of layers is learned, that is the first chunk, a job as the others are. They are sent when its result is on
disk, and it is not sent where all others have a job already.

:func:`execute` walks over the chunks again and again and takes for each the one step that its state allows. What the
service does meanwhile, an outage, a full queue, an answer that never came, only means that a step is taken later.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from backends.errors import BackendError
from backends.ibm.client import Service
from backends.ibm.failures import AccountError, NotFoundError, RefusedError, UnavailableError
from backends.ibm.keep import NoResultError, keep_charges, keep_details, keep_result
from backends.ibm.layers import LayerNoise, refuse_stale
from backends.ibm.ledger import ENDED, PENDING, JobRow, Ledger
from backends.ibm.noise_store import NoiseStore
from backends.ibm.reconcile import adopt_jobs, adopt_results, missing, refuse_others, settle, sweep
from backends.ibm.results import ExecutionResult, UnreadableResultError, read_learned, read_results
from backends.ibm.sender import alone_in, read_sender, refuse_other_instance, sender_here, write_sender
from backends.ibm.tags import content_tag, evaluation_tag, ledger_tag
from backends.ibm.task import Submission

Phase = Literal["submitting", "waiting", "trouble", "finished"]
Stage = Literal["submitted", "finished"]
STAGES: tuple[Stage, ...] = ("submitted", "finished")
INTENT_EXPIRY_S = 3600.0
"""Seconds. An intent older than this is looked up once: a request that old has become a job by now, or never will."""
READ_TRIES = 6
"""How often a result that cannot be read is fetched before it is left for another call."""


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
    task: Submission,
    *,
    service: Service,
    ledger: Ledger,
    status: Callable[[Status], None] | None = None,
    detach: bool = False,
    submit: bool = True,
) -> ExecutionResult | Unfinished:
    """Bring a task to its end from wherever it stands, whoever brought it there.

    With ``detach`` only until everything is submitted. Without ``submit`` nothing is sent: what is at the service is
    waited for (looked at once, with ``detach``), and chunks that are not there, or that failed, are left as they are.
    With ``submit`` it is agreed that what is missing be sent; :func:`take_over` says beforehand how much that is.

    Raises :class:`BackendError` when another process is at work on it, when the service refuses (account, quota, a
    request it does not take), when its jobs were sent with something else or by an account that is not seen from here,
    when the disk is full, and, with ``submit``, after all other chunks are finished, when chunks failed or were
    cancelled. Calling it again goes on from there.
    """
    with _at_work(task, ledger, agreed=submit) as kept:
        execution = _Execution(kept, service, ledger, status or (lambda _: None), submit)
        execution.run(until="submitted" if detach else "finished")
        return execution.outcome()


def take_over(task: Submission, *, service: Service | None, ledger: Ledger) -> ExecutionResult | None:
    """Note in the ledger what there is of a kept task that it does not have; sends nothing.

    Looks at the disk, and with ``service`` for jobs there too. Returns the results if all of them are on disk.
    """
    with _at_work(task, ledger) as kept:
        if service is not None:
            adopt_jobs(kept, service, ledger)
        latest = ledger.latest(kept.key)
        needed = kept.needed({chunk: row.state for chunk, row in latest.items()})
        rows = [latest[chunk] for chunk in needed if chunk in latest and latest[chunk].state == "done"]
        if len(rows) < len(needed):
            return None
        try:
            return read_results(kept, rows, _others(ledger, rows))
        except BackendError:  # to be fetched again
            return None


@contextlib.contextmanager
def _at_work(task: Submission, ledger: Ledger, *, agreed: bool = False) -> Iterator[Submission]:
    """Work on a task alone: kept in its folder, noted in the ledger, with what is on disk.

    A disk that is full, or not to be written to, is one sentence.
    """
    try:
        with ledger.lock(task.key), alone_in(task.folder):
            run, kept = task.run, task.save()
            task = replace(kept, noise_max_age_hours=task.noise_max_age_hours)
            ledger.add_evaluation(
                task.key,
                run=run,
                backend=task.backend,
                device=task.device,
                folder=task.folder,
                chunks=len(task.chunks),
                agreed=agreed,
            )
            adopt_results(task, ledger)
            yield task
    except OSError as error:
        where = error.filename or task.folder
        raise BackendError(f"{where} cannot be written: {error.strerror or error}; {_AFTER_DISK}") from None
    except sqlite3.Error as error:
        raise BackendError(f"the ledger {ledger.path} cannot be written: {error}; {_AFTER_DISK}") from None


_AFTER_DISK = "what is submitted goes on at IBM and nothing is lost; make room and run the same command again"


def _others(ledger: Ledger, used: list[JobRow]) -> list[JobRow]:
    """Jobs of the evaluation that these do not use, and that may have been charged."""
    ids = {row.job_id for row in used}
    rows = ledger.jobs(used[0].key)
    return [row for row in rows if row.job_id is not None and row.job_id not in ids and row.state in ENDED]


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
        self, task: Submission, service: Service, ledger: Ledger, status: Callable[[Status], None], submit: bool
    ) -> None:
        self.task, self.service, self.ledger, self.status, self.submit = task, service, ledger, status, submit
        self.waits = service.waits
        self.digest = task.digest()
        self.rows = self.rows_to_go_on_with()
        for chunk, row in self.rows.items():
            if row.state == "done" and not task.details_path(chunk, str(row.job_id)).is_file():
                self.rows[chunk] = replace(row, state="submitted")  # its files were deleted
        self.unreadable: dict[int, NoResultError] = {}
        """Chunks whose job is done and whose result could not be read, each with the last reason."""
        self.read_tries: Counter[int] = Counter()
        self.damaged: set[int] = set()
        """Chunks whose result on disk cannot be read, and is fetched again."""
        self.taken_over = False
        """Whether jobs of the evaluation that the ledger does not have were looked for."""
        self.others_send_until = 0.0
        """Until when (monotonic) jobs that another ledger began to send are looked for."""
        self.looked_for_until: dict[str, float] = {}
        """For intents whose job may exist, the time (monotonic) until which it is looked for."""
        self.not_sent: set[str] = set()
        """Tags of intents that certainly made no job."""
        self.swept: set[Stage] = set(STAGES) if self.is_over("finished") else set()
        """When the service was asked for jobs beyond those in the ledger: ``submitted``, ``finished``."""
        self.checked = False
        self.noise: LayerNoise | None = task.noise
        """What the values are mitigated with; None until it is learned, and without PEA and PEC."""
        self.queue_position: int | None = None
        self.running_seconds = 0.0

    def rows_to_go_on_with(self) -> dict[int, JobRow]:
        """The row of each chunk by the ledger; a chunk that failed or was cancelled has none, and so is sent again."""
        rows = {
            c: row for c, row in self.ledger.latest(self.task.key).items() if row.state not in {"failed", "cancelled"}
        }
        if any(row.digest != self.digest for row in rows.values()):
            raise BackendError(
                f"{self.task.folder} does not hold what the jobs of this evaluation were sent with; restore it, or "
                f"repeat the evaluation under another label"
            )
        return rows

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
                with contextlib.suppress(UnavailableError, RefusedError):
                    keep_charges(self.service, self.ledger, self.task.key)
                self.report("finished", message, 0.0)
                return
            self.report(phase, message, pause)
            time.sleep(pause)

    def is_over(self, until: Stage) -> bool:
        """Whether there is nothing left to wait for."""
        left = [c for c in self.needed() if self.read_tries[c] < READ_TRIES and not self.held_back(c)]
        states = [self.rows[c].state if c in self.rows else "intended" for c in left]
        waited_for = {*(["intended"] if self.submit else []), *(PENDING if until == "finished" else [])}
        return not waited_for & set(states)

    def needed(self) -> list[int]:
        """Chunks whose results are needed."""
        return self.task.needed({chunk: row.state for chunk, row in self.rows.items()})

    def held_back(self, chunk: int) -> bool:
        """Whether a chunk cannot be sent in this call, since the noise that it needs was not learned."""
        learning = self.rows.get(0) if self.task.learns and chunk not in self.rows else None
        if learning is None or chunk == 0:
            return False
        return learning.state in {"failed", "cancelled"} or self.read_tries[0] >= READ_TRIES

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
                quantum_seconds=sum(row.charged_seconds or 0.0 for row in self.ledger.jobs(self.task.key))
                + self.running_seconds,
                pause_seconds=pause,
            )
        )

    def one_pass(self) -> None:
        """One step for each chunk, in their order; a chunk that cannot be sent holds back those after it only."""
        self.queue_position, self.running_seconds = None, 0.0
        if not self.taken_over and missing(self.task, self.ledger):
            self.look_for_jobs()
        trouble: UnavailableError | None = None
        first_pending = True
        for chunk in range(len(self.task.chunks)):
            row = self.rows.get(chunk)
            if row is None or row.state == "intended":
                if trouble is None:
                    try:
                        if self.submit and self.is_due(chunk):
                            self.send_or_find(chunk)
                        elif row is not None:
                            self.settle(row)
                        else:
                            continue
                        self.report("submitting", "", 0.0)
                    except UnavailableError as error:
                        trouble = error
            elif row.state in PENDING and self.read_tries[chunk] < READ_TRIES:
                try:
                    self.look(row, ask_details=first_pending)
                except NoResultError as error:
                    self.read_tries[chunk] += 1
                    self.unreadable[chunk] = error
                    trouble = error if self.read_tries[chunk] < READ_TRIES else trouble
                first_pending = False
        if trouble is not None:
            raise trouble
        for stage in STAGES:
            if self.is_over(stage) and stage not in self.swept:
                self.rows.update((row.chunk, row) for row in sweep(self.service, self.ledger, self.task.key))
                self.swept.add(stage)
        if self.is_over("submitted"):
            self.close_batch()

    # Submitting.

    def look_for_jobs(self) -> None:
        """Take over jobs of the evaluation that the ledger does not have; raises where they are of no use here."""
        others = adopt_jobs(self.task, self.service, self.ledger)
        if self.submit and missing(self.task, self.ledger):
            refuse_others(others, self.task.folder)
        for chunk, row in self.rows_to_go_on_with().items():
            if chunk not in self.rows or self.rows[chunk].tag != row.tag:
                self.rows[chunk] = row
                evaluation = self.ledger.evaluation(self.task.key)
                if evaluation is not None and evaluation.batch_id is None:
                    self.ledger.set_batch(self.task.key, row.batch_id)  # to be closed in the end
        self.taken_over = True

    def become_sender(self, instance: str) -> None:
        """Write into the folder that this ledger sends now, unless another one may be sending; see ``sender.py``."""
        here, before = sender_here(self.ledger.id, instance), read_sender(self.task.folder)
        if before is not None and before.ledger != here.ledger:
            if before.instance != here.instance:
                raise refuse_other_instance(self.task.folder, before)
            if not self.others_send_until:
                recent = before.age_seconds < INTENT_EXPIRY_S
                self.others_send_until = time.monotonic() + (self.waits.grace if recent else 0.0)
            self.look_for_jobs()
            if time.monotonic() < self.others_send_until:
                raise UnavailableError(
                    f"{before.who} began to send this evaluation at {before.begun}: looking for those jobs before "
                    f"anything is sent"
                )
        write_sender(self.task.folder, here)

    def is_due(self, chunk: int) -> bool:
        """Whether a chunk is to be sent now, and not only when the noise that it needs is learned, or not at all."""
        if chunk not in self.needed():
            return False
        if not self.task.options.injects_noise or self.task.chunks[chunk].learning:
            return True
        if self.noise is None:
            self.noise = self.read_noise()
        return self.noise is not None

    def refuse_stale(self) -> None:
        """Raise :class:`BackendError` where the noise that is sent along is too old."""
        if self.noise is not None:
            refuse_stale(self.noise, self.task.noise_max_age_hours)

    def read_noise(self) -> LayerNoise | None:
        """The noise that the first chunk learned, kept for other evaluations too; None where it is not there yet."""
        row = self.rows.get(0)
        if row is None or row.state != "done":
            return None
        try:
            noise = read_learned(self.task, row)
        except UnreadableResultError:
            if 0 in self.damaged:
                raise
            self.damaged.add(0)
            self.rows[0] = replace(row, state="submitted")  # to be fetched again
            return None
        NoiseStore.beside(self.ledger.path).keep(noise)
        return noise

    def send_or_find(self, chunk: int) -> None:
        """Submit a chunk, unless its job exists already."""
        row = self.rows.get(chunk)
        if row is None:
            self.check_circuit()
            self.become_sender(self.service.instance(self.task.device))
            if chunk in self.rows:  # its job was found
                return
            self.refuse_stale()
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
        return time.monotonic() + (self.waits.grace if _age(row) < INTENT_EXPIRY_S else 0.0)

    def check_circuit(self) -> None:
        """Check the circuit as the service would, once, before anything is sent."""
        if not self.checked:
            fractional = self.task.options.fractional
            self.service.check_circuit(self.task.device, self.task.circuit, fractional=fractional)
            self.checked = True

    def send(self, row: JobRow) -> None:
        """Submit an intended job, write down its id, and see that it is the only one."""
        self.check_circuit()
        self.refuse_stale()
        batch_id, instance = self.batch(), self.service.instance(self.task.device)
        self.become_sender(instance)
        if self.rows[row.chunk].tag != row.tag:  # another ledger has sent it meanwhile
            return
        self.ledger.update(row.tag, state="intended")  # as of now
        self.not_sent.discard(row.tag)
        try:
            job_id = self.service.submit(
                self.task.device,
                self.task.work(row.chunk),
                noise=None if self.noise is None else (self.task.layers, self.noise),
                options=self.task.options,
                tags=[
                    ledger_tag(self.task.key, self.ledger.id),
                    row.tag,
                    evaluation_tag(self.task.key),
                    content_tag(self.task.key, row.chunk, self.digest),
                ],
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
        # The client repeats a request that is answered 5xx, and says nothing of a job that the first one made.
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
        if row.chunk not in self.damaged and self.task.result_path(row.chunk, job_id).is_file():
            self.rows[row.chunk] = keep_details(self.task, self.service, self.ledger, row)
            return
        try:
            state, reason = self.service.state(job_id)
        except NotFoundError as error:
            if row.chunk in self.damaged:
                raise
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
        self.raise_for_unreadable()
        chunks = self.needed()
        if any(chunk not in self.rows or self.rows[chunk].state != "done" for chunk in chunks):
            ids = [self.rows[chunk].job_id for chunk in chunks if chunk in self.rows]
            return Unfinished(self.task.key, tuple(str(job_id) for job_id in ids if job_id is not None))
        rows = [self.ledger.job(self.rows[chunk].tag) for chunk in chunks]
        try:
            return read_results(self.task, rows, _others(self.ledger, rows))
        except UnreadableResultError as error:
            if error.chunk in self.damaged:
                raise
            return self.fetch_again(error)

    def fetch_again(self, error: UnreadableResultError) -> ExecutionResult | Unfinished:
        """Fetch a result again that cannot be read from the disk; raises the error where its job is not known."""
        self.damaged.add(error.chunk)
        self.rows[error.chunk] = replace(self.rows[error.chunk], state="submitted")
        try:
            self.run(until="finished")
        except NotFoundError:
            raise error from None
        return self.outcome()

    def raise_for_unreadable(self) -> None:
        """Raise where a job is done whose result could not be read, after some tries."""
        left = [chunk for chunk, tries in self.read_tries.items() if tries >= READ_TRIES]
        if left:
            raise BackendError(
                f"{self.unreadable[left[0]]}; job {self.rows[left[0]].job_id} of chunk {left[0] + 1} is finished and "
                f"is not sent again, and the same command fetches its result again"
            )

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
