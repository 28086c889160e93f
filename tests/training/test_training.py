"""Training: a complete run folder, the same weights however often it was killed, failures that are named."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import random
import signal
import threading
from pathlib import Path

import pandas as pd
import pytest
import torch
from tiny import TINY, quietly

from hybridq.config import Experiment, parse_experiment
from hybridq.errors import UserError
from hybridq.models.build import load_model, new_model
from hybridq.run_folder import open_run
from hybridq.training.train import train


def tiny(*overrides: str) -> Experiment:
    return parse_experiment(TINY, overrides)


def digest(run: Path) -> str:
    return hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()


def test_a_run_folder_holds_everything_a_report_needs(tiny_run: Path) -> None:
    present = {path.name for path in tiny_run.iterdir()}
    assert present >= {
        "config.yaml",
        "environment.json",
        "model.safetensors",
        "encoder.safetensors",
        "model.json",
        "data.json",
        "splits.csv",
        "history.csv",
        "warnings.json",
        "training.json",
        "circuit.qasm",
        "circuit.png",
        "circuit.json",
    }
    assert not [name for name in present if "partial" in name]
    history = pd.read_csv(tiny_run / "history.csv")
    assert history["stage"].tolist() == ["pretrain"] * 2 + ["finetune"] * 3
    finetune = history[history["stage"] == "finetune"]
    watched = ["loss", "validation_auc", "alpha", "circuit_gradient_norm", "quantum_share", "seconds"]
    assert finetune[watched].notna().all().all()
    assert (finetune["circuit_gradient_norm"] > 0).all()
    assert json.loads((tiny_run / "data.json").read_text())["simulated"] is True


def test_a_finished_run_is_found_and_not_trained_again(tiny_run: Path) -> None:
    before = digest(tiny_run)
    lines: list[str] = []
    train(tiny(), tiny_run.parent, announce=lines.append, progress=quietly)
    assert lines == [f"{tiny_run} is finished already"]
    assert digest(tiny_run) == before


def test_the_same_name_with_another_configuration_is_refused(tiny_run: Path) -> None:
    with pytest.raises(UserError, match=r"another configuration \(different: model\.qubits\)"):
        train(tiny("model.qubits=3"), tiny_run.parent, announce=quietly, progress=quietly)


def test_saved_weights_give_the_validation_auc_that_was_recorded(tiny_run: Path) -> None:
    from sklearn.metrics import roc_auc_score

    from hybridq.data.images.cache import open_images
    from hybridq.data.images.transforms import to_float
    from hybridq.data.sources import load_manifest

    data = tiny().data
    manifest = load_manifest(data.source, data, 3)
    rows = manifest.part("validation")
    with torch.no_grad():
        logits = load_model(open_run(tiny_run))(to_float(open_images(manifest, data, split="validation")[:]))
    auc = roc_auc_score(rows["label"], logits.softmax(dim=1)[:, 1])
    recorded = json.loads((tiny_run / "training.json").read_text())["best_validation_auc"]
    assert auc == pytest.approx(recorded, abs=1e-6)


def test_the_epoch_of_the_lowest_validation_loss_is_kept_when_the_loss_is_monitored(tmp_path: Path) -> None:
    run = train(tiny("train.monitor=loss", "train.epochs=5"), tmp_path, announce=quietly, progress=quietly)
    history = pd.read_csv(run.history)
    finetune = history[history["stage"] == "finetune"].set_index("epoch")
    training = json.loads((run.folder / "training.json").read_text())
    assert training["best_epoch"] == finetune["validation_loss"].idxmin()
    assert training["best_validation_auc"] == finetune["validation_auc"][training["best_epoch"]]
    kept = torch.load(run.checkpoints / "finetune" / "best.ckpt", weights_only=True)["epoch"]
    assert kept == training["best_epoch"]


def test_training_stops_early_by_the_validation_loss_when_it_is_monitored(tmp_path: Path) -> None:
    overrides = ["train.monitor=loss", "train.patience=1", "train.head_learning_rate=0.3", "train.epochs=12"]
    run = train(tiny(*overrides, "pretrain.epochs=0"), tmp_path, announce=quietly, progress=quietly)
    losses = pd.read_csv(run.history)["validation_loss"].tolist()
    assert len(losses) < 12
    assert losses[-1] >= min(losses[:-1])
    assert all(losses[epoch] < min(losses[:epoch]) for epoch in range(1, len(losses) - 1))


def _train_until(root: Path, step: int, delay: float) -> None:
    """Train, and SIGKILL this process ``delay`` seconds after the given training step of this process."""
    done = 0

    def count(what: str, *_: object) -> None:
        nonlocal done
        done += what.startswith(("pretraining", "fine-tuning"))
        if done == step:
            threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()

    train(tiny(), root, announce=quietly, progress=count)


def _killed(root: Path, step: int, delay: float) -> bool:
    """Whether a training in a child process was killed there; otherwise it came to its end."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hybridq.training.train"])
    child = context.Process(target=_train_until, args=(root, step, delay))
    child.start()
    child.join()
    assert child.exitcode in (0, -signal.SIGKILL)
    return child.exitcode != 0


RANDOM = random.Random(0)
IN_EVERY_STAGE = ((1, 0.0), (4, 0.0), (3, 0.05), (2, 0.1))
SEEDED = tuple((RANDOM.randint(1, 3), RANDOM.uniform(0.0, 0.3)) for _ in range(12))


@pytest.mark.parametrize("kills", [IN_EVERY_STAGE, pytest.param(SEEDED, marks=pytest.mark.slow)])
def test_a_killed_training_ends_with_the_weights_of_an_unbroken_one(
    tiny_run: Path, tmp_path: Path, kills: tuple[tuple[int, float], ...]
) -> None:
    root = tmp_path / "runs"
    assert sum(_killed(root, step, delay) for step, delay in kills) >= 3
    train(tiny(), root, announce=quietly, progress=quietly)
    assert digest(root / "tiny") == digest(tiny_run)
    columns = ["stage", "epoch", "loss", "validation_auc", "alpha"]
    unbroken, broken = (pd.read_csv(folder / "history.csv")[columns] for folder in (tiny_run, root / "tiny"))
    pd.testing.assert_frame_equal(unbroken, broken)


@pytest.mark.parametrize(("stage", "folder"), [("pretraining", "pretrain"), ("fine-tuning", "finetune")])
def test_the_last_finished_epoch_is_kept_also_where_it_was_not_the_best(
    tmp_path: Path, stage: str, folder: str
) -> None:
    """So slow that validation AUC never rises: no epoch after the first one is the best."""

    class StoppedError(Exception):
        pass

    def stop_in_the_third_epoch(what: str, done: int, total: int) -> None:
        if what.startswith(stage) and 3 * done > 2 * total:
            raise StoppedError

    slow = tiny("pretrain.epochs=3", "train.learning_rate=1e-12", "train.head_learning_rate=1e-12")
    with pytest.raises(StoppedError):
        train(slow, tmp_path, announce=quietly, progress=stop_in_the_third_epoch)
    checkpoint = torch.load(tmp_path / "tiny" / "checkpoints" / folder / "last.ckpt", weights_only=True)
    assert checkpoint["epoch"] == 1
    assert any(key.startswith("ModelCheckpoint{") for key in checkpoint["callbacks"])


def test_a_loss_that_is_not_finite_stops_with_epoch_step_and_learning_rate(tmp_path: Path) -> None:
    wild = tiny("train.learning_rate=1e30", "train.head_learning_rate=1e30", "pretrain.epochs=0")
    with pytest.raises(UserError, match=r"finetune: the loss is (nan|inf) in epoch \d+, step \d+, at learning rate"):
        train(wild, tmp_path, announce=quietly, progress=quietly)


def test_a_frozen_encoder_does_not_change(tmp_path: Path) -> None:
    run = train(tiny("train.unfreeze=none", "train.epochs=1"), tmp_path, announce=quietly, progress=quietly)
    from safetensors.torch import load_file

    encoder, model = load_file(run.encoder), load_file(run.weights)
    assert all(torch.equal(value, model[f"backbone.{name}"]) for name, value in encoder.items())


def test_the_last_blocks_alone_learn_when_told_so(tmp_path: Path) -> None:
    run = train(tiny("train.unfreeze=2", "train.epochs=1"), tmp_path, announce=quietly, progress=quietly)
    from safetensors.torch import load_file

    encoder, model = load_file(run.encoder), load_file(run.weights)
    changed = {
        name.split(".")[1] for name, value in encoder.items() if not torch.equal(value, model[f"backbone.{name}"])
    }
    assert changed == {"17", "18"}


def test_a_pretrained_encoder_is_reused_and_a_leaking_one_refused(tiny_run: Path, tmp_path: Path) -> None:
    reuse = tiny(f"pretrain.encoder={tiny_run}", "train.epochs=1", "name=reuse")
    run = train(reuse, tmp_path, announce=quietly, progress=quietly)
    assert "finetune" in pd.read_csv(run.history)["stage"].unique()
    assert "pretrain" not in pd.read_csv(run.history)["stage"].unique()
    with pytest.raises(UserError, match="validation or test images here"):
        train(reuse.model_copy(update={"seed": 4}), tmp_path / "other", announce=quietly, progress=quietly)


def test_bad_data_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        train(tiny("data.source=nowhere"), tmp_path / "runs", announce=quietly, progress=quietly)
    assert not (tmp_path / "runs").exists()


def test_five_training_steps_of_both_engines_agree() -> None:
    """This project's engine, and Aer's estimator with parameter shift: the same weights to rounding."""
    trained = []
    for engine in ("exact", "aer"):
        model = new_model(tiny(f"train.engine={engine}"), 2).double().train()
        h = torch.randn(6, 1280, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        model.calibrate_angles(h, 0.75)
        optimizer = torch.optim.AdamW(
            [p for n, p in model.named_parameters() if not n.startswith("backbone.")], lr=0.01
        )
        for step in range(5):
            torch.manual_seed(step)
            logits = model.decide(h, model.circuit(model.angles(h)))
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(logits, torch.arange(6) % 2).backward()
            optimizer.step()
        trained.append(dict(model.named_parameters()))
    start = new_model(tiny(), 2).double().circuit.weight
    ours, theirs = trained
    assert ((ours["circuit.weight"] - start).abs() > 1e-3).all()
    for name, parameter in ours.items():
        assert torch.allclose(parameter, theirs[name], atol=1e-9), name


def test_training_through_aer_gives_the_history_of_the_exact_engine(tmp_path: Path) -> None:
    short = (
        "pretrain.epochs=0",
        "train.epochs=1",
        "data.source='synthetic:patients=8,patches=4'",
    )
    exact = train(tiny(*short, "name=exact"), tmp_path, announce=quietly, progress=quietly)
    aer = train(tiny(*short, "name=aer", "train.engine=aer"), tmp_path, announce=quietly, progress=quietly)
    columns = ["loss", "circuit_gradient_norm"]
    ours, theirs = (pd.read_csv(run.history)[columns] for run in (exact, aer))
    assert ours.to_numpy() == pytest.approx(theirs.to_numpy(), rel=1e-2)
