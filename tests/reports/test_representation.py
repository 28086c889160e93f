"""Sections of the report about representations, explanations and q replaced, from saved files alone."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny import planned, quietly

from hybridq.errors import UserError
from hybridq.evaluation.evaluate import evaluate
from hybridq.figures.embeddings import MOST_POINTS, tsne_maps
from hybridq.reports.page import write_report
from hybridq.run_folder import open_run


@pytest.fixture(scope="module")
def page(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of a run that was evaluated with and without q replaced."""
    copy = tmp_path_factory.mktemp("reported") / "tiny"
    run = open_run(Path(shutil.copytree(tiny_run, copy, ignore=shutil.ignore_patterns("checkpoints"))))
    for backend, by in [("aer", None), ("aer", "mean"), ("fake_manila", None), ("fake_manila", "shuffle")]:
        evaluate(planned(run, backend, replace_q=by), progress=quietly)
    return write_report(run.folder).read_text(encoding="utf-8")


def test_the_report_shows_maps_stability_and_explanations_with_words_for_each(page: str) -> None:
    found = re.search(r"t-SNE of (\d+) images on aer, perplexity ([\d.]+), seed 3", page)
    assert found is not None
    assert float(found[2]) == pytest.approx((int(found[1]) - 1) / 3, abs=0.01)
    assert 'aria-label="t-SNE maps of h, features, q, circuit or its stand-in, h̃, fused' in page
    assert f"Stability under the augmentations of stage 1, on {found[1]} images" in page
    assert page.count('<img src="data:image/png;base64,') >= 4
    assert page.count('alt="Image patient-') == page.count('<figure><img src="data:image/png;base64,')


def test_the_report_says_whether_the_decision_uses_q_under_noise(page: str) -> None:
    assert "Is q used?" in page
    assert "fake_manila with q at its training mean: " in page
    assert "<b>fake_manila</b><small>q shuffled</small>" in page
    assert "<b>aer</b><small>q shuffled</small>" not in page


def test_the_report_says_what_training_cost(page: str) -> None:
    assert "% of a training step was spent in the quantum layer" in page
    assert "GB of memory" in page


def test_maps_are_drawn_of_a_seeded_choice_and_are_the_same_again() -> None:
    values = np.random.default_rng(0).normal(size=(MOST_POINTS + 50, 3))
    maps = tsne_maps({"h": values[:60]}, seed=1)
    again = tsne_maps({"h": values[:60]}, seed=1)
    assert maps.places["h"] is not None
    assert np.array_equal(maps.places["h"], again.places["h"])
    alike = tsne_maps({"q": np.ones((MOST_POINTS + 50, 4))}, seed=1)
    assert len(alike.chosen) == MOST_POINTS
    assert alike.places["q"] is None
    assert not np.array_equal(alike.chosen, tsne_maps({"q": np.ones((MOST_POINTS + 50, 4))}, seed=2).chosen)


def test_one_qubit_has_a_map_too() -> None:
    places = tsne_maps({"q": np.linspace(-1, 1, 20)[:, None]}, seed=0).places["q"]
    assert places is not None
    assert np.isfinite(places).all()


@pytest.mark.parametrize("name", ["features.npz", "stability.json"])
def test_a_damaged_file_is_named(tiny_run: Path, tmp_path: Path, name: str) -> None:
    copy = shutil.copytree(tiny_run, tmp_path / "tiny", ignore=shutil.ignore_patterns("checkpoints"))
    folder = evaluate(planned(open_run(copy), "aer"), progress=quietly)
    (folder / name).write_bytes(b"damaged")
    with pytest.raises(UserError, match=f"{name}: (is damaged|cannot be read)"):
        write_report(copy)
