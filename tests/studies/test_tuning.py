"""Tuning: the same search for every model, by validation images alone, continued where it was killed."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
import yaml
from PIL import Image
from tiny import quietly
from typer.testing import CliRunner

from hybridq.cli.study import app
from hybridq.errors import UserError, WritingError
from hybridq.studies.models import tuning
from hybridq.studies.models.config import load_study
from hybridq.studies.models.run import run_study

BASE = """
name: base
data: {source: "SOURCE", size: 16}
pretrain: {epochs: 0}
model: {backbone: compact_cnn, qubits: 2, layers: 1}
train: {epochs: 1, unfreeze: none, augmentation: none, batch_size: 8, threads: 1}
"""
STUDY = """
name: tuned
base: base.yaml
models:
  hybrid: {}
  linear: {model.branch: linear}
seeds: [1, 2]
tuning:
  trials: 3
  space:
    train.head_learning_rate: {low: 0.00001, high: 0.3, log: true}
    model.dropout: {low: 0, high: 0.5}
    train.batch_size: {choices: [4, 8]}
"""


def write_study(folder: Path, source: str = "synthetic:patients=12,patches=2,size=16", text: str = STUDY) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "base.yaml").write_text(BASE.replace("SOURCE", source))
    file = folder / "study.yaml"
    file.write_text(text)
    return file


def search(file: Path, **options: int) -> Path:
    study, cells = load_study(file, file.parent, tuned=False)
    return tuning.tune(study, cells, file.parent / study.name, jobs=1, report=quietly, **options)


def trials_of(root: Path) -> pd.DataFrame:
    return pd.read_csv(root / "tuned" / "tuning.csv").drop(columns="seconds")


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a study that has been tuned; do not change it."""
    folder = tmp_path_factory.mktemp("tuned")
    search(write_study(folder))
    return folder


def test_every_model_has_the_same_trials_and_the_same_first_settings(tuned: Path) -> None:
    trials = trials_of(tuned)
    keys = ["train.head_learning_rate", "model.dropout", "train.batch_size"]
    hybrid, linear = (trials[trials["model"] == model] for model in ("hybrid", "linear"))
    assert hybrid["trial"].tolist() == linear["trial"].tolist() == [0, 1, 2]
    np.testing.assert_array_equal(hybrid[keys], linear[keys])
    assert trials["train.head_learning_rate"].between(1e-5, 0.3).all()
    assert trials["validation_auc"].between(0, 1).all()


def test_the_best_settings_are_recorded_and_taken_by_all_cells(tuned: Path) -> None:
    recorded = yaml.safe_load((tuned / "tuned" / "tuning.yaml").read_text())
    assert (recorded["objective"], recorded["trials"]) == ("highest validation AUC of an epoch", 3)
    trials = trials_of(tuned)
    _, cells = load_study(tuned / "study.yaml", tuned)
    for cell in cells:
        of_model = trials[trials["model"] == cell.model]
        best = of_model.loc[of_model["validation_auc"].idxmax()]
        assert cell.experiment.train.head_learning_rate == pytest.approx(best["train.head_learning_rate"])
        assert cell.experiment.model.dropout == pytest.approx(best["model.dropout"])
        assert cell.experiment.train.batch_size == best["train.batch_size"]
        assert cell.experiment.split_seed == 1  # no test image of a seed is a validation image of the search


def test_nothing_is_evaluated_and_no_trained_trial_is_left(tuned: Path) -> None:
    assert {path.name for path in (tuned / "tuned").iterdir()} == {"tuning.csv", "tuning.sqlite", "tuning.yaml"}


def _table(folder: Path, of_test: Callable[[np.ndarray, int], tuple[np.ndarray, int]]) -> str:
    """A source whose test images and labels alone pass through ``of_test``."""
    folder.mkdir()
    rows = []
    rng = np.random.default_rng(0)
    for number in range(36):
        split = ("train", "train", "validation", "test")[number % 4]
        label = number // 4 % 2
        pixels = np.clip(rng.normal(90 + 60 * label, 60, (16, 16)), 0, 255).astype(np.uint8)
        if split == "test":
            pixels, label = of_test(pixels, label)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        rows.append({"path": f"{number}.png", "label": label, "split": split})
    pd.DataFrame(rows).to_csv(folder / "table.csv", index=False)
    return f"manifest:path={folder / 'table.csv'}"


def test_splits_that_leak_are_refused_unless_the_study_allows_them(tmp_path: Path) -> None:
    source = _table(tmp_path / "images", lambda pixels, label: (pixels, label))
    shutil.copy(tmp_path / "images" / "0.png", tmp_path / "images" / "3.png")  # of train, into test
    with pytest.raises(UserError, match="the splits leak"):
        search(write_study(tmp_path / "refused", source), trials=1)
    file = write_study(tmp_path / "allowed", source, STUDY + "allow_leaks: true\n")
    assert len(pd.read_csv(search(file, trials=1).with_name("tuning.csv"))) == 2


def test_other_test_images_and_labels_give_the_same_search(tmp_path: Path) -> None:
    noise = np.random.default_rng(1)
    changes: dict[str, Callable[[np.ndarray, int], tuple[np.ndarray, int]]] = {
        "true": lambda pixels, label: (pixels, label),
        "turned": lambda pixels, label: (noise.integers(0, 256, pixels.shape).astype(np.uint8), 1 - label),
    }
    found = {}
    for name, of_test in changes.items():
        file = write_study(tmp_path / name, _table(tmp_path / f"images-{name}", of_test))
        chosen = search(file)
        found[name] = (trials_of(tmp_path / name), yaml.safe_load(chosen.read_text())["chosen"])
    pd.testing.assert_frame_equal(found["true"][0], found["turned"][0])
    assert found["true"][1] == found["turned"][1]
    assert found["true"][0]["validation_auc"].nunique() > 1  # the settings do matter


def test_a_killed_search_continues_with_the_trials_of_an_unbroken_one(tuned: Path, tmp_path: Path) -> None:
    file = write_study(tmp_path)
    command = [sys.executable, "-m", "hybridq", "study", "tune", file, "--runs", tmp_path, "--jobs", "1"]
    running = subprocess.Popen(command, start_new_session=True)
    folder = tmp_path / "tuned" / "tuning"
    deadline = time.monotonic() + 120
    while not list(folder.glob("*/trial-1")) and time.monotonic() < deadline:
        time.sleep(0.01)
    import os
    import signal

    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert not (tmp_path / "tuned" / "tuning.yaml").exists()
    study, cells = load_study(file, tmp_path, tuned=False)
    missing, total = tuning.count_missing(study, cells, tmp_path / "tuned")
    assert 0 < missing < total == 6
    search(file)
    pd.testing.assert_frame_equal(trials_of(tuned), trials_of(tmp_path))


def test_a_finished_search_is_not_repeated_and_goes_on_with_more_trials(tuned: Path, tmp_path: Path) -> None:
    file = write_study(tmp_path)
    search(file, trials=1)
    reported: list[str] = []
    study, cells = load_study(file, tmp_path, tuned=False)
    for _ in range(2):
        tuning.tune(study, cells, tmp_path / "tuned", jobs=1, report=lambda name, _: reported.append(name))
    assert sorted(reported) == [f"{model}-data trial-{n}" for model in ("hybrid", "linear") for n in (1, 2)]
    pd.testing.assert_frame_equal(trials_of(tuned), trials_of(tmp_path))


def test_a_search_from_before_a_key_existed_goes_on_under_its_default(tuned: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tuned, tmp_path / "older"))
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'tuned' / tuning.STORAGE}")
    for name in optuna.get_all_study_names(storage):
        kept = optuna.load_study(study_name=name, storage=storage)
        configuration = yaml.safe_load(kept.user_attrs["configuration"])
        del configuration["model"]["normalise_q"]
        kept.set_user_attr("configuration", yaml.safe_dump(configuration))
    storage.engine.dispose()
    study, cells = load_study(folder / "study.yaml", folder, tuned=False)
    assert tuning.count_missing(study, cells, folder / "tuned") == (0, 6)
    changed = write_study(folder, text=STUDY.replace("hybrid: {}", "hybrid: {model.normalise_q: true}"))
    study, cells = load_study(changed, folder, tuned=False)
    with pytest.raises(UserError, match="holds trials of hybrid-data with another configuration"):
        tuning.count_missing(study, cells, folder / "tuned")


def test_a_training_that_fails_is_a_trial_with_a_reason(tmp_path: Path) -> None:
    wild = STUDY.replace("{low: 0.00001, high: 0.3, log: true}", "{choices: [1.0e-3, 1.0e+30]}")
    file = write_study(tmp_path, text=wild.replace("  linear: {model.branch: linear}\n", ""))
    search(file)
    trials = trials_of(tmp_path)
    failed = trials["validation_auc"].isna()
    assert set(trials.loc[failed, "train.head_learning_rate"]) == {1e30}
    assert trials.loc[failed, "reason"].str.contains("the loss is").all()
    assert len(trials) == 3


def test_the_command_shows_trials_and_where_the_settings_are(tmp_path: Path) -> None:
    file = write_study(tmp_path)
    result = CliRunner().invoke(app, ["tune", str(file), "--runs", str(tmp_path), "--trials", "1", "--jobs", "1"])
    assert result.exit_code == 0, result.output
    assert "tuned: 2 trials, 0 finished, 2 to run" in result.output
    assert "hybrid-data trial-0: validation AUC 0." in result.output
    assert "tuning.yaml" in result.output


def test_a_full_disk_is_no_trial_and_the_search_goes_on_with_room(tmp_path: Path) -> None:
    """The limit on the size of a file stands for the end of the disk: checkpoints are larger, the database is not."""
    file = write_study(tmp_path, text=STUDY.replace("  linear: {model.branch: linear}\n", ""))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))
    try:
        with pytest.raises(WritingError, match="no room is left on the disk; what was finished before is kept"):
            search(file, trials=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    search(file, trials=1)
    trials = trials_of(tmp_path)
    assert list(trials["trial"]) == [0]
    assert trials["validation_auc"].notna().all()


def test_a_search_that_is_refused_leaves_no_folder(tmp_path: Path) -> None:
    file = write_study(tmp_path, source="folder:path=/nowhere/at/all")
    study, cells = load_study(file, tmp_path, tuned=False)
    assert tuning.count_missing(study, cells, tmp_path / "tuned") == (6, 6)
    assert not (tmp_path / "tuned").exists()
    with pytest.raises(UserError, match="/nowhere/at/all"):
        search(file)
    assert not (tmp_path / "tuned").exists()


def test_a_refusal_keeps_what_was_there_before(tmp_path: Path) -> None:
    file = write_study(tmp_path, source="folder:path=/nowhere/at/all")
    (tmp_path / "tuned").mkdir()
    (tmp_path / "tuned" / "mine.txt").write_text("kept")
    with pytest.raises(UserError, match="/nowhere/at/all"):
        search(file)
    assert (tmp_path / "tuned" / "mine.txt").read_text() == "kept"


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("hybrid: {}", "hybrid: {model.dropout: 0.1}", "model.dropout is also set by the model hybrid; tune it or set"),
        ("{low: 0, high: 0.5}", "{low: 1, high: 0.5}", "expected choices, or low and a greater high"),
        ("{low: 0, high: 0.5}", "{low: 0, high: 0.5, log: true}", "low: above 0 where log is true"),
        ("{choices: [4, 8]}", "{choices: []}", "choices: at least one"),
        ("trials: 3", "trials: 0", r"tuning\.trials = 0"),
    ],
)
def test_a_mistake_is_named_in_one_sentence(old: str, new: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=sentence):
        load_study(write_study(tmp_path, text=STUDY.replace(old, new)))


def test_a_key_that_does_not_exist_is_named(tmp_path: Path) -> None:
    file = write_study(tmp_path, text=STUDY.replace("model.dropout", "model.dropuot"))
    with pytest.raises(UserError, match=r"unknown key model\.dropuot; did you mean model\.dropout\?"):
        search(file)


def test_a_study_that_tunes_does_not_run_before_it_is_tuned(tmp_path: Path) -> None:
    study, cells = load_study(write_study(tmp_path), tmp_path)
    with pytest.raises(UserError, match=r"tuning\.yaml: is missing; hybridq study tune makes it"):
        run_study(study, cells, tmp_path / "tuned", report=quietly)


def test_another_space_or_base_is_not_mixed_with_the_trials_there_are(tuned: Path, tmp_path: Path) -> None:
    file = write_study(tmp_path, text=STUDY.replace("high: 0.5", "high: 0.6"))
    (tmp_path / "tuned").mkdir()
    for name in ("tuning.yaml", "tuning.sqlite"):
        (tmp_path / "tuned" / name).write_bytes((tuned / "tuned" / name).read_bytes())
    with pytest.raises(UserError, match=r"tuning\.yaml: was tuned in another space"):
        load_study(file, tmp_path)
    with pytest.raises(UserError, match=r"tuning\.sqlite: holds trials of hybrid-data with another space"):
        search(file)
