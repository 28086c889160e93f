"""The command line answers at once, in one sentence where something is wrong, and leaves everything as it was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hybridq.cli.main import main

HEAVY = ("torch", "qiskit", "lightning", "pandas", "matplotlib", "sklearn", "scipy")
COMMANDS = ("quickstart", "init", "config", "train", "evaluate", "compare", "report", "predict")


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def answer(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    """Exit code and error output of ``hybridq ARGUMENTS`` in this process."""
    monkeypatch.setattr(sys, "argv", ["hybridq", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    code = ended.value.code
    assert isinstance(code, int)
    return code, capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["hybridq", command, "--help"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert "Usage: hybridq" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--help"], ["evaluate", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    code = (
        "import sys\nfrom hybridq.cli.main import main\n"
        f"sys.argv = ['hybridq', *{arguments}]\n"
        "try:\n    main()\n"
        f"finally:\n    print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)\n"
    )
    done = run([sys.executable, "-P", "-c", code], tmp_path)
    assert "Usage: hybridq" in done.stdout
    assert done.stderr.strip() == "[]"


def test_the_package_by_itself_imports_nothing_heavy(tmp_path: Path) -> None:
    code = f"import sys, hybridq, hybridq.config; print([name for name in {HEAVY} if name in sys.modules])"
    assert run([sys.executable, "-P", "-c", code], tmp_path).stdout.strip() == "[]"


def test_a_foreign_folder_called_backends_does_not_break_the_command(tmp_path: Path) -> None:
    (tmp_path / "backends").mkdir()
    (tmp_path / "backends" / "__init__.py").write_text("raise RuntimeError('foreign')\n")
    done = run([str(Path(sys.executable).with_name("hybridq")), "--help"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "quickstart" in done.stdout


def test_a_foreign_folder_that_python_would_take_is_named(tmp_path: Path) -> None:
    (tmp_path / "backends").mkdir()
    (tmp_path / "backends" / "__init__.py").write_text("")
    as_module = run([sys.executable, "-m", "hybridq", "--help"], tmp_path)
    assert as_module.returncode == 2
    assert as_module.stderr.startswith(f"hybridq: {tmp_path.resolve() / 'backends'} is in the way")
    assert len(as_module.stderr.splitlines()) == 1
    imported = run([sys.executable, "-c", "import hybridq"], tmp_path)
    assert imported.stderr.splitlines()[-1].startswith(f"ImportError: {tmp_path.resolve() / 'backends'} is in the way")


CONFIG = 'name: a\ndata: {source: "synthetic:patients=12,patches=4", size: 32}\n'


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train", "missing.yaml"], "missing.yaml: no such file or directory"),
        (["train", "a.yaml", "--set", "model.qubit=3"], "unknown key model.qubit; did you mean model.qubits?"),
        (
            ["train", "a.yaml", "--set", "model.qubits=0"],
            "model.qubits = 0; input should be greater than or equal to 1",
        ),
        (["train", "a.yaml", "--set", "data.source=padds"], "padds"),
        (["train", "a.yaml", "--set", "data.source='folder:path=empty'"], "empty"),
        (["train", "a.yaml", "--set", "data.source='folder:path=one'"], "one"),
        (["train", "a.yaml", "--set", "data.source='folder:path=broken'"], "broken"),
        (["train", "a.yaml", "--backend", "fake_torin"], "fake_torino"),
        (["evaluate", "nowhere"], "nowhere: no such folder"),
        (["evaluate", "empty"], "empty: is not a run folder (config.yaml is missing)"),
        (["evaluate", "started"], "started: the run is incomplete"),
        (["evaluate", "started", "--backend", "fake_torin"], "fake_torino"),
        (["evaluate", "started", "--backend", "aer:shots=0"], "shots"),
        (["compare", "started", "--backend", "qiskit"], "aer"),
        (["predict", "nowhere", "image.png"], "nowhere: no such folder"),
        (["report", "nowhere"], "nowhere: no such folder"),
    ],
)
def test_bad_input_is_one_sentence_exit_code_2_and_nothing_changed(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from PIL import Image

    (tmp_path / "a.yaml").write_text(CONFIG)
    (tmp_path / "empty").mkdir()
    (tmp_path / "started").mkdir()
    (tmp_path / "started" / "config.yaml").write_text(CONFIG)
    for folder in ("one/sick", "broken/sick", "broken/well"):
        (tmp_path / folder).mkdir(parents=True)
        for number in range(12):
            Image.new("L", (20, 20), number * 20).save(tmp_path / folder / f"{number}.png")
    for name in ("5.png", "6.png"):
        (tmp_path / "broken/sick" / name).write_bytes(b"not an image")
    monkeypatch.chdir(tmp_path)
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    code, error = answer(arguments, monkeypatch, capsys)
    assert code == 2
    assert sentence in error
    assert error.startswith("hybridq: ")
    assert error.count("\n") == 1, error
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before
