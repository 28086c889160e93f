"""A run that was moved, or that is used from another folder, finds the images that it was trained on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tiny import planned, quietly

from hybridq.config import parse_experiment
from hybridq.errors import UserError
from hybridq.evaluation.evaluate import evaluate
from hybridq.results.selection import ImageChoice, choose
from hybridq.run_folder import RunFolder, open_run
from hybridq.training.train import train

CONFIG = """
name: r
data: {source: "folder:path=pictures", size: 32}
pretrain: {epochs: 0}
model: {backbone: compact_cnn}
train: {epochs: 1, batch_size: 16, threads: 1}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures and a run that was trained there; do not change it."""
    folder = tmp_path_factory.mktemp("trained")
    random = np.random.default_rng(0)
    for name, brightness in (("healthy", 90), ("sick", 160)):
        (folder / "pictures" / name).mkdir(parents=True)
        for number in range(24):
            pixels = random.integers(0, brightness, (32, 32)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "pictures" / name / f"{number}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train(parse_experiment(CONFIG), Path("runs"), announce=quietly, progress=quietly)
    return folder


def probabilities(run: RunFolder) -> bytes:
    return (evaluate(planned(run, "aer"), progress=quietly) / "predictions.csv").read_bytes()


def test_a_run_is_evaluated_the_same_from_wherever_it_lies(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = Path(shutil.copytree(trained / "runs" / "r", tmp_path / "elsewhere"))
    (tmp_path / "pictures").mkdir()  # of the same name, and not the images
    monkeypatch.chdir(tmp_path)
    away = probabilities(open_run(moved))
    monkeypatch.chdir(trained)
    shutil.rmtree(moved / "evaluations")
    assert probabilities(open_run(moved)) == away


def test_where_the_images_were_moved_too_the_folder_around_them_is_taken(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(trained, tmp_path / "copy"))
    run = copy / "runs" / "r"
    about = json.loads((run / "environment.json").read_text())
    assert about["directory"] == str(trained)
    (run / "environment.json").write_text(json.dumps(about | {"directory": str(tmp_path / "gone")}))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"its data are not in .*/gone/pictures or .*/pictures; put a link"):
        planned(open_run(run), "aer")
    monkeypatch.chdir(copy)
    assert probabilities(open_run(run))


def test_a_run_from_before_this_was_recorded_looks_where_the_command_is_started(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(shutil.copytree(trained / "runs" / "r", tmp_path / "old"))
    about = json.loads((run / "environment.json").read_text())
    del about["directory"]
    (run / "environment.json").write_text(json.dumps(about))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"its data are not in {tmp_path}/pictures; put a link there"):
        planned(open_run(run), "aer")
    monkeypatch.chdir(trained)
    assert probabilities(open_run(run))


def test_an_absolute_path_is_looked_for_there_alone(trained: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained / "runs" / "r", tmp_path / "old"))
    gone = tmp_path / "gone"
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("path=pictures", f"path={gone}"))
    with pytest.raises(UserError, match=f"its data are not in {gone}; put a link there"):
        planned(open_run(run), "aer")


def told_to_be_in(run: Path, folder: Path) -> RunFolder:
    about = json.loads((run / "environment.json").read_text())
    (run / "environment.json").write_text(json.dumps(about | {"directory": str(folder)}))
    return open_run(run)


def test_a_finished_run_needs_its_chosen_images_alone(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two images make no training, validation and test part, and none is drawn from them."""
    copy = Path(shutil.copytree(trained, tmp_path / "copy"))
    run = told_to_be_in(copy / "runs" / "r", copy)
    chosen = choose(run, ImageChoice("test", 2, True)).ids
    for picture in (copy / "pictures").rglob("*.png"):
        if picture.relative_to(copy / "pictures").as_posix() not in chosen:
            picture.unlink()
    assert len(list((copy / "pictures").rglob("*.png"))) == 2
    monkeypatch.chdir(tmp_path)
    folder = evaluate(planned(run, "aer", limit=2, stratified=True), progress=quietly)
    assert pd.read_csv(folder / "predictions.csv")["id"].tolist() == chosen


def test_a_file_of_splits_is_found_where_the_run_was_trained(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(trained, tmp_path / "copy"))
    run = told_to_be_in(copy / "runs" / "r", copy)
    run.read_splits()[["id", "split"]].to_csv(copy / "mine.csv", index=False)
    run.config.write_text(run.config.read_text().replace("  splits: null\n", "  splits: mine.csv\n"))
    assert "splits: mine.csv" in run.config.read_text()
    monkeypatch.chdir(tmp_path)
    assert probabilities(open_run(run.folder))
    (copy / "mine.csv").unlink()
    with pytest.raises(UserError, match=r"its data are not in .*/copy/mine\.csv or .*/mine\.csv; put a link"):
        planned(open_run(run.folder), "aer", split="train")


def test_a_training_is_not_continued_where_its_path_leads_elsewhere(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(shutil.copytree(trained / "runs" / "r", tmp_path / "runs" / "r"))
    (run / "training.json").unlink()
    shutil.copytree(trained / "pictures", tmp_path / "pictures")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"was begun in {trained}, where the path pictures begins; continue it there"):
        train(parse_experiment(CONFIG), Path("runs"), announce=quietly, progress=quietly)
    monkeypatch.chdir(trained)
    done = train(parse_experiment(CONFIG), tmp_path / "runs", announce=quietly, progress=quietly)
    assert done.finished
