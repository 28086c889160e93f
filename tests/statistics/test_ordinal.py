"""Ordered classes: quadratic weighted kappa and mean absolute error against scikit-learn, and their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from hybridq.statistics.bootstrap import draw
from hybridq.statistics.metrics import confusion_matrix
from hybridq.statistics.ordinal import compute_metrics, difference_intervals, intervals


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=40))
@settings(max_examples=80, deadline=None)
def test_kappa_and_error_agree_with_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    true, predicted = np.array([*pairs, (0, 4), (4, 0)]).T
    kappa, error = compute_metrics(confusion_matrix(true, predicted, 5))
    assert kappa == pytest.approx(sk.cohen_kappa_score(true, predicted, weights="quadratic", labels=range(5)))
    assert error == pytest.approx(sk.mean_absolute_error(true, predicted))


def graded(samples: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels 0 … 3 and probabilities that are off by a grade now and then."""
    random = np.random.default_rng(seed)
    labels = np.arange(samples) % 4
    centres = labels + random.normal(0, 0.7, samples)
    scores = np.exp(-((np.arange(4) - centres[:, None]) ** 2))
    return labels, scores / scores.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("grouped", [False, True])
def test_intervals_are_percentiles_of_resamples(grouped: bool) -> None:
    labels, probabilities = graded()
    predicted = probabilities.argmax(axis=1)
    codes = np.arange(60) // 6 if grouped else None
    found = intervals(labels, probabilities, None if codes is None else codes.astype(str), seed=2)
    slow = []
    for weights in np.concatenate(list(draw(labels, codes, seed=2))).astype(int):
        rows = np.repeat(np.arange(60), weights)
        kappa = sk.cohen_kappa_score(labels[rows], predicted[rows], weights="quadratic", labels=range(4))
        slow.append([kappa, np.abs(labels[rows] - predicted[rows]).mean()])
    low, high = np.percentile(slow, [2.5, 97.5], axis=0)
    assert [found["kappa"]["low"], found["mae"]["low"]] == pytest.approx(low.tolist())
    assert [found["kappa"]["high"], found["mae"]["high"]] == pytest.approx(high.tolist())


def test_no_error_is_not_certainty_and_more_images_say_more() -> None:
    reach = []
    for samples in (20, 200):
        labels = np.arange(samples) % 4
        found = intervals(labels, np.eye(4)[labels], None, seed=0)
        assert found["kappa"]["value"] == found["kappa"]["high"] == 1
        assert found["mae"]["value"] == found["mae"]["low"] == 0
        reach.append(found["mae"]["high"])
    assert 0 < reach[1] < reach[0] <= 3


def test_changes_are_paired_and_no_change_is_not_shown() -> None:
    labels, probabilities = graded()
    same = difference_intervals(labels, probabilities, probabilities, None, seed=0)
    for interval in same.values():
        assert interval["low"] < interval["value"] == 0 < interval["high"]
    reversed_grades = difference_intervals(labels, probabilities[:, ::-1], probabilities, None, seed=0)
    assert reversed_grades["kappa"]["high"] < 0 < reversed_grades["mae"]["low"]


def test_without_errors_every_further_one_is_taken_to_be_the_largest_possible() -> None:
    labels = np.arange(20) % 4
    right = np.eye(4)[labels]
    z = 1.959964**2
    for groups, units in ((None, 20), ([str(k // 4) for k in range(20)], 5)):
        wrong = z / (units + z)  # Wilson's limit of none
        found = intervals(labels, right, groups, seed=0)
        # Three grades each; over the disagreement by chance of four equal classes, 2 · 1.25 squared grades, for kappa.
        assert found["mae"]["high"] == pytest.approx(min(3 * wrong, 3), abs=1e-6)
        assert found["kappa"]["low"] == pytest.approx(max(1 - 9 * wrong / 2.5, -1), abs=1e-6)
        assert {interval["method"] for interval in found.values()} == {"widest for 0 errors, Wilson"}
        changes = difference_intervals(labels, right, right, groups, seed=0)
        alone = z / (20 + z)
        for name, reach in (("kappa", 9 * alone / 2.5), ("mae", 3 * alone)):
            assert (changes[name]["low"], changes[name]["high"]) == pytest.approx((-reach, reach), abs=1e-6)
