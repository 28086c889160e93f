"""``hybridq evaluate RUN --backend ibm_…`` as a user runs it, against a loopback server and the unmodified client."""

from __future__ import annotations

import json
import os
import pty
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hardware_cli import KEY, Command, configure, holding, settings, start
from loopback import Loopback, LoopbackProcess

from backends.ibm.ledger import Ledger

PLAIN = ("--backend", "ibm_torino", "--shots", 256, "--resilience", 0, "--copies", 1)


def the_evaluation(run: Path) -> Path:
    """The one folder with results."""
    (folder,) = (run / "evaluations").iterdir()
    return folder


def record_of(folder: Path) -> dict[str, object]:
    return dict(json.loads((folder / "record.json").read_text()))


def test_the_plan_is_shown_and_nothing_is_submitted_without_yes(run: Path, server: Loopback, hybridq: Command) -> None:
    command = ("evaluate", run, *PLAIN, "--limit", 6, "--stratified")
    shown = hybridq(*command)
    assert shown.code == 2
    assert "add --yes" in shown.error
    for part in ("6 of split test", "6 at 256 shots", "1 of one PUB", "6, 1,536", "estimated", "600 s (10.0 min)"):
        assert part in shown.out
    dry = hybridq(*command, "--dry-run")
    assert (dry.code, dry.out.strip().splitlines()[-1]) == (0, "nothing was submitted (--dry-run)")
    assert server.jobs == {}
    assert not (run / "evaluations").exists()
    assert not (run / "hardware").exists()


def test_an_evaluation_is_paid_once_and_a_repetition_on_purpose(run: Path, server: Loopback, hybridq: Command) -> None:
    command = ("evaluate", run, *PLAIN, "--limit", 6, "--stratified", "--yes")
    first = hybridq(*command)
    assert first.code == 0, first
    record = record_of(the_evaluation(run))
    assert record["backend"] == "ibm_torino:shots=256,resilience=0,copies=1"
    assert (record["shots"], record["samples"], record["selection"]) == (256, 6, "6 of 8, stratified")
    assert record["quantum_seconds"] == pytest.approx(server.charged_seconds)
    assert len(server.jobs) == 1

    again = hybridq("evaluate", run, "--backend", "ibm_torino:resilience=0,copies=1,shots=256", *command[-4:])
    assert "on disk already" in again.out
    assert len(server.jobs) == 1

    repeated = hybridq(*command, "--repeat", "second day")
    assert repeated.code == 0
    assert len(server.jobs) == 2
    both = (
        "ibm_torino:shots=256,resilience=0,copies=1",
        "ibm_torino:shots=256,resilience=0,copies=1 (repeat second day)",
    )
    assert {record_of(folder)["backend"] for folder in (run / "evaluations").iterdir()} == set(both)

    backends = ("--backend", "aer", "--backend", both[0], "--repeat", "second day")
    assert hybridq("compare", run, *backends, "--limit", 6, "--stratified").code == 0
    compared = json.loads((run / "comparison.json").read_text())["backends"]
    assert [backend["backend"] for backend in compared] == ["aer", *both]
    assert len(server.jobs) == 2


def test_a_dry_run_at_the_service_is_posted_to_the_twin_noted_and_in_no_budget(
    run: Path, server: Loopback, hybridq: Command, ledger_path: Path
) -> None:
    command = ("evaluate", run, *PLAIN, "--limit", 6, "--stratified")
    posted = hybridq(*command, "--dry-run-at-service")
    assert posted.code == 0, posted
    ((job_id, job),) = server.jobs.items()
    assert (job.backend, job.charged_seconds) == ("mock_torino", 0.0)
    said = " ".join((posted.out + posted.error).split())
    assert f"job 1 of 1 was posted to mock_torino as {job_id}, and the service takes it" in said
    assert "nothing ran on ibm_torino, and nothing is charged for it" in said
    ledger = Ledger(ledger_path)
    (row,) = ledger.dry_runs()
    assert (row.job_id, row.state, row.device) == (job_id, "done", "mock_torino")
    assert job.tags == ["hybridq-dry-run", row.tag]
    assert (ledger.jobs(), ledger.evaluations()) == ([], [])
    (kept,) = json.loads(next((run / "hardware").glob("*/dry-runs.json")).read_text())
    assert (kept["job_id"], kept["tag"], kept["charged_seconds"]) == (job_id, row.tag, 0.0)
    assert kept["service_seconds"] == pytest.approx(server.price(6, 6 * 256))
    listed = hybridq("jobs", "list")
    listed_words = " ".join((listed.out + listed.error).split())
    assert f"dry run at mock_torino, job {job_id}: done, counted in no sum" in listed_words

    paid = hybridq(*command, "--yes")
    assert paid.code == 0, paid
    assert [job.backend for job in server.jobs.values()] == ["mock_torino", "ibm_torino"]
    assert record_of(the_evaluation(run))["quantum_seconds"] == pytest.approx(server.charged_seconds)


def test_a_dry_run_at_the_service_without_a_twin_posts_nothing(run: Path, server: Loopback, hybridq: Command) -> None:
    server.mocks.clear()
    refused = hybridq("evaluate", run, *PLAIN, "--limit", 6, "--dry-run-at-service")
    assert refused.code == 2
    assert "this IBM account has no mock_torino" in refused.error
    assert "nothing was posted" in refused.error
    assert server.jobs == {}
    both = hybridq("evaluate", run, *PLAIN, "--limit", 6, "--dry-run-at-service", "--dry-run")
    assert (both.code, "give one of them" in both.error) == (2, True)


def test_default_options_written_out_are_the_same_evaluation(run: Path, server: Loopback, hybridq: Command) -> None:
    command = ("evaluate", run, "--backend", "ibm_torino:copies=1", "--limit", 4)
    server.queue_seconds = 60
    assert hybridq(*command, "--yes", "--detach").code == 0
    assert "resuming" in hybridq(*command, "--shots", 4096, "--resilience", 1, "--dry-run").out
    assert len(server.jobs) == 1


def test_what_the_command_leaves_open_is_taken_from_the_configuration(
    run: Path, server: Loopback, hybridq: Command
) -> None:
    """And is the same evaluation as the one that has it all on the command line."""
    configure(run, "{shots: 320, dd: XY4, twirl_gates: true, mitigation: false, copies: 1, max_quantum_seconds: 3}")
    command = ("evaluate", run, "--backend", "ibm_torino", "--limit", 4, "--yes")
    assert hybridq(*command).code == 0
    record = record_of(the_evaluation(run))
    assert record["backend"] == "ibm_torino:shots=320,resilience=1,dd=XY4,twirl_gates=on,mitigation=off,copies=1"
    assert [job.executions for job in server.jobs.values()] == [4 * 320]
    assert "more than --max-quantum-seconds 3 allows" in hybridq.refused(*command, "--shots", 6400)
    plain = ("--dd", "none", "--copies", "auto", "--precision", 0.125, "--no-twirl-gates", "--dry-run")
    assert "ibm_torino:precision=0.125,resilience=1,twirl_gates=off,mitigation=off" in hybridq(*command, *plain).out

    configure(run, "{}")
    written_out = ("--dd", "XY4", "--twirl-gates", "--no-mitigation", "--shots", 320, "--copies", 1)
    assert "on disk already" in hybridq(*command, *written_out).out
    assert len(server.jobs) == 1

    configure(run, "{shots: 100}")
    assert f"{run / 'config.yaml'} (hardware), with ibm_torino: " in hybridq.refused(*command)


def test_over_budget_says_which_limit_fits_and_submits_nothing(run: Path, server: Loopback, hybridq: Command) -> None:
    command = ("evaluate", run, *PLAIN, "--split", "train", "--yes")
    error = hybridq.refused(*command, "--max-quantum-seconds", 3)
    limit = error.partition("--limit ")[2].split()[0]
    assert "--shots" in error
    assert server.jobs == {}
    assert hybridq(*command, "--max-quantum-seconds", 3, "--limit", limit).code == 0
    assert server.charged_seconds <= 3


def test_over_the_remaining_quota_is_refused_before_anything_is_sent(
    run: Path, server: Loopback, hybridq: Command
) -> None:
    server.consumed_seconds = 598.5
    error = hybridq.refused("evaluate", run, *PLAIN, "--yes")
    assert "remain of the quota" in error
    assert server.jobs == {}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--backend", "ibm_torino", "--shots", 100), "a multiple of 32"),
        (("--backend", "ibm_torino", "--resilience", 3), "resilience = 3"),
        (("--backend", "ibm_torino", "--dd", "XYZ"), "dd = XYZ; none, XX, XpXm or XY4"),
        (("--backend", "ibm_torino", "--copies", "many"), "copies = 'many'"),
        (("--backend", "ibm_torino", "--precision", 0.1, "--shots", 64), "give one of them"),
        (("--backend", "ibm_torino:shots=64", "--shots", 64), "shots is given twice"),
        (("--backend", "aer", "--resilience", 0), "aer has no option 'resilience'"),
        (("--backend", "aer", "--detach"), "--detach is for IBM hardware"),
        (("--backend", "fake_torino", "--max-quantum-seconds", 9), "--max-quantum-seconds is for IBM hardware"),
        (("--backend", "ibm_torino", "--repeat", " "), "--repeat needs a label"),
        (("--backend", "ibm_turin"), "no device ibm_turin; it has ibm_torino"),
        pytest.param(
            ("--backend", "ibm_torino", "--copies", 99), "99 copies of 4 qubits do not fit", marks=pytest.mark.slow
        ),
    ],
)
def test_wrong_options_are_one_sentence(
    options: tuple[object, ...], sentence: str, run: Path, server: Loopback, hybridq: Command
) -> None:
    assert sentence in hybridq.refused("evaluate", run, *options, "--yes")
    assert server.jobs == {}


def test_options_reach_the_wire_and_the_record(run: Path, server: Loopback, hybridq: Command) -> None:
    options = ("--dd", "XY4", "--twirl-gates", "--no-mitigation", "--reference-chunk", "--shots", 320)
    assert hybridq("evaluate", run, "--backend", "ibm_torino:copies=1", *options, "--limit", 4, "--yes").code == 0
    record = record_of(the_evaluation(run))
    assert record["backend"] == ("ibm_torino:shots=320,resilience=1,dd=XY4,twirl_gates=on,mitigation=off,copies=1")
    settled = record["hardware"]["options"]  # type: ignore[index]
    assert settled["dynamical_decoupling"]["sequence_type"] == "XY4"
    assert settled["twirling"]["enable_gates"] is True
    assert settled["resilience"]["measure_mitigation"] is False
    assert [job.executions for job in server.jobs.values()] == [4 * 320, 4 * 320]
    assert record["hardware"]["drift"]["rms"] < 0.2  # type: ignore[index]


def test_newer_options_reach_the_wire_from_the_configuration_and_have_their_price(
    run: Path, server: Loopback, hybridq: Command
) -> None:
    configure(
        run,
        "{shots: 320, resilience: 2, randomizations: 16, twirl_strategy: active, zne_factors: [1, 2], "
        "zne_extrapolator: [linear], rep_delay: 50, references: 1, copies: 1, price_per_second: 1.5}",
    )
    command = ("evaluate", run, "--backend", "ibm_torino", "--limit", 4)
    plan = hybridq(*command, "--price", 2, "--dry-run").out
    assert "ibm_torino:shots=320,resilience=2,copies=1,rep_delay=50,references=1,randomizations=16" in "".join(
        plan.split("\n")
    ).replace(" ", "")
    assert "at 2 a second" in plan
    assert "50 µs of delay" in plan
    assert hybridq(*command, "--yes").code == 0
    record = record_of(the_evaluation(run))
    settled = record["hardware"]["options"]  # type: ignore[index]
    assert settled["execution"]["rep_delay"] == pytest.approx(50e-6)
    assert (settled["twirling"]["num_randomizations"], settled["twirling"]["strategy"]) == (16, "active")
    assert tuple(settled["resilience"]["zne"]["noise_factors"]) == (1, 2)
    (job,) = server.jobs.values()
    assert job.executions == (4 * 2 + 1) * 320
    assert job.params["options"]["rep_delay"] == pytest.approx(50e-6)
    wrong = ("--rep-delay", 5000, "--repeat", "b")
    assert "rep_delay = 5000 µs: ibm_torino takes 0 to " in hybridq.refused(*command, *wrong, "--yes")
    assert len(server.jobs) == 1


def test_a_server_on_this_machine_is_called_simulated_everywhere(run: Path, server: Loopback, hybridq: Command) -> None:
    done = hybridq("evaluate", run, *PLAIN, "--limit", 6, "--yes")
    assert "no service of IBM's" in done.out
    record = record_of(the_evaluation(run))
    assert (record["kind"], record["simulated"]) == ("simulated device", True)


def test_detached_jobs_are_collected_by_the_same_command(run: Path, server: Loopback, hybridq: Command) -> None:
    command = ("evaluate", run, *PLAIN, "--reference-chunk", "--limit", 6, "--yes")
    server.queue_seconds = 2
    left = hybridq(*command, "--detach")
    assert left.code == 0
    assert "2 jobs are submitted" in left.out
    assert not (run / "evaluations").exists()
    dry = hybridq(*command, "--dry-run")
    assert "resuming: 0 of 2 jobs finished, 2 at IBM, 0 to send" in dry.out
    posts = [path for method, _, path, _ in server.requests if method == "POST" and path.endswith("/jobs")]
    done = hybridq(*command)
    assert done.code == 0
    assert "results: " in done.out
    assert len(posts) == len(server.jobs) == 2


def test_without_the_ledger_the_jobs_are_found_and_what_is_missing_is_asked_for(
    run: Path, server: Loopback, hybridq: Command, ledger_path: Path
) -> None:
    command = ("evaluate", run, *PLAIN, "--reference-chunk", "--limit", 6)
    server.faults.add("POST /jobs", "job_hangs", nth=1)
    assert hybridq(*command, "--yes", "--detach").code == 0
    shutil.rmtree(ledger_path.parent)
    assert "2 at IBM, 0 to send" in hybridq(*command, "--dry-run").out
    assert hybridq(*command, "--detach").code == 0  # nothing is to be sent, and nothing is asked
    assert len(server.jobs) == 2
    server.cancel(next(iter(server.jobs.values())))
    assert "1 to be sent (again)" in hybridq(*command).out
    shutil.rmtree(ledger_path.parent)
    error = hybridq.refused(*command)
    assert "add --yes" in error
    assert len(server.jobs) == 2
    assert hybridq(*command, "--yes").code == 0
    assert [job.executed for job in server.jobs.values()] == [0, 1, 1]
    assert record_of(the_evaluation(run))["quantum_seconds"] == pytest.approx(server.charged_seconds)


def test_all_results_on_disk_need_neither_the_ledger_nor_an_account(
    run: Path, server: Loopback, hybridq: Command, ledger_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("evaluate", run, *PLAIN, "--limit", 6)
    assert hybridq(*command, "--yes").code == 0
    decided = (the_evaluation(run) / "predictions.csv").read_text()
    shutil.rmtree(run / "evaluations")
    shutil.rmtree(ledger_path.parent)
    monkeypatch.delenv("QISKIT_IBM_TOKEN")
    monkeypatch.setenv("HOME", str(ledger_path.parent))
    asked = len(server.log)
    again = hybridq(*command)
    assert "all results are on disk" in again.out
    assert (the_evaluation(run) / "predictions.csv").read_text() == decided
    assert record_of(the_evaluation(run))["quantum_seconds"] == pytest.approx(server.charged_seconds)
    assert len(server.log) == asked


def test_a_copy_of_the_run_without_what_was_sent_is_refused(
    run: Path, server: Loopback, hybridq: Command, ledger_path: Path
) -> None:
    copy = Path(shutil.copytree(run, run.with_name("copy")))
    assert hybridq("evaluate", run, *PLAIN, "--limit", 6, "--yes").code == 0
    shutil.rmtree(ledger_path.parent)
    error = hybridq.refused("evaluate", copy, *PLAIN, "--limit", 6, "--yes")
    assert "IBM has a job of this evaluation already" in error
    assert str(copy / "hardware") in error
    assert hybridq("evaluate", copy, *PLAIN, "--limit", 6, "--yes", "--repeat", "again").code == 0
    assert len(server.jobs) == 2


def test_a_failed_chunk_is_named_and_sent_again_alone(run: Path, server: Loopback, hybridq: Command) -> None:
    command = ("evaluate", run, *PLAIN, "--reference-chunk", "--limit", 6, "--yes")
    server.faults.add("POST /jobs", "job_fails", nth=2, message="The qubits are on strike.")
    error = hybridq.refused(*command)
    assert "The qubits are on strike" in error
    assert "1 of 2 chunks are finished and kept" in error
    assert not (run / "evaluations").exists()
    over = hybridq.refused(*command, "--max-quantum-seconds", 3)
    assert "nothing more was sent" in over
    assert len(server.jobs) == 2
    assert hybridq(*command).code == 0
    assert len(server.jobs) == 3


def test_a_second_process_on_the_same_evaluation_refuses(
    run: Path, server: Loopback, hybridq: Command, ledger_path: Path
) -> None:
    command = ("evaluate", run, *PLAIN, "--limit", 6, "--yes")
    server.queue_seconds = 60
    assert hybridq(*command, "--detach").code == 0
    ledger = Ledger(ledger_path)
    (evaluation,) = ledger.evaluations()
    with ledger.lock(evaluation.key):
        assert "is at work on this evaluation" in hybridq.refused(*command)
    assert len(server.jobs) == 1


@pytest.mark.slow
def test_other_weights_are_another_evaluation(run: Path, server: Loopback, hybridq: Command) -> None:
    from safetensors.torch import load_file, save_file

    command = ("evaluate", run, *PLAIN, "--limit", 6, "--yes")
    assert hybridq(*command).code == 0
    weights = load_file(run / "model.safetensors")
    weights["circuit.weight"] += 0.1
    save_file(weights, run / "model.safetensors")
    assert hybridq(*command).code == 0
    assert len(server.jobs) == 2
    assert len(list((run / "evaluations").iterdir())) == 2


@pytest.mark.parametrize(
    ("where", "kind", "options"),
    [
        pytest.param("POST /identity/token", "401", {"count": None}, marks=pytest.mark.slow),
        pytest.param("POST /jobs", "403", {}, marks=pytest.mark.slow),
        pytest.param("POST /jobs", "quota", {}, marks=pytest.mark.slow),
        ("POST /jobs", "job_fails", {"message": "It failed."}),
    ],
)
def test_the_key_is_in_nothing_that_a_failing_run_writes(
    where: str, kind: str, options: dict[str, object], run: Path, server: Loopback, hybridq: Command, tmp_path: Path
) -> None:
    server.faults.add(where, kind, **options)
    answer = hybridq("evaluate", run, *PLAIN, "--limit", 4, "--yes")
    assert answer.code == 2
    assert answer.error.count("\n") == 1, answer.error
    assert holding(KEY, tmp_path) == []


@pytest.mark.slow
def test_images_on_many_patches_come_back_in_their_own_rows(run: Path, server: Loopback, hybridq: Command) -> None:
    server.execution = "noiseless"
    many = ("--backend", "ibm_torino:shots=4096,resilience=0,copies=3", "--yes")
    assert hybridq("compare", run, "--backend", "aer", *many).code == 0
    folders = {record_of(folder)["backend"]: folder for folder in (run / "evaluations").iterdir()}
    exact, sampled = (np.load(folders[name] / "expectations.npz")["values"] for name in sorted(folders))
    assert np.abs(exact - sampled).max() < 5 / np.sqrt(4096)
    record = record_of(folders["ibm_torino:shots=4096,resilience=0,copies=3"])
    assert len(record["hardware"]["patches"]) == 3  # type: ignore[index]
    assert hybridq("report", run).code == 0
    page = (run / "report.html").read_text()
    for part in ("On the device", "shot noise, from the standard errors", "Crosstalk", "for each image"):
        assert part in page


def test_without_an_account_one_sentence_says_how_to_get_one(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hybridq: Command
) -> None:
    for name in ("QISKIT_IBM_TOKEN", "QISKIT_IBM_CHANNEL", "QISKIT_IBM_INSTANCE", "QISKIT_IBM_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HYBRIDQ_LEDGER", str(tmp_path / "ledger.sqlite"))
    assert "save_account" in hybridq.refused("evaluate", tiny_run, "--backend", "ibm_torino")


@pytest.mark.slow
def test_on_a_terminal_it_asks_and_no_means_no(run: Path, server: Loopback, ledger_path: Path) -> None:
    master, slave = pty.openpty()
    command = [str(Path(sys.executable).with_name("hybridq")), "evaluate", str(run), *map(str, PLAIN), "--limit", "4"]
    environment = {**os.environ, **settings(server.environment, ledger_path), "TERM": "xterm"}
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    shown = b""
    while b"Submit this" not in shown:
        shown += os.read(master, 4096)
    os.write(master, b"n\n")
    while True:
        try:
            shown += os.read(master, 4096)
        except OSError:  # the other end is closed
            break
    assert process.wait(60) == 0
    assert b"nothing was submitted" in shown
    assert server.jobs == {}


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_process_goes_on_where_it_was(stop: signal.Signals, run: Path, tmp_path: Path) -> None:
    with LoopbackProcess(
        "torino", key=KEY, folder=tmp_path / "server", execution="counterfeit", queue_seconds=600
    ) as service:
        environment = settings(service.environment(), tmp_path / "user" / "ledger.sqlite")
        command = ["evaluate", run, *PLAIN, "--split", "train", "--reference-chunk", "--yes"]
        process = start(command, environment)
        while len(service.log()["jobs"]) < 2:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(stop)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == (130 if stop == signal.SIGINT else -signal.SIGKILL)
        if stop == signal.SIGINT:
            assert "the same command goes on where this one was" in out
        assert not (run / "evaluations").exists()
        service.control("POST", "settings", {"queue_seconds": 0})
        process = start(command, environment)
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 0, out
        assert len(service.log()["jobs"]) == 2
        assert record_of(the_evaluation(run))["samples"] == 32
        assert KEY not in out
        assert holding(KEY, tmp_path / "user", run) == []


@pytest.mark.slow
def test_the_whole_program_killed_at_five_points_ends_as_it_does_undisturbed(run: Path, tmp_path: Path) -> None:
    """After so many requests, from the first submission to the decision; the ledger and the run are new each time.

    So is the label: of one label and another folder nothing would be sent.
    """
    predictions, killed = [], 0
    with LoopbackProcess(
        "torino", key=KEY, folder=tmp_path / "server", execution="counterfeit", seeded_by="parameters"
    ) as service:

        def evaluate(number: int, after: int | None) -> tuple[int, int]:
            """Requests of an undisturbed evaluation before its first job and in all; with ``after``, killed then."""
            nonlocal killed
            own = Path(shutil.copytree(run, tmp_path / f"run{number}"))
            environment = settings(service.environment(), tmp_path / f"user{number}" / "ledger.sqlite")
            command = ["evaluate", own, *PLAIN, "--split", "train", "--reference-chunk", "--yes", "--repeat", number]
            before = service.log()
            if after is not None:
                process = start(command, environment)
                while process.poll() is None and len(service.log()["requests"]) < len(before["requests"]) + after:
                    time.sleep(0.02)
                killed += process.poll() is None
                process.kill()
                process.communicate()
            process = start(command, environment)
            out, _ = process.communicate(timeout=180)
            assert process.returncode == 0, out
            log = service.log()
            assert [job["executed"] for job in log["jobs"][len(before["jobs"]) :]] == [1, 1]
            predictions.append((the_evaluation(own) / "predictions.csv").read_text())
            asked = [request["path"] for request in log["requests"][len(before["requests"]) :]]
            return next(i for i, path in enumerate(asked) if path.endswith("/jobs")), len(asked)

        first, last = evaluate(0, None)
        points = random.Random(3).sample(range(first, last), 4)
        for number, point in enumerate([*points, last], start=1):
            evaluate(number, point)
    assert killed == 5
    assert len(set(predictions)) == 1


@pytest.mark.slow
def test_of_two_processes_at_once_one_submits(run: Path, tmp_path: Path) -> None:
    with LoopbackProcess(
        "torino", key=KEY, folder=tmp_path / "server", execution="counterfeit", queue_seconds=5
    ) as service:
        environment = settings(service.environment(), tmp_path / "user" / "ledger.sqlite")
        command = ["evaluate", run, *PLAIN, "--limit", 6, "--yes"]
        processes = [start(command, environment) for _ in range(2)]
        outs = [process.communicate(timeout=180)[0] for process in processes]
        codes = sorted(process.returncode for process in processes)
        assert codes in ([0, 0], [0, 2]), outs
        assert len(service.log()["jobs"]) == 1


def test_noise_is_learned_once_and_used_again_and_what_pec_leaves_is_said(
    run: Path, server: Loopback, hybridq: Command
) -> None:
    learned = ("--pec", "--learn-shots", 8, "--learn-randomizations", 2, "--learn-depths", "0/1")
    command = ("evaluate", run, "--backend", "ibm_torino:copies=1,shots=64", *learned, "--limit", 2)
    shown = " ".join(hybridq(*command, "--dry-run").out.split())
    for part in ("2 of one PUB, the first of which learns layer noise", "learning noise of ", "at most 10 times those"):
        assert part in shown
    assert "of them to learn noise" in hybridq.refused(*command, "--max-quantum-seconds", 3, "--yes")
    assert hybridq(*command, "--yes").code == 0
    about = record_of(the_evaluation(run))["hardware"]["layer_noise"]  # type: ignore[index]
    assert [job.program for job in server.jobs.values()] == ["noise-learner", "executor"]
    assert (about["job_id"], about["reused"], about["left"]) == (next(iter(server.jobs)), False, 0.0)
    listed = json.loads(hybridq("jobs", "list", "--json").out)
    assert [(row["chunk"], row["chunks"], row["state"]) for row in listed] == [(1, 2, "done"), (2, 2, "done")]
    assert listed[0]["charged_seconds"] == pytest.approx(next(iter(server.jobs.values())).charged_seconds)

    weak = (*command, "--pec-overhead", 1.01)
    assert "used again" in hybridq(*weak, "--dry-run").out
    assert "learns layer noise" in hybridq(*weak, "--noise-max-age", 1e-9, "--dry-run").out
    assert "of the learned noise is not cancelled" in " ".join(hybridq(*weak, "--yes").out.split())
    assert [job.program for job in server.jobs.values()] == ["noise-learner", "executor", "executor"]
    assert "--noise-max-age 0: hours, above 0" in hybridq.refused(*command, "--noise-max-age", 0, "--yes")
    assert "excludes cancelling it" in hybridq.refused(*command, "--resilience", 2, "--yes")
    assert "--noise-max-age is for IBM hardware" in hybridq.refused(
        "evaluate", run, "--backend", "aer", "--noise-max-age", 3
    )
