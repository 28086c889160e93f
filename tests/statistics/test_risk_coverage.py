"""Risk by coverage: the least sure decisions are handed over first, and ties are handed over in no order."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hybridq.statistics.risk_coverage import COVERAGES, confidence_of, risk_coverage
from hybridq.statistics.scored import Scored


def images(count: int, groups: list[str] | None = None) -> Scored:
    """Images of one stratum, of which risk and coverage need no more."""
    truth = np.zeros(count, dtype=np.int64)
    return Scored(truth, np.zeros((count, 2)), None if groups is None else tuple(groups))


def test_where_only_unsure_decisions_are_wrong_handing_them_over_leaves_none() -> None:
    confidence = np.linspace(0.5, 1, 50)
    found = risk_coverage(images(50), confidence < 0.6, confidence)
    assert found.at(1.0)["value"] == pytest.approx(0.2)
    assert found.at(0.8)["value"] == 0
    assert found.at(0.9)["value"] == pytest.approx(0.1 / 0.9)
    assert 0 < found.at(0.5)["high"] < 0.2  # none among 25 says little
    assert (found.low <= found.risk).all()
    assert (found.risk <= found.high).all()


def test_without_anything_to_rank_by_the_risk_stays() -> None:
    wrong = np.arange(50) < 10  # the first ones, which an order of rows would keep
    found = risk_coverage(images(50), wrong, np.ones(50))
    assert found.risk == pytest.approx(np.full(len(COVERAGES), 0.2))


def test_ties_are_the_mean_over_all_orders() -> None:
    wrong = np.array([False, True, False, False, True])
    confidence = np.array([0.9, 0.7, 0.7, 0.7, 0.6])
    found = risk_coverage(images(5), wrong, confidence)
    orders = [[0, *middle, 4] for middle in itertools.permutations([1, 2, 3])]
    kept = 3  # coverage 0.6
    assert found.at(0.6)["value"] == pytest.approx(np.mean([wrong[order[:kept]].mean() for order in orders]))


def test_groups_widen_the_band() -> None:
    random = np.random.default_rng(0)
    hard = np.repeat(random.random(25) < 0.3, 20)
    confidence = random.random(500)
    groups = [f"patient-{i // 20}" for i in range(500)]
    alone = risk_coverage(images(500), hard, confidence)
    grouped = risk_coverage(images(500, groups), hard, confidence)
    assert grouped.risk == pytest.approx(alone.risk)
    assert (grouped.high - grouped.low)[0] > 2 * (alone.high - alone.low)[0]
    assert "groups" in grouped.method


def test_sureness_is_distance_from_the_threshold_in_log_odds() -> None:
    p = np.array([0.5, 0.2, 0.8, 0.0, 1.0])
    two = np.column_stack([1 - p, p])
    assert confidence_of(two) == pytest.approx([0.5, 0.8, 0.8, 1.0, 1.0])
    at_half = confidence_of(two, 0.5)
    assert at_half[0] == pytest.approx(0)
    assert at_half[1] == pytest.approx(at_half[2])
    low = confidence_of(two, 0.2)
    assert low[1] == pytest.approx(0)
    assert low[2] == pytest.approx(np.log(4) * 2)
    assert np.isfinite(low).all()
