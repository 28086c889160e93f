"""Lightning's loggers write into the run folder, change nothing, and are named when they are not installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest
from lightning.pytorch.loggers import CSVLogger
from tiny import TINY, quietly

from hybridq.config import Experiment, parse_experiment
from hybridq.errors import UserError
from hybridq.training.train import train


def test_a_logger_writes_the_history_of_both_stages_and_changes_no_weight(tiny_run: Path, tmp_path: Path) -> None:
    experiment = parse_experiment(TINY, ["train.logger=csv"])
    mine = CSVLogger(tmp_path / "mine", name="all")
    run = train(experiment, tmp_path, announce=quietly, progress=quietly, logger=mine)
    history = pd.read_csv(run.history)
    for stage, rows in history.groupby("stage"):
        logged = pd.read_csv(run.folder / "logs" / str(stage) / "version_0" / "metrics.csv")
        assert logged["loss"].dropna().tolist() == pytest.approx(rows["loss"].tolist(), rel=1e-6)
    assert "validation_auc" in pd.read_csv(tmp_path / "mine" / "all" / "version_0" / "metrics.csv")
    assert run.weights.read_bytes() == (tiny_run / "model.safetensors").read_bytes()


def test_a_logger_that_is_not_installed_is_one_sentence_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match=r"tensorboard is not installed: pip install 'hybridq-medical\[tensorboard\]'"):
        train(parse_experiment(TINY, ["train.logger=tensorboard"]), tmp_path, announce=quietly, progress=quietly)
    assert list(tmp_path.iterdir()) == []


def test_no_logger_is_the_default_and_in_no_name_of_a_result() -> None:
    content = parse_experiment(TINY).key_content()["train"]
    assert "logger" not in content
    assert "monitor" not in content
    assert parse_experiment(TINY, ["train.logger=null"]) == parse_experiment(TINY)
    assert isinstance(parse_experiment(TINY, ["train.logger=csv"]), Experiment)
