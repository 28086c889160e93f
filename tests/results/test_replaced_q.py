"""q replaced at evaluation: by its training mean or shuffled, kept as evaluations of their own, judged in pairs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import TINY, planned, quietly

from hybridq.config import parse_experiment
from hybridq.data.images.cache import open_images
from hybridq.data.images.transforms import to_float
from hybridq.data.sources import load_manifest
from hybridq.errors import UserError
from hybridq.evaluation.evaluate import evaluate
from hybridq.models.build import load_model
from hybridq.results.comparison import compare_evaluations
from hybridq.results.evaluation import read_evaluation
from hybridq.run_folder import RunFolder, open_run
from hybridq.training.train import train

SaveEvaluation = Callable[..., Path]
NOISE = "noise:depolarizing_2q=0.05,readout=0.03"


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> RunFolder:
    """A copy of the trained run that a test may write into."""
    return open_run(Path(shutil.copytree(tiny_run, tmp_path / "tiny", ignore=shutil.ignore_patterns("checkpoints"))))


def evaluated(run: RunFolder, backend: str, replace_q: str | None = None) -> Path:
    return evaluate(planned(run, backend, replace_q=replace_q), progress=quietly)


def mean_over_training_images(run: RunFolder) -> np.ndarray:
    """One image at a time, through the model."""
    data = run.experiment.data
    images = open_images(load_manifest(data.source, data, run.experiment.split_seed), data, split="train")
    model = load_model(run)
    with torch.no_grad():
        q = [model.circuit(model.angles(model.features(to_float(images[[i]])))).numpy() for i in range(len(images))]
    return np.concatenate(q).mean(axis=0)


def test_the_training_mean_is_that_of_unaugmented_training_images_and_computed_once(run: RunFolder) -> None:
    folder = evaluated(run, "aer", "mean")
    values = np.load(folder / "expectations.npz")["values"]
    assert (values == values[0]).all()
    record = json.loads((folder / "record.json").read_text())
    assert [record[name] for name in ("circuits", "executions", "quantum_seconds")] == [0, 0, 0.0]
    assert np.allclose(values[0], mean_over_training_images(run), atol=1e-5)
    kept = json.loads((run.folder / "q_training_mean.json").read_text())
    assert kept["images"] == (run.read_splits()["split"] == "train").sum()
    # What is kept is what is used: another part of the images gets the mean that lies in the run folder.
    (run.folder / "q_training_mean.json").write_text(json.dumps(kept | {"mean": [0.5] * 4}))
    other = evaluate(planned(run, "aer", split="validation", replace_q="mean"), progress=quietly)
    for saved in (folder, other):
        note = json.loads((saved / "record.json").read_text())["note"]
        assert note == f"q is its mean over {kept['images']} training images on the noiseless simulator"
    assert (np.load(other / "expectations.npz")["values"] == 0.5).all()


def test_q_at_its_training_mean_is_one_evaluation_for_all_backends(run: RunFolder) -> None:
    assert planned(run, "aer", replace_q="mean").folder == planned(run, NOISE, replace_q="mean").folder


def test_shuffled_q_is_that_of_other_images_under_the_same_noise(run: RunFolder) -> None:
    plain, shuffled = read_evaluation(evaluated(run, NOISE)), read_evaluation(evaluated(run, NOISE, "shuffle"))
    assert plain.folder != shuffled.folder
    assert shuffled.backend == f"{NOISE}, q shuffled"
    assert "q-shuffled" in shuffled.folder.name
    assert shuffled.record["intervention"]["replace_q"] == "shuffle"
    assert np.array_equal(plain.angles, shuffled.angles)
    assert not np.array_equal(plain.values, shuffled.values)
    assert np.array_equal(np.sort(plain.values, axis=0), np.sort(shuffled.values, axis=0))


def test_every_backend_is_compared_with_its_own_q_replaced_on_the_same_images(run: RunFolder) -> None:
    folders = [
        evaluated(run, backend, by)
        for backend, by in [("aer", "mean"), (NOISE, "shuffle"), (NOISE, None), ("aer", None)]
    ]
    comparison = compare_evaluations(folders)
    assert comparison.reference == "aer"
    assert [(r.backend, r.by) for r in comparison.replacements] == [
        ("aer", "mean"),
        (NOISE, "mean"),
        (NOISE, "shuffle"),
    ]
    mean, _, noisy, _ = map(read_evaluation, folders)
    under_noise = comparison.replacements[1]
    change = mean.metrics["metrics"]["auc"]["value"] - noisy.metrics["metrics"]["auc"]["value"]
    assert under_noise.changes["auc"]["value"] == pytest.approx(change)
    assert under_noise.flipped == (mean.predicted != noisy.predicted).sum()
    assert f"{under_noise.flipped} of {len(mean.ids)} decisions differ" in under_noise.sentence
    assert [entry["by"] for entry in comparison.as_dict()["q_replaced"]] == ["mean", "mean", "shuffle"]
    assert "auc, q shuffled" in set(comparison.frame()["quantity"])


def test_a_decision_that_needs_q_is_shown_to_use_it(save_evaluation: SaveEvaluation) -> None:
    plain = save_evaluation("aer", "noiseless")
    replaced = save_evaluation(
        "aer, q shuffled",
        "noiseless",
        q_of=np.arange(40)[::-1],
        intervention={"replace_q": "shuffle", "backend": "aer"},
    )
    (found,) = compare_evaluations([plain, replaced]).replacements
    assert found.verdict("auc") == "lower"
    assert "auc is lower" in found.sentence


def test_an_evaluation_with_q_replaced_is_no_noise_model_of_a_device(save_evaluation: SaveEvaluation) -> None:
    folders = [
        save_evaluation("aer", "noiseless"),
        save_evaluation(
            "ibm_torino", "hardware", hardware={"device": "ibm_torino", "copies": 1, "drift": None, "patches": []}
        ),
        save_evaluation(
            "fake_torino:shots=64, q shuffled",
            "simulated device",
            intervention={"replace_q": "shuffle", "backend": "fake_torino:shots=64"},
        ),
    ]
    (device,) = (b for b in compare_evaluations(folders).backends if b.backend == "ibm_torino")
    assert device.error_parts is not None
    assert device.error_parts.model is None


def test_wrong_interventions_are_refused_in_one_sentence(run: RunFolder) -> None:
    with pytest.raises(UserError, match="--replace-q zero: allowed are mean, shuffle"):
        planned(run, "aer", replace_q="zero")
    assert not run.evaluations.exists()


@pytest.mark.parametrize("control", ["mlp", "linear", "fourier"])
def test_what_stands_in_the_circuits_place_is_replaced_too_but_not_under_noise(tmp_path: Path, control: str) -> None:
    run = small(tmp_path, f"model.branch={control}")
    values = {by: read_evaluation(evaluated(run, "aer", by)).values for by in (None, "mean", "shuffle")}
    assert np.allclose(values["mean"][0], mean_over_training_images(run), atol=1e-5)
    assert np.array_equal(np.sort(values[None], axis=0), np.sort(values["shuffle"], axis=0))
    with pytest.raises(UserError, match="its model has no circuit; it can be evaluated on aer alone"):
        planned(run, "fake_torino", replace_q="mean")


def test_a_baseline_has_no_q_to_replace(tmp_path: Path) -> None:
    run = small(tmp_path, "model.name=baseline")
    with pytest.raises(UserError, match="neither a circuit nor anything in its place"):
        planned(run, "aer", replace_q="mean")
    assert "fused" not in np.load(evaluated(run, "aer") / "features.npz")


def small(folder: Path, *overrides: str) -> RunFolder:
    """A run of one epoch without pretraining."""
    quick = ("pretrain.epochs=0", "train.epochs=1", "model.backbone=simple_cnn")
    return train(parse_experiment(TINY, [*quick, *overrides]), folder, announce=quietly, progress=quietly)
