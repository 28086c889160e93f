"""The seven metrics: numbers computed by hand, and agreement with scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from hybridq.errors import UserError
from hybridq.statistics.bootstrap import resampled_metrics
from hybridq.statistics.metrics import METRICS, compute_metrics, confusion_matrix

ORDER = ("accuracy", "auc", "f1", "precision", "recall", "sensitivity", "specificity")

BY_HAND = [
    # labels, probability of class 1, metrics in ORDER
    ("all right", [0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], [1, 1, 1, 1, 1, 1, 1]),
    ("all wrong", [0, 0, 1, 1], [0.9, 0.8, 0.2, 0.1], [0, 0, 0, 0, 0, 0, 0]),
    # One false alarm: confusion [[1, 1], [0, 2]]; precision (1 + 2/3)/2, F1 (2/3 + 4/5)/2, pairs 3 of 4 in order.
    ("one false alarm", [0, 0, 1, 1], [0.1, 0.75, 0.7, 0.8], [0.75, 0.75, 11 / 15, 5 / 6, 0.75, 1, 0.5]),
    # Everything called positive, all scores tied: precision of class 0 counts as 0.
    ("one class only", [0, 0, 0, 1], [0.6, 0.6, 0.6, 0.6], [0.25, 0.5, 0.2, 0.125, 0.5, 1, 0]),
]


@pytest.mark.parametrize(
    ("labels", "positive", "expected"), [case[1:] for case in BY_HAND], ids=[c[0] for c in BY_HAND]
)
def test_binary_metrics_are_those_computed_by_hand(
    labels: list[int], positive: list[float], expected: list[float]
) -> None:
    probabilities = np.column_stack([1 - np.array(positive), positive])
    values = compute_metrics(labels, probabilities)
    assert tuple(values) == METRICS == ORDER
    assert list(values.values()) == pytest.approx(expected)


def test_three_classes_are_one_versus_rest_and_macro_averaged() -> None:
    labels = [0, 0, 1, 1, 2, 2]
    probabilities = np.array(
        [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1], [0.1, 0.7, 0.2], [0.1, 0.1, 0.8], [0.5, 0.1, 0.4]]
    )
    # Confusion [[1, 1, 0], [0, 2, 0], [1, 0, 1]]: recalls 1/2, 1, 1/2; specificities 3/4, 3/4, 1.
    values = compute_metrics(labels, probabilities)
    assert confusion_matrix(labels, probabilities.argmax(axis=1), 3).tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 1]]
    assert values["accuracy"] == pytest.approx(4 / 6)
    assert values["sensitivity"] == values["recall"] == pytest.approx(2 / 3)
    assert values["specificity"] == pytest.approx((0.75 + 0.75 + 1) / 3)
    assert values["precision"] == pytest.approx((1 / 2 + 2 / 3 + 1) / 3)
    assert values["f1"] == pytest.approx((1 / 2 + 4 / 5 + 2 / 3) / 3)
    # AUC: class 0 has 7 of 8 pairs in order, class 1 has 7 and a tie, class 2 all.
    assert values["auc"] == pytest.approx((7 / 8 + 7.5 / 8 + 1) / 3)


@st.composite
def evaluated(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Labels in which every class occurs, and probabilities with ties."""
    classes = draw(st.integers(2, 4))
    extra = draw(st.lists(st.integers(0, classes - 1), max_size=30))
    labels = np.array([*range(classes), *extra])
    scores = draw(
        st.lists(
            st.lists(st.integers(1, 6), min_size=classes, max_size=classes), min_size=len(labels), max_size=len(labels)
        )
    )
    probabilities = np.array(scores, dtype=float)
    return labels, probabilities / probabilities.sum(axis=1, keepdims=True)


@given(evaluated())
@settings(max_examples=60, deadline=None)
def test_metrics_agree_with_scikit_learn(sample: tuple[np.ndarray, np.ndarray]) -> None:
    labels, probabilities = sample
    predicted = probabilities.argmax(axis=1)
    values = compute_metrics(labels, probabilities)
    classes = probabilities.shape[1]
    assert values["accuracy"] == pytest.approx(sk.accuracy_score(labels, predicted))
    assert values["recall"] == pytest.approx(sk.recall_score(labels, predicted, average="macro", zero_division=0))
    assert values["precision"] == pytest.approx(sk.precision_score(labels, predicted, average="macro", zero_division=0))
    assert values["f1"] == pytest.approx(sk.f1_score(labels, predicted, average="macro", zero_division=0))
    if classes == 2:
        assert values["auc"] == pytest.approx(sk.roc_auc_score(labels, probabilities[:, 1]))
        assert values["sensitivity"] == pytest.approx(sk.recall_score(labels, predicted, pos_label=1))
        assert values["specificity"] == pytest.approx(sk.recall_score(labels, predicted, pos_label=0))
    else:
        assert values["auc"] == pytest.approx(sk.roc_auc_score(labels, probabilities, multi_class="ovr"))
        rest = [sk.recall_score(labels != c, predicted != c) for c in range(classes)]
        assert values["specificity"] == pytest.approx(np.mean(rest))


@given(evaluated(), st.integers(0, 2**31 - 1))
@settings(max_examples=60, deadline=None)
def test_metrics_of_a_resample_are_those_of_the_repeated_samples(
    sample: tuple[np.ndarray, np.ndarray], seed: int
) -> None:
    labels, probabilities = sample
    weights = np.random.default_rng(seed).integers(0, 4, size=(3, len(labels)))
    fast = resampled_metrics(labels, probabilities, weights.astype(float))
    for row, counts in zip(fast, weights, strict=True):
        repeated = np.repeat(np.arange(len(labels)), counts)
        if len(np.unique(labels[repeated])) < probabilities.shape[1]:
            assert np.isnan(row).all()
        else:
            slow = compute_metrics(labels[repeated], probabilities[repeated])
            assert row == pytest.approx(list(slow.values()))


@pytest.mark.parametrize(
    ("labels", "columns", "sentence"),
    [
        ([0, 0, 0], 2, r"the test split has no positives \(class 1\)"),
        ([1, 1, 1], 2, "the test split has no samples of class 0"),
        ([0, 2, 2], 3, "the test split has no samples of class 1"),
        ([], 2, "the test split is empty"),
    ],
)
def test_a_split_without_a_class_is_refused_by_name(labels: list[int], columns: int, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        compute_metrics(labels, np.full((len(labels), columns), 1 / columns), split="test")


@pytest.mark.parametrize(
    ("labels", "probabilities"),
    [([0, 1], [[0.5, 0.5]]), ([0, 1], [[0.5, 0.5], [float("nan"), 1]]), ([0, 3], [[0.5, 0.5]] * 2), ([0], [[1.0]])],
)
def test_what_cannot_be_evaluated_is_an_error_of_the_caller(
    labels: list[int], probabilities: list[list[float]]
) -> None:
    with pytest.raises(ValueError):
        compute_metrics(labels, probabilities)
