"""An evaluation on IBM hardware as a person sees it: plan, question, waiting, result."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from backends.errors import BackendError
from hybridq.cli.console import Waiting, announce, bars, console, working
from hybridq.cli.options import SubmissionOptions
from hybridq.errors import UserError
from hybridq.files import check_folder

if TYPE_CHECKING:
    from backends.ibm.client import Service
    from backends.ibm.ledger import Ledger
    from backends.ibm.prepare import Prepared
    from backends.ibm.results import ExecutionResult
    from backends.ibm.task import Submission
    from hybridq.evaluation.hardware_plan import HardwarePlan
    from hybridq.results.selection import ImageChoice
    from hybridq.run_folder import RunFolder

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def evaluate_on_hardware(
    run: RunFolder, backend: str, choice: ImageChoice, submission: SubmissionOptions
) -> Path | None:
    """Plan, ask, submit, wait and decide, from wherever it stands; None where it was not to be finished now."""
    with working("loading qiskit"):
        from backends.ibm.execution import take_over
        from backends.ibm.ledger import Ledger
        from hybridq.evaluation.hardware import finish, load_submission, status_of
        from hybridq.evaluation.hardware_plan import plan
    evaluation = plan(run, backend, choice, repeat=submission.repeat)
    submission = submission.completed(run.experiment.hardware)
    if evaluation.finished:
        announce(f"{evaluation.label}: on disk already ({evaluation.folder})")
        return evaluation.folder
    for folder in (evaluation.folder.parent, evaluation.task_folder):
        check_folder(folder)
    ledger = Ledger()
    task = load_submission(evaluation) if evaluation.submitted else None
    if task is not None and submission.noise_max_age is not None:
        task = replace(task, noise_max_age_hours=submission.noise_max_age)
    if submission.dry_run_at_service:
        _dry_run_at_service(evaluation, task, ledger, submission)
        return None
    kept, submit = None, True
    if task is not None and not status_of(task, ledger).agreed:
        kept = take_over(task, service=None, ledger=ledger)
    elif task is not None and not _continue(evaluation, task, ledger, submission):
        return None
    try:
        with working("logging in at IBM"):
            service = _login(kept)
        if kept is not None and service is None:
            announce(f"{evaluation.label}: all results are on disk")
            return finish(evaluation, kept)
        assert service is not None
        if task is None:
            task = _plan(evaluation, service, ledger, submission)
        elif not status_of(task, ledger).agreed:
            # Its jobs may be at IBM, sent from another machine or with a ledger that is gone.
            with working("looking for jobs of this evaluation"):
                take_over(task, service=service, ledger=ledger)
            if not _continue(evaluation, task, ledger, submission):
                return None
            submit = bool(status_of(task, ledger).unsent)
    except KeyboardInterrupt:
        announce("interrupted before anything was sent")
        raise typer.Exit(INTERRUPTED) from None
    if task is None:
        return None
    written = bring_to_end(evaluation, task, service, ledger, detach=submission.detach, submit=submit)
    if written is None:
        now = status_of(task, ledger)
        sent = now.pending + now.finished
        left = f", {now.unsent} to be sent (again)" if now.unsent else ""
        announce(
            f"{sent} {'job is' if sent == 1 else 'jobs are'} submitted{left}. The same command waits for them and "
            f"finishes; so does hybridq jobs collect."
        )
    return written


def _login(kept: ExecutionResult | None) -> Service | None:
    """The account; None where there is none and none is needed, since all results are on disk with what they cost."""
    from backends.ibm.client import Service
    from backends.ibm.failures import AccountError

    if kept is not None and kept.charged_seconds is not None:
        return None
    try:
        return Service()
    except AccountError:
        if kept is None:
            raise
        return None


def _dry_run_at_service(
    evaluation: HardwarePlan, task: Submission | None, ledger: Ledger, submission: SubmissionOptions
) -> None:
    """Let the service check the first job on the device's mock twin, and say what was posted and what it answered."""
    from backends.ibm.client import Service
    from backends.ibm.dry_run import FILE, dry_run
    from hybridq.evaluation.hardware import build_submission

    if submission.dry_run:
        raise UserError("--dry-run posts nothing and --dry-run-at-service does: give one of them")
    with working("logging in at IBM"):
        service = Service()
    if task is None:
        placed = _placed(evaluation, service, ledger, submission)
        with bars() as progress:
            task = build_submission(evaluation, placed, progress)
    with working("posting the dry run"):
        seen = dry_run(task, service=service, ledger=ledger)
    if seen.state in {"failed", "cancelled"}:
        raise BackendError(
            f"job {seen.job_id} was posted to {seen.twin}, and the service refuses it: {seen.reason or seen.state}"
        )
    said = "has not checked it yet" if seen.state != "done" else "takes it"
    estimate = "" if seen.service_seconds is None else f"; it estimates {seen.service_seconds:,.1f} quantum seconds"
    announce(
        f"job 1 of {len(task.chunks)} was posted to {seen.twin} as {seen.job_id}, and the service {said}{estimate} "
        f"({seen.estimated_seconds:,.1f} here)"
    )
    if seen.charged_seconds:
        charge = f"the service counts {seen.charged_seconds:,.1f} quantum seconds for it, although a dry run is free"
    else:
        charge = "nothing is charged for it"
    announce(f"nothing ran on {evaluation.device}, and {charge}; noted in {task.folder / FILE}")


def _placed(evaluation: HardwarePlan, service: Service, ledger: Ledger, submission: SubmissionOptions) -> Prepared:
    """Place the circuit, show the plan, and refuse what is too much."""
    from backends.ibm.reconcile import refuse_jobs_elsewhere
    from hybridq.cli.tables import plan_table
    from hybridq.evaluation.hardware import place
    from hybridq.evaluation.hardware_record import is_imitation

    refuse_jobs_elsewhere(service, evaluation.key, evaluation.task_folder)
    with working(f"placing the circuit on {evaluation.device}"):
        placed = place(
            evaluation,
            service,
            reference_chunk=submission.reference_chunk,
            price_per_second=submission.price,
            noise_max_age=submission.noise_max_age,
            ledger=ledger,
        )
    selection = evaluation.selection
    images = f"{len(selection.rows):,} of split {selection.split} ({selection.described})"
    plan_table(evaluation.label, placed.plan, placed.compiled.copies, images)
    if is_imitation(placed.host):
        announce(f"{placed.host} answers, which is no service of IBM's: this is a simulated device.")
    placed.plan.refuse_over(submission.max_quantum_seconds)
    return placed


def _plan(
    evaluation: HardwarePlan, service: Service, ledger: Ledger, submission: SubmissionOptions
) -> Submission | None:
    """Show the plan, refuse what is too much, ask, and compute the angles; None where nothing is to be submitted."""
    from hybridq.evaluation.hardware import build_submission

    placed = _placed(evaluation, service, ledger, submission)
    if submission.dry_run:
        announce("nothing was submitted (--dry-run)")
        return None
    if not submission.yes and not _agreed(evaluation, placed.plan.larger_seconds):
        announce("nothing was submitted")
        return None
    with bars() as progress:
        return build_submission(evaluation, placed, progress)


def _agreed(evaluation: HardwarePlan, seconds: float) -> bool:
    if not (sys.stdin.isatty() and console.is_terminal):
        raise UserError(f"{evaluation.device} is hardware and nothing was submitted; add --yes to submit this")
    return typer.confirm(f"Submit this, about {seconds:,.0f} quantum seconds, to {evaluation.device}?")


def _continue(evaluation: HardwarePlan, task: Submission, ledger: Ledger, submission: SubmissionOptions) -> bool:
    """Say how far it is, and ask where the rest was not agreed to on this machine; False where nothing is to be done.

    Raises :class:`BackendError` where the rest is too much, and :class:`UserError` where nobody can be asked.
    """
    from hybridq.evaluation.hardware import status_of

    now = status_of(task, ledger)
    left = f", about {now.unsent_seconds:,.0f} s more to send" if now.unsent else ""
    announce(
        f"{evaluation.label}: resuming: {now.finished} of {now.chunks} jobs finished, {now.pending} at IBM, "
        f"{now.unsent} to send (about {now.spent_seconds:,.1f} quantum seconds sent so far{left})"
    )
    most = submission.max_quantum_seconds
    if now.unsent and most is not None and now.spent_seconds + now.unsent_seconds > most:
        raise BackendError(
            f"{now.spent_seconds:,.1f} quantum seconds are spent and the {now.unsent} jobs left take about "
            f"{now.unsent_seconds:,.1f} more, above --max-quantum-seconds {most:g}; nothing more was sent"
        )
    if submission.dry_run:
        announce("nothing was submitted (--dry-run)")
        return False
    if not now.unsent or now.agreed or submission.yes:
        return True
    announce("It was not submitted from this machine, or the ledger is another one.")
    if not _agreed(evaluation, now.unsent_seconds):
        announce("nothing was submitted")
        return False
    return True


def bring_to_end(
    evaluation: HardwarePlan, task: Submission, service: Service, ledger: Ledger, *, detach: bool, submit: bool = True
) -> Path | None:
    """Submit what is not submitted, wait, and decide; None where not everything is finished.

    With ``detach`` it returns when all is submitted, and without ``submit`` it sends nothing.
    """
    from backends.ibm.execution import Unfinished, execute
    from hybridq.evaluation.hardware import finish
    from hybridq.evaluation.hardware_record import noise_record

    try:
        with Waiting(task.device) as waiting:
            result = execute(task, service=service, ledger=ledger, status=waiting, detach=detach, submit=submit)
        if isinstance(result, Unfinished):
            return None
        with working("deciding"):
            folder = finish(evaluation, result)
    except KeyboardInterrupt:
        announce("interrupted: what is submitted goes on at IBM, and the same command goes on where this one was")
        raise typer.Exit(INTERRUPTED) from None
    if result.noise is not None:
        about = noise_record(task, result.noise)
        if about["left"]:
            announce(
                f"{about['left']:.0%} of the learned noise is not cancelled: all of it takes {about['overhead']:,.1f} "
                f"times the shots, and pec_overhead allows {task.options.most_overhead:g}"
            )
    for job in result.others:
        if job.state == "surplus":
            cost = "not counted yet" if job.charged_seconds is None else f"{job.charged_seconds:,.1f} quantum s charged"
            announce(f"job {job.job_id} came to be twice: {job.reason}, {cost}")
    return folder
