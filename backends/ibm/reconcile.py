"""What there is of an evaluation that the ledger does not have: results on disk, jobs whose id never arrived or that
another ledger sent, jobs that are twice."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from backends.errors import BackendError
from backends.ibm.client import FoundJob, RemoteState, Service
from backends.ibm.ledger import PENDING, JobRow, Ledger
from backends.ibm.results import origin_of, parse_noise, parse_result
from backends.ibm.tags import Origin, evaluation_tag, ledger_tag, origin
from backends.ibm.task import Submission

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
    """Ask for all jobs that this ledger sent, and settle those that it does not have; returns the rows settled."""
    rows = ledger.jobs(key)
    known = {row.job_id for row in rows}
    by_tag = {row.tag: row for row in rows if row.state != "surplus"}
    latest = ledger.latest(key)
    settled = []
    for job in service.find(ledger_tag(key, ledger.id)):
        row = next((by_tag[tag] for tag in job.tags if tag in by_tag), None)
        if row is None or job.job_id in known:
            continue
        if row.state in {"intended", *PENDING} and latest[row.chunk].tag == row.tag:
            settled.append(settle(service, ledger, row))
        else:
            _drop(service, ledger, row, job)
    return [row for row in settled if row is not None]


def _drop(service: Service, ledger: Ledger, row: JobRow, surplus: FoundJob) -> None:
    """Note a second job of a chunk, and cancel it where this ledger sent it: another one's is left alone."""
    if ledger_tag(row.key, ledger.id) not in surplus.tags:
        ledger.add_surplus(row, surplus.job_id, "sent with another ledger, and left alone")
        return
    stopped = service.cancel(surplus.job_id)
    ledger.add_surplus(
        row, surplus.job_id, "cancelled before it had run" if stopped else "it had ended when it was found"
    )
    details = service.details(surplus.job_id)
    if details.final:
        ledger.charge(surplus.job_id, details.quantum_seconds)


# Without a row in the ledger.


def missing(task: Submission, ledger: Ledger) -> set[int]:
    """Needed chunks that have no job, as far as the ledger knows: nothing, or what failed or was cancelled."""
    latest = ledger.latest(task.key)
    needed = task.needed({chunk: row.state for chunk, row in latest.items()})
    return {c for c in needed if c not in latest or latest[c].state in {"failed", "cancelled"}}


def adopt_results(task: Submission, ledger: Ledger) -> None:
    """Give a row to each raw result on disk whose chunk has no job in the ledger, whoever sent it.

    A result counts if it can be read, and if its tags say that it is of this evaluation, this chunk and this content.
    """
    digest, known = task.digest(), {row.job_id for row in ledger.jobs(task.key)}
    for chunk in sorted(missing(task, ledger)):
        for path in sorted((task.folder / "results").glob(f"chunk-{chunk:03d}-*.json")):
            name = re.fullmatch(rf"chunk-{chunk:03d}-([^.]+)\.json", path.name)
            if name is None or name[1] in known:
                continue
            try:
                came_from = _origin_on_disk(task, chunk, name[1], digest, path.read_text(encoding="utf-8"))
            except (OSError, ValueError, KeyError, TypeError):
                continue
            if came_from is not None:
                _adopt_result(task, ledger, chunk, name[1], digest, came_from)
                break


def _origin_on_disk(task: Submission, chunk: int, job_id: str, digest: str, raw: str) -> Origin | None:
    """What a raw result, or what is kept beside learned noise, says of its job; raises where it is of no use."""
    if not task.chunks[chunk].learning:
        return origin_of(task, parse_result(task, chunk, digest, raw)[2])
    details = json.loads(task.details_path(chunk, job_id).read_text(encoding="utf-8"))
    parse_noise(task, raw, learned=str(details["timestamps"]["finished"]), job_id=job_id)
    came_from = origin(task.key, map(str, details["tags"]))
    return came_from if came_from is not None and came_from.is_of(digest) and came_from.chunk == chunk else None


def _adopt_result(task: Submission, ledger: Ledger, chunk: int, job_id: str, digest: str, came_from: Origin) -> None:
    details = task.details_path(chunk, job_id)
    charged: float | None = None
    try:
        about = json.loads(details.read_text(encoding="utf-8"))
        whole = isinstance(about["timestamps"], dict) and "calibrated" in about
        charged = about.get("charged_seconds")
    except (OSError, ValueError, KeyError, TypeError):
        whole = False
    ledger.adopt(
        came_from.tag,
        task.key,
        chunk,
        digest=digest,
        state="done" if whole else "submitted",
        job_id=job_id,
        estimated_seconds=task.chunks[chunk].estimated_seconds,
        charged_seconds=charged,
        result=str(task.result_path(chunk, job_id)),
    )


def adopt_jobs(task: Submission, service: Service, ledger: Ledger) -> list[FoundJob]:
    """Give a row to each job at the service whose chunk has none in the ledger, whichever ledger sent it.

    Of several jobs of a chunk the one that is furthest is kept; none is cancelled here. Returns those that were sent
    with something else than the task has, such as another placement, and have neither failed nor been cancelled.
    """
    instance = service.instance(task.device)
    known = {row.job_id for row in ledger.jobs(task.key)}
    found = service.find(evaluation_tag(task.key))
    if not task.tagged:  # its first jobs have no tag that could be asked for
        found = list({job.job_id: job for job in (*found, *service.find_all(task.device))}.values())
    digest, intended = task.digest(), {c: r for c, r in ledger.latest(task.key).items() if r.state == "intended"}
    chunks = missing(task, ledger) | set(intended)
    candidates: dict[int, list[_Candidate]] = defaultdict(list)
    for job in found:
        came_from = origin(task.key, job.tags)
        if came_from is None or job.job_id in known or not came_from.is_of(digest) or came_from.chunk not in chunks:
            continue
        own = intended.get(came_from.chunk)
        if own is None or own.tag != came_from.tag:  # that one is settled
            candidates[came_from.chunk].append(_Candidate(job, came_from, service.state(job.job_id)[0]))
    for chunk, of_chunk in candidates.items():
        best, *others = sorted(of_chunk, key=lambda candidate: FURTHEST.index(candidate.state))
        if chunk in intended:
            ledger.update(intended[chunk].tag, state="cancelled", reason="another ledger sent this chunk")
        second = []
        for candidate in others:
            if candidate.ended and candidate.origin.tag != best.origin.tag:
                _adopt_job(task, ledger, candidate, digest, instance)
            else:
                second.append(candidate)
        row = _adopt_job(task, ledger, best, digest, instance)
        for candidate in second:
            ledger.add_surplus(row, candidate.job.job_id, "found beside another job of its chunk, and left alone")
    return [job for job in others_of(task.key, found, digest) if _is_live(service, job)]


@dataclass(frozen=True)
class _Candidate:
    job: FoundJob
    origin: Origin
    state: RemoteState

    @property
    def ended(self) -> bool:
        """Whether there will be no result."""
        return self.state in {"failed", "cancelled"}


def _adopt_job(task: Submission, ledger: Ledger, candidate: _Candidate, digest: str, instance: str) -> JobRow:
    return ledger.adopt(
        candidate.origin.tag,
        task.key,
        candidate.origin.chunk,
        digest=digest,
        state=candidate.state if candidate.ended else "submitted",
        job_id=candidate.job.job_id,
        batch_id=candidate.job.batch_id,
        instance=instance,
        estimated_seconds=task.chunks[candidate.origin.chunk].estimated_seconds,
    )


def others_of(key: str, found: Iterable[FoundJob], digest: str | None) -> list[FoundJob]:
    """Those of an evaluation's jobs that were sent with something else than what has this digest; None is nothing."""
    came_from = [(job, origin(key, job.tags)) for job in found]
    return [job for job, its in came_from if its is not None and (digest is None or not its.is_of(digest))]


def refuse_jobs_elsewhere(service: Service, key: str, folder: Path) -> None:
    """Raise :class:`BackendError` where an evaluation that is to be planned anew has jobs at the service already."""
    refuse_others(
        [job for job in others_of(key, service.find(evaluation_tag(key)), None) if _is_live(service, job)], folder
    )


def refuse_others(jobs: Sequence[FoundJob], folder: Path) -> None:
    """Raise :class:`BackendError` where there are jobs of the same evaluation that this folder can make no use of."""
    if jobs:
        many = f"{len(jobs)} jobs" if len(jobs) > 1 else "a job"
        raise BackendError(
            f"IBM has {many} of this evaluation already ({jobs[0].job_id}, created {jobs[0].created}), sent from "
            f"another folder than this, so nothing is sent: bring {folder.name} from there to {folder.parent}, or ask "
            f"the hardware again on purpose with --repeat LABEL"
        )


def _is_live(service: Service, job: FoundJob) -> bool:
    return service.state(job.job_id)[0] not in {"failed", "cancelled"}
