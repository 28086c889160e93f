"""Hardware from Python: a plan that costs nothing, a submission that is paid once, and its result."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backends.errors import BackendError
from backends.ibm.client import Service
from backends.ibm.execution import Unfinished, cancel, execute, take_over
from backends.ibm.ledger import Ledger
from backends.ibm.prepare import Prepared
from backends.ibm.reconcile import refuse_jobs_elsewhere
from backends.ibm.task import Submission as Task
from hybridq.evaluation.hardware import (
    SubmissionStatus,
    build_submission,
    finish,
    load_submission,
    place,
    status_of,
)
from hybridq.evaluation.hardware_plan import HardwarePlan, plan
from hybridq.progress import shown
from hybridq.results.evaluation import Evaluation, read_evaluation
from hybridq.results.selection import ImageChoice
from hybridq.run_folder import RunFolder
from hybridq.typing import Progress

if TYPE_CHECKING:
    from backends.ibm.circuit import Patch


@dataclass(frozen=True)
class SubmissionPlan:
    """What an evaluation would send to a device and what it would cost; nothing is submitted.

    Where the evaluation was submitted already, ``submit`` continues it.
    """

    evaluation: HardwarePlan
    service: Service
    placed: Prepared | None
    """None where it was submitted already: what was sent is kept."""
    progress: Progress | None = None

    @classmethod
    def of(
        cls,
        run: RunFolder,
        device: str,
        choice: ImageChoice,
        *,
        repeat: str | None = None,
        progress: Progress | None = None,
    ) -> SubmissionPlan:
        """Place copies of the circuit on the device and plan the jobs.

        Raises :class:`BackendError` without a working account, and as :func:`backends.ibm.prepare.prepare`.
        """
        evaluation = plan(run, device, choice, repeat=repeat)
        service = Service()
        if evaluation.submitted:
            return cls(evaluation, service, None, progress)
        refuse_jobs_elsewhere(service, evaluation.key, evaluation.task_folder)
        return cls(evaluation, service, place(evaluation, service, ledger=Ledger()), progress)

    @property
    def label(self) -> str:
        """Name of the backend with everything that results depend on."""
        return self.evaluation.label

    @property
    def quantum_seconds(self) -> float:
        """Estimate of what is still to be sent; the larger of the project's formula and IBM's quick rule."""
        if self.placed is not None:
            return self.placed.plan.larger_seconds
        return self._status().unsent_seconds

    @property
    def patches(self) -> tuple[Patch, ...]:
        """Physical qubits of each copy of the circuit; empty where it was submitted already."""
        return () if self.placed is None else tuple(self.placed.compiled.copies)

    def describe(self) -> str:
        """Return what would be sent, a line each."""
        images = f"{len(self.evaluation.selection.ids):,} {self.evaluation.selection.split} images"
        if self.placed is None:
            now = self._status()
            return (
                f"{self.label}: {images}, submitted already; {now.finished} of {now.chunks} jobs finished, "
                f"{now.pending} at the service, {now.unsent} to send (about {now.unsent_seconds:,.1f} quantum seconds)"
            )
        planned = self.placed.plan
        return "\n".join(
            (
                f"{self.label}: {images} on {len(self.patches)} copies of the circuit",
                f"{planned.circuits:,} circuits, {planned.executions:,} executions",
                f"about {planned.quantum_seconds:,.1f} quantum seconds; held against budgets: "
                f"{planned.larger_seconds:,.1f}",
            )
        )

    def submit(self, *, max_quantum_seconds: float) -> Submission:
        """Send what is not sent yet, and return when all of it is at the service; never sends anything twice.

        Raises :class:`BackendError` where the estimate is above ``max_quantum_seconds`` or the quota, and as
        :func:`backends.ibm.execution.execute`.
        """
        if self.evaluation.finished:
            return Submission(self.evaluation, self.service)
        ledger = Ledger()
        if self.evaluation.submitted:
            task = load_submission(self.evaluation)
            take_over(task, service=self.service, ledger=ledger)
            now = status_of(task, ledger)
            if now.unsent and now.spent_seconds + now.unsent_seconds > max_quantum_seconds:
                raise BackendError(
                    f"{now.spent_seconds:,.1f} quantum seconds are spent and the {now.unsent} jobs left take about "
                    f"{now.unsent_seconds:,.1f} more, above max_quantum_seconds = {max_quantum_seconds:g}; nothing "
                    "more was sent"
                )
        else:
            assert self.placed is not None
            self.placed.plan.refuse_over(max_quantum_seconds)
            with shown(self.progress) as told:
                task = build_submission(self.evaluation, self.placed, told)
        execute(task, service=self.service, ledger=ledger, detach=True)
        return Submission(self.evaluation, self.service)

    def _status(self) -> SubmissionStatus:
        return status_of(load_submission(self.evaluation), Ledger())


@dataclass(frozen=True)
class Submission:
    """An evaluation whose jobs are at the service or have ended."""

    evaluation: HardwarePlan
    service: Service

    @property
    def key(self) -> str:
        """Key of the evaluation, as ``hybridq jobs`` lists it."""
        return self.evaluation.key

    def status(self) -> SubmissionStatus:
        """Ask the service once; return how many jobs have finished and what they cost."""
        task, ledger = self._task(), Ledger()
        if not self.evaluation.finished:
            execute(task, service=self.service, ledger=ledger, detach=True, submit=False)
        return status_of(task, ledger)

    def result(self, timeout: float | None = None) -> Evaluation:
        """Wait for the jobs, decide, and return the evaluation.

        Raises ``TimeoutError`` after ``timeout`` seconds; nothing is lost, and the same call waits again.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while not self.evaluation.finished:
            outcome = execute(
                self._task(), service=self.service, ledger=Ledger(), detach=timeout is not None, submit=False
            )
            if not isinstance(outcome, Unfinished):
                finish(self.evaluation, outcome)
                break
            if until is None or time.monotonic() >= until:
                raise TimeoutError(f"{self.evaluation.label}: its jobs have not ended after {timeout:g} seconds")
            time.sleep(min(PAUSE, max(until - time.monotonic(), 0.0)))
        return read_evaluation(self.evaluation.folder)

    def cancel(self) -> list[str]:
        """Cancel the jobs that have not ended and return their ids; finished ones stand."""
        return cancel(self.evaluation.key, service=self.service, ledger=Ledger())

    def _task(self) -> Task:
        return load_submission(self.evaluation)


PAUSE = 10.0
"""Seconds between two looks at the service with a timeout."""
