"""Intervals over seeds and paired tests, beside slow and obvious references, and how often they err."""

from __future__ import annotations

from itertools import product
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, ttest_1samp

from hybridq.statistics.significance import (
    Difference,
    holm,
    interval_over_seeds,
    mcnemar,
    paired_delong,
    two_level,
)


def test_the_interval_over_seeds_is_student_s() -> None:
    values = [0.91, 0.88, 0.93, 0.90]
    mean, reach = interval_over_seeds(values)
    low, high = ttest_1samp(values, 0).confidence_interval(0.95)
    assert (mean - reach, mean + reach) == pytest.approx((low, high))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 5)), min_size=4, max_size=14))
def test_paired_delong_is_what_its_definition_says(rows: list[tuple[bool, int, int]]) -> None:
    positive = np.array([row[0] for row in rows])
    scores = np.array([row[1:] for row in rows], dtype=float)
    if min(positive.sum(), (~positive).sum()) < 2:
        return
    value, p = paired_delong(positive, scores[:, 0], scores[:, 1])
    high, low = np.flatnonzero(positive), np.flatnonzero(~positive)

    def psi(i: int, j: int, column: int) -> float:
        return float(scores[i, column] > scores[j, column]) + 0.5 * float(scores[i, column] == scores[j, column])

    of_high = [np.mean([psi(i, j, 0) - psi(i, j, 1) for j in low]) for i in high]
    of_low = [np.mean([psi(i, j, 0) - psi(i, j, 1) for i in high]) for j in low]
    assert value == pytest.approx(np.mean([psi(i, j, 0) - psi(i, j, 1) for i, j in product(high, low)]), abs=1e-12)
    variance = np.var(of_high, ddof=1) / len(high) + np.var(of_low, ddof=1) / len(low)
    if variance > 1e-12:
        assert p == pytest.approx(2 * norm.sf(abs(value) / np.sqrt(variance)))


@pytest.mark.parametrize(("only", "only_other"), [(0, 0), (1, 0), (7, 2), (3, 3), (0, 9)])
def test_mcnemar_counts_as_fair_coins_do(only: int, only_other: int) -> None:
    first = np.array([True] * only + [False] * only_other + [True] * 5)
    second = np.array([False] * only + [True] * only_other + [True] * 5)
    n = only + only_other
    tail = sum(comb(n, k) for k in range(min(only, only_other) + 1)) / 2**n
    assert mcnemar(first, second) == (only, only_other, pytest.approx(min(1.0, 2 * tail)))


def test_holm_multiplies_the_smallest_p_by_the_number_of_tests() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def test_equivalence_is_the_larger_of_two_one_sided_tests() -> None:
    difference = Difference(0.01, 0.004, 9.0)
    upper, lower = Difference(0.01 - 0.02, 0.004, 9.0), Difference(0.01 + 0.02, 0.004, 9.0)
    assert difference.p_equivalence(0.02) == pytest.approx(max(upper.p, lower.p) / 2)
    assert Difference(0.03, 0.004, 9.0).p_equivalence(0.02) > 0.5


def resampled(table: np.ndarray, resamples: int, random: np.random.Generator) -> np.ndarray:
    """Means (R, S) of the rows of ``table`` (S, G) over groups that are drawn with replacement."""
    groups = table.shape[1]
    return random.multinomial(groups, np.full(groups, 1 / groups), size=resamples) @ table.T / groups


def test_the_variance_is_that_of_a_two_way_table() -> None:
    random = np.random.default_rng(1)
    seeds, groups = 6, 30
    table = random.normal(size=(seeds, 1)) + random.normal(size=groups) + random.normal(size=(seeds, groups))
    found = two_level(table.mean(axis=1), resampled(table, 20_000, random), groups, 1.0)
    by_seed, by_group, mean = table.mean(axis=1, keepdims=True), table.mean(axis=0), table.mean()
    of_seeds = groups * ((by_seed - mean) ** 2).sum() / (seeds - 1)
    of_groups = seeds * ((by_group - mean) ** 2).sum() / (groups - 1)
    rest = ((table - by_seed - by_group + mean) ** 2).sum() / ((seeds - 1) * (groups - 1))
    assert found.value == pytest.approx(mean)
    assert found.standard_error**2 == pytest.approx((of_seeds + of_groups - rest) / (seeds * groups), rel=0.05)


def every_resample(table: np.ndarray) -> np.ndarray:
    """Means (G^G, S) of the rows of ``table`` (S, G) over all ways to draw G groups with replacement."""
    return np.array([table[:, drawn].mean(axis=1) for drawn in product(range(table.shape[1]), repeat=table.shape[1])])


@pytest.mark.parametrize(
    ("of_seed", "of_group", "of_both"), [(1.0, 1.0, 1.0), (0.0, 2.0, 0.3), (2.0, 0.0, 0.3), (0.0, 0.0, 1.0)]
)
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_variance_and_degrees_of_freedom_are_those_of_the_analysis_of_variance(
    of_seed: float, of_group: float, of_both: float, seeds: int
) -> None:
    """Exactly so where every resample is drawn once; no estimate is below the spread of the groups alone."""
    groups = 4
    for draw in range(5):
        random = np.random.default_rng([draw, seeds])
        table = of_seed * random.normal(size=(seeds, 1)) + of_group * random.normal(size=groups)
        table = table + of_both * random.normal(size=(seeds, groups)) + 0.3
        found = two_level(table.mean(axis=1), every_resample(table), groups, 1.0)
        by_seed, by_group, mean = table.mean(axis=1, keepdims=True), table.mean(axis=0), table.mean()
        squares_of_seeds = groups * ((by_seed - mean) ** 2).sum() / (seeds - 1)
        squares_of_groups = seeds * ((by_group - mean) ** 2).sum() / (groups - 1)
        squares_of_rest = ((table - by_seed - by_group + mean) ** 2).sum() / ((seeds - 1) * (groups - 1))
        images = seeds * groups
        from_groups = max(squares_of_groups - squares_of_rest, 0.0) / images
        total = max(squares_of_seeds / images + from_groups, squares_of_groups / images)
        rest = total - squares_of_seeds / images
        degrees = total**2 / ((squares_of_seeds / images) ** 2 / (seeds - 1) + rest**2 / (groups - 1))
        assert found.value == pytest.approx(mean)
        assert found.standard_error == pytest.approx(np.sqrt(total))
        assert found.degrees == pytest.approx(degrees)
        assert not found.collapsed


def test_one_seed_over_every_resample_has_the_standard_error_of_a_mean() -> None:
    table = np.array([[0.1, 0.4, -0.2, 0.3]])
    found = two_level(table.mean(axis=1), every_resample(table), 4, 1.0)
    # The variance of the four is 0.07 with the divisor 3, that of their mean a quarter of it.
    assert (found.value, found.standard_error, found.degrees) == pytest.approx((0.15, np.sqrt(0.07 / 4), 3.0))
    assert found.reach == pytest.approx(3.182446 * np.sqrt(0.07 / 4), rel=1e-6)
    assert found.p == pytest.approx(ttest_1samp(table[0], 0).pvalue)


def test_seeds_that_agree_have_the_degrees_of_the_groups() -> None:
    table = np.tile([0.1, 0.4, -0.2, 0.3], (3, 1))
    found = two_level(table.mean(axis=1), every_resample(table), 4, 1.0)
    assert (found.standard_error, found.degrees) == pytest.approx((np.sqrt(0.07 / 4), 3.0))


def test_one_seed_is_tested_over_groups_alone() -> None:
    random = np.random.default_rng(2)
    table = random.normal(size=(1, 25))
    found = two_level(table.mean(axis=1), resampled(table, 20_000, random), 25, 1.0)
    assert found.standard_error == pytest.approx(table.std(ddof=1) / 5, rel=0.03)
    assert found.degrees == 24


def test_models_that_never_differ_are_known_to_the_limit_only() -> None:
    found = two_level(np.zeros(3), np.zeros((100, 3)), 20, limit=0.08)
    assert found.collapsed
    assert (found.p, found.reach) == (1.0, pytest.approx(0.08))
    assert found.p_equivalence(0.05) > 0.05


@pytest.mark.parametrize(
    ("seeds", "groups", "sizes"),
    [
        (3, 20, (1.0, 0.0, 0.0)),  # seeds differ, patients do not
        (10, 20, (0.0, 1.0, 0.0)),  # patients differ, seeds do not
        (5, 40, (0.2, 0.3, 1.0)),
        (10, 40, (0.2, 0.0, 1.0)),
    ],
)
def test_where_nothing_differs_at_most_about_one_test_in_twenty_says_so(
    seeds: int, groups: int, sizes: tuple[float, float, float]
) -> None:
    random = np.random.default_rng(3)
    of_seed, of_group, of_both = sizes
    hits, tries = 0, 800
    for _ in range(tries):
        table = of_seed * random.normal(size=(seeds, 1)) + of_group * random.normal(size=groups)
        table = table + of_both * random.normal(size=(seeds, groups))
        hits += two_level(table.mean(axis=1), resampled(table, 200, random), groups, 1.0).p < 0.05
    # Three standard errors of 800 draws around 5 % and above; cautious is allowed, blind is not.
    assert 0.015 < hits / tries < 0.075
