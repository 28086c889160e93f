"""What ``hybridq init`` makes of a path or a source's name."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from hybridq.config import parse_experiment
from hybridq.training.proposal import name_for, training_sections


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("images", "images"),
        ("folder/my images/", "my_images"),
        ("a/table.v2.csv", "table.v2"),
        ("dicom:path=studies,labels=labels.csv", "studies"),
        ("medmnist:name=bloodmnist,size=64", "bloodmnist"),
        ("synthetic", "synthetic"),
        ("…", "images"),
    ],
)
def test_a_run_is_called_after_its_images(given: str, name: str) -> None:
    assert name_for(given) == name
    assert parse_experiment(f"{{name: {name}, data: {{source: synthetic}}}}").name == name


def test_a_folder_keeps_all_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "set.v2").mkdir()
    assert name_for(str(tmp_path / "set.v2")) == "set.v2"


@pytest.mark.parametrize(
    ("images", "batch", "epochs", "steps"),
    [(40, 16, 30, 90), (210, 16, 22, 308), (900, 16, 10, 570), (5_000, 32, 10, 1_570), (50_000, 64, 10, 7_820)],
)
def test_small_sets_get_small_batches_and_few_steps(images: int, batch: int, epochs: int, steps: int) -> None:
    counts = Counter({"a": images // 2, "b": images - images // 2})
    text = "\n".join(["name: x", "data: {source: synthetic}", *training_sections(images, counts)])
    train = parse_experiment(text).train
    assert (train.batch_size, train.epochs, train.patience) == (batch, epochs, epochs)
    assert f"# {steps:,} steps of {batch} images" in text
    assert not train.class_weights


def test_rare_classes_are_weighted() -> None:
    text = "\n".join(["name: x", "data: {source: synthetic}", *training_sections(100, Counter({"a": 90, "b": 10}))])
    assert parse_experiment(text).train.class_weights
    assert "9.0 times as many images as the rarest" in text
