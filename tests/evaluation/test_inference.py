"""A trained model on chosen images: what is computed once, and what several backends share."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import planned

from hybridq.errors import UserError
from hybridq.evaluation.evaluate import evaluate, plan_evaluation
from hybridq.evaluation.inference import Inference
from hybridq.models.build import load_model
from hybridq.results.evaluation import read_evaluation
from hybridq.results.selection import ImageChoice, choose
from hybridq.run_folder import RunFolder, open_run


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> RunFolder:
    """A copy of the trained run that a test may write into."""
    return open_run(Path(shutil.copytree(tiny_run, tmp_path / "tiny", ignore=shutil.ignore_patterns("checkpoints"))))


def test_features_are_computed_once_for_all_backends(run: RunFolder) -> None:
    told: list[str] = []

    def progress(what: str, done: int, total: int) -> None:
        assert 0 <= done <= total
        told.append(what)

    inference = Inference.of(run, progress=progress)
    folders = [evaluate(plan_evaluation(inference, name)) for name in ("aer", "aer:shots=64", "fake_manila")]
    passes = [what for what in told if what == "features of test images"]
    alone: list[str] = []
    planned_alone = planned(run, "aer:shots=128")
    evaluate(planned_alone, progress=lambda what, *_: alone.append(what))
    assert len(passes) == alone.count("features of test images") > 0
    first, *others = (read_evaluation(folder) for folder in folders)
    assert all(np.array_equal(other.angles, first.angles) for other in others)


def test_what_is_asked_for_first_decides_nothing(run: RunFolder) -> None:
    """A model that is loaded in inference mode could not be differentiated, which explanations do."""
    inference = Inference.of(run)
    angles = inference.angles
    inputs = torch.rand(2, 1, 32, 32, requires_grad=True)
    inference.model.logits(inference.model.features(inputs)).sum().backward()
    assert inputs.grad is not None
    assert inputs.grad.abs().sum() > 0
    with torch.inference_mode():
        model = load_model(run)
        features = inference.features
        assert np.array_equal(model.angles(features).double().numpy(), angles)


def test_other_images_share_the_model_and_the_data(run: RunFolder) -> None:
    inference = Inference.of(run)
    model, manifest = inference.model, inference.selection.manifest
    validation = inference.on(choose(run, ImageChoice("validation")))
    assert validation.model is model
    assert validation.selection.manifest is manifest
    assert not set(validation.selection.ids) & set(inference.selection.ids)
    assert validation.angles.shape == (len(validation.selection.ids), 4)


def test_values_lead_to_the_decisions_of_an_evaluation(run: RunFolder) -> None:
    saved = read_evaluation(evaluate(planned(run, "aer")))
    inference = Inference.of(run)
    assert np.allclose(inference.exact_values(), saved.values, atol=1e-12)
    scored = inference.scored(saved.values)
    assert np.array_equal(scored.probabilities, saved.probabilities)
    assert np.array_equal(scored.truth, saved.labels)
    assert scored.groups == saved.groups
    odds = np.log(scored.probabilities[:, 1:] / scored.probabilities[:, :1])
    assert np.allclose(inference.log_odds(saved.values), odds, atol=1e-6)


def test_a_choice_of_images_is_refused_in_one_sentence(run: RunFolder) -> None:
    with pytest.raises(UserError, match=r"--split training: .*splits\.csv has test, train, validation"):
        choose(run, ImageChoice("training"))
    with pytest.raises(UserError, match=r"--range own is for --data"):
        choose(run, ImageChoice(own_range=True))
    with pytest.raises(UserError, match="--limit 0: at least 1"):
        choose(run, ImageChoice(limit=0))


def test_images_without_labels_are_no_test(run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "flat").mkdir()
    for number in range(3):
        Image.fromarray(np.full((32, 32), 80 * number, dtype=np.uint8)).save(tmp_path / "flat" / f"{number}.png")
    source = f"folder:path={tmp_path / 'flat'}"
    with pytest.raises(UserError, match=r"its images have no labels"):
        choose(run, ImageChoice("train", data=source))


@pytest.mark.parametrize(
    ("limit", "stratified", "advice"), [(1, False, "choose more$"), (2, False, "or add --stratified$")]
)
def test_a_limit_that_leaves_a_class_empty_says_what_helps(
    run: RunFolder, limit: int, stratified: bool, advice: str
) -> None:
    splits = run.read_splits()
    sick = splits.index[(splits["split"] == "test") & (splits["label"] == 1)]
    splits.loc[sick[1:], "split"] = "train"
    splits.to_csv(run.splits, index=False)
    with pytest.raises(UserError, match=rf"--limit {limit}: the chosen images of split test .*{advice}"):
        choose(open_run(run.folder), ImageChoice(limit=limit, stratified=stratified))
