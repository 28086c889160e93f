"""What a noise study computes of a trained run."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny import planned, quietly

from backends import open_backend
from hybridq.errors import UserError
from hybridq.evaluation.evaluate import evaluate
from hybridq.results.evaluation import read_evaluation
from hybridq.run_folder import RunFolder, open_run
from hybridq.statistics.operating_point import YOUDEN, choose
from hybridq.studies.noise.cells import Cell, cells_of
from hybridq.studies.noise.config import NoiseStudy, load_noise_study
from hybridq.studies.noise.run import study_run
from hybridq.studies.noise.tables import model_names, straight_line

SHIPPED = Path(__file__).parents[3] / "configs" / "studies" / "noise.yaml"


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> RunFolder:
    """A copy that a test may write into."""
    ignored = shutil.ignore_patterns("checkpoints", "evaluations")
    return open_run(Path(shutil.copytree(tiny_run, tmp_path / "tiny", ignore=ignored)))


def test_the_shipped_study_is_the_default() -> None:
    assert load_noise_study(SHIPPED) == NoiseStudy()
    cells = cells_of(NoiseStudy())
    assert cells[0] == Cell()
    assert len(set(cells)) == len(cells) == len({(cell.backend, cell.draw) for cell in cells})


def test_a_cell_is_what_evaluate_gives_on_its_backend(run: RunFolder) -> None:
    study = NoiseStudy(others=(), sources=("readout",), scales=(3,), shots=(), layouts=("worst",), seeds_transpiler=())
    cells = {saved.cell.backend: saved for saved in study_run(run, study, progress=quietly).cells}
    assert set(cells) == {
        "aer",
        "fake_torino",
        "fake_torino:scale=3,source=readout",
        "fake_torino:layout=worst",
    }
    for name, saved in cells.items():
        evaluation = read_evaluation(evaluate(planned(run, name), progress=quietly))
        np.testing.assert_allclose(saved.values, evaluation.values, atol=1e-6)
        for metric, interval in evaluation.metrics["metrics"].items():
            found = [saved.row[metric], saved.row[f"{metric}_low"], saved.row[f"{metric}_high"]]
            np.testing.assert_allclose(found, [interval["value"], interval["low"], interval["high"]], atol=1e-6)
    noisy, noiseless = cells["fake_torino:layout=worst"], cells["aer"]
    assert noisy.row["auc_change"] == pytest.approx(noisy.row["auc"] - noiseless.row["auc"])
    change = noisy.log_odds - noiseless.log_odds
    assert noisy.row["logit_shift"] == pytest.approx(np.sqrt(np.mean(change**2)), rel=1e-4)
    assert noisy.row["flip_rate"] == pytest.approx(np.mean((noisy.log_odds > 0) != (noiseless.log_odds > 0)))


def test_the_threshold_is_that_of_the_noiseless_validation_images(run: RunFolder) -> None:
    study = NoiseStudy(others=(), sources=("all",), scales=(1,), shots=(), layouts=(), seeds_transpiler=())
    noiseless, noisy = study_run(run, study, progress=quietly).cells
    validation = read_evaluation(evaluate(planned(run, "aer", split="validation"), progress=quietly))
    threshold = choose(validation.scored(run.experiment.seed), YOUDEN, "aer").value
    assert noisy.row["validation_threshold"] == pytest.approx(threshold, abs=1e-6)
    assert noiseless.row["validation_threshold"] == noisy.row["validation_threshold"]
    called = noisy.log_odds[:, 0] >= np.log(threshold / (1 - threshold))
    splits = run.read_splits()
    positive = splits[splits["split"] == "test"]["label"].to_numpy() == 1
    assert noisy.row["sensitivity_at_validation_threshold"] == pytest.approx(called[positive].mean())
    assert noisy.row["specificity_at_validation_threshold"] == pytest.approx((~called[~positive]).mean())


def test_a_strength_that_the_noise_does_not_have_is_left_out_and_said_so(run: RunFolder) -> None:
    study = NoiseStudy(
        devices=("noise:readout=0.3",), others=(), sources=("all",), scales=(1, 2, 4), shots=(), layouts=("worst",)
    )
    studied = study_run(run, study, progress=quietly)
    assert [saved.cell.scale for saved in studied.cells] == [0, 1, 2]
    ((name, why),) = studied.left_out.items()
    assert name == "noise:readout=0.3,scale=4"
    assert "more than a probability; at most 3.33" in why
    row = studied.cells[2].row
    assert row["z_error_rms"] > studied.cells[1].row["z_error_rms"] > 0
    assert open_backend("noise:readout=0.3,scale=2").name == studied.cells[2].cell.backend


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "devices: [fake_torno]",
            "devices = ['fake_torno']; there is no backend 'fake_torno' (did you mean fake_torino?)",
        ),
        ("devices: [aer]", "aer is no noise that stays the same; allowed are fake_<device> and noise:RATE=…"),
        ("others: ['fake_torino:scale=2']", "leave out what the study varies (shots, seed, scale, source, layout)"),
        ("scales: [0]", "scales"),
        ("sources: [all, all]", "all, all: one is listed twice"),
        ("sources: [cosmic]", "sources"),
        ("shot: [5]", "shot"),
        ("[1, 2]", "holds no settings"),
        ("devices: [", "not valid YAML"),
        ("shots: [64]\ndraws: 2\nshots: [128]", "shots is given twice, in lines 1 and 3"),
        ("draws: true", "draws = True; true and false are no numbers"),
        ("scales: [.inf]", "scales.0 = inf"),
    ],
)
def test_a_mistake_in_the_file_is_one_sentence_with_its_key(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "noise.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        load_noise_study(file)
    assert str(file) in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_runs_of_one_model_have_one_name_whatever_their_seed(run: RunFolder, tmp_path: Path) -> None:
    other = Path(shutil.copytree(run.folder, tmp_path / "other"))
    text = (other / "config.yaml").read_text()
    (other / "config.yaml").write_text(text.replace("seed: 3", "seed: 4").replace("name: tiny", "name: other"))
    assert model_names([run, RunFolder(other)]) == ["ssl_quantum", "ssl_quantum"]
    (other / "config.yaml").write_text(text.replace("backend: aer", "backend: fake_torino"))
    assert model_names([run, RunFolder(other)]) == ["ssl_quantum (backend=aer)", "ssl_quantum (backend=fake_torino)"]


def test_the_line_through_noisy_values_is_that_of_least_squares() -> None:
    random = np.random.default_rng(0)
    ideal = random.uniform(-1, 1, 50)
    noisy = 0.8 * ideal + 0.1 + 0.05 * random.normal(size=50)
    np.testing.assert_allclose(straight_line(ideal, noisy), np.polyfit(ideal, noisy, 1))
    assert straight_line(np.full(5, 0.3), np.full(5, 0.2)) == (None, None)
