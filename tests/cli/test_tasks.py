"""From training to the report where images have several labels, and where classes are grades."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hardware_cli import Command
from PIL import Image
from shapes import GRADES, LABELS
from sklearn import metrics as sk
from tiny import quietly

from hybridq.config import parse_experiment
from hybridq.data.sources import load_manifest
from hybridq.training.train import train

CONFIG = """
name: {task}
seed: 1
data: {{source: "shapes:task={task}", size: 32}}
pretrain: {{epochs: 0}}
train: {{epochs: 1, batch_size: 16, threads: 1, class_weights: true}}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of each task; do not change them."""
    folder = tmp_path_factory.mktemp("tasks")
    for task in ("multi-label", "ordinal"):
        train(parse_experiment(CONFIG.format(task=task)), folder, announce=quietly, progress=quietly)
    return folder


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> Path:
    """Copies that a test may write into."""
    return Path(shutil.copytree(trained, tmp_path / "runs", ignore=shutil.ignore_patterns("checkpoints")))


def evaluation(run: Path) -> Path:
    """The folder of the noiseless one."""
    (folder,) = (run / "evaluations").glob("aer-[!s]*")
    return folder


def test_several_labels_from_training_to_the_report(hybridq: Command, runs: Path) -> None:
    run = runs / "multi-label"
    assert json.loads((run / "data.json").read_text())["task"] == "multi-label"
    splits = pd.read_csv(run / "splits.csv")
    assert {"true_0", "true_3"} < set(splits.columns)
    noise = "noise:depolarizing_2q=0.05,readout=0.03"
    done = hybridq("compare", run, "--backend", "aer", "--backend", noise, "--backend", "aer:shots=64")
    assert done.code == 0, done.error
    assert hybridq("report", run).code == 0
    assert "4 labels (square, bar, cross, never)" in (run / "report.html").read_text()
    shown = hybridq("evaluate", run)
    assert "No positive image of never: left out of the means over labels." in shown.out + shown.error
    table = pd.read_csv(evaluation(run) / "predictions.csv")
    assert table.columns.tolist() == ["id", "group", *(f"true_{k}" for k in range(4)), *(f"p_{k}" for k in range(4))]
    assert table["id"].tolist() == splits.loc[splits["split"] == "test", "id"].tolist()


def test_saved_labels_give_the_saved_metrics(hybridq: Command, runs: Path) -> None:
    run = runs / "multi-label"
    assert hybridq("evaluate", run).code == 0
    table = pd.read_csv(evaluation(run) / "predictions.csv")
    y, p = table.filter(regex=r"^true_").to_numpy(), table.filter(regex=r"^p_").to_numpy()
    metrics = json.loads((evaluation(run) / "metrics.json").read_text())
    auc = np.mean([sk.roc_auc_score(y[:, k], p[:, k]) for k in range(3)])
    assert metrics["metrics"]["auc"]["value"] == pytest.approx(auc)
    assert metrics["metrics"]["accuracy"]["value"] == pytest.approx((y == (p > 0.5)).mean())
    assert [label["label"] for label in metrics["labels"]] == list(LABELS)
    assert metrics["labels"][3]["metrics"] is None


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_images_keep_their_own_labels(split: str) -> None:
    data = parse_experiment(CONFIG.format(task="multi-label")).data
    manifest = load_manifest(data.source, data, 1)
    of_id = dict(zip(manifest.table["id"], manifest.targets.tolist(), strict=True))
    expected = [of_id[name] for name in manifest.part(split)["id"]]
    assert manifest.truth(split).tolist() == expected
    table = manifest.listing().query("split == @split")
    assert table[["true_0", "true_1", "true_2", "true_3"]].to_numpy().tolist() == expected
    assert manifest.counts().loc[split].tolist() == np.sum(expected, axis=0).tolist()


def test_a_few_images_keep_the_labels_or_are_refused(hybridq: Command, runs: Path) -> None:
    run = runs / "multi-label"
    assert hybridq("evaluate", run, "--limit", 6, "--stratified").code == 0
    table = pd.read_csv(evaluation(run) / "predictions.csv")
    assert len(table) == 6
    assert (table[["true_0", "true_1", "true_2"]].sum() > 0).all()
    sentence = hybridq.refused("evaluate", run, "--limit", 1)
    assert "alike in every label: none has both positive and negative images; choose more" in sentence


def test_prediction_names_the_labels_of_a_file(hybridq: Command, runs: Path, tmp_path: Path) -> None:
    Image.effect_noise((40, 40), 30.0).save(tmp_path / "a.png")
    (row,) = json.loads(hybridq("predict", runs / "multi-label", tmp_path / "a.png", "--json").out)
    found = [name for name in LABELS if row[name] > 0.5]
    assert row["labels"] == (", ".join(found) or "none")


def test_grades_from_training_to_the_report(hybridq: Command, runs: Path) -> None:
    run = runs / "ordinal"
    done = hybridq("compare", run, "--backend", "aer", "--backend", "fake_manila")
    assert done.code == 0, done.error
    assert hybridq("report", run).code == 0
    assert f"3 grades ({', '.join(GRADES)})" in (run / "report.html").read_text()
    table = pd.read_csv(evaluation(run) / "predictions.csv")
    metrics = json.loads((evaluation(run) / "metrics.json").read_text())["metrics"]
    kappa = sk.cohen_kappa_score(table["label"], table["predicted"], weights="quadratic", labels=range(3))
    assert metrics["kappa"]["value"] == pytest.approx(kappa)
    assert metrics["mae"]["value"] == pytest.approx((table["label"] - table["predicted"]).abs().mean())
    changed = pd.read_csv(run / "comparison.csv").query("backend == 'fake_manila'").set_index("quantity")
    assert changed.loc[["kappa", "mae"], "verdict"].notna().all()


def test_a_grade_that_no_chosen_image_has_is_named_before_anything_runs(hybridq: Command, runs: Path) -> None:
    sentence = hybridq.refused("evaluate", runs / "ordinal", "--limit", 2)
    assert "--limit 2: the chosen images of split test hold no image of" in sentence
    assert not (runs / "ordinal" / "evaluations").exists()


def test_labels_that_validation_cannot_judge_are_refused_before_the_run_exists(
    hybridq: Command, tmp_path: Path
) -> None:
    config = tmp_path / "a.yaml"
    config.write_text(CONFIG.format(task="multi-label").replace('multi-label"', 'multi-label,images=3"'))
    sentence = hybridq.refused("train", config, "--runs", tmp_path / "runs")
    assert "split validation: no label has both positive and negative images" in sentence
    assert not (tmp_path / "runs").exists()
