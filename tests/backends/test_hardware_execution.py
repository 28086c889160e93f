"""Chunks of an evaluation against a service that behaves, and mostly one that does not."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hardware import FAST, KEY, small_task
from ibm_quantum_schemas.executor.version_2_0 import ParamsModel
from loopback import EXECUTION_SECONDS, JOB_SECONDS, Loopback, LoopbackProcess
from qiskit_ibm_runtime.quantum_program.converters.converters_2_0 import quantum_program_from_2_0

from backends.errors import BackendError
from backends.hardware_options import HardwareOptions
from backends.ibm.client import Service
from backends.ibm.execution import Status, Unfinished, cancel, execute
from backends.ibm.ledger import Ledger
from backends.ibm.results import ExecutionResult
from backends.ibm.tags import ledger_tag
from backends.ibm.task import Submission, write_whole
from backends.ibm.waits import Waits


@pytest.fixture
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    options = {"execution": "counterfeit", **getattr(request, "param", {})}
    with Loopback("manila", key=KEY, **options) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    yield ledger
    ledger.close()


@pytest.fixture
def service(server: Loopback) -> Service:
    return Service(FAST)


@pytest.fixture
def task(tmp_path: Path) -> Submission:
    return small_task(tmp_path / "evaluation", device="manila")


def slowly(*values: str) -> list[Any]:
    """Values of a parameter for the slow tests alone."""
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]


def finish(task: Submission, service: Service, ledger: Ledger) -> ExecutionResult:
    result = execute(task, service=service, ledger=ledger)
    assert isinstance(result, ExecutionResult)
    return result


def test_every_chunk_is_one_job_of_one_batch_with_a_limit_and_a_tag_of_its_own(
    server: Loopback, service: Service, ledger: Ledger, task: Submission
) -> None:
    result = finish(task, service, ledger)
    jobs = list(server.jobs.values())
    assert len(jobs) == 3
    assert len({tag for job in jobs for tag in job.tags}) == 2 * 3 + 2
    assert {job.session_id for job in jobs} == set(server.batches)
    assert [batch.mode for batch in server.batches.values()] == ["batch"]
    assert not any(batch.accepting_jobs for batch in server.batches.values())
    assert [job.limit_seconds for job in jobs] == [60, 60, 60]
    assert [job.executions for job in jobs] == [2 * 64] * 3
    assert result.evs.shape == result.stds.shape == (6, 2)
    assert result.charged_seconds == pytest.approx(3 * (JOB_SECONDS + 128 * EXECUTION_SECONDS))
    assert [job.job_id for job in result.jobs] == [job.id for job in jobs]
    assert all(job.timestamps["finished"] and job.calibrated for job in result.jobs)
    assert result.options["default_shots"] == 64
    assert result.drift is None
    assert [row.state for row in ledger.jobs()] == ["done"] * 3


def test_a_result_on_disk_is_never_asked_for_again(
    server: Loopback, service: Service, ledger: Ledger, task: Submission
) -> None:
    first = finish(task, service, ledger)
    before = len(server.log)
    again = execute(task, service=service, ledger=ledger)
    assert len(server.log) == before
    assert isinstance(again, ExecutionResult)
    np.testing.assert_array_equal(again.evs, first.evs)


def test_what_a_job_cost_is_asked_again_until_the_service_has_counted(
    server: Loopback, service: Service, ledger: Ledger, task: Submission
) -> None:
    server.usage_seconds = 30
    assert finish(task, service, ledger).charged_seconds is None
    server.usage_seconds = 0
    assert finish(task, service, ledger).charged_seconds == pytest.approx(server.charged_seconds)
    assert sum(row.charged_seconds or 0 for row in ledger.jobs()) == pytest.approx(server.charged_seconds)


def test_detached_it_returns_after_the_submission_and_the_next_call_collects(
    server: Loopback, service: Service, ledger: Ledger, task: Submission
) -> None:
    server.control("POST", "settings", b'{"queue_seconds": 30}')
    detached = execute(task, service=service, ledger=ledger, detach=True)
    assert isinstance(detached, Unfinished)
    assert detached.job_ids == tuple(server.jobs)
    assert {job.state for job in server.jobs.values()} == {"Queued"}
    server.control("POST", "settings", b'{"queue_seconds": 0}')
    assert finish(task, service, ledger).evs.shape == (6, 2)
    assert len(server.jobs) == 3


def test_the_repeated_first_chunk_comes_last_and_shows_drift(
    server: Loopback, service: Service, ledger: Ledger, tmp_path: Path
) -> None:
    task = small_task(tmp_path / "evaluation", chunks=4, reference=True, device="manila")
    result = finish(task, service, ledger)
    assert result.drift is not None
    assert result.evs.shape == (6, 2)
    np.testing.assert_array_equal(result.drift.first, result.evs[:2])
    np.testing.assert_array_equal(result.drift.repeated, result.drift.first)  # the server's results follow the content
    assert [job.reference for job in result.jobs] == [False, False, False, True]


def test_a_chunk_that_fails_is_named_with_the_services_reason_and_sent_again_alone(
    server: Loopback, service: Service, ledger: Ledger, task: Submission
) -> None:
    server.faults.add("POST /jobs", "job_fails", nth=2, message="The fridge is warm.")
    with pytest.raises(BackendError, match=r"chunk 2 failed: .*fridge is warm.*; 2 of 3 chunks are finished and kept"):
        finish(task, service, ledger)
    failed = list(server.jobs.values())[1]
    assert [row.state for row in ledger.jobs()] == ["done", "failed", "done"]
    result = finish(task, service, ledger)
    assert len(server.jobs) == 4
    assert result.jobs[1].job_id == list(server.jobs)[3]
    assert ledger.latest(task.key)[1].attempt == 2
    assert [job.executed for job in server.jobs.values()] == [1, 0, 1, 1]
    assert failed.id in {row.job_id for row in ledger.jobs()}


@pytest.mark.parametrize("server", [{"queue_seconds": 0.6}], indirect=True)
def test_of_two_jobs_with_one_tag_one_is_cancelled_before_it_runs_and_reported(
    server: Loopback, service: Service, ledger: Ledger, task: Submission
) -> None:
    """The client repeats a submission that is answered 503: two jobs, where the service had made the first one."""
    server.faults.add("POST /jobs", "made_but_503", nth=2)
    result = finish(task, service, ledger)
    assert len(server.jobs) == 4
    (surplus,) = result.surplus
    assert server.jobs[surplus].state == "Cancelled"
    assert sum(job.executed for job in server.jobs.values()) == 3
    assert server.charged_seconds == pytest.approx(3 * (JOB_SECONDS + 128 * EXECUTION_SECONDS))
    assert [row.job_id for row in ledger.jobs() if row.state == "surplus"] == [surplus]


def test_of_two_jobs_with_one_tag_the_one_that_ran_is_kept(
    server: Loopback, service: Service, ledger: Ledger, task: Submission
) -> None:
    server.faults.add("POST /jobs", "made_but_503")
    server.faults.add("POST /jobs", "job_hangs", nth=2)  # the repeated one
    assert finish(task, service, ledger).jobs[0].job_id == next(iter(server.jobs))
    assert [job.executed for job in server.jobs.values()] == [1, 0, 1, 1]


@pytest.mark.parametrize("fault", ["drop_after", *slowly("drop_before", "truncate", "empty", "error_json")])
def test_a_submission_without_an_answer_is_not_sent_a_second_time_behind_a_proxy(
    server: Loopback, service: Service, ledger: Ledger, task: Submission, fault: str
) -> None:
    """urllib3 would: behind a proxy it repeats a POST whose connection broke."""
    server.faults.add("POST /jobs", fault, nth=2)
    finish(task, service, ledger)
    asked = [request for request in server.log if (request.method, request.path) == ("POST", "/api/v1/jobs")]
    assert len(asked) == 3 + (fault == "drop_before")
    assert [job.executed for job in server.jobs.values()] == [1, 1, 1]


def test_what_a_second_job_is_charged_is_counted_with_the_rest(
    server: Loopback, service: Service, ledger: Ledger, task: Submission
) -> None:
    """Both have run before one is found to be too many; the service counts what they cost a while later."""
    server.usage_seconds = 30
    server.faults.add("POST /jobs", "made_but_503")
    server.faults.add("GET /jobs", "503", nth=2, count=4)
    result = finish(task, service, ledger)
    assert [job.executed for job in server.jobs.values()] == [1, 1, 1, 1]
    assert len(result.surplus) == 1
    assert result.charged_seconds is None
    server.usage_seconds = 0
    result = finish(task, service, ledger)
    assert result.charged_seconds == pytest.approx(server.charged_seconds)
    assert sum(row.charged_seconds or 0 for row in ledger.jobs()) == pytest.approx(server.charged_seconds)
    assert [other.charged_seconds for other in result.others] == [pytest.approx(server.charged_seconds / 4)]


def test_a_job_that_failed_is_charged_too(server: Loopback, service: Service, ledger: Ledger, task: Submission) -> None:
    server.faults.add("POST /jobs", "job_time_limit", nth=3)
    with pytest.raises(BackendError, match="maximum execution time"):
        finish(task, service, ledger)
    result = finish(task, service, ledger)
    assert [(other.chunk, other.state) for other in result.others] == [(2, "failed")]
    assert result.charged_seconds == pytest.approx(server.charged_seconds)


def test_a_second_job_that_turns_up_later_is_cancelled(
    server: Loopback, service: Service, ledger: Ledger, task: Submission
) -> None:
    server.queue_seconds = 600
    (first, *_) = execute(task, service=service, ledger=ledger, detach=True).job_ids  # type: ignore[union-attr]
    job = server.jobs[first]
    late = server.submit(
        {"backend": job.backend, "program_id": "executor", "tags": job.tags, "params": job.params, "cost": 60}
    )

    def go_on(status: Status) -> None:
        if late.state == "Cancelled":
            server.change(queue_seconds=0)

    result = execute(task, service=service, ledger=ledger, status=go_on)
    assert isinstance(result, ExecutionResult)
    assert result.surplus == (late.id,)
    assert server.charged_seconds == pytest.approx(3 * (JOB_SECONDS + 128 * EXECUTION_SECONDS))


def test_a_job_that_appears_late_is_waited_for_until_the_grace_ends(
    server: Loopback, service: Service, ledger: Ledger, task: Submission
) -> None:
    """The request is given up after 0.2 s; the service makes the job of it 0.8 s later."""
    server.faults.add("POST /jobs", "delay", nth=2, seconds=1.0)
    waits = Waits(poll=0.02, backoff=0.05, cap=0.1, grace=5, transfer=0.2, request=20)
    finish(task, Service(waits), ledger)
    assert [job.executed for job in server.jobs.values()] == [1, 1, 1]


def test_an_intent_that_never_became_a_job_is_sent_once_the_grace_is_over(
    server: Loopback, service: Service, ledger: Ledger, task: Submission
) -> None:
    task.save()
    ledger.add_evaluation(task.key, run="", backend="", device=task.device, folder=task.folder, chunks=3)
    ledger.intend(task.key, 0, digest=task.digest(), estimated_seconds=1)
    started = time.monotonic()
    finish(task, service, ledger)
    assert time.monotonic() - started >= FAST.grace
    assert [job.executed for job in server.jobs.values()] == [1, 1, 1]
    assert {row.attempt for row in ledger.jobs()} == {1}


def test_busy_and_broken_answers_are_waited_out(
    server: Loopback, service: Service, ledger: Ledger, task: Submission
) -> None:
    server.faults.add("POST /jobs", "429", count=2)
    server.faults.add("POST /sessions", "429")
    server.faults.add("GET /jobs/*", "garbage", nth=2, count=3)
    server.faults.add("GET /jobs/*/results", "truncate", count=2)
    server.faults.add("GET /jobs/*/metrics", "429", count=2)
    seen: list[Status] = []
    execute(task, service=service, ledger=ledger, status=seen.append)
    assert [job.executed for job in server.jobs.values()] == [1, 1, 1]
    assert {status.phase for status in seen} == {"submitting", "waiting", "trouble", "finished"}
    assert any("Too many requests" in status.message for status in seen)
    assert seen[-1].finished == 3


@pytest.mark.slow
def test_the_wait_that_the_service_asks_for_is_kept(
    server: Loopback, service: Service, ledger: Ledger, task: Submission
) -> None:
    server.faults.add("POST /jobs", "429", retry_after=1)
    finish(task, service, ledger)
    refused, taken = [r.time for r in server.log if (r.method, r.path) == ("POST", "/api/v1/jobs")][:2]
    assert taken - refused >= 1


def test_a_request_that_is_never_answered_is_given_up_and_made_again(
    server: Loopback, service: Service, ledger: Ledger, task: Submission
) -> None:
    server.faults.add("GET /jobs/*/results", "delay", seconds=3)
    started = time.monotonic()
    finish(task, Service(Waits(poll=0.02, backoff=0.02, cap=0.1, grace=0.3, request=0.5, transfer=0.5)), ledger)
    assert time.monotonic() - started < 3


def test_a_used_up_quota_ends_it_at_once_and_it_goes_on_when_there_is_time_again(
    server: Loopback, service: Service, ledger: Ledger, task: Submission
) -> None:
    def use_up(status: Status) -> None:
        server.quota_seconds = 0.0

    with pytest.raises(BackendError, match="quantum time of this IBM instance is used up"):
        execute(task, service=service, ledger=ledger, status=use_up)
    assert len(server.jobs) == 1
    server.quota_seconds = 600
    finish(task, service, ledger)
    assert [job.executed for job in server.jobs.values()] == [1, 1, 1]


def test_a_batch_left_open_is_used_again_and_a_closed_one_is_not(
    server: Loopback, service: Service, ledger: Ledger, tmp_path: Path
) -> None:
    left_open, closed = service.open_batch("ibm_manila"), service.open_batch("ibm_manila")
    service.close_batch(closed)
    for key, batch_id in (("a" * 16, left_open), ("b" * 16, closed)):
        task = small_task(tmp_path / key, key=key, device="manila")
        ledger.add_evaluation(key, run="", backend="", device=task.device, folder=task.folder, chunks=3)
        ledger.set_batch(key, batch_id)
        execute(task, service=service, ledger=ledger)
    used = [job.session_id for job in server.jobs.values()]
    assert used[:3] == [left_open] * 3
    assert closed not in used
    assert not any(batch.accepting_jobs for batch in server.batches.values())


def test_a_second_process_on_the_same_evaluation_is_refused_in_one_sentence(
    server: Loopback, service: Service, ledger: Ledger, task: Submission
) -> None:
    refused: list[str] = []

    def start_another(status: Status) -> None:
        if status.phase == "submitting" and not refused:
            other = Ledger(ledger.path)
            with pytest.raises(BackendError, match=r"another process \(process \d+\) is at work") as caught:
                finish(task, service, other)
            refused.append(str(caught.value))
            other.close()

    execute(task, service=service, ledger=ledger, status=start_another)
    assert len(refused) == 1
    assert len(server.jobs) == 3


def test_a_task_that_was_changed_on_disk_is_not_mixed_with_its_earlier_jobs(
    server: Loopback, service: Service, ledger: Ledger, task: Submission
) -> None:
    execute(task, service=service, ledger=ledger, detach=True)
    about = json.loads((task.folder / "task.json").read_text())
    about["options"]["shots"] = 128
    (task.folder / "task.json").write_text(json.dumps(about))
    with pytest.raises(BackendError, match="does not hold what the jobs of this evaluation were sent with"):
        finish(task, service, ledger)


def test_results_deleted_from_disk_are_fetched_again_and_nothing_is_sent(
    server: Loopback, service: Service, ledger: Ledger, task: Submission
) -> None:
    first = finish(task, service, ledger)
    shutil.rmtree(task.folder)
    again = finish(task, service, ledger)
    np.testing.assert_array_equal(again.evs, first.evs)
    assert len(server.jobs) == 3


@pytest.mark.parametrize("damage", ['{"error": {"code": 1000}}', *slowly("", "{}", "half of it")])
def test_a_kept_result_that_cannot_be_read_is_fetched_again(
    server: Loopback, service: Service, ledger: Ledger, task: Submission, damage: str
) -> None:
    result = finish(task, service, ledger)
    path = task.result_path(1, result.jobs[1].job_id)
    whole = path.read_text()
    path.write_text(damage)
    again = finish(task, service, ledger)
    assert path.read_text() == whole
    np.testing.assert_array_equal(again.evs, result.evs)
    assert len(server.jobs) == 3


def test_a_kept_result_that_cannot_be_read_is_named_where_its_job_is_gone(
    server: Loopback, service: Service, ledger: Ledger, task: Submission
) -> None:
    result = finish(task, service, ledger)
    path = task.result_path(1, result.jobs[1].job_id)
    path.write_text("{}")
    server.faults.add(f"GET /jobs/{result.jobs[1].job_id}", "404", count=None)
    with pytest.raises(BackendError, match=f"the result kept in {path} cannot be read"):
        finish(task, Service(FAST), ledger)
    assert path.read_text() == "{}"
    assert len(server.jobs) == 3


@pytest.mark.parametrize("answer", ["error_json", *slowly("empty", "half")])
def test_an_answer_that_is_no_result_is_not_taken_for_one_and_fetched_again(
    server: Loopback, service: Service, ledger: Ledger, task: Submission, answer: str
) -> None:
    server.faults.add("GET /jobs/*/results", answer, nth=2)
    seen: list[Status] = []
    result = execute(task, service=service, ledger=ledger, status=seen.append)
    assert isinstance(result, ExecutionResult)
    assert any("what came is no result" in status.message for status in seen)
    assert len(server.jobs) == 3
    assert not list(task.folder.rglob("*.unreadable"))


@pytest.mark.parametrize("answer", ["half", *slowly("empty", "error_json")])
def test_a_job_without_a_readable_result_is_left_for_later_and_does_not_hold_up_the_others(
    server: Loopback, service: Service, ledger: Ledger, task: Submission, answer: str
) -> None:
    (first, *_) = execute(task, service=service, ledger=ledger, detach=True).job_ids  # type: ignore[union-attr]
    server.faults.add(f"GET /jobs/{first}/results", answer, count=None)
    with pytest.raises(
        BackendError, match=f"is no result .*; job {first} of chunk 1 is finished and is not sent again"
    ):
        finish(task, service, ledger)
    assert sorted(row.state for row in ledger.jobs()) == ["done", "done", "submitted"]
    (left,) = task.folder.rglob("*.unreadable")
    assert first in left.name
    server.faults.clear()
    assert finish(task, service, ledger).evs.shape == (6, 2)
    assert [job.executed for job in server.jobs.values()] == [1, 1, 1]


@pytest.mark.parametrize(
    "where", ["POST /jobs", *slowly("POST /sessions", "GET /jobs", "GET /jobs/*", "GET /jobs/*/metrics")]
)
@pytest.mark.parametrize("answer", ["error_json", *slowly("empty", "half")])
def test_answers_that_are_none_are_waited_out_everywhere(
    server: Loopback, service: Service, ledger: Ledger, task: Submission, where: str, answer: str
) -> None:
    server.faults.add(where, answer, count=2)
    finish(task, service, ledger)
    assert [job.executed for job in server.jobs.values()] == [1, 1, 1]


def test_a_full_disk_is_one_sentence_and_nothing_is_lost(
    server: Loopback, service: Service, ledger: Ledger, task: Submission
) -> None:
    """The limit on the size of a file stands for the end of the disk; a raw result is larger, all else is smaller."""
    execute(task, service=service, ledger=ledger, detach=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        with pytest.raises(BackendError, match=r"cannot be written: .*; what is submitted goes on at IBM") as caught:
            finish(task, service, ledger)
        with pytest.raises(OSError, match="File too large") as written:
            write_whole(task.folder / "results" / "a.npz", lambda file: np.savez(file, np.zeros(1000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{task.folder / 'results'} cannot be written")
    assert written.value.filename == str(task.folder / "results")
    assert not list(task.folder.rglob("*.partial"))
    finish(task, service, ledger)
    assert [job.executed for job in server.jobs.values()] == [1, 1, 1]


def test_a_job_that_the_account_does_not_know_ends_it_and_is_not_sent_again(
    server: Loopback, service: Service, ledger: Ledger, task: Submission
) -> None:
    execute(task, service=service, ledger=ledger, detach=True)
    time.sleep(FAST.grace)
    server.faults.add("GET /jobs/*", "404", count=None)
    with pytest.raises(BackendError, match=r"IBM does not know job \w+ of chunk 1: it was sent with the instance crn"):
        finish(task, service, ledger)
    assert len(server.jobs) == 3


def test_an_evaluation_can_be_cancelled_and_sent_again(
    server: Loopback, service: Service, ledger: Ledger, task: Submission
) -> None:
    server.queue_seconds = 30
    execute(task, service=service, ledger=ledger, detach=True)
    assert cancel(task.key, service=service, ledger=ledger) == list(server.jobs)
    assert {row.state for row in ledger.jobs()} == {"cancelled"}
    server.queue_seconds = 0
    assert finish(task, service, ledger).evs.shape == (6, 2)
    assert server.charged_seconds == pytest.approx(3 * (JOB_SECONDS + 128 * EXECUTION_SECONDS))


def interrupted(task: Submission, service: Service, ledger: Ledger) -> None:
    """Leave all as a process does that is killed when its first job is submitted, before the id is written down."""
    task.save()
    ledger.add_evaluation(task.key, run="", backend="", device=task.device, folder=task.folder, chunks=3)
    row = ledger.intend(task.key, 0, digest=task.digest(), estimated_seconds=1)
    tags = [ledger_tag(task.key, ledger.id), row.tag]
    service.submit(task.device, task.pub(0), options=task.options, tags=tags, max_execution_seconds=60, batch_id=None)


@pytest.mark.parametrize("detach", [True, False])
def test_collecting_finds_an_interrupted_submission_and_sends_nothing(
    server: Loopback, service: Service, ledger: Ledger, task: Submission, detach: bool
) -> None:
    interrupted(task, service, ledger)
    for _ in range(20):
        found = execute(task, service=service, ledger=ledger, detach=detach, submit=False)
        assert isinstance(found, Unfinished)
        assert found.job_ids == tuple(server.jobs)
        if ledger.latest(task.key)[0].state == "done":
            break
    assert [job.executed for job in server.jobs.values()] == [1]
    finish(task, service, ledger)
    assert [job.executed for job in server.jobs.values()] == [1, 1, 1]
    assert isinstance(execute(task, service=service, ledger=ledger, detach=detach, submit=False), ExecutionResult)


def test_collecting_leaves_failed_chunks_as_they_are(
    server: Loopback, service: Service, ledger: Ledger, task: Submission
) -> None:
    server.faults.add("POST /jobs", "job_fails", nth=2, message="The qubits are on strike.")
    execute(task, service=service, ledger=ledger, detach=True)
    for _ in range(2):
        assert isinstance(execute(task, service=service, ledger=ledger, submit=False), Unfinished)
        assert [row.state for row in ledger.jobs()] == ["done", "failed", "done"]
    assert len(server.jobs) == 3


def test_cancelling_finds_an_interrupted_submission(
    server: Loopback, service: Service, ledger: Ledger, task: Submission
) -> None:
    server.queue_seconds = 30
    interrupted(task, service, ledger)
    assert cancel(task.key, service=service, ledger=ledger) == list(server.jobs)
    assert [job.state for job in server.jobs.values()] == ["Cancelled"]


@pytest.mark.parametrize("server", [{"queue_seconds": 3.0, "run_seconds": 0.2, "others_in_queue": 7}], indirect=True)
def test_the_status_says_where_it_stands(server: Loopback, service: Service, ledger: Ledger, task: Submission) -> None:
    seen: list[Status] = []
    execute(task, service=service, ledger=ledger, status=seen.append)
    waiting = [status for status in seen if status.phase == "waiting"]
    assert 0 < max(status.queue_position or 0 for status in waiting) <= 7 + 3
    assert [status.finished for status in waiting] == sorted(status.finished for status in waiting)
    assert seen[-1].quantum_seconds == pytest.approx(server.charged_seconds)
    assert (seen[-1].chunks, seen[-1].submitted, seen[-1].failed) == (3, 3, 0)


@pytest.mark.parametrize(
    ("options", "circuits", "executions"),
    [
        (HardwareOptions(shots=96, resilience=0), 6, 576),
        (HardwareOptions(shots=96, resilience=0, twirl_gates=True), 6 * 32, 576),
        (HardwareOptions(shots=96, resilience=1), 6 * 32 + 3 * 32, 576 + 3 * 96),
        (HardwareOptions(shots=96, resilience=1, measure_mitigation=False), 6 * 32, 576),
        (HardwareOptions(precision=0.1, resilience=0), 6, 600),
        (HardwareOptions(precision=0.1, resilience=1), 6 * 32 + 3 * 32, 9 * 128),
        (HardwareOptions(shots=96, resilience=2), 3 * 6 * 32 + 3 * 32, 3 * 576 + 3 * 96),
    ],
)
def test_the_shots_asked_for_are_the_shots_sent(
    server: Loopback,
    service: Service,
    ledger: Ledger,
    tmp_path: Path,
    options: HardwareOptions,
    circuits: int,
    executions: int,
) -> None:
    finish(small_task(tmp_path / "evaluation", options=options, device="manila"), service, ledger)
    assert sum(job.circuits for job in server.jobs.values()) == circuits
    assert sum(job.executions for job in server.jobs.values()) == executions


@pytest.mark.parametrize(("sequence", "pulses"), [("XX", 6), ("XY4", 12)])
def test_dynamical_decoupling_is_in_the_circuits_sent(
    server: Loopback, service: Service, ledger: Ledger, tmp_path: Path, sequence: str, pulses: int
) -> None:
    options = HardwareOptions(shots=64, resilience=0, dynamical_decoupling=sequence)  # type: ignore[arg-type]
    result = finish(small_task(tmp_path / "evaluation", chunks=1, options=options, device="manila"), service, ledger)
    assert result.options["dynamical_decoupling"]["sequence_type"] == sequence
    (job,) = server.jobs.values()
    program, _ = quantum_program_from_2_0(ParamsModel.model_validate(job.params))
    assert program.items[0].circuit.count_ops()["x"] == pulses  # the circuit itself has none


MEMORY = """
import re, sys
from pathlib import Path
from hardware import evaluate
from programs import random_angles, random_program
program = random_program(21, 4)
done = evaluate(sys.argv[1], program, *random_angles(program, 1, 2000), Path("evaluation").absolute())
print(done.collected.values.shape)
# not getrusage's peak: that of a process that was forked is at least its parent's
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("copies", ["1", "auto"])
def test_two_thousand_samples_take_no_more_memory_than_one_of_their_jobs(copies: str, tmp_path: Path) -> None:
    """One sample at a time, all 133 qubits measured: 200 MB of results; the process has 200 MB to begin with."""
    options: dict[str, Any] = {"execution": "counterfeit", "quota_seconds": 1e9}
    with LoopbackProcess("torino", key=KEY, folder=tmp_path / "server", **options) as server:
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, f"ibm_torino:shots=4096,copies={copies}"],
            cwd=tmp_path,
            env={
                **os.environ,
                **server.environment(),
                "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), str(Path(__file__).parent)]),
                "HYBRIDQ_LEDGER": str(tmp_path / "ledger.sqlite"),
                "HYBRIDQ_WAITS": "poll=0.5",
            },
            capture_output=True,
            text=True,
            check=True,
        )
    print(copies, done.stdout)
    shape, megabytes = done.stdout.splitlines()
    assert shape == "(2000, 4)"
    assert int(megabytes) < 700


def test_a_kept_circuit_in_which_any_byte_changed_is_not_sent(task: Submission) -> None:
    """Some damage loads as another circuit."""
    task.save()
    path = task.folder / "circuit.qpy"
    whole = path.read_bytes()
    for at in range(0, len(whole), max(1, len(whole) // 40)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(BackendError, match=r"cannot be read: circuit\.qpy is not what was written"):
            Submission.load(task.folder)
    path.write_bytes(whole)
    assert Submission.load(task.folder).digest() == task.digest()
