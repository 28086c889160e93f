"""Every configuration that the project ships describes a model that can be built, and every study its cells."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hybridq.config import UNCHANGED, Experiment, load_experiment
from hybridq.data.sources.registry import source_names
from hybridq.models.build import new_model
from hybridq.studies.models.config import load_study

ROOT = Path(__file__).parents[1]
EXPERIMENTS = [*sorted((ROOT / "configs").glob("*.yaml")), *sorted((ROOT / "hybridq" / "configs").glob("*.yaml"))]
NOISE = ROOT / "configs" / "studies" / "noise.yaml"
STUDIES = sorted(set((ROOT / "configs" / "studies").glob("*.yaml")) - {NOISE})
CONTROLS = {
    "alpha_zero",
    "mlp",
    "linear",
    "fourier",
    "no_entanglement",
    "frozen_circuit",
    "encoding_only",
    "quantum_only",
    "random_init",
}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _builds(experiment: Experiment) -> int:
    """The number of parameters of its model, after two images have passed through it."""
    model = new_model(experiment, 3).eval()
    side = experiment.data.size
    with torch.no_grad():
        logits = model(torch.rand(2, experiment.data.channels, side, side))
    assert logits.shape == (2, 3)
    return sum(model.part_sizes().values())


@pytest.mark.parametrize("path", EXPERIMENTS, ids=name)
def test_an_experiment_parses_names_a_source_and_builds_its_model(path: Path) -> None:
    experiment = load_experiment(path)
    assert experiment.name == path.stem
    assert experiment.data.source.partition(":")[0] in source_names()
    if experiment.data.splits is not None:
        assert (ROOT / experiment.data.splits).is_file()
    _builds(experiment)


@pytest.mark.parametrize("path", STUDIES, ids=name)
def test_a_study_parses_and_every_model_of_it_builds(path: Path, tmp_path: Path) -> None:
    study, cells = load_study(path, tmp_path)
    assert study.name == path.stem
    assert len(cells) == len(study.models) * len(study.data) * len(study.label_fractions) * len(study.seeds)
    for cell in cells[: len(study.models)]:
        _builds(cell.experiment)


@pytest.mark.parametrize("study_name", ["controls", "quick_controls"])
def test_the_studies_of_controls_hold_all_of_them_and_change_nothing_but_what_they_control(
    study_name: str, tmp_path: Path
) -> None:
    study, cells = load_study(ROOT / "configs" / "studies" / f"{study_name}.yaml", tmp_path)
    assert set(study.models) == CONTROLS | {study.reference}
    first = {cell.model: cell.experiment for cell in cells if cell.seed == study.seeds[0]}
    for experiment in first.values():
        assert experiment.data == first[study.reference].data
        assert experiment.train == first[study.reference].train
        assert experiment.train.frozen
        assert experiment.train.augmentation == UNCHANGED


def test_the_cost_efficient_hybrid_is_trained_as_published() -> None:
    experiment = load_experiment(ROOT / "configs" / "lean_hybrid_medical_mnist.yaml")
    train = experiment.train
    assert (train.batch_size, train.epochs, train.learning_rate, train.head_learning_rate) == (32, 10, 1e-3, 1e-3)
    assert (train.schedule, train.weight_decay, train.class_weights) == ("constant", 0, False)
    assert _builds(experiment) <= 45_000
