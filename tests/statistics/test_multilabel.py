"""Several labels to an image: metrics by hand, against scikit-learn and against repeated samples; their intervals."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from hybridq.errors import UserError
from hybridq.statistics.bootstrap import draw
from hybridq.statistics.intervals import metrics_with_intervals as binary_metrics
from hybridq.statistics.multilabel import METRICS, OF_LABELS, compute_metrics, defined_labels, resampled_metrics
from hybridq.statistics.multilabel_intervals import difference_intervals, metrics_with_intervals

SCORES = st.integers(0, 10).map(lambda score: score / 10)


@st.composite
def evaluated(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Targets of which at least one label is defined, and probabilities with ties, many at the threshold."""
    labels, samples = draw(st.integers(1, 4)), draw(st.integers(2, 25))

    def table(cell: st.SearchStrategy) -> np.ndarray:
        row = st.lists(cell, min_size=labels, max_size=labels)
        return np.array(draw(st.lists(row, min_size=samples, max_size=samples)))

    targets = table(st.integers(0, 1))
    targets[:2, 0] = 0, 1
    return targets, table(SCORES)


def test_metrics_are_those_computed_by_hand() -> None:
    targets = [[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 0]]
    probabilities = [[0.9, 0.6, 0.1], [0.4, 0.7, 0.2], [0.5, 0.3, 0.9], [0.1, 0.2, 0.3]]
    # Decided: 110, 010, 001, 000: right in 2, 2, 2, 2 of 3. The third label has no positive image.
    # First label: one of two found, none called wrongly; 0.9, 0.5, 0.4, 0.1: 3 of 4 pairs, precision 1 and 2/3.
    # Second: one of two found, one of two called wrongly; 0.7, 0.6, 0.3, 0.2: 2 of 4 pairs, precision 1 and 2/4.
    expected = {
        "accuracy": 8 / 12,
        "exact_match": 0,
        "auc": (3 / 4 + 2 / 4) / 2,
        "average_precision": ((1 + 2 / 3) / 2 + (1 + 1 / 2) / 2) / 2,
        "f1": (2 / 3 + 1 / 2) / 2,
        "sensitivity": 1 / 2,
        "specificity": (1 + 1 / 2) / 2,
    }
    values = compute_metrics(targets, probabilities)
    assert tuple(values) == METRICS == tuple(expected)
    assert values == pytest.approx(expected)


@given(evaluated())
@settings(max_examples=60, deadline=None)
def test_metrics_agree_with_scikit_learn(sample: tuple[np.ndarray, np.ndarray]) -> None:
    targets, probabilities = sample
    values = compute_metrics(targets, probabilities)
    decided = (probabilities > 0.5).astype(int)
    assert values["accuracy"] == pytest.approx(1 - sk.hamming_loss(targets, decided))
    assert values["exact_match"] == pytest.approx(sk.accuracy_score(targets, decided))
    kept = [k for k in range(targets.shape[1]) if 0 < targets[:, k].sum() < len(targets)]
    assert kept == defined_labels(targets).tolist()
    columns = [(targets[:, k], probabilities[:, k], decided[:, k]) for k in kept]
    slow = {
        "auc": [sk.roc_auc_score(y, p) for y, p, _ in columns],
        "average_precision": [sk.average_precision_score(y, p) for y, p, _ in columns],
        "f1": [sk.f1_score(y, d, zero_division=0) for y, _, d in columns],
        "sensitivity": [sk.recall_score(y, d) for y, _, d in columns],
        "specificity": [sk.recall_score(1 - y, 1 - d) for y, _, d in columns],
    }
    assert {name: values[name] for name in slow} == pytest.approx({name: np.mean(each) for name, each in slow.items()})


@given(evaluated(), st.integers(0, 2**31 - 1))
@settings(max_examples=60, deadline=None)
def test_metrics_of_a_resample_are_those_of_the_repeated_samples(
    sample: tuple[np.ndarray, np.ndarray], seed: int
) -> None:
    targets, probabilities = sample
    weights = np.random.default_rng(seed).integers(0, 4, size=(3, len(targets)))
    weights[:, :2] += 1
    of_images, of_labels = resampled_metrics(targets, probabilities, weights.astype(float))
    for images, labels, counts in zip(of_images, of_labels, weights, strict=True):
        repeated = np.repeat(np.arange(len(targets)), counts)
        slow = compute_metrics(targets[repeated], probabilities[repeated])
        assert images == pytest.approx([slow["accuracy"], slow["exact_match"]])
        means = labels[defined_labels(targets[repeated])].mean(axis=0)
        assert means == pytest.approx([slow[name] for name in OF_LABELS])


def test_no_label_with_both_sides_is_an_error_of_the_split() -> None:
    with pytest.raises(UserError, match="the test split has no label with both positive and negative images"):
        compute_metrics([[1, 0], [1, 0]], [[0.5, 0.5]] * 2, split="test")


@pytest.mark.parametrize(
    ("targets", "probabilities"),
    [([[0, 1]], [[0.5]]), ([0, 1], [0.5, 0.5]), ([[0], [2]], [[0.5], [0.5]]), ([[0], [1]], [[0.5], [float("nan")]])],
)
def test_what_cannot_be_evaluated_is_an_error_of_the_caller(targets: list, probabilities: list) -> None:
    with pytest.raises(ValueError):
        compute_metrics(targets, probabilities)


NAMES = ("heart", "lung", "rare", "none", "all")


def chest(samples: int = 120, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Five labels: two frequent, one with two images, one without any, one that every image has."""
    random = np.random.default_rng(seed)
    targets = (random.random((samples, 5)) < (0.4, 0.2, 0, 0, 1)).astype(int)
    targets[:2, 2] = 1
    return targets, np.clip(random.normal(0.4 + 0.2 * targets, 0.2), 0, 1)


def test_labels_that_are_left_out_or_too_rare_are_named() -> None:
    targets, probabilities = chest()
    result = metrics_with_intervals(targets, probabilities, None, seed=0, names=NAMES)
    assert result["notes"] == [
        "No positive image of none: left out of the means over labels.",
        "No negative image of all: left out of the means over labels.",
        "Fewer than 10 positive images of rare (2): too few to resample, so that bootstrap intervals which rest on "
        "them are too narrow.",
    ]
    assert [label["metrics"] is None for label in result["labels"]] == [False, False, False, True, True]
    means = {name: np.mean([label["metrics"][name]["value"] for label in result["labels"][:3]]) for name in OF_LABELS}
    assert {name: result["metrics"][name]["value"] for name in OF_LABELS} == pytest.approx(means)


@pytest.mark.parametrize("grouped", [False, True])
def test_intervals_of_the_means_are_percentiles_of_resamples(grouped: bool) -> None:
    """The slow reference repeats samples; a label without positives in a resample keeps its value of all images."""
    targets, probabilities = chest(40)
    groups = [f"patient-{row // 4}" for row in range(40)] if grouped else None
    codes = np.arange(40) // 4 if grouped else None
    result = metrics_with_intervals(targets, probabilities, groups, seed=5, names=NAMES)
    drawn = []
    for weights in np.concatenate(list(draw(np.zeros(40, dtype=np.int64), codes, seed=5)))[:2000].astype(int):
        rows = np.repeat(np.arange(40), weights)
        values = []
        for k in (0, 1, 2):
            y = targets[rows, k]
            used = rows if 0 < y.sum() < len(y) else np.arange(40)
            y, p = targets[used, k], probabilities[used, k]
            positive, negative = p[y == 1][:, None], p[y == 0][None, :]
            values.append(((positive > negative) + (positive == negative) / 2).mean())
        drawn.append(np.mean(values))
    interval = result["metrics"]["auc"]
    assert [interval["low"], interval["high"]] == pytest.approx(np.percentile(drawn, [2.5, 97.5]))
    assert interval["method"] == ("bootstrap over groups" if grouped else "bootstrap")
    assert result["groups"] == (10 if grouped else None)


def test_a_label_alone_has_the_intervals_of_a_binary_task() -> None:
    targets, probabilities = chest()
    labels = metrics_with_intervals(targets, probabilities, None, seed=0, names=NAMES)["labels"]
    for k in range(3):
        p = probabilities[:, k]
        binary = binary_metrics(targets[:, k], np.column_stack([1 - p, p]), None, seed=0)["metrics"]
        for name in ("auc", "sensitivity", "specificity"):
            assert labels[k]["metrics"][name] == pytest.approx(binary[name], abs=1e-9), name


def test_perfect_separation_is_not_certainty() -> None:
    targets = np.tile([[1, 0], [0, 1], [0, 0], [1, 1]], (5, 1))
    result = metrics_with_intervals(targets, targets * 0.8 + 0.1, None, seed=0, names=("a", "b"))
    for metrics in (result["metrics"], *(label["metrics"] for label in result["labels"])):
        for name, interval in metrics.items():
            assert interval["value"] == interval["high"] == 1, name
            assert interval["low"] < 0.9, name


def test_every_interval_holds_its_value_and_nothing_warns() -> None:
    targets, probabilities = chest(12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = metrics_with_intervals(targets, probabilities, ["p"] * 6 + ["q"] * 6, seed=0, names=NAMES)
    for interval in result["metrics"].values():
        assert 0 <= interval["low"] <= interval["value"] <= interval["high"] <= 1


def test_changes_are_paired() -> None:
    targets, probabilities = chest()
    worse = np.clip(probabilities - 0.3 * targets, 0, 1)
    change = difference_intervals(targets, worse, probabilities, None, seed=0)
    assert tuple(change) == METRICS
    assert change["auc"]["high"] < 0
    apart = metrics_with_intervals(targets, worse, None, seed=0, names=NAMES)["metrics"]["auc"]
    assert change["auc"]["high"] - change["auc"]["low"] < 2 * (apart["high"] - apart["low"])
    same = difference_intervals(targets, probabilities, probabilities, None, seed=0)
    for interval in same.values():
        assert interval["value"] == 0
        assert -1 <= interval["low"] < 0 < interval["high"] <= 1
