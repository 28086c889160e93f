"""What the notebooks promise their readers."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import nbformat
import pytest
from loopback import Loopback
from nbclient.exceptions import CellExecutionError
from reading import FOLDER, NOTEBOOKS, parameters, pictures, read, run, shown

from hybridq.config import dump_experiment, parse_experiment

HARDWARE = FOLDER / "03_hardware.ipynb"
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture(autouse=True)
def nothing_of_the_reader(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the notebooks train; the first one that is run trains for the others."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Loopback:
    """An account at a service with ibm_torino, which answers with random values, and an empty ledger."""
    with Loopback("torino", key="notebook-key", execution="counterfeit") as service:
        waits = {"HYBRIDQ_WAITS": "poll=0.05,backoff=0.05,cap=0.2,grace=0.5,request=30"}
        ledger = {"HYBRIDQ_LEDGER": str(tmp_path / "ledger.sqlite")}
        for name, value in (service.environment | waits | ledger).items():
            monkeypatch.setenv(name, value)
        yield service


@pytest.fixture
def quickstart(tmp_path: Path) -> Path:
    """The quickstart's configuration, with one thread: two on cores that others use wait for each other."""
    text = (FOLDER.parent / "hybridq" / "configs" / "quickstart.yaml").read_text(encoding="utf-8")
    experiment = parse_experiment(text, ["train.threads=1"])
    file = tmp_path / "quickstart.yaml"
    file.write_text(dump_experiment(experiment), encoding="utf-8")
    return file


@pytest.fixture
def trained(tiny_run: Path, tmp_path: Path) -> dict[str, object]:
    """The parameters of a reader who has trained a run."""
    copy = shutil.copytree(tiny_run, tmp_path / "trained" / "tiny")
    return {"CONFIG": str(copy / "config.yaml"), "RUNS": copy.parent, "LIMIT": None}


@each
def test_a_notebook_is_valid_and_kept_without_outputs(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.id for cell in code if cell.outputs or cell.execution_count is not None] == []
    assert [cell.id for cell in notebook.cells if set(cell.metadata) - {"tags"}] == []


@each
def test_files_that_a_reader_is_pointed_to_exist(path: Path) -> None:
    notebook = read(path)
    configurations = re.findall(r'"([^"]+\.yaml)"', parameters(notebook).source)
    assert len(configurations) >= 2  # the images that come with the package, and real ones
    assert [name for name in configurations if not (FOLDER.parent / name).is_file()] == []
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\((?!https?://)([^)]+)\)", text)
    assert [name for name in links if not (FOLDER / name).is_file()] == []


def test_a_run_that_is_trained_already_is_shown_on_a_simulated_device_without_an_account(
    trained: dict[str, object],
) -> None:
    notebook = run(HARDWARE, **trained)
    assert "is finished already" in shown(notebook)
    assert "fake_torino:shots=1024" in shown(notebook)
    assert pictures(notebook)


@pytest.mark.parametrize("answer", [None, pytest.param("no", marks=pytest.mark.slow)])
def test_nothing_is_sent_to_hardware_without_a_yes(
    answer: str | None, device: Loopback, trained: dict[str, object]
) -> None:
    with pytest.raises(CellExecutionError) as stopped:
        run(HARDWARE, answer=answer, BACKEND="ibm_torino:shots=256", **trained)
    assert stopped.value.ename == ("SystemExit" if answer else "StdinNotImplementedError")
    assert device.jobs == {}


@pytest.mark.slow
def test_what_was_measured_on_hardware_is_paid_once_and_compared(device: Loopback, trained: dict[str, object]) -> None:
    for _ in range(2):
        notebook = run(HARDWARE, answer="yes", BACKEND="ibm_torino:shots=256", **trained)
        assert "simulated device" in shown(notebook)  # by the name of the service
        assert len(device.jobs) == 1
    compared = run(FOLDER / "04_compare.ipynb", DEVICE="ibm_torino:shots=256", **trained)
    assert "no service of IBM's" in shown(compared)
    assert len(device.jobs) == 1


@pytest.mark.slow
@pytest.mark.timeout(1800)
@each
def test_a_notebook_runs_from_top_to_bottom_on_the_images_that_come_with_the_package(
    path: Path, runs: Path, quickstart: Path
) -> None:
    changes = {"CONFIG": str(quickstart)} if "quickstart.yaml" in parameters(read(path)).source else {}
    notebook = run(path, RUNS=runs, **changes)
    assert pictures(notebook)
    assert [p for p in pictures(notebook) if not p.get("metadata", {}).get("image/png", {}).get("alt")] == []
