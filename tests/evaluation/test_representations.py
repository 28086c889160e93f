"""What is kept of the images' representations, and how stability and explanations are made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tiny import planned, quietly

from hybridq.config import parse_experiment
from hybridq.evaluation.evaluate import evaluate
from hybridq.evaluation.explanations import MISTAKES, RIGHT, choose, grad_cam, picture
from hybridq.evaluation.representations import stability
from hybridq.models.build import load_model, new_model
from hybridq.results.evaluation import read_evaluation
from hybridq.run_folder import open_run
from hybridq.statistics.scored import Scored
from hybridq.statistics.tasks import task_named


@pytest.fixture(scope="module")
def folders(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The run's evaluations on aer and on a simulated device."""
    copy = tmp_path_factory.mktemp("represented") / "tiny"
    run = open_run(Path(shutil.copytree(tiny_run, copy, ignore=shutil.ignore_patterns("checkpoints"))))
    ideal, noisy = (evaluate(planned(run, name), progress=quietly) for name in ("aer", "fake_manila"))
    return ideal, noisy


def test_features_are_those_the_decision_was_made_from(folders: tuple[Path, Path]) -> None:
    for folder in folders:
        evaluation, model = read_evaluation(folder), load_model(open_run(folder.parent.parent))
        with np.load(folder / "features.npz") as arrays:
            h, q, fused = (torch.from_numpy(arrays[name].astype(np.float32)) for name in ("h", "q", "fused"))
        assert np.allclose(q, evaluation.values, atol=1e-6)
        with torch.no_grad():
            assert torch.allclose(model.fused(h, q), fused, atol=1e-2)
            assert np.allclose(model.decide(h, q).softmax(dim=1), evaluation.probabilities, atol=1e-2)


def test_only_the_noiseless_evaluation_is_explained(folders: tuple[Path, Path]) -> None:
    ideal, noisy = folders
    assert (ideal / "explanations").is_dir()
    assert not (noisy / "explanations").exists()
    assert not (noisy / "stability.json").exists()


def test_every_explanation_is_a_picture_with_a_description_that_agrees_with_the_predictions(
    folders: tuple[Path, Path],
) -> None:
    about = json.loads((folders[0] / "explanations" / "explanations.json").read_text())
    table = pd.read_csv(folders[0] / "predictions.csv").set_index("id")
    classes = open_run(folders[0].parent.parent).classes
    assert 0 < len(about["images"]) <= MISTAKES + RIGHT
    for entry in about["images"]:
        row = table.loc[entry["id"]]
        assert (entry["true"], entry["decided"]) == (classes[row["label"]], classes[row["predicted"]])
        assert entry["probability"] == pytest.approx(row[["p_0", "p_1"]].max())
        assert entry["id"] in entry["alt"]
        assert entry["decided"] in entry["alt"]
        with Image.open(folders[0] / "explanations" / entry["file"]) as image:
            assert image.width > 2 * image.height
    assert {path.name for path in (folders[0] / "explanations").glob("*.png")} == {e["file"] for e in about["images"]}


def test_stability_of_every_representation_is_kept(folders: tuple[Path, Path]) -> None:
    kept = json.loads((folders[0] / "stability.json").read_text())
    assert set(kept["representations"]) == {"h", "q", "fused"}
    assert kept["images"] == len(pd.read_csv(folders[0] / "predictions.csv"))


def test_stability_is_the_formula_of_its_docstring() -> None:
    first, second = torch.randn(2, 6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    cosine = [[float(a @ b / (a.norm() * b.norm())) for b in second] for a in first]
    same = np.mean([cosine[i][i] for i in range(6)])
    different = np.mean([cosine[i][j] for i in range(6) for j in range(6) if i != j])
    found = stability(first, second)
    assert found["score"] == pytest.approx((same - different) / (1 - different))
    assert stability(first, first)["score"] == pytest.approx(1)
    assert stability(first[:1].expand(4, 3), first[:1].expand(4, 3))["score"] is None


def test_the_most_confident_mistake_of_every_kind_comes_first() -> None:
    truth = np.array([0] * 20 + [1] * 5 + [2] * 5)
    probabilities = np.full((30, 3), 0.1)
    probabilities[np.arange(30), [1] * 20 + [0] * 5 + [2] * 5] = np.linspace(0.5, 0.8, 30)
    chosen = choose(Scored(truth, probabilities, classes=("a", "b", "c")), task_named("multi-class"))
    assert [(s.true, s.decided, s.row) for s in chosen[:3]] == [("b", "a", 24), ("a", "b", 19), ("b", "a", 23)]
    assert [s.right for s in chosen] == [False] * MISTAKES + [True] * RIGHT
    assert {s.decided for s in chosen if s.right} == {"c"}


def test_of_several_labels_each_is_a_decision_and_right_ones_were_found() -> None:
    truth = np.array([[1, 0], [0, 1], [0, 0]])
    probabilities = np.array([[0.9, 0.6], [0.2, 0.1], [0.3, 0.2]])
    chosen = choose(Scored(truth, probabilities, classes=("mass", "fluid")), task_named("multi-label"))
    assert [(s.row, s.true, s.decided, round(s.confidence, 3)) for s in chosen] == [
        (1, "with fluid", "without fluid", 0.9),
        (0, "without fluid", "with fluid", 0.6),
        (0, "with mass", "with mass", 0.9),
    ]


@pytest.mark.parametrize("backbone", ["mobilenet_v2", "resnet18", "simple_cnn", "compact_cnn", "five_layer_cnn"])
def test_grad_cam_is_the_gradients_mean_times_the_maps(backbone: str) -> None:
    settings = f"{{name: a, data: {{source: synthetic, size: 32}}, model: {{backbone: {backbone}}}}}"
    model = new_model(parse_experiment(settings), 3).eval()
    images = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    found = grad_cam(model, images, [2, 0])
    assert found is not None
    name, heat, side = found
    assert side >= 4
    number = int(name.removeprefix("backbone.blocks."))
    maps = (images - model.mean) / model.std
    for block in model.backbone.blocks[: number + 1]:
        maps = block(maps)
    maps = maps.detach().requires_grad_()
    h = maps.clone()
    for block in model.backbone.blocks[number + 1 :]:
        h = block(h)
    logits = model.logits(h if h.ndim == 2 else h.mean(dim=(2, 3)))
    (gradient,) = torch.autograd.grad(logits[0, 2] + logits[1, 0], maps)
    expected = (gradient.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1, keepdim=True).relu()
    assert (expected > 0).any()
    expected = torch.nn.functional.interpolate(expected.detach(), (32, 32), mode="bilinear")[:, 0]
    assert heat == pytest.approx(expected.numpy(), abs=1e-5 * float(expected.max()) + 1e-12)


def test_a_map_of_nothing_leaves_the_image_as_it_is() -> None:
    image = np.linspace(0, 1, 64, dtype=np.float32).reshape(1, 8, 8)
    pixels = np.asarray(picture(image, np.zeros((8, 8), np.float32)))
    assert np.array_equal(pixels[:, :192], pixels[:, 196:])
