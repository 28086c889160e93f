from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from planted import Planted
from typer.testing import CliRunner

from hybridq.cli.main import app
from hybridq.config import parse_experiment
from hybridq.errors import UserError
from hybridq.training.train import train


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    return Planted(tmp_path / "images", each=12)


@pytest.fixture
def leaking(planted: Planted) -> Planted:
    planted.add("test/ill/copy.png", planted.pixels("train/ill/003.png"))
    return planted


def call(*arguments: str, columns: int = 80) -> tuple[int, str]:
    done = CliRunner(env={"COLUMNS": str(columns)}).invoke(app, list(arguments))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def experiment(planted: Planted) -> str:
    return f"""
name: planted
data: {{source: "{planted.source}", size: 32}}
pretrain: {{epochs: 0}}
train: {{epochs: 1, batch_size: 16, threads: 1}}
"""


def test_a_leak_ends_with_exit_code_1_and_says_where(leaking: Planted) -> None:
    code, output = call("data", "audit", leaking.source)
    assert code == 1
    assert "LEAK     1 group of identical images in more than one split (train – test 1)" in output
    assert "verdict as released: REJECTED, 1 kind of leak" in output
    assert "as hybridq loads it" in output


def test_clean_data_end_with_exit_code_0(planted: Planted) -> None:
    code, output = call("data", "audit", planted.source)
    assert code == 0
    assert "verdict as released: no leak found" in output


def test_the_page_shows_the_pair_and_needs_nothing_else(leaking: Planted, tmp_path: Path) -> None:
    page, facts = tmp_path / "audit.html", tmp_path / "audit.json"
    call("data", "audit", leaking.source, "--report", str(page), "--json", str(facts))
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/png;base64,") >= 2
    assert "train/ill/003.png" in text
    assert "http" not in text
    assert json.loads(facts.read_text(encoding="utf-8"))["released"]["rejected"] is True


def test_a_new_split_of_leaking_data_passes_the_audit(leaking: Planted, tmp_path: Path) -> None:
    out = tmp_path / "splits.csv"
    code, output = call("data", "split", leaking.source, "--out", str(out), "--fractions", "0.6,0.2,0.2", "--seed", "4")
    assert code == 0
    assert f"use it with data.splits: {out}" in output.replace("\n", "")
    code, output = call("data", "audit", leaking.source, "--splits", str(out))
    assert code == 0
    assert "with the splits of splits.csv: no leak found" in output


def test_folds_are_one_file_each(planted: Planted, tmp_path: Path) -> None:
    call("data", "split", planted.source, "--out", str(tmp_path / "cv.csv"), "--folds", "4")
    tables = [pd.read_csv(tmp_path / f"cv_fold{fold}.csv") for fold in range(4)]
    assert sum((table["split"] == "test").sum() for table in tables) == len(tables[0])


@pytest.mark.parametrize("fractions", ["0.5,0.5", "a,b,c", "0.9,0.2,0.1", "1,0,0"])
def test_wrong_fractions_are_one_sentence(planted: Planted, tmp_path: Path, fractions: str) -> None:
    with pytest.raises(UserError, match="three shares above 0 that sum to 1"):
        call("data", "split", planted.source, "--out", str(tmp_path / "x.csv"), "--fractions", fractions)
    assert not (tmp_path / "x.csv").exists()


def test_training_on_a_leaking_split_is_refused_in_one_sentence_and_writes_nothing(
    leaking: Planted, tmp_path: Path
) -> None:
    config = tmp_path / "planted.yaml"
    config.write_text(experiment(leaking), encoding="utf-8")
    runs = tmp_path / "runs"
    done = subprocess.run(
        [sys.executable, "-m", "hybridq", "train", str(config), "--runs", str(runs)], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "--allow-leaks" in done.stderr
    assert "identical images in more than one split" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not runs.exists()


def test_allowed_leaks_are_written_down_and_marked_on_the_report(leaking: Planted, tmp_path: Path) -> None:
    from hybridq.reports.page import write_report

    quiet = {"announce": lambda *_: None, "progress": lambda *_: None}
    run = train(parse_experiment(experiment(leaking)), tmp_path / "runs", allow_leaks=True, **quiet)
    (leak,) = run.read_json("data.json")["leaks"]
    assert "identical images" in leak
    text = write_report(run.folder).read_text(encoding="utf-8")
    assert "THE SPLITS LEAK" in text
    assert leak in text


def test_clean_data_train_without_the_flag(planted: Planted, tmp_path: Path) -> None:
    quiet = {"announce": lambda *_: None, "progress": lambda *_: None}
    run = train(parse_experiment(experiment(planted)), tmp_path / "runs", **quiet)
    assert run.read_json("data.json")["leaks"] == []
    assert np.isfinite(run.read_json("training.json")["best_validation_auc"])
