"""The fault matrix: each fault of the service × {submitting, polling, fetching}, what happens, and what the user sees;
and the same with the process stopped in the trouble and its ledger deleted.

``PYTHONPATH=tests:tests/backends python -m hardware_faults`` runs it and prints the table of ``docs/hardware.md``.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from hardware import KEY, small_task
from loopback import EXECUTION_SECONDS, JOB_SECONDS, Loopback
from loopback.server import client_environment

from backends.errors import BackendError
from backends.ibm.client import Service
from backends.ibm.execution import Status, execute
from backends.ibm.ledger import Ledger
from backends.ibm.results import ExecutionResult
from backends.ibm.waits import Waits

Phase = Literal["submitting", "polling", "fetching"]
Outcome = Literal["goes on", "ends"]
PHASES: tuple[Phase, ...] = ("submitting", "polling", "fetching")
JOB = "POST /jobs"
WHERE = {"submitting": JOB, "polling": "GET /jobs/*", "fetching": "GET /jobs/*/results"}
WAITS = Waits(poll=0.02, backoff=0.05, cap=0.2, grace=0.6, request=60)
CHUNKS, ROWS, SHOTS = 3, 2, 64


@dataclass(frozen=True)
class Case:
    """A fault, and what has to come of it."""

    name: str
    outcome: Outcome
    says: str
    """Part of what the user sees: of the error where it ends, of the status where it goes on; "" for nothing."""
    kind: str = ""
    """Of :mod:`loopback.faults`; the other fields are its options."""
    options: dict[str, Any] = field(default_factory=dict)
    phases: tuple[Phase, ...] = PHASES
    service: dict[str, Any] = field(default_factory=dict)
    """Options of the service."""
    route: Literal["proxy", "direct"] = "proxy"
    waits: Waits = WAITS
    where: str | None = None
    token: Literal["withdrawn", "unavailable"] | None = None
    """What the token service does from the phase on, when the access token has expired."""
    surplus: bool = False
    """Whether there may be two jobs of one chunk."""


BUSY, BAD_KEY = "Too many requests", "IBM did not accept the API key"
EXPIRING = {"token_seconds": 1, "run_seconds": 0.5}
IMPATIENT = replace(WAITS, request=0.8, transfer=0.8)
SUBMITTING: tuple[Phase, ...] = ("submitting",)
POLLING: tuple[Phase, ...] = ("polling",)
FETCHING: tuple[Phase, ...] = ("fetching",)
PENDING = {"count": 3, "code": 3458, "message": "You have reached the maximum number of pending jobs."}
NO_TIME = {"quota_seconds": 1.0, "consumed_seconds": 1.0}
CASES = [
    Case("the API key is withdrawn", "ends", BAD_KEY, token="withdrawn", service=EXPIRING),
    Case("IAM answers 503 for a while", "goes on", "failed", token="unavailable", service=EXPIRING),
    Case("401 once: the access token has expired", "goes on", "", "401"),
    Case("401 for good", "ends", BAD_KEY, "401", {"count": None}),
    Case("403", "ends", "Invalid credentials", "403", {"count": None}),
    Case("429 three times", "goes on", BUSY, "429", {"count": 3}),
    Case("429 with Retry-After", "goes on", "", "429", {"retry_after": 1}),
    Case("too many pending jobs (code 3458)", "goes on", "pending", "400", PENDING, SUBMITTING),
    Case("500 twice", "goes on", "", "500", {"count": 2}),
    Case("500 for 15 seconds", "goes on", "", "500", {"count": 8}),
    Case("503 twice", "goes on", "", "503", {"count": 2}),
    Case("503 for 15 seconds", "goes on", "", "503", {"count": 8}),
    Case("connection dropped", "goes on", "", "drop_before"),
    Case("connection dropped for 15 seconds", "goes on", "", "drop_before", {"count": 8}),
    Case("connection dropped, without a proxy", "goes on", "", "drop_before", route="direct"),
    Case(
        "the answer is lost: the job exists", "goes on", "no connection", "drop_after", {}, SUBMITTING, route="direct"
    ),
    Case("the answer is lost behind a proxy: the job exists", "goes on", "no connection", "drop_after", {}, SUBMITTING),
    Case(
        "503 although the job was made: two jobs, one is cancelled",
        "goes on",
        "",
        "made_but_503",
        {},
        SUBMITTING,
        service={"queue_seconds": 0.6},
        surplus=True,
    ),
    Case("the answer breaks off", "goes on", "the answer broke off", "truncate"),
    Case("the answer is not the service's", "goes on", "", "garbage"),
    Case("JSON that is no answer", "goes on", "", "error_json"),
    Case("an empty answer", "goes on", "", "empty"),
    Case("half an answer", "goes on", "", "half"),
    Case("a result that is none, for good", "ends", "is not sent again", "error_json", {"count": None}, FETCHING),
    Case("no answer in time", "goes on", "no answer", "delay_after", {"seconds": 1.5}, waits=IMPATIENT),
    Case(
        "the service does not know the job (404)",
        "ends",
        "IBM does not know job",
        "404",
        {"count": None},
        POLLING,
        service={"queue_seconds": 1.0},
    ),
    Case("the quota is used up", "ends", "is used up", phases=SUBMITTING, service=NO_TIME),
    Case("the quota ends with this job", "ends", "is used up", "quota", {}, SUBMITTING),
    Case("batches are refused: plain jobs", "goes on", "", "400", {"count": None}, SUBMITTING, where="POST /sessions"),
    Case("the job fails", "ends", "The device became unavailable", "job_fails", {}, POLLING, where=JOB),
    Case("the job is cancelled elsewhere", "ends", "was cancelled", "job_cancelled", {}, POLLING, where=JOB),
    Case("the job hits its time limit", "ends", "maximum execution time", "job_time_limit", {}, POLLING, where=JOB),
    Case("the job hangs, until it is cancelled", "ends", "was cancelled", "job_hangs", {}, POLLING, where=JOB),
]


@dataclass(frozen=True)
class Seen:
    """What came of a case."""

    outcome: Outcome
    said: str
    seconds: float
    jobs: int
    """At the service in the end."""


class Stopped(BaseException):
    """The process is stopped in the middle of its trouble."""


def run_case(case: Case, phase: Phase, folder: Path, *, ledger_missing: bool = False) -> Seen:
    """Bring an evaluation into trouble, then, where that ended it, call it again; checks that nothing is lost.

    With ``ledger_missing`` it is stopped when it meets the trouble, and goes on when that is over, with a new ledger.
    """
    with Loopback("manila", key=KEY, **{"execution": "counterfeit", **case.service}) as server:
        before = dict(os.environ)
        os.environ.update(client_environment(server.url, KEY, case.route))
        try:
            seen = _run(case, phase, server, folder, ledger_missing)
        finally:
            os.environ.clear()
            os.environ.update(before)
        _check(case, server)
    return seen


def _run(case: Case, phase: Phase, server: Loopback, folder: Path, ledger_missing: bool) -> Seen:
    task = small_task(folder / "task", chunks=CHUNKS, rows=ROWS, device="manila")
    ledger = Ledger(folder / "ledger.sqlite")
    said: list[str] = []
    troubled = False

    def cancel_first() -> None:
        threading.Timer(0.3, lambda: server.cancel(next(iter(server.jobs.values())))).start()

    def watch(status: Status) -> None:
        nonlocal troubled
        if status.phase == "trouble":
            said.append(status.message)
        reached = {
            "submitting": status.submitted == 1,
            "polling": status.submitted == CHUNKS,
            "fetching": status.finished >= 1,
        }
        if case.token is not None and not troubled and reached[phase]:
            troubled = True
            if case.token == "withdrawn":
                server.key = "withdrawn"
            else:
                server.faults.add("POST /identity/token", "503", count=3)
            time.sleep(2.2)  # the access token expires
        if case.kind == "job_hangs" and status.submitted == CHUNKS:
            cancel_first()
        met = troubled if case.token is not None else bool(server.faults.active) and server.faults.active[0].seen
        if ledger_missing and met:
            raise Stopped

    if case.kind:
        server.faults.add(case.where or WHERE[phase], case.kind, **case.options)
    started = time.monotonic()
    try:
        result = execute(task, service=Service(case.waits), ledger=ledger, status=watch)
        outcome: Outcome = "goes on"
    except BackendError as error:
        outcome = "ends"
        said.append(str(error))
    except Stopped:
        outcome = "ends"
    seconds = time.monotonic() - started
    if outcome == "ends":
        server.faults.clear()
        server.key, server.quota_seconds = KEY, None
        if ledger_missing:
            ledger.close()
            ledger = Ledger(folder / "new.sqlite")
            if case.kind == "job_hangs":
                cancel_first()
        try:
            execute(task, service=Service(case.waits), ledger=ledger)
        except BackendError:  # a job of the first process had failed: the next call sends it again
            assert ledger_missing
        result = execute(task, service=Service(case.waits), ledger=ledger)
    assert isinstance(result, ExecutionResult)
    assert result.evs.shape == (CHUNKS * ROWS, 2)
    assert np.isfinite(result.evs).all()
    assert all(row.state in {"done", "failed", "cancelled", "surplus"} for row in ledger.jobs())
    ledger.close()
    return Seen(outcome, said[-1] if said else "", seconds, len(server.jobs))


def _check(case: Case, server: Loopback) -> None:
    executed = [job for job in server.jobs.values() if job.executed]
    assert len(executed) == CHUNKS, "every chunk is executed once"
    charged = CHUNKS * (JOB_SECONDS + ROWS * SHOTS * EXECUTION_SECONDS)
    limit = sum(j.charged_seconds for j in server.jobs.values() if not j.executed)
    assert abs(sum(job.charged_seconds for job in executed) - charged) < 1e-6
    assert limit == 0 or case.kind == "job_time_limit"
    assert case.surplus or all(not job.executed or job.executed == 1 for job in server.jobs.values())
    if case.surplus:
        assert [job.state for job in server.jobs.values()].count("Cancelled") == 1
    assert all(KEY not in request.authorization for request in server.log), "the key went only to the token service"


def table() -> str:
    """The whole matrix, run, as Markdown."""
    lines = [
        "| fault | while submitting | while polling | while fetching | stopped in it, ledger missing |",
        "| --- | --- | --- | --- | --- |",
    ]
    for case in CASES:
        cells = []
        for phase in PHASES:
            if phase not in case.phases:
                cells.append("–")
                continue
            with tempfile.TemporaryDirectory() as folder:
                seen = run_case(case, phase, Path(folder))
            print(f"{case.name}, {phase}: {seen}", file=sys.stderr, flush=True)
            does = "goes on" if seen.outcome == "goes on" else "**ends**"
            said = re.sub(r"\b[0-9a-f]{20}\b", "…", seen.said)
            said = re.sub(r"crn:\S+::", "…", said)
            cells.append(f"{does}: “{said}”" if said else does)
        made = []
        for phase in case.phases:
            with tempfile.TemporaryDirectory() as folder:
                made.append(run_case(case, phase, Path(folder), ledger_missing=True).jobs)
            print(f"{case.name}, {phase}, ledger missing: {made[-1]} jobs", file=sys.stderr, flush=True)
        cells.append(", ".join(map(str, made)) + " jobs")
        lines.append(f"| {case.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
