"""``hybridq evaluate RUN --backend ibm_…`` as a user runs it, against a loopback server and the unmodified client."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from loopback import Loopback

from hybridq.cli.main import main

KEY = "loopback-key-0123456789-never-shown"


def test_hardware_shows_its_cost_waits_for_yes_and_keeps_the_token_out_of_everything(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(tiny_run, tmp_path / "tiny"))
    command = ["hybridq", "evaluate", str(run), "--backend", "ibm_torino:shots=1024,resilience=0", "--limit", "6"]
    with Loopback("torino", key=KEY, seed=3) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", [*command, "--stratified"])
        with pytest.raises(SystemExit) as refused:
            main()
        assert refused.value.code == 2
        shown = capsys.readouterr()
        assert "6 circuits, 6,144 executions, about 4 quantum seconds (estimated)" in shown.out
        assert "nothing was submitted; add --yes" in shown.err
        assert server.jobs == {}
        assert not (run / "evaluations").exists()

        monkeypatch.setattr(sys, "argv", [*command, "--stratified", "--yes"])
        with pytest.raises(SystemExit) as done:
            main()
        assert done.value.code == 0
        assert len(server.jobs) == 1
    (folder,) = (run / "evaluations").iterdir()
    record = json.loads((folder / "record.json").read_text())
    assert (record["simulated"], record["shots"], record["samples"]) == (False, 1024, 6)
    written = "".join(path.read_text(errors="replace") for path in run.rglob("*") if path.is_file())
    assert KEY not in written + "".join(capsys.readouterr())


def test_without_an_account_one_sentence_says_how_to_get_one(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("QISKIT_IBM_TOKEN", "QISKIT_IBM_CHANNEL", "QISKIT_IBM_INSTANCE", "QISKIT_IBM_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["hybridq", "evaluate", str(tiny_run), "--backend", "ibm_torino"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert "save_account" in error
    assert error.count("\n") == 1
