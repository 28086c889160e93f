"""Calibration: probabilities that are meant pass, others do not, and the error by chance is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from hybridq.statistics.calibration import BINS, Calibration, calibration
from hybridq.statistics.scored import Scored


def binary(count: int, sharpen: float, seed: int = 0) -> Scored:
    """Labels drawn with probabilities p; the model says p with its log odds times ``sharpen``."""
    random = np.random.default_rng(seed)
    p = random.uniform(0.02, 0.98, count)
    labels = (random.random(count) < p).astype(np.int64)
    said = p**sharpen / (p**sharpen + (1 - p) ** sharpen)
    return Scored(labels, np.column_stack([1 - said, said]))


def slow_error(found: Calibration, total: int) -> float:
    return sum(b.images * abs(b.predicted - b.observed["value"]) for b in found.bins) / total


def test_probabilities_that_are_meant_show_no_miscalibration() -> None:
    found = [calibration(binary(400, 1.0, seed)) for seed in range(20)]
    assert sum(c.shown for c in found) <= 3  # one in twenty by chance
    assert np.mean([c.ece for c in found]) == pytest.approx(found[0].ece_by_chance, rel=0.25)


@pytest.mark.parametrize("sharpen", [0.4, 2.5])
def test_timid_and_boastful_probabilities_are_shown(sharpen: float) -> None:
    evaluation = binary(400, sharpen)
    found = calibration(evaluation)
    assert found.shown
    assert len(found.bins) == BINS
    assert sum(b.images for b in found.bins) == 400
    assert found.ece == pytest.approx(slow_error(found, 400))
    lowest, highest = found.bins[0], found.bins[-1]
    boastful = sharpen > 1
    assert (lowest.observed["value"] > lowest.predicted) == boastful
    assert (highest.observed["value"] < highest.predicted) == boastful


def test_the_brier_score_is_sklearn_s_and_that_of_the_shares_is_their_variance() -> None:
    evaluation = binary(300, 1.5)
    found = calibration(evaluation)
    assert found.brier["value"] == pytest.approx(brier_score_loss(evaluation.truth, evaluation.probabilities[:, 1]))
    assert found.brier["low"] < found.brier["value"] < found.brier["high"]
    share = evaluation.truth.mean()
    assert found.brier_of_shares == pytest.approx(share * (1 - share))


def test_of_more_classes_the_probability_of_the_decision_is_judged() -> None:
    random = np.random.default_rng(0)
    p = random.dirichlet((0.6, 0.6, 0.6), 500)
    labels = np.array([random.choice(3, p=row) for row in p])
    found = calibration(Scored(labels, p))
    assert not found.shown
    assert found.bins[0].predicted >= 1 / 3
    truth = np.eye(3)[labels]
    assert found.brier["value"] == pytest.approx(((p - truth) ** 2).sum(axis=1).mean())


def test_imitations_are_drawn_as_they_were_for_saved_reports() -> None:
    evaluation = binary(50, 1.0)
    bins = [np.argsort(evaluation.probabilities[:, 1])[5 * k : 5 * (k + 1)] for k in range(10)]
    random, errors = np.random.default_rng([4, 7]), []
    for _ in range(1000):
        off = (random.random(50) < evaluation.probabilities[:, 1]) - evaluation.probabilities[:, 1]
        errors.append(sum(abs(off[inside].sum()) for inside in bins) / 50)
    found = calibration(replace(evaluation, seed=4))
    assert found.ece_by_chance == pytest.approx(np.mean(errors))
    assert found.ece_by_chance_high == pytest.approx(np.quantile(errors, 0.95))
    assert [b.images for b in found.bins] == [5] * 10


def test_images_of_a_group_are_no_independent_evidence() -> None:
    one = binary(60, 1.0)
    repeated = Scored(np.repeat(one.truth, 10), np.repeat(one.probabilities, 10, axis=0))
    groups = tuple(str(i // 10) for i in range(600))
    grouped = Scored(repeated.truth, repeated.probabilities, groups)
    assert calibration(grouped).ece_by_chance == pytest.approx(calibration(one).ece_by_chance, rel=0.2)
    assert calibration(repeated).ece_by_chance < 0.6 * calibration(grouped).ece_by_chance


def test_a_model_that_always_says_the_same_has_one_bin() -> None:
    labels = np.arange(40) % 2
    found = calibration(Scored(labels, np.full((40, 2), 0.5)))
    assert [b.images for b in found.bins] == [40]
    assert found.ece == pytest.approx(0)


def test_several_labels_to_an_image_are_refused() -> None:
    with pytest.raises(ValueError, match="several labels"):
        calibration(Scored(np.eye(3, dtype=np.int64), np.eye(3)))
