"""A dry run at the service that was interrupted: it is looked at, and not posted again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hardware import FAST, KEY, small_task
from loopback import Loopback

from backends.ibm.client import Service
from backends.ibm.dry_run import FILE, dry_run
from backends.ibm.failures import RefusedError, UnavailableError
from backends.ibm.ledger import Ledger


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    with Loopback("manila", key=KEY, execution="counterfeit") as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    yield ledger
    ledger.close()


def test_one_whose_answer_was_lost_is_found_by_its_tag(server: Loopback, ledger: Ledger, tmp_path: Path) -> None:
    task, service = small_task(tmp_path / "evaluation", device="manila"), Service(FAST)
    server.faults.add("POST /jobs", "drop_after")
    with pytest.raises(UnavailableError):
        dry_run(task, service=service, ledger=ledger)
    assert [row.state for row in ledger.dry_runs()] == ["intended"]
    seen = dry_run(task, service=service, ledger=ledger)
    assert (seen.state, [seen.job_id]) == ("done", list(server.jobs))
    assert [(row.state, row.job_id) for row in ledger.dry_runs()] == [("done", seen.job_id)]
    assert [one["job_id"] for one in json.loads((task.folder / FILE).read_text())] == [seen.job_id]


def test_one_that_was_not_seen_to_end_is_followed_and_a_finished_one_is_posted_anew(
    server: Loopback, ledger: Ledger, tmp_path: Path
) -> None:
    task, service = small_task(tmp_path / "evaluation", device="manila"), Service(FAST)
    server.queue_seconds = 2.0
    first = dry_run(task, service=service, ledger=ledger)
    assert first.state == "queued"
    server.change(queue_seconds=0.0)
    assert dry_run(task, service=service, ledger=ledger).job_id == first.job_id
    assert dry_run(task, service=service, ledger=ledger).job_id != first.job_id
    assert len(server.jobs) == 2


def test_one_that_never_arrived_is_posted(server: Loopback, ledger: Ledger, tmp_path: Path) -> None:
    task, service = small_task(tmp_path / "evaluation", device="manila"), Service(FAST)
    server.faults.add("POST /jobs", "403")
    with pytest.raises(RefusedError):
        dry_run(task, service=service, ledger=ledger)
    assert dry_run(task, service=service, ledger=ledger).state == "done"
    assert [row.state for row in ledger.dry_runs()] == ["failed", "done"]
    other = small_task(tmp_path / "other", key="fedcba9876543210", device="manila")
    assert dry_run(other, service=service, ledger=ledger).state == "done"
    assert len(server.jobs) == 2
