"""Training under noise: random, and yet the same however often it was killed; from scratch or from another run."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from tiny import TINY, planned, quietly

from hybridq.config import Experiment, parse_experiment
from hybridq.errors import UserError
from hybridq.evaluation.evaluate import evaluate
from hybridq.models import Classifier
from hybridq.models.build import load_model, new_model
from hybridq.run_folder import RunFolder, open_run
from hybridq.training.train import train

NOISE = "noise:depolarizing_1q=0.01,depolarizing_2q=0.03,readout=0.03"
QUICK = ("model.backbone=simple_cnn", "pretrain.epochs=0", "train.unfreeze=none", "train.augmentation=none")
EVERYTHING = (f"train.backend='{NOISE},shots=64'", "train.noise_scale=[0, 2]", "model.normalise_q=true")


def tiny(*overrides: str) -> Experiment:
    return parse_experiment(TINY, [*QUICK, *overrides])


def trained(root: Path, *overrides: str) -> RunFolder:
    return train(tiny(*overrides), root, announce=quietly, progress=quietly)


def digest(run: RunFolder) -> str:
    return hashlib.sha256(run.weights.read_bytes()).hexdigest()


class Killed(BaseException):
    """Stands for the end of the process: nothing after it runs."""


def test_a_training_under_noise_that_was_killed_ends_with_the_weights_of_an_unbroken_one(tmp_path: Path) -> None:
    unbroken = trained(tmp_path / "unbroken", *EVERYTHING)

    def kill(what: str, done: int, total: int) -> None:
        if what.startswith("fine-tuning") and done == 2 * total // 3 + 1:
            raise Killed

    with pytest.raises(Killed):
        train(tiny(*EVERYTHING), tmp_path / "broken", announce=quietly, progress=kill)
    continued = trained(tmp_path / "broken", *EVERYTHING)
    assert digest(continued) == digest(unbroken)
    columns = ["epoch", "loss", "validation_auc", "alpha", "circuit_gradient_norm"]
    pd.testing.assert_frame_equal(*(pd.read_csv(run.history)[columns] for run in (continued, unbroken)))


@pytest.mark.parametrize("key", EVERYTHING)
def test_each_key_changes_the_training_and_the_run_can_be_evaluated(key: str, tmp_path: Path) -> None:
    backend = () if key.startswith("train.backend") else (f"train.backend='{NOISE}'",)
    plain = trained(tmp_path / "plain", f"train.backend='{NOISE}'", "train.epochs=1")
    run = trained(tmp_path / "changed", *backend, key, "train.epochs=1")
    assert pd.read_csv(run.history)["loss"][0] != pd.read_csv(plain.history)["loss"][0]
    for name in ("aer", NOISE):
        assert (evaluate(planned(run, name), progress=quietly) / "metrics.json").is_file()


def test_the_circuit_s_file_names_the_noise_of_training(tmp_path: Path) -> None:
    run = trained(tmp_path, *EVERYTHING, "train.epochs=1")
    on = run.read_json("circuit.json")["trained_on"]
    assert (on["backend"], on["noise_scale"]) == (f"{NOISE},shots=64", [0, 2])


def normalising() -> Classifier:
    return new_model(tiny("model.normalise_q=true"), 2)


def test_normalised_values_are_those_of_their_batch_in_training() -> None:
    model = normalising().train()
    q = 0.3 + 0.1 * torch.randn(64, 4)
    expected = (q - q.mean(dim=0)) / q.std(dim=0, correction=0)
    torch.testing.assert_close(model.normalisation(q), expected, rtol=1e-3, atol=1e-3)


def test_in_evaluation_no_image_changes_the_decision_on_another() -> None:
    model = normalising().train()
    h, q = torch.randn(64, model.backbone.features), 0.3 + 0.1 * torch.randn(64, 4)
    for _ in range(100):
        model.decide(h, q)
    model.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        torch.testing.assert_close(model.decide(h[:3], q[:3]), model.decide(h, q)[:3])
        torch.testing.assert_close(model.normalisation(q).mean(dim=0), torch.zeros(4), rtol=0, atol=0.05)
    model.quantum_branch(h, q)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_statistics_of_q_come_from_training_steps_alone(tmp_path: Path) -> None:
    run = trained(tmp_path, "model.normalise_q=true", "train.epochs=2", "train.patience=9")
    best = run.read_json("training.json")["best_epoch"] + 1
    images = int((run.read_splits()["split"] == "train").sum())
    steps = images // 16 + (images % 16 > 1)
    assert int(load_file(run.weights)["normalisation.num_batches_tracked"]) == best * steps


def test_a_model_that_normalises_nothing_has_no_statistics_to_keep() -> None:
    assert not [name for name in new_model(tiny(), 2).state_dict() if "normalisation" in name]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return trained(tmp_path_factory.mktemp("finished"))


def test_fine_tuning_from_a_run_starts_with_its_weights(finished: RunFolder, tmp_path: Path) -> None:
    still = ("train.head_learning_rate=1e-30", "train.epochs=1", "pretrain.epochs=3")
    run = trained(tmp_path, f"train.start='{finished.folder}'", *still, "name=still")
    theirs, ours = load_model(finished).state_dict(), load_model(run).state_dict()
    moving = ("head.0.running_mean", "head.0.running_var", "head.0.num_batches_tracked")
    assert all(torch.equal(value, ours[name]) for name, value in theirs.items() if name not in moving)
    assert set(pd.read_csv(run.history)["stage"]) == {"finetune"}
    assert any(str(finished.folder) in note for note in run.read_json("data.json")["notes"])


def test_circuit_and_head_alone_are_fine_tuned_under_noise_and_continue(finished: RunFolder, tmp_path: Path) -> None:
    noisy = (f"train.start='{finished.folder}'", *EVERYTHING[:2], "name=noisy")
    run = trained(tmp_path / "unbroken", *noisy)
    theirs, ours = load_file(finished.weights), load_file(run.weights)
    changed = {name.partition(".")[0] for name, value in theirs.items() if not torch.equal(value, ours[name])}
    assert changed == {"compression", "circuit", "fusion", "head"}

    def kill(what: str, done: int, total: int) -> None:
        if what.startswith("fine-tuning") and done == total // 2 + 1:
            raise Killed

    with pytest.raises(Killed):
        train(tiny(*noisy), tmp_path / "broken", announce=quietly, progress=kill)
    assert digest(trained(tmp_path / "broken", *noisy)) == digest(run)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("seed=4", "images were not held out in its training; use the split and seed of that run"),
        ("model.qubits=3", r"it was trained with model\.qubits = 4, here it is 3"),
        ("model.normalise_q=true", r"it was trained with model\.normalise_q = False, here it is True"),
        ("data.size=48", r"it was trained with data\.size = 32, here it is 48"),
        ("data.source='synthetic:patients=13,patches=4'", "it was trained on synthetic:patients=12,patches=4"),
        ("pretrain.encoder=somewhere", r"it has an encoder of its own; set pretrain\.encoder=null"),
        ("train.start=nowhere", "nowhere: no such folder"),
    ],
)
def test_a_run_that_does_not_fit_or_has_seen_held_out_images_is_refused(
    change: str, sentence: str, finished: RunFolder, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=sentence):
        trained(tmp_path / "runs", f"train.start='{finished.folder}'", "name=other", change)
    assert not (tmp_path / "runs").exists()


def test_test_images_that_chose_its_best_epoch_are_refused(finished: RunFolder, tmp_path: Path) -> None:
    """Validation images there, test images here: never trained on, and yet not unseen."""
    table = finished.read_splits()
    swapped = table["split"].map({"train": "train", "validation": "test", "test": "validation"})
    table.assign(split=swapped)[["id", "group", "split"]].to_csv(tmp_path / "splits.csv", index=False)
    with pytest.raises(UserError, match=r"\d+ test images were not held out"):
        trained(
            tmp_path / "runs", f"train.start='{finished.folder}'", "name=other", f"data.splits='{tmp_path}/splits.csv'"
        )


def test_what_only_decides_how_training_goes_may_differ(finished: RunFolder, tmp_path: Path) -> None:
    change = ("model.dropout=0.4", "model.train_alpha=false", "train.unfreeze=all", "train.epochs=1", "name=other")
    run = trained(tmp_path, f"train.start='{finished.folder}'", *change)
    assert open_run(run.folder).finished
