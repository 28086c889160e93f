from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata

from hybridq.config import Data
from hybridq.data.images.cache import open_images
from hybridq.data.sources import load_manifest
from hybridq.data.sources.support.angiogram import Patient, draw_patch

SOURCE = "synthetic:patients=60,patches=8"
DATA = Data(source=SOURCE)


def area_under_curve(scores: np.ndarray, labels: np.ndarray) -> float:
    positives = labels.sum()
    ranks = rankdata(scores)[labels == 1].sum()
    return float((ranks - positives * (positives + 1) / 2) / (positives * (len(labels) - positives)))


def test_patients_stay_in_one_split_and_half_of_each_patients_patches_are_narrowed() -> None:
    manifest = load_manifest(SOURCE, DATA, seed=0)
    by_patient = manifest.table.groupby("group")
    assert len(by_patient) == 60
    assert (by_patient["split"].nunique() == 1).all()
    assert (by_patient["label"].sum() == 4).all()


def test_it_says_that_it_is_synthetic() -> None:
    manifest = load_manifest(SOURCE, DATA, seed=0)
    assert manifest.simulated
    assert manifest.groups == "synthetic patient"
    assert "synthetic" in " ".join(manifest.notes)
    assert manifest.classes == ("no narrowing", "narrowing")
    assert manifest.source.startswith("synthetic:patients=60,patches=8")


def test_images_do_not_depend_on_the_run_nor_on_how_many_there_are() -> None:
    few, many = (load_manifest(f"synthetic:patients={count},patches=4", DATA, seed=count) for count in (5, 9))
    shared = np.flatnonzero(many.table["id"].isin(few.table["id"]))
    assert (open_images(few, DATA)[:] == open_images(many, DATA)[shared]).all()


def test_another_seed_of_the_source_draws_other_images() -> None:
    first, other = (load_manifest(f"synthetic:patients=3,patches=2,seed={seed}", DATA, seed=0) for seed in (0, 1))
    assert (open_images(first, DATA)[:] != open_images(other, DATA)[:]).mean() > 0.5


def test_images_come_at_the_size_asked_for() -> None:
    manifest = load_manifest("synthetic:patients=3,patches=2,size=96", DATA, seed=0)
    assert open_images(manifest, DATA.model_copy(update={"size": 32})).shape == (6, 1, 32, 32)


def test_overall_intensity_does_not_give_the_label_away() -> None:
    manifest = load_manifest("synthetic:patients=75,patches=8", DATA, seed=0)
    images, labels = open_images(manifest, DATA)[:], manifest.table["label"].to_numpy()
    for name, measure in (("mean", np.mean), ("maximum", np.max), ("minimum", np.min)):
        assert 0.35 < area_under_curve(measure(images, axis=(1, 2, 3)), labels) < 0.65, name


@pytest.mark.parametrize("size", [32, 64, 150])
def test_the_narrowing_is_the_only_difference_and_lies_near_the_centre(size: int) -> None:
    patient = Patient.draw(np.random.default_rng(0))
    patches = []
    for narrowed in (False, True):
        many = [draw_patch(patient, narrowed=narrowed, size=size, rng=np.random.default_rng(s)) for s in range(40)]
        patches.append(np.mean(many, axis=0))
    paler = patches[1] - patches[0]
    middle = slice(size * 3 // 8, size * 5 // 8)
    edge = np.concatenate([paler[: size // 8].ravel(), paler[-size // 8 :].ravel()])
    assert paler[middle, middle].mean() > 10
    assert abs(edge.mean()) < 3
