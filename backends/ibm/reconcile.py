"""What the service has of an evaluation that the ledger does not: jobs whose id never arrived, jobs that are twice."""

from __future__ import annotations

from backends.ibm.client import FoundJob, Service
from backends.ibm.ledger import PENDING, JobRow, Ledger

FURTHEST = ("done", "running", "queued", "failed", "cancelled")
"""Of several jobs of one chunk the one to keep, by its state."""


def settle(service: Service, ledger: Ledger, row: JobRow) -> JobRow | None:
    """Look a chunk's job up by its tag; of several keep the one that is furthest, and cancel the others.

    Returns its row as it is then, or None where there is no such job.
    """
    surplus = {other.job_id for other in ledger.jobs(row.key) if other.state == "surplus"}
    found = [job for job in service.find(row.tag) if job.job_id not in surplus]
    if not found:
        return None
    kept = found[0]
    if len(found) > 1:
        kept = min(found, key=lambda job: FURTHEST.index(service.state(job.job_id)[0]))
    if kept.job_id != row.job_id:
        evaluation = ledger.evaluation(row.key)
        assert evaluation is not None
        instance = service.instance(evaluation.device)
        row = ledger.update(row.tag, state="submitted", job_id=kept.job_id, batch_id=kept.batch_id, instance=instance)
    for job in found:
        if job.job_id != kept.job_id:
            _drop(service, ledger, row, job)
    return row


def sweep(service: Service, ledger: Ledger, key: str) -> list[JobRow]:
    """Ask for all jobs of the evaluation, and settle those that the ledger does not have; returns the rows settled."""
    rows = ledger.jobs(key)
    known = {row.job_id for row in rows}
    by_tag = {row.tag: row for row in rows if row.state != "surplus"}
    settled = []
    for job in service.find(ledger.evaluation_tag(key)):
        row = next((by_tag[tag] for tag in job.tags if tag in by_tag), None)
        if row is None or job.job_id in known:
            continue
        if row.state in {"intended", *PENDING}:
            settled.append(settle(service, ledger, row))
        else:
            _drop(service, ledger, row, job)
    return [row for row in settled if row is not None]


def _drop(service: Service, ledger: Ledger, row: JobRow, surplus: FoundJob) -> None:
    """Cancel a second job of a chunk and note it."""
    stopped = service.cancel(surplus.job_id)
    ledger.add_surplus(
        row, surplus.job_id, "cancelled before it had run" if stopped else "it had ended when it was found"
    )
