"""Names are shown as they are, no command fails because of its output, and places and disks are one sentence."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hardware_cli import Command
from PIL import Image
from tiny import TINY

NAMES = ("b [/2]", "[red]α :smile:", "grade $x^$ _1", "\x1b[31mred")
"""What rich would read as markup and emoji, matplotlib as a formula, and a terminal as a command."""


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A table of pictures with such names of classes."""
    rows = ["path,label"]
    random = np.random.default_rng(0)
    for number in range(40):
        Image.fromarray(random.integers(0, 255, (20, 20)).astype(np.uint8)).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{NAMES[number % len(NAMES)]}")
    file = tmp_path / "m.csv"
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return file


def process(arguments: list[object], folder: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    code = "from hybridq.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        timeout=300,
    )


@pytest.mark.parametrize("command", ["show", "audit"])
def test_names_are_shown_as_they_are(command: str, hybridq: Command, manifest: Path) -> None:
    done = hybridq("data", command, f"manifest:path={manifest}")
    assert done.code == 0, done.error
    for name in ("b [/2]", "[red]α :smile:", "grade $x^$ _1", r"\x1b[31mred"):
        assert name in done.out


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_letters_that_the_output_cannot_show_are_replaced(encoding: str, manifest: Path, tmp_path: Path) -> None:
    done = process(["data", "show", f"manifest:path={manifest}"], tmp_path, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert b"[red]? :smile:" in done.stdout
    missing = process(["data", "show", "folder:path=αβγ"], tmp_path, PYTHONIOENCODING=encoding)
    assert missing.returncode == 2
    assert missing.stderr.startswith(b"hybridq: folder:path=???: ")


def test_json_keeps_every_letter(tmp_path: Path) -> None:
    code = "from hybridq.cli.console import print_json; print_json({'class': 'α [/x]'})"
    for encoding in ("ascii", "utf-8"):
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONIOENCODING": encoding}, capture_output=True
        )
        assert json.loads(done.stdout.decode(encoding)) == {"class": "α [/x]"}


@pytest.mark.parametrize("place", ["file/runs", "/proc/runs"])
@pytest.mark.parametrize("command", ["train a.yaml", "quickstart", "study run s.yaml"])
def test_a_runs_folder_that_cannot_be_made_is_said_before_anything_is_prepared(
    command: str, place: str, hybridq: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.yaml").write_text(TINY)
    (tmp_path / "s.yaml").write_text("name: s\nbase: a.yaml\nmodels: {a: {}}\n")
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYBRIDQ_CACHE_DIR", str(tmp_path / "cache"))
    before = sorted(tmp_path.rglob("*"))
    answer = hybridq(*command.split(), "--runs", place)
    assert answer.code == 2
    assert answer.error.startswith(f"hybridq: {place}/")
    assert answer.error.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "command",
    [
        "data audit SOURCE --json PLACE/x.json",
        "data audit SOURCE --report PLACE/x.html",
        "data split SOURCE --out PLACE/x.csv",
        "export RUN --surrogate PLACE/x.safetensors",
        "predict RUN 0.png --out PLACE/x.csv",
        "study noise RUN --out PLACE",
        "study table STUDY --cells CELLS --out PLACE",
    ],
)
def test_a_place_for_results_that_cannot_be_written_is_one_sentence(
    command: str, hybridq: Command, run: Path, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(manifest.parent)
    repository = Path(__file__).parents[2]
    command = command.replace("STUDY", str(repository / "configs/studies/controls.yaml"))
    command = command.replace("CELLS", str(repository / "docs/results/controls/cells.csv"))
    words = command.replace("SOURCE", f"manifest:path={manifest}").replace("RUN", str(run)).split()
    before = sorted(manifest.parent.rglob("*"))
    error = hybridq.refused(*(word.replace("PLACE", "m.csv") for word in words))
    assert "m.csv" in error
    assert "is a file" in error
    assert sorted(manifest.parent.rglob("*")) == before


@pytest.mark.slow
def test_a_training_on_a_full_disk_is_one_sentence_and_goes_on_to_the_same_weights(
    tiny_run: Path, tmp_path: Path
) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    code = (  # the disk fills up when stage 1 has ended
        "import resource, sys\n"
        "from hybridq.training import callbacks\n"
        "written = callbacks.WholeCheckpoints.save_checkpoint\n"
        "def save(self, checkpoint, path, storage_options=None):\n"
        "    late = 'finetune' in str(path)\n"
        "    if late: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))\n"
        "    return written(self, checkpoint, path, storage_options)\n"
        "callbacks.WholeCheckpoints.save_checkpoint = save\n"
        "from hybridq.cli.main import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", code, "train", "tiny.yaml"]
    stopped = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert stopped.returncode == 2, stopped.stderr
    folder = tmp_path / "runs" / "tiny" / "checkpoints" / "finetune"
    assert stopped.stderr.splitlines()[-1] == (
        f"hybridq: {folder}: no room is left on the disk; what was finished before is kept whole, and the same command "
        "continues once there is room"
    )
    assert "Traceback" not in stopped.stderr
    encoder = tmp_path / "runs" / "tiny" / "encoder.safetensors"
    kept = encoder.stat().st_mtime_ns
    assert not list((tmp_path / "runs").rglob("*.partial*"))
    done = process(["train", "tiny.yaml"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert encoder.stat().st_mtime_ns == kept
    for name in ("model.safetensors", "encoder.safetensors"):
        assert (tmp_path / "runs" / "tiny" / name).read_bytes() == (tiny_run / name).read_bytes()


def test_an_evaluation_and_a_report_on_a_full_disk_leave_the_run_as_it_was(
    hybridq: Command, run: Path, tmp_path: Path
) -> None:
    before = sorted(run.rglob("*"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        evaluated = hybridq.refused("evaluate", run)
        assert f"{run}/evaluations: no room is left on the disk; what was finished before is kept whole" in evaluated
        reported = hybridq.refused("report", run)
        predicted = hybridq.refused("export", run, "--surrogate", tmp_path / "q.safetensors")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert f"{run}: no room is left on the disk" in reported
    assert "no room is left on the disk" in predicted
    assert [path for path in sorted(run.rglob("*")) if path.name != "evaluations"] == before
    assert hybridq("evaluate", run).code == 0
    assert hybridq("report", run).code == 0
