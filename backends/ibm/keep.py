"""What is kept of a finished job: its raw result first, then times, cost and calibration, and its row in the ledger."""

from __future__ import annotations

import json
from typing import Any

from backends.ibm.client import JobDetails, Service
from backends.ibm.failures import NotFoundError, UnavailableError, plain
from backends.ibm.ledger import ENDED, JobRow, Ledger
from backends.ibm.results import parse_noise, parse_result
from backends.ibm.tags import content_tag
from backends.ibm.task import Submission, write_json, write_whole

SHOWN_CHARACTERS = 60
"""Characters shown of an answer that is no result."""


class NoResultError(UnavailableError):
    """What the service sent as the result of a job is none; the job is finished, and its result is fetched again."""


def keep_result(task: Submission, service: Service, ledger: Ledger, row: JobRow) -> JobRow:
    """Fetch the result of a job that is done and keep it as it came, if it can be read.

    Raises :class:`NoResultError` where it cannot; what came is then kept beside it, with the ending ``.unreadable``.
    """
    job_id = str(row.job_id)
    path = task.result_path(row.chunk, job_id)
    raw = service.fetch(job_id)
    try:
        if task.chunks[row.chunk].learning:
            parse_noise(task, raw, learned=row.updated, job_id=job_id)
        else:
            parse_result(task, row.chunk, row.digest, raw)
    except ValueError as error:
        write_whole(path.with_suffix(".unreadable"), lambda file: file.write(raw.encode()))
        came = f"it begins {plain(raw)[:SHOWN_CHARACTERS]}" if raw.strip() else "it is empty"
        reason = plain(str(error))[:SHOWN_CHARACTERS]
        raise NoResultError(
            f"fetching the result of job {job_id} failed: what came is no result ({came}; {reason})"
        ) from None
    write_whole(path, lambda file: file.write(raw.encode()))
    path.with_suffix(".unreadable").unlink(missing_ok=True)
    return keep_details(task, service, ledger, row)


def keep_details(task: Submission, service: Service, ledger: Ledger, row: JobRow) -> JobRow:
    """Keep times, cost and calibration of a job whose result is on disk, and note it as done.

    They are left out where the account does not know the job: another one sent it.
    """
    job_id = str(row.job_id)
    details: JobDetails | None = None
    properties: dict[str, Any] | None = None
    try:
        details = service.details(job_id)
        properties = service.calibration(job_id)
    except NotFoundError:
        pass
    calibrated = None if properties is None else str(properties.get("last_update_date"))
    if properties is not None:
        safe = "".join(c if c.isalnum() else "-" for c in str(calibrated))
        path = task.folder / "calibrations" / f"{safe}.json"
        if not path.is_file():
            write_json(path, json.loads(json.dumps(properties, default=str)))
    charged = details.quantum_seconds if details is not None and details.final else None
    about: dict[str, Any] = {
        "job_id": job_id,
        "calibrated": calibrated,
        "timestamps": {} if details is None else details.timestamps,
        "charged_seconds": charged,
    }
    if task.chunks[row.chunk].learning:  # its result does not say whose it is
        about["tags"] = [row.tag, content_tag(task.key, row.chunk, row.digest)]
    write_json(task.details_path(row.chunk, job_id), about)
    return ledger.update(
        row.tag, state="done", charged_seconds=charged, result=str(task.result_path(row.chunk, job_id))
    )


def keep_charges(service: Service, ledger: Ledger, key: str) -> None:
    """Ask again what ended jobs cost, those that failed or came to be twice included: the service counts later."""
    for row in ledger.jobs(key):
        if row.job_id is not None and row.charged_seconds is None and row.state in ENDED:
            try:
                details = service.details(row.job_id)
            except NotFoundError:  # of another account
                continue
            if details.final:
                ledger.charge(row.job_id, details.quantum_seconds)
