"""A dry run at the service: IBM checks a job on the device's ``mock_`` twin, runs nothing and charges nothing.

IBM's client posts a real job for it, so it is tagged, noted in the ledger in a table of its own (no budget counts it),
and kept in the folder of the evaluation. What comes back as a result is random numbers, and is not fetched.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from backends.ibm.client import Service
from backends.ibm.failures import UnavailableError
from backends.ibm.ledger import PENDING, Ledger
from backends.ibm.task import Submission, write_json

FILE = "dry-runs.json"
"""In the folder of the task: a list, oldest first."""


@dataclass(frozen=True)
class DryRun:
    """One dry run, as far as it was followed."""

    job_id: str
    twin: str
    """Name of the mock device that it was posted to."""
    tag: str
    state: str
    """At the last look: queued, running, done, failed or cancelled."""
    reason: str | None
    """Why the service refuses the job, in its words."""
    estimated_seconds: float
    """Quantum seconds of the plan for the job."""
    service_seconds: float | None
    """Quantum seconds that the service estimates; None where it does not say."""
    charged_seconds: float | None
    """Quantum seconds that the service counts as charged so far; None where it could not be asked."""


def dry_run(task: Submission, *, service: Service, ledger: Ledger) -> DryRun:
    """Post the first job of a task to the device's twin, and look at it until it ends or ``grace`` seconds are over.

    One that was posted before, and whose end was not seen, is looked at instead, and none is posted.

    Raises :class:`backends.ibm.failures.RefusedError` where there is no twin, and what a submission raises.
    """
    instance = service.instance(task.device)
    twin = f"mock_{task.device.partition('_')[2]}"
    seen = _posted_before(task, twin, instance, service, ledger)
    if seen is None:
        seen = _post(task, twin, instance, service, ledger)
    _note(task.folder, ledger, seen)
    seen = _follow(seen, service)
    _note(task.folder, ledger, seen)
    return seen


def _posted_before(task: Submission, twin: str, instance: str, service: Service, ledger: Ledger) -> DryRun | None:
    """The last dry run of a task from here whose end was not seen, if it is at the service; the others are given up."""
    found = None
    for row in ledger.dry_runs():
        unfinished = row.state in {"intended", *PENDING}
        if not unfinished or (row.key, row.device, row.instance) != (task.key, twin, instance):
            continue
        jobs = service.find(row.tag, mocks=True)
        if jobs:
            found = DryRun(jobs[0].job_id, twin, row.tag, "queued", None, row.estimated_seconds, None, None)
        else:
            ledger.update_dry_run(row.tag, state="failed", reason="the service has no such job")
    return found


def _post(task: Submission, twin: str, instance: str, service: Service, ledger: Ledger) -> DryRun:
    chunk = task.chunks[0]
    tag = ledger.intend_dry_run(
        key=task.key,
        run=task.run,
        backend=task.backend,
        device=twin,
        instance=instance,
        estimated_seconds=chunk.estimated_seconds,
    )
    job_id = service.dry_run(
        task.device,
        task.work(0),
        noise=None if task.noise is None else (task.layers, task.noise),
        options=task.options,
        tags=["hybridq-dry-run", tag],
        max_execution_seconds=chunk.max_execution_seconds,
    )
    return DryRun(job_id, twin, tag, "queued", None, chunk.estimated_seconds, None, None)


def _follow(seen: DryRun, service: Service) -> DryRun:
    end = time.monotonic() + service.waits.grace
    while True:
        try:
            state, reason = service.state(seen.job_id)
            seen = replace(seen, state=state, reason=reason)
            if state in {"done", "failed", "cancelled"}:
                charged = service.details(seen.job_id).quantum_seconds
                return replace(seen, charged_seconds=charged, service_seconds=service.usage_estimate(seen.job_id))
        except UnavailableError:
            pass
        if time.monotonic() > end:
            return seen
        time.sleep(min(service.waits.poll, service.waits.grace))


def _note(folder: Path, ledger: Ledger, seen: DryRun) -> None:
    ledger.update_dry_run(
        seen.tag, state=seen.state, job_id=seen.job_id, reason=seen.reason, service_seconds=seen.service_seconds
    )
    path = folder / FILE
    kept: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    write_json(path, [one for one in kept if one["tag"] != seen.tag] + [asdict(seen)])
