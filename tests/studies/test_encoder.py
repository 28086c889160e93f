"""A study's shared encoder: pretrained once a data set, taken by every cell with that backbone."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file
from tiny import TINY, quietly
from torch import equal

from hybridq.errors import UserError
from hybridq.studies.models.config import load_study
from hybridq.studies.models.run import pending_encoders, run_study

STUDY = """
name: shared
base: base.yaml
set: {train.epochs: 1, train.unfreeze: none, train.augmentation: none, model.backbone: simple_cnn}
models:
  hybrid: {}
  random: {pretrain.epochs: 0}
  other: {model.backbone: compact_cnn, pretrain.epochs: 1}
seeds: [5, 6]
encoder: {pretrain.epochs: 1}
"""


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    (tmp_path / "base.yaml").write_text(TINY)
    file = tmp_path / "study.yaml"
    file.write_text(STUDY)
    return file


def test_cells_that_pretrain_the_same_backbone_take_the_encoder_and_no_others(study_file: Path, tmp_path: Path) -> None:
    _, cells = load_study(study_file, tmp_path)
    encoder = {cell.name: cell.experiment.pretrain.encoder for cell in cells}
    expected = str(tmp_path.resolve() / "shared" / "encoder-data")
    assert encoder["hybrid-data-s5"] == encoder["hybrid-data-s6"] == expected
    assert {encoder[name] for name in ("random-data-s5", "other-data-s5")} == {None}


def test_drawn_splits_are_the_same_for_all_seeds_where_an_encoder_is_shared(study_file: Path, tmp_path: Path) -> None:
    _, cells = load_study(study_file, tmp_path)
    assert {(cell.experiment.split_seed, cell.experiment.seed) for cell in cells} == {(5, 5), (5, 6)}
    study_file.write_text(STUDY.replace("encoder: {pretrain.epochs: 1}", ""))
    assert {cell.experiment.split_seed for cell in load_study(study_file)[1]} == {5, 6}


def test_an_encoder_that_is_not_pretrained_is_refused(study_file: Path) -> None:
    study_file.write_text(STUDY.replace("encoder: {pretrain.epochs: 1}", "encoder: {pretrain.epochs: 0}"))
    with pytest.raises(UserError, match=r"cell encoder-data: pretrain\.epochs = 0; a shared encoder is pretrained"):
        load_study(study_file)


def test_the_encoder_is_trained_once_before_the_cells_and_said_in_their_notes(study_file: Path, tmp_path: Path) -> None:
    study, cells = load_study(study_file, tmp_path)
    root, order = tmp_path / "shared", []
    two = [cell for cell in cells if cell.model == "hybrid"]
    assert [cell.name for cell in pending_encoders(two, root)] == ["encoder-data"]
    assert not run_study(study, two, root, jobs=1, report=lambda name, _: order.append(name)).failed
    assert order == ["encoder-data", "hybrid-data-s5", "hybrid-data-s6"]
    encoder = load_file(root / "encoder-data" / "encoder.safetensors")
    for cell in two:
        folder = root / cell.name
        weights = load_file(folder / "model.safetensors")
        assert all(equal(value, weights[f"backbone.{name}"]) for name, value in encoder.items())
        assert any(
            "pretrained in another run" in note for note in json.loads((folder / "data.json").read_text())["notes"]
        )
    parts = [pd.read_csv(root / cell.name / "splits.csv") for cell in two]
    pd.testing.assert_frame_equal(*parts)
    assert not pending_encoders(two, root)
    assert not run_study(study, two, root, jobs=1, report=quietly).failed


def test_an_encoder_that_fails_is_listed_and_so_are_its_cells(study_file: Path, tmp_path: Path) -> None:
    study, cells = load_study(study_file, tmp_path)
    root = tmp_path / "shared"
    root.mkdir()
    (root / "encoder-data").write_text("in the way")
    outcome = run_study(study, [cells[0], cells[1]], root, jobs=1, report=quietly)
    assert set(outcome.failed) == {"encoder-data", "hybrid-data-s5"}
    assert outcome.finished == ("random-data-s5",)
