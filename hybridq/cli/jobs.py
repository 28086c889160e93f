"""hybridq jobs"""

from __future__ import annotations

import csv
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hybridq.cli.options import AsCsv, AsJson
from hybridq.errors import UserError

if TYPE_CHECKING:
    from backends.ibm.client import Service
    from backends.ibm.ledger import EvaluationRow, JobRow, Ledger
    from backends.ibm.task import Submission

app = typer.Typer(help="Jobs at IBM: every one ever submitted from this machine.", rich_markup_mode=None)

Key = Annotated[str, typer.Argument(metavar="KEY", help="Evaluation (the first digits do) or the id of a job of it.")]
Keys = Annotated[list[str] | None, typer.Argument(metavar="[KEY]...", help="Evaluations; else all unfinished ones.")]


@app.callback(invoke_without_command=True)
def jobs(context: typer.Context) -> None:
    """Jobs at IBM: every one ever submitted from this machine."""
    if context.invoked_subcommand is None:
        list_jobs()


@app.command("list")
def list_jobs(as_json: AsJson = False, as_csv: AsCsv = False) -> None:
    """All jobs with their evaluation, state, estimated and charged quantum seconds, and age; asks nothing of IBM."""
    from hybridq.cli.console import announce, print_json

    ledger = _ledger()
    if as_json or as_csv:
        rows = [row for evaluation in ledger.evaluations() for row in _job_rows(ledger, evaluation)]
        print_json(rows) if as_json else _print_csv(rows)
        return
    dry_runs = ledger.dry_runs()
    if not ledger.evaluations() and not dry_runs:
        announce(f"nothing was ever submitted from this machine (ledger: {ledger.path})")
        return
    for evaluation in ledger.evaluations():
        _print_evaluation(ledger, evaluation)
    for row in dry_runs:
        announce(f"dry run at {row.device}, job {row.job_id or '–'}: {row.state}, counted in no sum ({row.backend})")
    announce("States as last seen; hybridq jobs collect asks IBM.")


@app.command()
def show(key: Key, as_json: AsJson = False) -> None:
    """One evaluation: where it is kept, and everything known of its jobs; asks nothing of IBM."""
    from dataclasses import asdict

    from hybridq.cli.console import announce, print_json

    ledger = _ledger()
    evaluation = _find(ledger, key)
    rows = _job_rows(ledger, evaluation)
    if as_json:
        print_json(asdict(evaluation) | {"jobs": rows})
        return
    _print_evaluation(ledger, evaluation)
    announce(f"folder   {evaluation.folder}")
    announce(f"started  {_moment(evaluation.created)}, last worked on by {evaluation.holder}")
    for row in rows:
        if row["reason"]:
            announce(f"chunk {row['chunk']}, job {row['job_id']}: {row['reason']}")


@app.command()
def collect(
    keys: Keys = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until all of them are finished.")] = False,
) -> None:
    """Ask IBM, keep what is finished, and write the results of evaluations that are whole; sends nothing."""
    from backends.errors import BackendError
    from hybridq.cli.console import announce

    ledger = _ledger()
    service: Service | None = None
    problems, found = [], 0
    for evaluation in [_find(ledger, key) for key in keys] if keys else ledger.evaluations():
        try:
            task = _task_of(ledger, evaluation)
            if task is None or (not keys and not _is_unfinished(task)):
                continue
            found += 1
            if service is None and _at_ibm(ledger, evaluation):
                service = _service()
            _collect(task, service, ledger, wait=wait)
        except (BackendError, UserError) as error:
            problems.append(f"{evaluation.key[:8]}: {error}")
    if not found and not problems:
        announce("every evaluation is finished: there is nothing to collect")
    if problems:
        raise UserError("; ".join(problems))


@app.command()
def cancel(key: Key, yes: Annotated[bool, typer.Option("--yes", help="Cancel without asking.")] = False) -> None:
    """Cancel the jobs of one evaluation that have not ended; finished ones stand."""
    from backends.ibm.execution import cancel as cancel_jobs
    from hybridq.cli.console import announce

    ledger = _ledger()
    evaluation = _find(ledger, key)
    running = _at_ibm(ledger, evaluation)
    if not running:
        announce(f"{evaluation.key[:8]}: no job of it is at IBM")
        return
    if not yes:
        if not sys.stdin.isatty():
            raise UserError(f"{len(running)} jobs would be cancelled; add --yes")
        typer.confirm(f"Cancel {len(running)} jobs of {evaluation.backend}?", abort=True)
    stopped = cancel_jobs(evaluation.key, service=_service(), ledger=ledger)
    ended = len(running) - len(stopped)
    announce(f"{len(stopped)} cancelled" + (f", {ended} had ended already: hybridq jobs collect" if ended else ""))


def _at_ibm(ledger: Ledger, evaluation: EvaluationRow) -> list[JobRow]:
    """Its jobs that are at IBM as last seen, or may be: their submission was interrupted."""
    from backends.ibm.ledger import PENDING

    return [row for row in ledger.latest(evaluation.key).values() if row.state in {"intended", *PENDING}]


def _task_of(ledger: Ledger, evaluation: EvaluationRow) -> Submission | None:
    """The task of an evaluation, in its run wherever that is now; None where it is gone and nothing is at IBM either.

    Raises :class:`UserError` where it is gone and jobs of it are at IBM.
    """
    from dataclasses import replace

    from backends.ibm.task import Submission
    from hybridq.cli.console import announce
    from hybridq.evaluation.hardware_plan import find_task_folder

    noted = Path(evaluation.folder)
    folder = find_task_folder(noted)
    if folder is not None:
        task = Submission.load(folder)
        return replace(task, run=str(folder.parent.parent)) if "request" in task.record else task
    if waiting := len(_at_ibm(ledger, evaluation)):
        raise UserError(
            f"{noted}: is not there any more and was not found beside it, and {waiting} of its jobs may be at IBM; put "
            f"the run where it was, or run this where the run's folder is now"
        )
    announce(f"{evaluation.key[:8]} ({evaluation.backend}): left out, since {noted} is not there any more")
    return None


def _is_unfinished(task: Submission) -> bool:
    """Whether a task's results are not decided yet, and the task is no program's of the user's own."""
    from hybridq.run_folder import RunFolder

    results = RunFolder(Path(task.run)).result_folder("evaluations", task.backend, task.key)
    return "request" in task.record and not (results / "metrics.json").is_file()


def _collect(task: Submission, service: Service | None, ledger: Ledger, *, wait: bool) -> None:
    """Bring one evaluation as far as it goes without sending; ``service`` is None where it has nothing at IBM."""
    from hybridq.cli.console import announce
    from hybridq.cli.submit import bring_to_end
    from hybridq.evaluation.hardware import status_of
    from hybridq.evaluation.hardware_plan import plan_of

    name = f"{task.key[:8]} ({task.backend})"
    ours = plan_of(task)
    if service is not None or not status_of(task, ledger).unsent:
        folder = bring_to_end(ours, task, service or _service(), ledger, detach=not wait, submit=False)
        if folder is not None:
            announce(f"{name}: results in {folder}")
            return
    now = status_of(task, ledger)
    left = f", {now.unsent} to be sent (again), which only hybridq evaluate does" if now.unsent else ""
    announce(f"{name}: {now.finished} of {now.chunks} jobs finished, {now.pending} at IBM{left}")
    for row in ledger.latest(task.key).values():
        if row.state in {"failed", "cancelled"}:
            why = f": {row.reason}" if row.reason else ""
            announce(f"  chunk {row.chunk + 1}, job {row.job_id} {row.state}{why}")


def _find(ledger: Ledger, text: str) -> EvaluationRow:
    """The evaluation whose key begins so, or that has this job."""
    by_job = {row.job_id: row.key for row in ledger.jobs() if row.job_id}
    found = [e for e in ledger.evaluations() if e.key.startswith(text) or e.key == by_job.get(text)]
    if len(found) != 1:
        many = ", ".join(evaluation.key[:8] for evaluation in found)
        what = f"could be {many}" if found else "is no evaluation or job of this machine"
        raise UserError(f"{text} {what}; hybridq jobs lists them")
    return found[0]


def _ledger() -> Ledger:
    from backends.ibm.ledger import Ledger

    return Ledger()


def _service() -> Service:
    from hybridq.cli.console import working

    with working("logging in at IBM"):
        from backends.ibm.client import Service

        return Service()


def _job_rows(ledger: Ledger, evaluation: EvaluationRow) -> list[dict[str, Any]]:
    """The jobs of an evaluation, flat and JSON-ready; chunks are counted from 1."""
    return [
        {
            "evaluation": row.key,
            "run": row.run,
            "backend": row.backend,
            "device": evaluation.device,
            "chunk": row.chunk + 1,
            "chunks": evaluation.chunks,
            "attempt": row.attempt,
            "state": row.state,
            "job_id": row.job_id,
            "batch_id": row.batch_id,
            "estimated_seconds": row.estimated_seconds,
            "charged_seconds": row.charged_seconds,
            "age_seconds": round(_seconds_since(row.created)),
            "created": row.created,
            "updated": row.updated,
            "reason": row.reason,
            "result": row.result,
            "tag": row.tag,
        }
        for row in ledger.jobs(evaluation.key)
    ]


def _print_evaluation(ledger: Ledger, evaluation: EvaluationRow) -> None:
    from rich import box
    from rich.table import Column, Table

    from hybridq.cli.console import announce, console

    spent = sum(row.charged_seconds or 0.0 for row in ledger.jobs(evaluation.key))
    name = f"{evaluation.key[:8]}  {evaluation.backend}  {Path(evaluation.run).name}"
    announce(f"{name}  {spent:,.1f} quantum s charged in all")
    numbers = [Column(name, justify="right") for name in ("est. s", "charged s", "age")]
    table = Table(
        "chunk", "state", *numbers, Column("job", no_wrap=True), box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1)
    )
    for row in _job_rows(ledger, evaluation):
        again = f" (try {row['attempt']})" if row["attempt"] > 1 else ""
        charged = "–" if row["charged_seconds"] is None else f"{row['charged_seconds']:,.1f}"
        table.add_row(
            f"{row['chunk']}/{row['chunks']}{again}",
            row["state"],
            f"{row['estimated_seconds']:,.1f}",
            charged,
            _age(row["age_seconds"]),
            row["job_id"] or "–",
        )
    console.print(table)


def _print_csv(rows: list[dict[str, Any]]) -> None:
    if rows:
        writer = csv.DictWriter(sys.stdout, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _seconds_since(iso: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(iso)).total_seconds()


def _moment(iso: str) -> str:
    return f"{datetime.fromisoformat(iso).astimezone():%Y-%m-%d %H:%M}"


def _age(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"
