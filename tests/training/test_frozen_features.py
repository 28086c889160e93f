"""Features of a frozen backbone: kept on disk, and training and evaluation from them give the same numbers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import TINY, planned, quietly

from hybridq.config import Augmentation, Experiment, dump_experiment, parse_experiment
from hybridq.data.images.images import Images
from hybridq.errors import UserError
from hybridq.evaluation.evaluate import evaluate
from hybridq.models import Classifier
from hybridq.models.build import new_model
from hybridq.models.features import compute_features, frozen_features, measure_batch_statistics
from hybridq.run_folder import RunFolder
from hybridq.training import train as training_module
from hybridq.training.train import train

FROZEN = ("pretrain.epochs=0", "train.unfreeze=none", "train.augmentation=none", "train.learning_rate=0.01")
ROUNDING = 1e-5
"""The uncached run computes features in other batch sizes."""


def experiment(*overrides: str) -> Experiment:
    return parse_experiment(TINY, [*FROZEN, *overrides])


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HYBRIDQ_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "features"


@pytest.fixture
def model() -> Classifier:
    built = new_model(experiment("model.backbone=simple_cnn"), 2)
    built.mean.fill_(0.5)
    built.std.fill_(0.2)
    return built.train()


@pytest.fixture
def images() -> Images:
    return Images(np.random.default_rng(0).integers(0, 256, (9, 1, 32, 32), dtype=np.uint8))


def _evaluated(run: RunFolder) -> pd.DataFrame:
    return pd.read_csv(evaluate(planned(run, "aer"), progress=quietly) / "predictions.csv")


@pytest.mark.parametrize("backbone", ["mobilenet_v2", "simple_cnn"])
def test_training_from_kept_features_gives_the_numbers_of_training_from_images(
    backbone: str, tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = experiment(f"model.backbone={backbone}", "data.label_fraction=0.7")
    kept = train(settings, tmp_path / "kept", announce=quietly, progress=quietly)
    assert len(list(own_cache.glob("*.npy"))) == 2  # training and validation images
    ours = _evaluated(kept)
    assert len(list(own_cache.glob("*.npy"))) == 3
    monkeypatch.setattr(training_module, "_frozen_features", lambda *_: None)
    images = train(settings, tmp_path / "images", announce=quietly, progress=quietly)
    columns = ["loss", "validation_loss", "validation_auc", "alpha", "quantum_share", "circuit_gradient_norm"]
    cached, uncached = (pd.read_csv(run.history)[columns].to_numpy() for run in (kept, images))
    assert cached == pytest.approx(uncached, rel=ROUNDING, abs=ROUNDING)
    theirs = _evaluated(images)
    decided, probability = [column for column in ours if "predict" in column], ours.select_dtypes(float).columns
    assert decided
    assert (ours[decided] == theirs[decided]).all(axis=None)
    assert ours[probability].to_numpy() == pytest.approx(theirs[probability].to_numpy(), abs=ROUNDING)


def test_models_with_the_same_backbone_weights_share_the_features(tmp_path: Path, own_cache: Path) -> None:
    changes = (["name=a"], ["name=b", "model.branch=linear"], ["name=c", "data.label_fraction=0.5"])
    for change in changes:
        run = train(
            experiment("model.backbone=simple_cnn", "train.epochs=1", *change),
            tmp_path,
            announce=quietly,
            progress=quietly,
        )
        _evaluated(run)
    assert len(list(own_cache.glob("*.npy"))) == 3


def test_augmented_training_keeps_nothing_and_says_so_in_one_line(tmp_path: Path, own_cache: Path) -> None:
    lines: list[str] = []
    settings = experiment("model.backbone=simple_cnn", "train.epochs=1", "train.augmentation={}")
    assert settings.train.augmentation == Augmentation()
    train(settings, tmp_path, announce=lines.append, progress=quietly)
    assert sum("frozen backbone" in line and "train.augmentation=none" in line for line in lines) == 1
    assert not own_cache.exists()


def test_no_augmentation_is_written_in_one_word_and_read_back() -> None:
    settings = experiment()
    assert parse_experiment(dump_experiment(settings)) == settings
    with pytest.raises(UserError, match=r"train\.augmentation = 'nothing'"):
        experiment("train.augmentation=nothing")


def test_features_are_those_of_evaluation_mode_and_leave_the_model_as_it_was(
    model: Classifier, images: Images, own_cache: Path
) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = frozen_features(model, "simple_cnn", images)
    assert model.backbone.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with torch.no_grad():
        expected = torch.stack(
            [model.eval().features(torch.from_numpy(images[:] / np.float32(255))[i : i + 1])[0] for i in range(9)]
        )
    assert torch.allclose(torch.from_numpy(np.array(found)), expected, atol=1e-5)
    assert isinstance(found, np.memmap)


@pytest.mark.parametrize("what", ["pixel", "weight", "statistics", "order"])
def test_other_images_weights_or_intensities_have_other_features(
    what: str, model: Classifier, images: Images, own_cache: Path
) -> None:
    frozen_features(model, "simple_cnn", images)
    if what == "pixel":
        pixels = images[:].copy()
        pixels[3, 0, 1, 2] ^= 64
        images = Images(pixels)
    elif what == "order":
        images = images.view([1, 0, 2, 3, 4, 5, 6, 7, 8])
    elif what == "weight":
        next(model.backbone.parameters()).data[0] += 1
    else:
        model.mean.fill_(0.4)
    found = torch.from_numpy(np.array(frozen_features(model, "simple_cnn", images)))
    assert len(list(own_cache.glob("*.npy"))) == 2
    assert torch.allclose(found, compute_features(model, images))


def test_a_damaged_file_is_made_again(model: Classifier, images: Images, own_cache: Path) -> None:
    expected = np.array(frozen_features(model, "simple_cnn", images))
    (file,) = own_cache.glob("*.npy")
    for content in (b"", file.read_bytes()[:-40]):
        file.write_bytes(content)
        assert np.array_equal(frozen_features(model, "simple_cnn", images), expected)


def test_two_at_once_compute_them_once(model: Classifier, images: Images, own_cache: Path) -> None:
    computed: list[int] = []
    with ThreadPoolExecutor(4) as threads:
        found = list(
            threads.map(
                lambda _: frozen_features(
                    model, "simple_cnn", images, progress=lambda done, total: computed.append(done)
                ),
                range(4),
            )
        )
    assert computed == [9]
    assert all(np.array_equal(found[0], other) for other in found)


def test_a_cache_that_cannot_be_written_is_named(
    model: Classifier, images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HYBRIDQ_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(UserError, match="the features cannot be written"):
        frozen_features(model, "simple_cnn", images)


def test_measured_batch_statistics_are_those_of_the_images(model: Classifier, images: Images) -> None:
    measure_batch_statistics(model, images)
    convolution, norm = model.backbone.blocks[0][0], model.backbone.blocks[0][1]
    with torch.no_grad():
        maps = convolution((torch.from_numpy(images[:] / np.float32(255)) - 0.5) / 0.2)
    assert torch.allclose(norm.running_mean, maps.mean(dim=(0, 2, 3)), atol=1e-5)
    assert torch.allclose(norm.running_var, maps.var(dim=(0, 2, 3)), rtol=1e-4)


@pytest.mark.parametrize("epochs", [0, 1])
def test_features_of_a_frozen_backbone_do_not_vanish_beside_the_quantum_branch(epochs: int, tmp_path: Path) -> None:
    run = train(experiment(f"pretrain.epochs={epochs}"), tmp_path, announce=quietly, progress=quietly)
    shares = pd.read_csv(run.history).query("stage == 'finetune'")["quantum_share"]
    assert shares.between(0.001, 1).all()


def test_a_backbone_that_is_trained_on_keeps_the_statistics_of_its_training(tmp_path: Path) -> None:
    bars: set[str] = set()
    settings = experiment("model.backbone=simple_cnn", "train.epochs=1", "train.unfreeze=all")
    train(settings, tmp_path, announce=quietly, progress=lambda what, *_: bars.add(what))
    assert "measuring batch statistics" not in bars
