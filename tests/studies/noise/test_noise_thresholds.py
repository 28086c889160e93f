"""The strength at which AUC has dropped by so much."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridq.studies.noise.thresholds import BearableNoise, crossing

INF = float("inf")


@pytest.mark.parametrize(
    ("drops", "level", "expected"),
    [
        ([0, 0.01, 0.02], 0.01, 1.0),
        ([0, 0.02, 0.04], 0.01, 0.5),
        ([0, 0.0, 0.04], 0.01, 1.25),
        ([0, 0.005, 0.008], 0.01, INF),
        ([0, -0.02, 0.02], 0.01, 1.75),
        ([0, 0.03, 0.0], 0.01, 1 / 3),
    ],
)
def test_the_first_crossing_of_straight_lines(drops: list[float], level: float, expected: float) -> None:
    assert crossing([0.0, 1.0, 2.0], np.array([drops]), level)[0] == pytest.approx(expected)


@given(st.lists(st.floats(-0.05, 0.1), min_size=2, max_size=5), st.sampled_from([0.01, 0.05]))
def test_a_crossing_is_the_first_point_of_a_fine_grid_at_the_level(later: list[float], level: float) -> None:
    scales = np.arange(len(later) + 1, dtype=float)
    drops = np.array([0.0, *later])
    fine = np.linspace(0, scales[-1], 20_001)
    at = np.interp(fine, scales, drops) >= level - 1e-12
    got = crossing(scales, drops[None, :], level)[0]
    if at.any():
        assert got == pytest.approx(fine[at.argmax()], abs=1.1 * fine[1])
    else:
        assert got == INF


@pytest.mark.parametrize(
    ("strength", "low", "high", "words"),
    [
        (1.5, 1.2, 2.0, "1.50× [1.20×, 2.00×]"),
        (1.5, 1.2, INF, "1.50× [1.20×, above 4×]"),
        (INF, 3.5, INF, "not reached up to 4× (interval from 3.50×)"),
        (INF, INF, INF, "not reached up to 4×"),
    ],
)
def test_what_is_not_reached_is_said_to_be_so(strength: float, low: float, high: float, words: str) -> None:
    assert str(BearableNoise("fake_torino", "all", 0.01, strength, low, high, 4.0)) == words
