"""From values of several circuits to one value: extrapolation, learned correction, the list of methods."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit

from backends.mitigation.readout import Readout
from hybridq.statistics.metrics import compute_metrics
from hybridq.statistics.scored import Scored
from hybridq.statistics.tasks import task_named
from hybridq.studies.mitigation.comparison import Comparison
from hybridq.studies.mitigation.extrapolation import FASTEST_DECAY, exponential, linear
from hybridq.studies.mitigation.learned import fit_correction
from hybridq.studies.mitigation.methods import METHODS, MORE_SHOTS, NONE, Method, Version, methods_for
from hybridq.studies.mitigation.outcome import Errors

FACTORS = (1, 3, 5)
Z = st.floats(-1, 1)


@settings(deadline=None, max_examples=50)
@given(st.lists(Z, min_size=3, max_size=3))
def test_the_line_is_that_of_least_squares(values: list[float]) -> None:
    assert linear(FACTORS, np.array(values)) == pytest.approx(np.polyfit(FACTORS, values, 1)[1], abs=1e-12)


@settings(deadline=None, max_examples=50)
@given(Z, st.floats(0, FASTEST_DECAY))
def test_an_exponential_decay_is_followed_back_to_its_start(start: float, rate: float) -> None:
    values = start * np.exp(-rate * np.array(FACTORS))
    assert exponential(FACTORS, values) == pytest.approx(start, abs=2e-4)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000))
def test_the_exponential_is_that_of_least_squares(seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.uniform(0.3, 1) * np.exp(-random.uniform(0.05, 0.8) * np.array(FACTORS)) + random.normal(0, 0.01, 3)

    def residual(a: float, b: float) -> float:
        return float(((a * np.exp(-b * np.array(FACTORS)) - values) ** 2).sum())

    fitted, _ = curve_fit(
        lambda x, a, b: a * np.exp(-b * x), FACTORS, values, p0=(values[0], 0.3), bounds=([-3, 0], [3, FASTEST_DECAY])
    )
    assert exponential(FACTORS, values) == pytest.approx(fitted[0], abs=2e-3) or residual(*fitted) > 1e-3


@settings(deadline=None, max_examples=50)
@given(st.lists(Z, min_size=3, max_size=3))
def test_shot_noise_is_never_blown_up_by_more_than_the_fastest_decay(values: list[float]) -> None:
    assert abs(exponential(FACTORS, np.array(values))) <= np.exp(FASTEST_DECAY) * np.linalg.norm(values) + 1e-12


def test_extrapolation_takes_arrays_of_any_shape() -> None:
    values = np.random.default_rng(0).uniform(-1, 1, (3, 4, 2))
    for extrapolate in (linear, exponential):
        found = extrapolate(FACTORS, values)
        assert found.shape == (4, 2)
        assert found[1, 0] == pytest.approx(extrapolate(FACTORS, values[:, 1, 0]))


def test_a_linear_error_is_learned_from_a_few_dozen_images() -> None:
    random = np.random.default_rng(0)
    mixing, shift = np.diag([0.8, 0.9, 0.7]) + 0.02, np.array([0.05, -0.1, 0.0])
    noiseless = random.uniform(-1, 1, (32, 3))
    others = random.uniform(-1, 1, (100, 3))
    correct = fit_correction(noiseless @ mixing + shift, noiseless)
    assert np.allclose(correct(others @ mixing + shift), others, atol=1e-3)


def test_values_without_error_are_left_as_they_are() -> None:
    random = np.random.default_rng(0)
    noiseless = random.uniform(-1, 1, (8, 4))
    others = random.uniform(-1, 1, (100, 4))
    assert np.allclose(fit_correction(noiseless, noiseless)(others), others, atol=1e-12)


def test_one_qubit_is_learned_as_well() -> None:
    noiseless = np.linspace(-1, 1, 20)[:, None]
    assert np.allclose(fit_correction(0.9 * noiseless + 0.05, noiseless)(np.array([[0.95]])), 1.0, atol=1e-3)


def test_every_method_has_a_name_of_its_own() -> None:
    assert len({method.name for method in methods_for(100)}) == len(methods_for(100))
    assert NONE.name == "none"
    everything = Method(twirling=True, readout="measured", extrapolation="exponential", learned=True)
    assert everything.name == "readout + twirling + ZNE exp. + learned"


def test_the_cost_of_a_method_counts_all_that_runs() -> None:
    assert NONE.circuits_multiplier == 1
    assert NONE.extra_circuits(32) == 0
    assert MORE_SHOTS.circuits_multiplier == Method(extrapolation="linear").circuits_multiplier == 3
    assert Method(readout="calibration").extra_circuits(32) == 0
    assert Method(readout="measured").extra_circuits(32) == 2
    assert Method(learned=True).extra_circuits(32) == 32
    everything = Method(twirling=True, readout="measured", extrapolation="exponential", learned=True)
    assert everything.extra_circuits(32) == 2 + 3 * 32
    assert everything.circuits_multiplier == 3
    assert everything.randomizations == 32


def test_more_shots_are_compared_only_where_there_are_shots() -> None:
    assert MORE_SHOTS in methods_for(100)
    assert methods_for(None) == METHODS


def test_steps_are_taken_in_order_readout_before_extrapolation() -> None:
    ideal, rate = 0.8, 0.1
    readout = Readout(np.array([0.98]), np.array([-0.9]))
    shown = {Version(factor=factor): np.array([[0.94 * ideal * np.exp(-rate * factor) + 0.04]]) for factor in FACTORS}
    method = Method(readout="measured", extrapolation="exponential")
    assert method.infer(shown, {"measured": readout}) == pytest.approx(ideal, abs=1e-4)


def test_squared_errors_are_those_of_bias_and_scatter() -> None:
    random = np.random.default_rng(0)
    noiseless = random.uniform(-1, 1, (50, 4))
    bias = random.normal(0, 0.1, (50, 4)) + 0.05
    errors = Errors(noiseless)
    for _ in range(400):
        errors.add(noiseless + bias + random.normal(0, 0.2, (50, 4)))
    assert errors.sd == pytest.approx(0.2, rel=0.01)
    assert errors.bias_rms == pytest.approx(np.sqrt((bias**2).mean()), rel=0.02)
    assert errors.bias_mean == pytest.approx(bias.mean(), abs=2e-3)
    assert errors.rms**2 == pytest.approx(errors.bias_rms**2 + errors.sd**2, rel=1e-3)


def decisions(scores: np.ndarray) -> np.ndarray:
    return np.column_stack([1 - scores, scores])


def test_intervals_of_flips_and_changes_hold_the_chance_of_shots_too() -> None:
    """A method whose decisions differ from repetition to repetition is not told from one that changes nothing."""
    random = np.random.default_rng(0)
    truth = np.arange(200) % 2
    noiseless = np.clip(0.5 + 0.2 * (truth - 0.5) + random.normal(0, 0.15, 200), 0, 1)
    repeated = [decisions(np.clip(noiseless + random.normal(0, 0.1, 200), 0, 1)) for _ in range(20)]
    same = [decisions(noiseless)] * 20
    method = Method(learned=True)
    task, without_noise = task_named("binary"), Scored(truth, decisions(noiseless))
    compared = Comparison(task, without_noise, {NONE: same, method: repeated})
    change = compared.auc_change(method)
    of_one = Comparison(task, without_noise, {NONE: same[:1], method: repeated[:1]}).auc_change(method)
    aucs = [compute_metrics(truth, p)["auc"] for p in repeated]
    ideal = compute_metrics(truth, decisions(noiseless))["auc"]
    assert change["value"] == pytest.approx(np.mean(aucs) - ideal)
    assert compared.auc_gain(method)["value"] == pytest.approx(change["value"])
    assert compared.auc_scatter(method) == pytest.approx(np.std(aucs, ddof=1))
    assert change["high"] - change["low"] > of_one["high"] - of_one["low"]
    flips = compared.flips(method)
    assert flips["value"] == pytest.approx(np.mean([(p[:, 1] > 0.5) != (noiseless > 0.5) for p in repeated]))
    assert flips["low"] < flips["value"] < flips["high"]


def test_no_flip_among_few_images_is_no_proof_that_there_is_none() -> None:
    truth = np.arange(20) % 2
    same = decisions(0.3 + 0.4 * truth)
    compared = Comparison(task_named("binary"), Scored(truth, same), {NONE: [same]})
    flips, change = compared.flips(NONE), compared.auc_change(NONE)
    assert flips["value"] == change["value"] == 0
    assert flips["high"] > 0.1
    assert change["low"] < -0.05
