"""What is kept of a finished job: its raw result first, then times, cost and calibration, and its row in the ledger."""

from __future__ import annotations

import json

from backends.ibm.client import Service
from backends.ibm.ledger import JobRow, Ledger
from backends.ibm.task import Task, write_json, write_whole


def keep_result(task: Task, service: Service, ledger: Ledger, row: JobRow) -> JobRow:
    """Fetch the result of a job that is done and keep it as it came, before anything is made of it."""
    job_id = str(row.job_id)
    raw = service.fetch(job_id)
    write_whole(task.result_path(row.chunk, job_id), lambda file: file.write(raw.encode()))
    return keep_details(task, service, ledger, row)


def keep_details(task: Task, service: Service, ledger: Ledger, row: JobRow) -> JobRow:
    """Keep times, cost and calibration of a job whose result is on disk, and note it as done."""
    job_id = str(row.job_id)
    details = service.details(job_id)
    properties = service.calibration(job_id)
    calibrated = None if properties is None else str(properties.get("last_update_date"))
    if properties is not None:
        safe = "".join(c if c.isalnum() else "-" for c in str(calibrated))
        path = task.folder / "calibrations" / f"{safe}.json"
        if not path.is_file():
            write_json(path, json.loads(json.dumps(properties, default=str)))
    about = {"job_id": job_id, "calibrated": calibrated, "timestamps": details.timestamps}
    write_json(task.details_path(row.chunk, job_id), about)
    return ledger.update(
        row.tag,
        state="done",
        charged_seconds=details.quantum_seconds if details.final else None,
        result=str(task.result_path(row.chunk, job_id)),
    )


def keep_charge(service: Service, ledger: Ledger, row: JobRow) -> JobRow:
    """Ask again what a finished job cost: the service counts a while later."""
    details = service.details(str(row.job_id))
    return ledger.update(row.tag, charged_seconds=details.quantum_seconds) if details.final else row
