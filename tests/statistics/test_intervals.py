"""Intervals: they hold what they should, and never claim certainty from a few samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm
from sklearn.metrics import roc_auc_score

from hybridq.statistics.intervals import (
    EvaluatedMetrics,
    difference_intervals,
    metrics_with_intervals,
    newcombe,
    proportion_with_interval,
    signed,
    wilson,
)
from hybridq.statistics.metrics import METRICS


def scored(labels: np.ndarray, separation: float, seed: int = 0) -> np.ndarray:
    """Binary probabilities whose logits are a class's ``±separation / 2`` plus unit noise."""
    logits = separation * (labels - 0.5) + np.random.default_rng(seed).normal(size=len(labels))
    positive = 1 / (1 + np.exp(-logits))
    return np.column_stack([1 - positive, positive])


def perfect(samples_per_class: int) -> tuple[np.ndarray, np.ndarray]:
    labels = np.repeat([0, 1], samples_per_class)
    return labels, np.column_stack([0.9 - 0.8 * labels, 0.1 + 0.8 * labels])


def width(result: EvaluatedMetrics, metric: str) -> float:
    return result["metrics"][metric]["high"] - result["metrics"][metric]["low"]


@given(st.integers(1, 500), st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_wilson_agrees_with_scipy(n: int, share: float) -> None:
    hits = round(share * n)
    expected = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert wilson(hits / n, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_25_of_25_is_not_certainty() -> None:
    labels, probabilities = perfect(25)
    metrics = metrics_with_intervals(labels, probabilities, None, seed=0)["metrics"]
    assert metrics["sensitivity"] == {
        "value": 1.0,
        "low": pytest.approx(25 / (25 + 1.959964**2)),
        "high": 1.0,
        "method": "Wilson",
    }
    for name in METRICS:
        assert metrics[name]["value"] == metrics[name]["high"] == 1.0
        assert 0.8 < metrics[name]["low"] < 0.97, name


def test_perfect_groups_are_not_certainty_and_count_once_each() -> None:
    labels, probabilities = perfect(100)
    groups = [f"patient {i % 100 // 20}-{label}" for i, label in enumerate(labels)]
    metrics = metrics_with_intervals(labels, probabilities, groups, seed=0)["metrics"]
    assert metrics["sensitivity"]["low"] == pytest.approx(wilson(1.0, 5)[0])
    assert metrics["auc"]["low"] == pytest.approx(newcombe(1.0, 5, 5)[0])


@pytest.mark.parametrize(("auc", "positives", "negatives"), [(1.0, 25, 25), (0.9, 10, 40), (0.5, 3, 3), (0.97, 200, 9)])
def test_newcombe_limits_are_1_96_of_their_own_standard_errors_away(auc: float, positives: int, negatives: int) -> None:
    grid = np.linspace(1e-6, 1 - 1e-6, 400_001)
    spread = (positives + negatives) / 2 - 1
    shape = 1 + spread * ((1 - grid) / (2 - grid) + grid / (1 + grid))
    error = np.sqrt(grid * (1 - grid) * shape / (positives * negatives))
    inside = grid[np.abs(grid - auc) <= 1.959964 * error]
    assert newcombe(auc, positives, negatives) == pytest.approx((inside[0], inside[-1]), abs=1e-5)


def test_newcombe_intervals_of_both_directions_mirror_each_other() -> None:
    low, high = newcombe(0.93, 12, 30)
    assert newcombe(0.07, 12, 30) == pytest.approx((1 - high, 1 - low))
    assert newcombe(0.0, 12, 30)[0] == 0.0


def test_group_bootstrap_is_wider_than_the_naive_interval_on_clustered_data() -> None:
    random = np.random.default_rng(5)
    patients = np.repeat(np.arange(20), 20)
    labels = patients % 2
    logits = 2 * (labels - 0.5) + np.repeat(random.normal(0, 1.2, 20), 20) + 0.3 * random.normal(size=400)
    positive = 1 / (1 + np.exp(-logits))
    probabilities = np.column_stack([1 - positive, positive])
    clustered = metrics_with_intervals(labels, probabilities, [f"p{i}" for i in patients], seed=0)
    naive = metrics_with_intervals(labels, probabilities, None, seed=0)
    assert clustered["groups"] == 20
    assert naive["groups"] is None
    for name in METRICS:
        assert width(clustered, name) > 1.8 * width(naive, name), name


@pytest.mark.parametrize("groups", [None, [""] * 60, [f"patient {i}" for i in range(60)]])
def test_samples_that_share_no_group_are_ungrouped(groups: list[str] | None) -> None:
    labels = np.arange(60) % 2
    result = metrics_with_intervals(labels, scored(labels, 2.0), groups, seed=0)
    assert result == metrics_with_intervals(labels, scored(labels, 2.0), None, seed=0)
    assert result["metrics"]["accuracy"]["method"] == "Wilson"


@pytest.mark.parametrize("separation", [1.0, 3.0])
def test_newcombe_intervals_hold_the_truth_about_as_often_as_they_say(separation: float) -> None:
    labels, held = np.repeat([0, 1], 25), 0
    truth = norm.cdf(separation / np.sqrt(2))
    for seed in range(400):
        low, high = newcombe(float(roc_auc_score(labels, scored(labels, separation, seed)[:, 1])), 25, 25)
        held += bool(low <= truth <= high)
    assert 0.92 * 400 <= held <= 0.985 * 400


@pytest.mark.parametrize("groups", [None, [f"p{i // 5}" for i in range(60)]])
def test_every_interval_holds_its_value_and_the_seed_decides_it(groups: list[str] | None) -> None:
    labels = np.arange(60) % 3
    probabilities = np.random.default_rng(1).dirichlet([1, 1, 1], size=60)
    result = metrics_with_intervals(labels, probabilities, groups, seed=3)
    assert result == metrics_with_intervals(labels, probabilities, groups, seed=3)
    assert result["n"] == 60
    assert result["positives"] is None
    for interval in result["metrics"].values():
        assert 0 <= interval["low"] <= interval["value"] <= interval["high"] <= 1
        assert interval["high"] - interval["low"] > 0.02


def test_one_class_only_still_has_an_honest_interval() -> None:
    labels = np.arange(40) % 2
    metrics = metrics_with_intervals(labels, np.full((40, 2), 0.5), None, seed=0)["metrics"]
    assert metrics["auc"]["value"] == 0.5
    assert metrics["auc"]["low"] < 0.35
    assert metrics["recall"]["value"] == 0.5
    assert metrics["recall"]["low"] < 0.35


def test_a_paired_difference_is_sharper_than_two_separate_intervals() -> None:
    labels = np.arange(200) % 2
    good = scored(labels, 2.0)
    worse = good.copy()
    worse[::20] = worse[::20, ::-1]
    change = difference_intervals(labels, worse, good, None, seed=0)["accuracy"]
    alone = width(metrics_with_intervals(labels, good, None, seed=0), "accuracy")
    assert change["value"] < 0
    assert change["high"] < 0
    assert change["high"] - change["low"] < alone


def test_no_change_in_few_samples_does_not_prove_that_there_is_none() -> None:
    labels = np.arange(50) % 2
    probabilities = scored(labels, 2.0)
    for name, change in difference_intervals(labels, probabilities, probabilities, None, seed=0).items():
        assert change["value"] == 0
        assert change["low"] < -0.03, name
        assert change["high"] > 0.03, name


def test_flips_have_a_wilson_interval_and_a_wider_one_when_they_cluster() -> None:
    flips = np.zeros(100, dtype=bool)
    assert proportion_with_interval(flips, None, seed=0)["high"] == pytest.approx(wilson(0, 100)[1])
    flips[:10] = True
    alone = proportion_with_interval(flips, None, seed=0)
    clustered = proportion_with_interval(flips, [f"p{i // 10}" for i in range(100)], seed=0)
    assert (alone["low"], alone["high"]) == pytest.approx(wilson(0.1, 100))
    assert clustered["high"] > alone["high"]


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (0.0312, 3, "+0.031"),
        (-0.0312, 3, "−0.031"),
        (0.0, 3, "0.000"),
        (-0.0002, 3, "0.000"),
        (-0.0002, 4, "−0.0002"),
        (1.0, 3, "+1.000"),
        (-1.0, 1, "−1.0"),
    ],
)
def test_a_change_has_a_sign_and_zero_has_none(value: float, decimals: int, text: str) -> None:
    assert signed(value, decimals) == text
    assert signed(value) == signed(value, 3)
