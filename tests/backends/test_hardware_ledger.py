"""The ledger: what it keeps, for several processes at once, and the lock of an evaluation."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.errors import BackendError
from backends.ibm.ledger import Ledger, default_path
from backends.ibm.plan import charges_of

KEY = "0123456789abcdef"
OPEN = """
import sys, time
from pathlib import Path
from backends.ibm.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]))
"""


def python(code: str, path: Path) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", OPEN + code, str(path)], stdout=pipe, stderr=pipe, text=True)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "data" / "ledger.sqlite")
    ledger.add_evaluation(KEY, run="runs/a", backend="ibm_torino", device="ibm_torino", folder=tmp_path, chunks=2)
    yield ledger
    ledger.close()


def test_a_job_is_followed_from_its_intent_to_its_end(ledger: Ledger) -> None:
    row = ledger.intend(KEY, 1, digest="d", estimated_seconds=2.5)
    assert (row.state, row.job_id, row.attempt, row.run, row.backend) == ("intended", None, 1, "runs/a", "ibm_torino")
    ledger.update(row.tag, state="submitted", job_id="j1", batch_id="b1")
    ledger.update(row.tag, state="failed", reason="warm", charged_seconds=1.5)
    again = ledger.intend(KEY, 1, digest="d", estimated_seconds=2.5)
    assert again.attempt == 2
    assert again.tag != row.tag
    assert [(r.state, r.job_id, r.charged_seconds, r.reason) for r in ledger.jobs(KEY)] == [
        ("failed", "j1", 1.5, "warm"),
        ("intended", None, None, None),
    ]
    assert ledger.latest(KEY) == {1: again}
    assert ledger.job(row.tag).updated >= row.created


def test_from_five_charged_jobs_on_it_is_said_how_estimates_came_out(ledger: Ledger) -> None:
    for number in range(5):
        assert charges_of(ledger, "crn:a") is None
        row = ledger.intend(KEY, number, digest="d", estimated_seconds=10)
        ledger.update(row.tag, state="done", job_id=f"j{number}", instance="crn:a", charged_seconds=8)
    for state, charged, instance in (("failed", 2.0, "crn:a"), ("done", None, "crn:a"), ("done", 99.0, "crn:b")):
        row = ledger.intend(KEY, 9, digest="d", estimated_seconds=10)
        ledger.update(row.tag, state=state, job_id=f"j-{state}-{charged}", instance=instance, charged_seconds=charged)
    other = "fedcba9876543210"
    ledger.add_evaluation(
        other, run="r", backend="ibm_x:pec=on", device="ibm_x", folder=ledger.path.parent / "other", chunks=1
    )
    row = ledger.intend(other, 0, digest="d", estimated_seconds=100)  # the most that is allowed
    ledger.update(row.tag, state="done", job_id="pec", instance="crn:a", charged_seconds=9)
    found = charges_of(ledger, "crn:a")
    assert found is not None
    assert found.sentence == (
        "5 jobs of this account were estimated at 50.0 s and charged 40.0 s (0.80 of the estimate)"
    )


def test_a_tag_has_one_job_and_any_number_of_surplus_ones(ledger: Ledger) -> None:
    row = ledger.intend(KEY, 0, digest="d", estimated_seconds=1)
    ledger.update(row.tag, job_id="j1", state="done")
    ledger.add_surplus(row, "j2", "cancelled")
    ledger.add_surplus(row, "j3", "cancelled")
    assert [(r.job_id, r.state) for r in ledger.jobs()] == [("j1", "done"), ("j2", "surplus"), ("j3", "surplus")]
    assert ledger.latest(KEY)[0].job_id == "j1"
    with pytest.raises(sqlite3.IntegrityError):
        ledger.add_surplus(row, "j1", "known")


def test_it_lies_in_the_users_data_directory_or_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("HYBRIDQ_LEDGER", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_path().name == "ledger.sqlite"
    assert "hybridq" in default_path().parts
    monkeypatch.setenv("HYBRIDQ_LEDGER", str(tmp_path / "mine.sqlite"))
    assert Ledger().path == tmp_path / "mine.sqlite"


def test_one_that_cannot_be_opened_is_named_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BackendError, match=r"the ledger .*file/ledger.sqlite cannot be opened"):
        Ledger(tmp_path / "file" / "ledger.sqlite")
    (tmp_path / "junk.sqlite").write_text("no database at all, and long enough to be taken for none" * 10)
    with pytest.raises(BackendError, match=r"junk.sqlite cannot be opened"):
        Ledger(tmp_path / "junk.sqlite")
    newer = Ledger(tmp_path / "newer.sqlite")
    newer.close()
    with sqlite3.connect(newer.path) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(BackendError, match="written by a newer version"):
        Ledger(newer.path)


def test_processes_that_start_at_once_share_it(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    code = (
        f"ledger.add_evaluation('{KEY}', run='', backend='', device='', folder=Path('.'), chunks=1)\n"
        f"print(ledger.id, *[ledger.intend('{KEY}', 0, digest='d', estimated_seconds=1).attempt for _ in range(5)])\n"
    )
    running = [python(code, path) for _ in range(4)]
    answers = [process.communicate(timeout=60) for process in running]
    assert all(process.returncode == 0 for process in running), answers
    words = [out.split() for out, _ in answers]
    assert len({word[0] for word in words}) == 1
    assert sorted(int(attempt) for word in words for attempt in word[1:]) == list(range(1, 21))


def test_an_evaluation_is_worked_on_by_one_process_and_a_dead_one_does_not_count(ledger: Ledger) -> None:
    holder = python(f"with ledger.lock('{KEY}'):\n    print('mine', flush=True)\n    time.sleep(60)\n", ledger.path)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "mine\n"
    with (
        pytest.raises(BackendError, match=rf"another process \(process {holder.pid}\) is at work on this evaluation"),
        ledger.lock(KEY),
    ):
        pass
    with ledger.lock("another evaluation"):
        pass
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate()
    started = time.monotonic()
    with ledger.lock(KEY):
        assert time.monotonic() - started < 5
    evaluation = ledger.evaluation(KEY)
    assert evaluation is not None
    assert evaluation.holder == f"process {os.getpid()}"


def test_one_of_the_first_version_keeps_its_id_and_what_it_holds(tmp_path: Path) -> None:
    """Its evaluations were noted when they were submitted, which had been agreed to."""
    dump = Path(__file__).with_name("kept_in_november") / "ledger.sql"
    with sqlite3.connect(tmp_path / "old.sqlite") as db:
        db.executescript(dump.read_text(encoding="utf-8"))
        db.execute("PRAGMA user_version = 1")
    db.close()
    for _ in range(2):
        ledger = Ledger(tmp_path / "old.sqlite")
        assert ledger.id == "18f3b487"
        evaluation = ledger.evaluation(KEY)
        assert evaluation is not None
        assert evaluation.agreed == evaluation.created == "2026-11-28T12:02:05.730+00:00"
        assert ledger.jobs()[0].charged_seconds == 2.032
        ledger.close()
    with sqlite3.connect(tmp_path / "old.sqlite") as db:
        assert db.execute("SELECT id FROM ledger").fetchall() == [("18f3b487",)]
    db.close()


def test_a_dry_run_is_listed_and_is_in_no_sum(ledger: Ledger) -> None:
    about = {"run": "runs/a", "backend": "ibm_torino", "device": "test_heron", "instance": "crn:a"}
    tag = ledger.intend_dry_run(key=KEY, estimated_seconds=2.5, **about)
    (row,) = ledger.dry_runs()
    assert tag.startswith(f"hybridq-dry-run-{KEY}-")
    assert (row.tag, row.key, row.state, row.estimated_seconds) == (tag, KEY, "intended", 2.5)
    assert (row.run, row.backend, row.device, row.instance) == tuple(about.values())
    ledger.update_dry_run(tag, state="done", job_id="j1", service_seconds=3.5)
    other = ledger.intend_dry_run(key=KEY, estimated_seconds=1.0, **about)
    rows = {row.tag: row for row in ledger.dry_runs()}
    assert (rows[tag].state, rows[tag].job_id, rows[tag].service_seconds) == ("done", "j1", 3.5)
    assert (rows[other].state, rows[other].job_id, rows[other].service_seconds) == ("intended", None, None)
    assert ledger.jobs() == []
    assert ledger.charges("crn:a") == (0, 0.0, 0.0)
