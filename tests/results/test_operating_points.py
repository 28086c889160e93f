"""The operating point: chosen on validation images by a rule, and applied to others as it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridq.errors import UserError
from hybridq.results.evaluation import read_evaluation
from hybridq.results.operating_points import operating_point, validations
from hybridq.statistics.bootstrap import draw
from hybridq.statistics.operating_point import (
    YOUDEN,
    OperatingPoint,
    Rule,
    _Cuts,
    apply,
    choose,
    parse_rule,
)
from hybridq.statistics.scored import Scored

SaveEvaluation = Callable[..., Path]
RULES = (YOUDEN, parse_rule("sensitivity=0.8"), parse_rule("sensitivity=1"), parse_rule("cost=10:1"))


@pytest.mark.parametrize(
    ("text", "sensitivity", "costs"),
    [
        ("youden", None, None),
        ("sensitivity=0.95", 0.95, None),
        ("sensitivity=1", 1.0, None),
        ("cost=10:1", None, (10.0, 1.0)),
        (" cost=0.5:2 ", None, (0.5, 2.0)),
    ],
)
def test_rules_are_named_in_one_word(text: str, sensitivity: float | None, costs: tuple[float, float] | None) -> None:
    rule = parse_rule(text)
    assert (rule.sensitivity, rule.costs) == (sensitivity, costs)
    assert parse_rule(rule.text) == rule


@pytest.mark.parametrize(
    "text",
    [
        *("", "Youden", "youden=1", "0.5", "sensitivity", "sensitivity=0", "sensitivity=1.1", "sensitivity=nan"),
        *("cost=10", "cost=0:1", "cost=1:-1", "cost=1:2:3", "cost=inf:1", "cost=nan:1", "cost="),
    ],
)
def test_other_rules_are_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(
        UserError, match=r"--threshold .*allowed are youden, sensitivity=S with 0 < S ≤ 1, and cost=M:F"
    ):
        parse_rule(text)


def slowly(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray, rule: Rule) -> float:
    """The goal at the best threshold, by trying a cut below, at and between all scores, one by one."""
    tried = np.concatenate([np.unique(scores), [np.nextafter(scores.max(), 2)]])
    goals = [goal(positive, scores, weights, rule, threshold) for threshold in tried]
    return max(goals)


def goal(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray, rule: Rule, threshold: float) -> float:
    """What the rule wants to be large, at one threshold."""
    called = scores >= threshold
    sensitivity = (weights * (called & positive)).sum() / (weights * positive).sum()
    specificity = (weights * (~called & ~positive)).sum() / (weights * ~positive).sum()
    if rule.sensitivity is not None:
        return specificity if sensitivity >= rule.sensitivity - 1e-9 else -1.0
    if rule.costs is not None:
        missed, alarm = rule.costs
        return -missed * (weights * (~called & positive)).sum() - alarm * (weights * (called & ~positive)).sum()
    return sensitivity + specificity


@settings(max_examples=60, deadline=None)
@given(
    drawn=st.lists(st.tuples(st.booleans(), st.integers(0, 8), st.integers(1, 3)), min_size=2, max_size=25),
    rule=st.sampled_from(RULES),
)
def test_no_other_cut_is_better(drawn: list[tuple[bool, int, int]], rule: Rule) -> None:
    positive = np.array([True, False, *(p for p, _, _ in drawn)])
    scores = np.array([0.5, 0.5, *(s / 8 for _, s, _ in drawn)])
    weights = np.array([1.0, 1.0, *(float(w) for _, _, w in drawn)])
    threshold = float(_Cuts(positive, scores).best(rule, weights[None])[0])
    assert goal(positive, scores, weights, rule, threshold) == pytest.approx(slowly(positive, scores, weights, rule))


def test_of_equally_good_cuts_the_one_that_misses_fewest_is_taken() -> None:
    # Cuts above 0.8 and above 0.2 find 1 of 2 for no alarm, and 2 of 2 for 1 of 2 alarms.
    positive, scores = np.array([True, False, True, False]), np.array([0.8, 0.6, 0.4, 0.2])
    assert _Cuts(positive, scores).best(YOUDEN, np.ones((1, 4)))[0] == pytest.approx(0.3)


def test_the_cut_lies_between_two_classes_that_are_apart() -> None:
    positive, scores = np.array([True, True, False, False]), np.array([0.99, 0.9, 0.2, 0.1])
    assert _Cuts(positive, scores).best(YOUDEN, np.ones((1, 4)))[0] == pytest.approx(0.55)


@pytest.mark.parametrize("highest", [0.7, 1.0])
def test_where_alarms_cost_all_nothing_is_called_positive(highest: float) -> None:
    positive, scores = np.array([True, False, False]), np.array([highest, highest, 0.1])
    threshold = _Cuts(positive, scores).best(parse_rule("cost=1:1000"), np.ones((1, 3)))[0]
    assert threshold > highest


def test_the_threshold_comes_from_validation_images_with_an_interval(save_evaluation: SaveEvaluation) -> None:
    saved = read_evaluation(save_evaluation("aer", "noiseless", split="validation"))
    chosen = choose(saved.scored(0), YOUDEN, saved.backend)
    assert chosen.low <= chosen.value <= chosen.high
    assert chosen.low < chosen.high
    assert (chosen.images, chosen.positives, chosen.backend) == (40, 20, "aer")
    scores, positive = saved.probabilities[:, 1], saved.labels == 1
    assert chosen.rates["sensitivity"] == pytest.approx((scores >= chosen.value)[positive].mean())
    assert chosen.rates["specificity"] == pytest.approx((scores < chosen.value)[~positive].mean())
    slow = [
        _Cuts(np.repeat(positive, w.astype(int)), np.repeat(scores, w.astype(int))).best(
            YOUDEN, np.ones((1, int(w.sum())))
        )[0]
        for w in np.concatenate(list(draw(saved.labels, None, 0)))[:50]
    ]
    assert chosen.low <= np.median(slow) <= chosen.high


def scored_at(*positive: float) -> Scored:
    """Images of the classes 1, 1, 0, 0 with these probabilities of class 1."""
    scores = np.array(positive)
    return Scored(np.array([1, 1, 0, 0]), np.column_stack([1 - scores, scores]), None, ("well", "ill"))


def test_a_probability_at_the_threshold_is_called_positive() -> None:
    threshold = replace(choose(scored_at(0.9, 0.8, 0.2, 0.1), YOUDEN, "aer"), value=0.5)
    before, now = scored_at(0.5, 0.6, 0.5, 0.4), scored_at(0.4, 0.5, 0.5, 0.5)
    point = apply(now, threshold, (before, now), backend="fake_torino", kind="simulated device")
    assert point.called == 3
    assert [point.rates[name]["value"] for name in ("sensitivity", "specificity")] == [0.5, 0.0]
    assert point.changes is not None
    assert [point.changes[name]["value"] for name in ("sensitivity", "specificity")] == [-0.5, -0.5]
    positive, negative = point.predictive["positive"], point.predictive["negative"]
    assert positive is not None
    assert negative is not None
    assert (positive["value"], negative["value"]) == (pytest.approx(1 / 3), 0.0)


def test_a_probability_of_nothing_is_found_where_all_positives_are_asked_for() -> None:
    # Only the threshold 0 finds a positive whose probability is 0, and it calls all images positive.
    chosen = choose(scored_at(0.0, 0.8, 0.3, 0.0), parse_rule("sensitivity=1"), "aer")
    assert (chosen.value, chosen.rates) == (0.0, {"sensitivity": 1.0, "specificity": 0.0})


def test_rates_are_those_of_the_images_called_positive(save_evaluation: SaveEvaluation) -> None:
    validation = read_evaluation(save_evaluation("aer", "noiseless", split="validation"))
    shifted = read_evaluation(save_evaluation("fake_torino", "simulated device", shift=0.2))
    threshold = choose(validation.scored(0), parse_rule("sensitivity=0.9"), "aer")
    point = apply(shifted.scored(0), threshold, None, backend=shifted.backend, kind=shifted.kind)
    called, positive = shifted.probabilities[:, 1] >= threshold.value, shifted.labels == 1
    assert point.called == called.sum()
    assert point.rates["sensitivity"]["value"] == pytest.approx(called[positive].mean())
    assert point.rates["specificity"]["value"] == pytest.approx((~called)[~positive].mean())
    assert point.predictive["positive"] is not None
    assert point.predictive["positive"]["value"] == pytest.approx(positive[called].mean())
    assert point.predictive["negative"] is not None
    assert point.predictive["negative"]["value"] == pytest.approx((~positive)[~called].mean())


@pytest.fixture
def found(save_evaluation: SaveEvaluation) -> OperatingPoint:
    """A device that raises every probability, on which validation images were evaluated too."""
    order = np.random.default_rng(0).permutation(40)
    test = [
        save_evaluation("aer", "noiseless"),
        save_evaluation("fake_torino", "simulated device", shift=0.3, order=order),
        save_evaluation("fake_oslo", "simulated device", shift=0.1),
    ]
    evaluations = [read_evaluation(folder) for folder in test]
    validation = [
        read_evaluation(save_evaluation(f"{name}:validation", kind, shift=shift, **{"split": "validation"}))
        for name, kind, shift in (("aer", "noiseless", 0.0), ("fake_torino", "simulated device", 0.3))
    ]
    for saved in validation:
        saved.record["backend"] = saved.backend.removesuffix(":validation")
    point = operating_point(evaluations, validations([*evaluations, *validation]), YOUDEN, seed=0)
    assert point is not None
    return point


def test_every_backend_has_the_noiseless_threshold_and_those_with_validation_images_their_own(
    found: OperatingPoint,
) -> None:
    common = found.points[:3]
    assert [p.backend for p in common] == ["aer", "fake_torino", "fake_oslo"]
    assert {p.threshold.value for p in common} == {found.threshold.value}
    assert {p.threshold.backend for p in common} == {"aer"}
    (own,) = found.own
    assert (own.backend, own.threshold.backend) == ("fake_torino", "fake_torino")
    assert own.threshold.value > found.threshold.value
    # The shift raises all alike: at its own threshold the device does what the simulator did.
    assert own.rates["sensitivity"]["value"] == found.points[0].rates["sensitivity"]["value"]


def test_changes_are_paired_at_the_same_threshold_whatever_the_order_of_the_rows(found: OperatingPoint) -> None:
    ideal, device, _ = found.points[:3]
    assert ideal.changes is None
    assert device.changes is not None
    for name in ("sensitivity", "specificity"):
        difference = device.rates[name]["value"] - ideal.rates[name]["value"]
        assert device.changes[name]["value"] == pytest.approx(difference)
    assert device.changes["specificity"]["value"] < 0


def test_what_is_saved_is_json(found: OperatingPoint) -> None:
    content = json.loads(json.dumps(found.as_dict()))
    assert content["rule"] == "youden"
    assert content["points"][1]["rates"]["sensitivity"]["value"] == found.points[1].rates["sensitivity"]["value"]


def test_without_noiseless_validation_images_there_is_none(save_evaluation: SaveEvaluation) -> None:
    test = read_evaluation(save_evaluation("fake_torino", "simulated device"))
    validation = read_evaluation(save_evaluation("fake_torino:v", "simulated device", split="validation"))
    assert operating_point([test], validations([test]), YOUDEN, seed=0) is None
    assert operating_point([test], validations([test, validation]), YOUDEN, seed=0) is None
