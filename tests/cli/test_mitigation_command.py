"""hybridq study mitigation."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hardware_cli import Command
from loopback import Loopback


def test_the_table_is_printed_and_written_once(run: Path, hybridq: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    asked = ("study", "mitigation", run, "--backend", "fake_manila", "--training-images", "8")
    answer = hybridq(*asked)
    assert answer.code == 0
    (folder,) = (run / "mitigation").iterdir()
    assert folder.name.startswith("fake-manila-")
    assert (folder / "figures" / "mitigation.png").is_file()
    with (folder / "mitigation.csv").open(newline="", encoding="utf-8") as file:
        methods = [row["method"] for row in csv.DictReader(file)]
    said = " ".join(answer.out.split())
    assert "none" in methods
    assert "simulated device" in said
    assert max(map(len, answer.out.splitlines()[:-1])) <= 160
    written = (folder / "mitigation.csv").read_bytes()
    again = hybridq(*asked)
    assert again.code == 0
    assert "on disk already" in again.out
    assert (folder / "mitigation.csv").read_bytes() == written


@pytest.mark.slow
def test_what_was_paid_for_on_hardware_is_corrected_without_sending_anything(
    run: Path, server: Loopback, hybridq: Command
) -> None:
    device = ("--backend", "ibm_torino:shots=256,resilience=0,copies=1")
    assert hybridq("evaluate", run, *device, "--yes").code == 0
    missing = hybridq.refused("study", "mitigation", run, *device)
    assert "on train images is finished" in missing
    assert "--split train --limit 32" in missing
    assert hybridq("evaluate", run, *device, "--split", "train", "--limit", 12, "--yes").code == 0
    jobs = len(server.jobs)
    answer = hybridq("study", "mitigation", run, *device)
    assert answer.code == 0, answer
    assert len(server.jobs) == jobs
    (folder,) = (run / "mitigation").iterdir()
    with (folder / "mitigation.csv").open(newline="", encoding="utf-8") as file:
        assert [row["method"] for row in csv.DictReader(file)] == ["none", "learned"]


def test_mistakes_end_in_one_sentence(run: Path, hybridq: Command) -> None:
    assert "no noise to mitigate" in hybridq.refused("study", "mitigation", run, "--backend", "aer")
    assert "fitted there" in hybridq.refused("study", "mitigation", run, "--split", "train")
    assert "fitted there" in hybridq.refused("study", "mitigation", run, "--split", "train", "--backend", "ibm_torino")
    missing = hybridq.refused("study", "mitigation", run, "--backend", "ibm_torino:shots=256,resilience=0")
    assert "no evaluation of ibm_torino:shots=256,resilience=0 on test images is finished" in missing
    assert f"hybridq evaluate {run} --backend ibm_torino:shots=256,resilience=0 --split test" in missing
    assert "--limit" in hybridq.refused("study", "mitigation", run, "--limit", 4, "--backend", "ibm_torino")
    assert "shots = 0" in hybridq.refused("study", "mitigation", run, "--backend", "fake_torino:shots=0")
    assert not (run / "mitigation").exists()
