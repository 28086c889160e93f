"""An evaluation without its ledger, on another machine or by another user: nothing is paid twice, nothing cancelled."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hardware import FAST, KEY, small_task
from loopback import CRN, EXECUTION_SECONDS, JOB_SECONDS, Loopback

from backends.errors import BackendError
from backends.hardware_options import HardwareOptions
from backends.ibm.client import Service
from backends.ibm.execution import Status, Unfinished, execute, take_over
from backends.ibm.ledger import Ledger
from backends.ibm.results import ExecutionResult
from backends.ibm.sender import alone_in
from backends.ibm.task import Submission

PRICE = JOB_SECONDS + 128 * EXECUTION_SECONDS
KEPT = Path(__file__).with_name("kept_in_november")
"""A task, its results and its ledger as of 28 November 2026: two tags a job, ledger of version 1."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    with Loopback("manila", key=KEY, execution="counterfeit") as server:
        use(server, monkeypatch)
        yield server


@pytest.fixture
def task(tmp_path: Path) -> Submission:
    return small_task(tmp_path / "run" / "evaluation", device="manila")


def use(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the account at a server."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)


def ledger_of(folder: Path, name: str = "ledger") -> Ledger:
    """A ledger that is not there yet."""
    return Ledger(folder / f"{name}.sqlite")


def finish(task: Submission, ledger: Ledger, **options: Any) -> ExecutionResult:
    result = execute(task, service=Service(FAST), ledger=ledger, **options)
    assert isinstance(result, ExecutionResult)
    return result


def forget(ledger: Ledger, how: str) -> Ledger:
    """The ledger deleted, or emptied."""
    ledger.close()
    if how == "deleted":
        for path in ledger.path.parent.glob(f"{ledger.path.name}*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    else:
        with sqlite3.connect(ledger.path) as db:
            db.execute("DELETE FROM jobs")
            db.execute("DELETE FROM evaluations")
    return Ledger(ledger.path)


@pytest.mark.parametrize("how", ["deleted", "emptied"])
def test_results_on_disk_are_taken_without_the_ledger_and_without_an_account(
    server: Loopback, task: Submission, tmp_path: Path, how: str
) -> None:
    ledger = ledger_of(tmp_path)
    first = finish(task, ledger)
    ledger, asked = forget(ledger, how), len(server.log)
    again = take_over(task, service=None, ledger=ledger)
    assert again is not None
    np.testing.assert_array_equal(again.evs, first.evs)
    assert again.charged_seconds == pytest.approx(3 * PRICE)
    assert len(server.log) == asked
    finish(task, ledger)
    assert len(server.jobs) == 3


@pytest.mark.parametrize("how", ["deleted", "emptied"])
def test_jobs_at_the_service_are_taken_without_the_ledger(
    server: Loopback, task: Submission, tmp_path: Path, how: str
) -> None:
    """One has run and is fetched, the others wait; none is sent again, and none is cancelled."""
    server.faults.add("POST /jobs", "job_hangs", nth=2)
    ledger = ledger_of(tmp_path)
    execute(task, service=Service(FAST), ledger=ledger, detach=True)
    ledger = forget(ledger, how)
    assert take_over(task, service=Service(FAST), ledger=ledger) is None
    assert [row.job_id for row in ledger.jobs()] == list(server.jobs)
    server.cancel(list(server.jobs.values())[1])
    with pytest.raises(BackendError, match="chunk 2 was cancelled"):
        finish(task, ledger)
    finish(task, ledger)
    assert [job.executed for job in server.jobs.values()] == [1, 0, 1, 1]
    assert not any(batch.accepting_jobs for batch in server.batches.values())


def test_only_what_is_nowhere_is_sent(server: Loopback, task: Submission, tmp_path: Path) -> None:
    """The first chunk is on disk, the second at the service, the third was never sent."""
    ledger = ledger_of(tmp_path)

    def stop(status: Status) -> None:
        if status.submitted == 2 and status.finished == 0:
            server.quota_seconds = 0.0

    with pytest.raises(BackendError, match="is used up"):
        execute(task, service=Service(FAST), ledger=ledger, status=stop)
    server.quota_seconds = None
    execute(task, service=Service(FAST), ledger=ledger, submit=False)
    (second,) = (task.folder / "results").glob("chunk-001-*[0-9a-f].json")
    second.unlink()
    result = finish(task, forget(ledger, "deleted"))
    assert result.evs.shape == (6, 2)
    assert [job.executed for job in server.jobs.values()] == [1, 1, 1]
    assert result.charged_seconds == pytest.approx(server.charged_seconds)


def test_a_result_counts_only_if_it_is_that_of_its_chunk(server: Loopback, task: Submission, tmp_path: Path) -> None:
    """One is damaged, one is another chunk's under a wrong name, one is of another evaluation."""
    ledger, other = ledger_of(tmp_path), small_task(tmp_path / "other", key="fedcba9876543210", device="manila")
    finish(task, ledger)
    finish(other, ledger)
    results = [sorted((t.folder / "results").glob("chunk-*[0-9a-f].json")) for t in (task, other)]
    results[0][0].write_text(results[0][0].read_text()[:-200])
    results[0][1].write_text(results[0][2].read_text())
    results[0][2].write_text(results[1][2].read_text())
    ledger = forget(ledger, "deleted")
    assert take_over(task, service=None, ledger=ledger) is None
    assert ledger.jobs(task.key) == []
    assert finish(task, ledger).evs.shape == (6, 2)
    assert len(server.jobs) == 6
    assert finish(task, ledger).charged_seconds == pytest.approx(3 * PRICE)


def test_jobs_that_were_sent_with_another_placement_are_neither_paid_again_nor_cancelled(
    server: Loopback, task: Submission, tmp_path: Path
) -> None:
    server.queue_seconds = 600
    execute(task, service=Service(FAST), ledger=ledger_of(tmp_path), detach=True)
    elsewhere = small_task(
        tmp_path / "elsewhere" / "evaluation", device="manila", options=HardwareOptions(shots=128, resilience=0)
    )
    with pytest.raises(
        BackendError, match=r"IBM has 3 jobs of this evaluation already \(\w+, created .*--repeat LABEL"
    ):
        finish(elsewhere, ledger_of(tmp_path, "another"))
    assert [job.state for job in server.jobs.values()] == ["Queued"] * 3
    for job in list(server.jobs.values()):
        server.cancel(job)
    server.change(queue_seconds=0)
    assert finish(elsewhere, ledger_of(tmp_path, "another")).evs.shape == (6, 2)


def test_two_jobs_of_one_chunk_that_another_ledger_sent_are_left_alone_and_counted(
    server: Loopback, task: Submission, tmp_path: Path
) -> None:
    server.run_seconds = 0.4
    (first, *_) = execute(task, service=Service(FAST), ledger=ledger_of(tmp_path), detach=True).job_ids  # type: ignore[union-attr]
    job = server.jobs[first]
    server.submit({"backend": job.backend, "program_id": "executor", "tags": job.tags, "params": job.params})
    shutil.copytree(task.folder, tmp_path / "copy")
    copy = Submission.load(tmp_path / "copy")
    finish(copy, ledger_of(tmp_path, "another"))
    while any(job.finished_at is None for job in server.jobs.values()):
        time.sleep(0.02)
    result = finish(copy, ledger_of(tmp_path, "another"))
    assert [job.executed for job in server.jobs.values()] == [1, 1, 1, 1]
    assert len(result.surplus) == 1
    assert result.charged_seconds == pytest.approx(4 * PRICE)


def test_a_submission_of_another_ledger_that_may_still_become_a_job_is_waited_for(
    server: Loopback, task: Submission, tmp_path: Path
) -> None:
    """The first process dies while its first job is on the way: the service makes it 0.3 s later."""
    task.save()
    ledger = ledger_of(tmp_path)
    server.faults.add("POST /jobs", "delay", seconds=0.3)
    seen: list[Status] = []

    def die(status: Status) -> None:
        if status.phase == "trouble":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(task, service=Service(replace(FAST, transfer=0.1)), ledger=ledger, status=die)
    finish(task, forget(ledger, "deleted"), status=seen.append)
    assert [job.executed for job in server.jobs.values()] == [1, 1, 1]
    assert any("began to send this evaluation" in status.message for status in seen)


def test_of_two_accounts_on_a_shared_folder_one_sends_and_both_have_the_results(
    server: Loopback, task: Submission, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.queue_seconds = 600
    ledgers = ledger_of(tmp_path), ledger_of(tmp_path, "another")
    execute(task, service=Service(FAST), ledger=ledgers[0], detach=True)
    with Loopback("manila", key=KEY, execution="counterfeit", crn=CRN.replace("1111", "9999")) as other:
        use(other, monkeypatch)
        with pytest.raises(BackendError, match=r"began to send this evaluation at .* with another account or instance"):
            finish(task, ledgers[1])
        assert other.jobs == {}
        use(server, monkeypatch)
        server.change(queue_seconds=0)
        first = finish(task, ledgers[0])
        use(other, monkeypatch)
        again = finish(task, ledgers[1])
        np.testing.assert_array_equal(again.evs, first.evs)
        assert again.charged_seconds == first.charged_seconds
        assert other.jobs == {}
    assert len(server.jobs) == 3


def test_a_folder_is_worked_on_by_one_process_whatever_its_ledger(
    server: Loopback, task: Submission, tmp_path: Path
) -> None:
    with (
        alone_in(task.folder),
        pytest.raises(BackendError, match=r"another process.* is at work on this evaluation in .*evaluation"),
    ):
        finish(task, ledger_of(tmp_path))
    assert server.jobs == {}


def test_a_folder_says_who_sent_without_account_or_token(server: Loopback, task: Submission, tmp_path: Path) -> None:
    finish(task, ledger_of(tmp_path))
    sender = json.loads((task.folder / "sender.json").read_text())
    assert sender.keys() == {"ledger", "who", "instance", "begun"}
    assert all(CRN not in str(value) and KEY not in str(value) for value in sender.values())
    (task.folder / "sender.json").write_text("{")
    ledger = ledger_of(tmp_path, "another")
    shutil.rmtree(task.folder / "results")
    assert finish(task, ledger).evs.shape == (6, 2)  # its jobs are found
    assert len(server.jobs) == 3


# What was kept by the program of November 2026.


def kept(tmp_path: Path, *, ledger: bool) -> tuple[Submission, Ledger]:
    """The task in a folder of its own, with its ledger or without one."""
    folder = Path(shutil.copytree(KEPT / "task", tmp_path / "run" / "task"))
    if ledger:
        db = sqlite3.connect(tmp_path / "ledger.sqlite")
        db.executescript((KEPT / "ledger.sql").read_text().replace("FOLDER", str(folder)))
        db.close()
    return Submission.load(folder), ledger_of(tmp_path)


def test_an_old_task_has_the_digest_that_it_was_sent_with(tmp_path: Path) -> None:
    task, ledger = kept(tmp_path, ledger=True)
    assert {row.digest for row in ledger.jobs()} == {task.digest()}
    assert task.digest() == small_task(tmp_path / "anew", device="manila").save().digest()


def test_an_old_ledger_is_taken_as_it_is(server: Loopback, tmp_path: Path) -> None:
    task, ledger = kept(tmp_path, ledger=True)
    (evaluation,) = ledger.evaluations()
    assert evaluation.agreed == evaluation.created
    asked = len(server.log)
    service = Service(FAST)
    logged_in = len(server.log)
    result = execute(task, service=service, ledger=ledger)
    assert isinstance(result, ExecutionResult)
    assert len(server.log) == logged_in > asked
    assert [(job.chunk, job.charged_seconds) for job in result.jobs] == [(0, 2.032), (1, 2.032), (2, 2.032)]
    assert [(other.chunk, other.state, other.charged_seconds) for other in result.others] == [(1, "failed", 0.0)]
    assert ledger.id == "18f3b487"
    assert ledger_of(tmp_path).jobs() == ledger.jobs()


def test_old_results_on_disk_are_taken_without_their_ledger(server: Loopback, tmp_path: Path) -> None:
    task, ledger = kept(tmp_path, ledger=False)
    result = take_over(task, service=None, ledger=ledger)
    assert result is not None
    assert result.evs[0].tolist() == [0.25, -0.59375]
    assert result.charged_seconds is None  # of an account that is not this one
    finish(task, ledger)
    assert server.jobs == {}


def test_old_jobs_at_the_service_are_found_by_the_beginning_of_their_tags(server: Loopback, tmp_path: Path) -> None:
    task, ledger = kept(tmp_path, ledger=False)
    shutil.rmtree(task.folder / "results")
    service = Service(FAST)
    tags = ["hybridq-0123456789abcdef-18f3b487"]
    for chunk in (0, 2):
        own = [*tags, f"{tags[0]}-{chunk:03d}-1"]
        service.submit(
            task.device, task.pub(chunk), options=task.options, tags=own, max_execution_seconds=60, batch_id=None
        )
    collected = execute(task, service=service, ledger=ledger, submit=False)
    assert isinstance(collected, Unfinished)
    assert collected.job_ids == tuple(server.jobs)
    finish(task, ledger)
    assert [job.executed for job in server.jobs.values()] == [1, 1, 1]
