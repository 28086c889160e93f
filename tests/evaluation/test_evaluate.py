"""The same weights on a backend: every image once, results written once, wrong requests answered."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny import planned, quietly

from backends.errors import BackendError
from hybridq.data.images.cache import open_images
from hybridq.data.images.transforms import to_float
from hybridq.data.sources import load_manifest
from hybridq.errors import UserError
from hybridq.evaluation.evaluate import evaluate
from hybridq.evaluation.predict import predict_files
from hybridq.models.build import load_model
from hybridq.results.comparison import compare_evaluations
from hybridq.run_folder import RunFolder, open_run


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> RunFolder:
    """A copy of the trained run that a test may write into."""
    return open_run(Path(shutil.copytree(tiny_run, tmp_path / "tiny")))


def results(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "predictions.csv")


def test_the_noiseless_backend_decides_as_the_model_in_one_piece_does(run: RunFolder) -> None:
    folder = evaluate(planned(run, "aer"), progress=quietly)
    data = run.experiment.data
    manifest = load_manifest(data.source, data, run.experiment.seed)
    rows = manifest.part("test")
    with torch.no_grad():
        whole = load_model(run)(to_float(open_images(manifest, data, split="test")[:])).softmax(dim=1).numpy()
    table = results(folder)
    assert table.columns.tolist() == ["id", "group", "label", "predicted", "p_0", "p_1"]
    assert table["id"].tolist() == rows["id"].tolist()
    assert np.allclose(table[["p_0", "p_1"]], whole, atol=1e-5)
    assert {path.name for path in folder.iterdir()} == {
        "predictions.csv",
        "expectations.npz",
        "record.json",
        "metrics.json",
        "features.npz",
        "stability.json",
        "explanations",
    }


def test_an_evaluation_is_computed_once_and_again_for_other_weights(run: RunFolder) -> None:
    folder = evaluate(planned(run, "aer"), progress=quietly)
    again = planned(run, "aer")
    assert again.finished
    before = (folder / "record.json").read_bytes()
    assert evaluate(again, progress=quietly) == folder
    assert (folder / "record.json").read_bytes() == before
    weights = load_file(run.weights)
    weights["circuit.weight"] += 0.1
    save_file(weights, run.weights)
    other = planned(open_run(run.folder), "aer")
    assert not other.finished
    assert other.folder != folder


def test_a_folder_with_something_else_in_it_is_not_taken_for_an_evaluation(run: RunFolder) -> None:
    plan = planned(run, "aer", limit=6, stratified=True)
    plan.folder.mkdir(parents=True)
    (plan.folder / "note.txt").write_text("mine")
    with pytest.raises((UserError, OSError)):
        evaluate(plan, progress=quietly)
    assert [path.name for path in run.evaluations.iterdir()] == [plan.folder.name]
    assert [path.name for path in plan.folder.iterdir()] == ["note.txt"]


def test_noise_changes_expectation_values_but_not_the_images(run: RunFolder) -> None:
    folders = [
        evaluate(planned(run, name), progress=quietly)
        for name in ("aer", "aer:shots=256", "noise:depolarizing_2q=0.05,readout=0.03")
    ]
    exact, sampled, noisy = (np.load(folder / "expectations.npz") for folder in folders)
    assert np.array_equal(exact["angles"], noisy["angles"])
    assert (sampled["standard_errors"] > 0).any()
    assert not noisy["standard_errors"].any()
    assert np.abs(noisy["values"] - exact["values"]).max() > 0.02
    comparison = compare_evaluations(folders)
    assert comparison.reference == "aer"
    assert [b.simulated for b in comparison.backends] == [True, True, True]


def test_a_stratified_limit_keeps_the_class_shares(run: RunFolder) -> None:
    plan = planned(run, "aer", split="train", limit=10, stratified=True)
    shares = run.read_splits().query("split == 'train'")["label"].mean()
    assert len(plan.inference.selection.rows) == 10
    assert abs(plan.inference.selection.rows["label"].sum() - 10 * shares) < 1
    assert (
        plan.inference.selection.rows["id"].tolist()
        == planned(run, "aer", split="train", limit=10, stratified=True).inference.selection.rows["id"].tolist()
    )


def test_wrong_requests_are_answered_before_anything_runs(run: RunFolder) -> None:
    with pytest.raises(UserError, match=r"--split tests: .*splits\.csv has test, train, validation"):
        planned(run, "aer", split="tests")
    with pytest.raises(UserError, match="--limit 0: at least 1"):
        planned(run, "aer", limit=0)
    with pytest.raises(UserError, match="all of one class"):
        planned(run, "aer", limit=1)
    with pytest.raises(BackendError, match="fake_torino"):
        planned(run, "fake_turin")
    assert not run.evaluations.exists()


def test_weights_that_do_not_fit_the_configuration_are_refused(run: RunFolder) -> None:
    run.config.write_text(run.config.read_text().replace("qubits: 4", "qubits: 3"))
    with pytest.raises(UserError, match=r"model\.safetensors: the weights do not fit"):
        evaluate(planned(run, "aer"), progress=quietly)
    assert not run.evaluations.exists()


def test_more_qubits_than_the_device_has_are_refused(run: RunFolder) -> None:
    run.config.write_text(run.config.read_text().replace("qubits: 4", "qubits: 6"))
    with pytest.raises(BackendError, match=r"6 qubits.*5"):
        evaluate(planned(run, "fake_manila"), progress=quietly)
    assert not run.evaluations.exists()


def test_images_that_are_gone_are_named(run: RunFolder) -> None:
    splits = run.read_splits()
    splits.loc[splits["split"] == "test", "id"] += "-gone"
    splits.to_csv(run.splits, index=False)
    with pytest.raises(UserError, match="images are no longer there, such as patient-"):
        planned(run, "aer")


def test_prediction_of_files_gives_class_and_probabilities(run: RunFolder, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for number, path in enumerate(paths):
        Image.effect_noise((40, 40), 20.0 * (number + 1)).save(path)
    table = predict_files(run, paths)
    classes = json.loads((run.folder / "data.json").read_text())["classes"]
    assert table.columns.tolist() == ["image", "class", *classes]
    assert np.allclose(table[classes].sum(axis=1), 1)
    assert (table["class"] == table[classes].idxmax(axis=1)).all()
    with pytest.raises(UserError, match=r"missing\.png: no such file"):
        predict_files(run, [*paths, tmp_path / "missing.png"])
