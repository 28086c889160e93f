"""The study of a run: what is written, what it is fitted on, and that a killed one continues."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny import planned, quietly

from backends import open_backend
from hybridq.errors import UserError
from hybridq.evaluation.evaluate import evaluate
from hybridq.evaluation.inference import Inference
from hybridq.figures.mitigation import mitigation_figure
from hybridq.figures.style import as_png
from hybridq.quantum.circuits import CircuitSpec
from hybridq.results.evaluation import read_evaluation
from hybridq.results.selection import ImageChoice
from hybridq.run_folder import RunFolder, open_run
from hybridq.studies.mitigation.correct_saved import mitigate_saved
from hybridq.studies.mitigation.device import SimulatedDevice
from hybridq.studies.mitigation.methods import METHODS, methods_for
from hybridq.studies.mitigation.outcome import repeat
from hybridq.studies.mitigation.run import mitigate, plan_mitigation


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> RunFolder:
    """A copy of the trained run that a test may write into."""
    return open_run(Path(shutil.copytree(tiny_run, tmp_path / "tiny", ignore=shutil.ignore_patterns("checkpoints"))))


@pytest.fixture(scope="session")
def exact_study(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study of the tiny run on fake_manila, exact, killed after two circuits and continued; do not change it."""
    copy = tmp_path_factory.mktemp("mitigation") / "tiny"
    opened = open_run(Path(shutil.copytree(tiny_run, copy, ignore=shutil.ignore_patterns("checkpoints"))))
    plan = plan_mitigation(Inference.of(opened), "fake_manila", training_images=16)

    def killed(what: str, done: int, total: int) -> None:
        if what.startswith("circuits") and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mitigate(plan, progress=killed)
    assert not plan.finished
    kept = {path: path.stat().st_mtime_ns for path in (plan.folder / "circuits").iterdir()}
    assert len(kept) == 2
    mitigate(plan, progress=quietly)
    assert plan.finished
    assert {path: path.stat().st_mtime_ns for path in kept} == kept, "what was computed before is not computed again"
    return plan.folder


def rows(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "mitigation.csv").set_index("method")


def test_there_is_a_row_a_method_with_its_cost_errors_and_metrics(exact_study: Path) -> None:
    table = pd.read_csv(exact_study / "mitigation.csv")
    assert table["method"].tolist() == [method.name for method in METHODS]
    promised = "method circuits_multiplier extra_circuits bias_rms sd rms flips auc auc_low auc_high accuracy"
    assert set(promised.split()) <= set(table.columns)
    assert table.notna().all().all()
    assert (table.loc[0, ["auc_gain", "auc_gain_low", "auc_gain_high"]] == 0).all()
    assert (table["auc_low"] <= table["auc"]).all()
    assert (table["auc"] <= table["auc_high"]).all()


def test_without_mitigation_the_errors_are_those_of_the_evaluation(exact_study: Path) -> None:
    run = open_run(exact_study.parents[1])
    noisy, ideal = (read_evaluation(evaluate(planned(run, name), progress=quietly)) for name in ("fake_manila", "aer"))
    plain = rows(exact_study).loc["none"]
    error = noisy.values - ideal.values
    assert plain["rms"] == pytest.approx(np.sqrt((error**2).mean()), abs=1e-6)
    assert plain["bias_mean"] == pytest.approx(error.mean(), abs=1e-6)
    assert plain["flips"] == pytest.approx((noisy.predicted != ideal.predicted).mean())
    assert plain["auc"] == pytest.approx(noisy.metrics["metrics"]["auc"]["value"])
    assert plain["auc_change"] == pytest.approx(plain["auc"] - ideal.metrics["metrics"]["auc"]["value"], abs=1e-6)


def test_exact_values_do_not_scatter(exact_study: Path) -> None:
    table = rows(exact_study)
    assert (table["sd"] == 0).all()
    assert np.allclose(table["rms"], table["bias_rms"])


def test_each_step_lowers_the_error_of_a_calibrated_device(exact_study: Path) -> None:
    rms = rows(exact_study)["rms"]
    assert rms["readout"] < rms["none"]
    assert rms["readout (calibration)"] < rms["none"]
    assert rms["learned"] < rms["none"]
    assert rms["readout + ZNE linear"] < rms["readout"]


def test_the_record_says_what_ran(exact_study: Path) -> None:
    record = json.loads((exact_study / "record.json").read_text())
    assert record["simulated"]
    assert record["shots"] is None
    assert len(record["training_ids"]) == record["training_images"] == 16
    factors = record["noise_factors"]
    assert list(factors) == ["1", "3", "5"]
    assert factors["5"]["two_qubit_gates"] == 5 * factors["1"]["two_qubit_gates"]
    splits = open_run(exact_study.parents[1]).read_splits().set_index("id")
    assert set(splits.loc[record["training_ids"], "split"]) == {"train"}


def test_a_finished_study_is_not_computed_again(exact_study: Path) -> None:
    plan = plan_mitigation(Inference.of(open_run(exact_study.parents[1])), "fake_manila", training_images=16)
    written = (exact_study / "mitigation.csv").stat().st_mtime_ns
    assert mitigate(plan, progress=quietly) == exact_study
    assert (exact_study / "mitigation.csv").stat().st_mtime_ns == written


def test_the_figure_has_every_method(exact_study: Path) -> None:
    figure = mitigation_figure(pd.read_csv(exact_study / "mitigation.csv"), "fake_manila", simulated=True)
    words = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert all(any(word.startswith(f"{method.name}  (") for word in words) for method in METHODS)
    assert as_png(figure).startswith(b"\x89PNG")


def test_an_image_is_mitigated_the_same_whichever_others_are_evaluated() -> None:
    """Nothing is fitted on evaluated images."""
    random = np.random.default_rng(0)
    program = CircuitSpec(3).build()
    weights, training = random.normal(size=len(program.weights)), random.normal(size=(12, 3))
    first = random.normal(size=(4, 3))

    def mitigated(evaluated: np.ndarray) -> list[np.ndarray]:
        device = SimulatedDevice(
            open_backend("fake_manila").compile(program),
            weights,
            evaluated,
            training,
            [version for method in METHODS for version in method.versions],
            shots=None,
            kept=lambda name, compute: compute(),
            progress=quietly,
        )
        noiseless = np.zeros((len(evaluated), 3)), np.sin(training)
        outcomes = repeat(device, METHODS, noiseless, lambda q: q, repetitions=1, seed=0, progress=quietly)
        return [outcome.probabilities[0] for outcome in outcomes.values()]

    alone = mitigated(first)
    among = mitigated(np.concatenate([first, 3 + random.normal(size=(50, 3))]))
    for one, other in zip(alone, among, strict=True):
        assert np.allclose(one, other[:4], atol=1e-10)


def test_shots_scatter_and_more_of_them_scatter_less(run: RunFolder) -> None:
    plan = plan_mitigation(Inference.of(run), "fake_manila:shots=256", training_images=8)
    folder = mitigate(plan, progress=quietly)
    table = rows(folder)
    assert table.index.tolist() == [method.name for method in methods_for(256)]
    assert 0.5 / 16 < table.loc["none", "sd"] < 1.1 / 16
    assert table.loc["3 × shots", "sd"] == pytest.approx(table.loc["none", "sd"] / np.sqrt(3), rel=0.1)
    assert table.loc["3 × shots", "bias_rms"] == pytest.approx(table.loc["none", "bias_rms"], abs=0.01)
    assert table.loc["ZNE linear", "sd"] > table.loc["none", "sd"]
    assert np.allclose(table["rms"] ** 2, table["bias_rms"] ** 2 + table["sd"] ** 2, rtol=0.1)


def test_the_seed_in_the_name_draws_other_shots(run: RunFolder) -> None:
    assert plan_mitigation(Inference.of(run), "fake_manila:shots=32").seed_of_shots == run.experiment.seed
    assert plan_mitigation(Inference.of(run), "fake_manila:shots=32,seed=9").seed_of_shots == 9


@pytest.mark.parametrize(
    ("backend", "split", "said"),
    [
        ("ibm_torino", "test", "is hardware"),
        ("aer", "test", "has no noise to mitigate"),
        ("aer:shots=100", "test", "has no noise to mitigate"),
        ("fake_torino", "train", "the learned correction is fitted there"),
        ("fake_torino", "nowhere", "--split nowhere"),
    ],
)
def test_what_cannot_be_studied_is_refused_in_a_sentence(run: RunFolder, backend: str, split: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        plan_mitigation(Inference.of(run, ImageChoice(split)), backend)
    assert not (run.folder / "mitigation").exists()


def test_noise_scaled_to_nothing_is_refused(run: RunFolder) -> None:
    with pytest.raises(UserError, match="leaves no noise"):
        mitigate(plan_mitigation(Inference.of(run), "fake_manila:scale=0"), progress=quietly)
    assert not (run.folder / "mitigation").exists()


def test_saved_evaluations_get_the_learned_correction(run: RunFolder) -> None:
    backend = "fake_manila:shots=256"
    with pytest.raises(UserError, match="on test images is finished"):
        mitigate_saved(run, backend, split="test", progress=quietly)
    noisy = read_evaluation(evaluate(planned(run, backend), progress=quietly))
    ideal = read_evaluation(evaluate(planned(run, "aer"), progress=quietly))
    with pytest.raises(UserError, match="--split train --limit 32"):
        mitigate_saved(run, backend, split="test", progress=quietly)
    training = read_evaluation(evaluate(planned(run, backend, split="train", limit=16), progress=quietly))
    folder = mitigate_saved(run, backend, split="test", progress=quietly)
    table = rows(folder)
    assert table.index.tolist() == ["none", "learned"]
    error = noisy.values - ideal.values
    assert table.loc["none", "rms"] == pytest.approx(np.sqrt((error**2).mean()), abs=1e-6)
    assert table.loc["none", "sd"] == pytest.approx(np.sqrt((noisy.standard_errors**2).mean()))
    assert table.loc["none", "auc"] == pytest.approx(noisy.metrics["metrics"]["auc"]["value"])
    assert table.loc["learned", "rms"] < table.loc["none", "rms"]
    assert table.loc["learned", "extra_circuits"] == 16
    assert json.loads((folder / "record.json").read_text())["training_ids"] == list(training.ids)
    assert mitigate_saved(run, backend, split="test", progress=quietly) == folder
