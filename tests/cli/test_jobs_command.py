"""``hybridq jobs``: every job of this machine, and what can be done about it."""

from __future__ import annotations

import csv
import io
import json
import time
from pathlib import Path

from hardware_cli import Command
from loopback import Loopback

PLAIN = ("--backend", "ibm_torino", "--shots", 256, "--resilience", 0, "--copies", 1, "--reference-chunk", "--yes")


def test_without_jobs_it_says_so_and_needs_no_account(server: Loopback, hybridq: Command, ledger_path: Path) -> None:
    assert f"nothing was ever submitted from this machine (ledger: {ledger_path})" in hybridq("jobs").out
    assert json.loads(hybridq("jobs", "list", "--json").out) == []
    assert "nothing to collect" in hybridq("jobs", "collect").out
    assert "is no evaluation or job of this machine" in hybridq.refused("jobs", "show", "abc")
    assert server.log == []


def test_detached_jobs_are_listed_collected_and_decided(run: Path, server: Loopback, hybridq: Command) -> None:
    server.queue_seconds = 1.5
    assert hybridq("evaluate", run, *PLAIN, "--limit", 6, "--detach").code == 0
    waiting = json.loads(hybridq("jobs", "list", "--json").out)
    assert [(job["chunk"], job["chunks"]) for job in waiting] == [(1, 2), (2, 2)]
    assert all(job["run"] == str(run) and job["charged_seconds"] is None for job in waiting)
    assert {job["job_id"] for job in waiting} == set(server.jobs)
    collected = hybridq("jobs", "collect", waiting[0]["evaluation"][:6])
    if "results in" not in collected.out:
        assert "at IBM" in collected.out
        collected = hybridq("jobs", "collect", "--wait")
    assert "results in" in collected.out
    assert len(list((run / "evaluations").iterdir())) == 1
    assert "on disk already" in hybridq("evaluate", run, *PLAIN, "--limit", 6).out
    assert "nothing to collect" in hybridq("jobs", "collect").out
    assert len(server.jobs) == 2

    listed = hybridq("jobs").out
    assert "ibm_torino:shots=256,resilience=0,copies=1" in listed
    assert "done" in listed
    rows = list(csv.DictReader(io.StringIO(hybridq("jobs", "list", "--csv").out)))
    assert sum(float(row["charged_seconds"]) for row in rows) == server.charged_seconds
    shown = hybridq("jobs", "show", rows[0]["job_id"]).out
    assert str(run / "hardware") in shown.replace("\n", "")


def test_cancelled_jobs_are_not_sent_again_by_collecting(run: Path, server: Loopback, hybridq: Command) -> None:
    server.queue_seconds = 60
    assert hybridq("evaluate", run, *PLAIN, "--limit", 6, "--detach").code == 0
    key = json.loads(hybridq("jobs", "list", "--json").out)[0]["evaluation"]
    assert "add --yes" in hybridq.refused("jobs", "cancel", key)
    assert "2 cancelled" in hybridq("jobs", "cancel", key, "--yes").out
    assert {job.state for job in server.jobs.values()} == {"Cancelled"}
    assert "no job of it is at IBM" in hybridq("jobs", "cancel", key, "--yes").out
    assert "2 to be sent (again), which only hybridq evaluate does" in hybridq("jobs", "collect").out
    assert len(server.jobs) == 2
    server.queue_seconds = 0
    assert hybridq("evaluate", run, *PLAIN, "--limit", 6).code == 0
    assert len(server.jobs) == 4


def test_a_job_that_failed_elsewhere_is_shown_with_its_reason(run: Path, server: Loopback, hybridq: Command) -> None:
    server.faults.add("POST /jobs", "job_fails", message="The qubits are on strike.")
    assert hybridq("evaluate", run, *PLAIN, "--limit", 6, "--detach").code in {0, 2}
    time.sleep(0.5)
    hybridq("jobs", "collect")
    (job, *_) = json.loads(hybridq("jobs", "list", "--json").out)
    assert job["state"] == "failed"
    assert "The qubits are on strike" in hybridq("jobs", "show", job["job_id"]).out
