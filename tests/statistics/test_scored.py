"""Scored images: what is chosen or said anew stays together with the rest."""

from __future__ import annotations

import numpy as np

from hybridq.statistics.scored import Scored

SCORED = Scored(np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]]), ("a", "b", "a"), ("no", "yes"))


def test_chosen_images_keep_truth_probabilities_and_groups_together() -> None:
    for rows in (np.array([2, 0]), np.array([True, False, True])):
        taken = SCORED.take(rows)
        assert taken.truth.tolist() == SCORED.truth[rows].tolist()
        assert taken.probabilities.tolist() == SCORED.probabilities[rows].tolist()
        assert taken.groups == ("a", "a")
        assert taken.codes is not None
        assert taken.codes.tolist() == [0, 0]
        assert (taken.classes, taken.split, taken.seed) == (("no", "yes"), "evaluated", 0)
    assert SCORED.take(np.array([0, 1])).codes is None


def test_other_probabilities_leave_the_images_as_they_are() -> None:
    other = SCORED.saying(np.full((3, 2), 0.5))
    assert other.probabilities.tolist() == [[0.5, 0.5]] * 3
    assert (other.truth is SCORED.truth, other.groups, other.classes) == (True, SCORED.groups, SCORED.classes)


def test_without_groups_every_image_stands_alone() -> None:
    assert Scored(SCORED.truth, SCORED.probabilities).take(np.array([1])).groups is None
    assert Scored(SCORED.truth, SCORED.probabilities).codes is None
