"""``hybridq jobs``: every job of this machine, and what can be done about it."""

from __future__ import annotations

import csv
import io
import json
import time
from pathlib import Path

from hardware_cli import Command, configure
from loopback import Loopback
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp

from backends import CircuitProgram, parse_name
from backends.ibm.client import Service
from backends.ibm.execution import execute
from backends.ibm.ledger import Ledger
from backends.ibm.prepare import make_task, prepare

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


def test_jobs_are_collected_as_they_were_asked_for_whatever_the_configuration_says(
    run: Path, server: Loopback, hybridq: Command
) -> None:
    asked = ("--backend", "ibm_torino:shots=64,copies=1", "--dd", "none", "--limit", 6, "--yes")
    configure(run, "{dd: XY4, twirl_gates: true}")
    assert hybridq("evaluate", run, *asked, "--detach").code == 0
    configure(run, "{resilience: 0, copies: 2}")
    assert "results in" in hybridq("jobs", "collect", "--wait").out
    (folder,) = (run / "evaluations").iterdir()
    backend = json.loads((folder / "record.json").read_text())["backend"]
    assert backend == "ibm_torino:shots=64,resilience=1,twirl_gates=on,copies=1"


def test_jobs_of_a_program_of_the_users_own_are_listed_and_left_to_it(
    server: Loopback, hybridq: Command, tmp_path: Path
) -> None:
    circuit, angle = QuantumCircuit(1), Parameter("x")
    circuit.rx(angle, 0)
    program = CircuitProgram(circuit, (angle,), (), (SparsePauliOp("Z"),))
    service, name = Service(), parse_name("ibm_torino:shots=64,copies=1")
    prepared = prepare(program, name, 2, service=service)
    task = make_task(prepared, [[0.1], [0.2]], [], key="own", folder=tmp_path / "own", backend=name.canonical)
    execute(task, service=service, ledger=Ledger(), detach=True)
    assert "ibm_torino:shots=64,copies=1" in hybridq("jobs").out
    assert "nothing to collect" in hybridq("jobs", "collect").out
    assert "a program of your own" in hybridq.refused("jobs", "collect", "own")
    assert "cancelled" in hybridq("jobs", "cancel", "own", "--yes").out


def test_a_run_that_was_renamed_is_found_and_one_that_is_gone_is_named(
    run: Path, server: Loopback, hybridq: Command
) -> None:
    server.queue_seconds = 600
    assert hybridq("evaluate", run, *PLAIN, "--limit", 6, "--detach").code == 0
    renamed = run.rename(run.with_name("renamed"))
    assert "2 at IBM" in hybridq("jobs", "collect").out
    listed = json.loads(hybridq("jobs", "list", "--json").out)
    assert {job["run"] for job in listed} == {str(run)}
    away = renamed.rename(run.parent / "deep" / "down") if (run.parent / "deep").mkdir() is None else renamed
    error = hybridq.refused("jobs", "collect")
    assert "is not there any more" in error
    assert "2 of its jobs may be at IBM" in error
    away.rename(renamed)
    server.change(queue_seconds=0)
    assert f"results in {renamed / 'evaluations'}" in hybridq("jobs", "collect", "--wait").out.replace("\n", "")
    assert len(server.jobs) == 2


def test_a_damaged_task_does_not_stop_the_others(run: Path, server: Loopback, hybridq: Command) -> None:
    server.queue_seconds = 600
    for limit in (6, 4):
        assert hybridq("evaluate", run, *PLAIN, "--limit", limit, "--detach").code == 0
    first, second = sorted((run / "hardware").iterdir(), key=lambda folder: folder.stat().st_mtime)
    (first / "task.json").write_text("{")
    server.change(queue_seconds=0)
    error = hybridq.refused("jobs", "collect", "--wait")
    assert f"the evaluation kept in {first} cannot be read" in error
    assert [folder.name for folder in (run / "evaluations").iterdir()] == [second.name]


def test_what_was_refused_is_not_spent_and_what_was_twice_is(run: Path, server: Loopback, hybridq: Command) -> None:
    command = ("evaluate", run, *PLAIN, "--limit", 6)
    server.faults.add("POST /jobs", "403", count=None)
    hybridq.refused(*command)
    assert "about 0.0 quantum seconds sent so far" in hybridq(*command, "--dry-run").out
    server.faults.clear()
    server.faults.add("POST /jobs", "made_but_503")
    server.faults.add("GET /jobs", "503", count=8)
    done = hybridq(*command)
    assert done.code == 0
    assert "came to be twice" in done.out
    rows = json.loads(hybridq("jobs", "list", "--json").out)
    assert [row["state"] for row in rows if row["job_id"]].count("surplus") == 1
    assert sum(row["charged_seconds"] or 0 for row in rows) == server.charged_seconds
    (folder,) = (run / "evaluations").iterdir()
    record = json.loads((folder / "record.json").read_text())
    assert record["quantum_seconds"] == server.charged_seconds
    assert len(record["hardware"]["other_jobs"]) == 1
    assert f"{server.charged_seconds:,.1f} quantum s charged in all" in hybridq("jobs").out
