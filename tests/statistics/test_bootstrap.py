"""Resamples: whole groups, or images within classes, as many as there are; the same ones for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from hybridq.statistics.bootstrap import draw, group_codes


def test_images_are_drawn_within_their_class() -> None:
    labels = np.array([0, 0, 0, 1, 1, 0, 2])
    (weights,) = draw(labels, None, seed=0)
    assert weights.shape == (2000, 7)
    for label, count in ((0, 4), (1, 2), (2, 1)):
        assert (weights[:, labels == label].sum(axis=1) == count).all()
    # Each of four is drawn once on average, with the variance of four draws of one in four.
    assert weights[:, 0].mean() == pytest.approx(1, abs=0.06)
    assert weights[:, 0].var() == pytest.approx(4 * 0.25 * 0.75, abs=0.08)


def test_groups_are_drawn_whole_as_many_as_there_are() -> None:
    codes = np.array([0, 1, 1, 2, 2, 2])
    (weights,) = draw(np.array([0, 1, 0, 1, 0, 1]), codes, seed=0, resamples=500)
    assert weights.shape == (500, 6)
    assert (weights[:, 1] == weights[:, 2]).all()
    assert (weights[:, 3] == weights[:, 4]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()


def test_resamples_of_many_images_come_in_pieces_of_a_million_numbers() -> None:
    """The pieces decide which numbers are drawn for which class, and so the intervals that were saved."""
    labels = np.arange(3402) % 2
    assert [piece.shape for piece in draw(labels, None, seed=0)] == [(293, 3402)] * 6 + [(242, 3402)]
    assert [len(piece) for piece in draw(np.zeros(1_000_001, np.int64), None, seed=0, resamples=2)] == [1, 1]


def test_the_seed_decides_and_gives_what_it_gave_before() -> None:
    first, again, other = (next(draw(np.array([0, 0, 1, 1]), None, seed, 3)).tolist() for seed in (0, 0, 1))
    assert first == again != other
    random = np.random.default_rng(0)
    drawn = [random.integers(2, size=(3, 2)) for _ in range(2)]
    assert first == np.hstack([[[(row == k).sum() for k in (0, 1)] for row in of_class] for of_class in drawn]).tolist()


def test_an_image_without_a_group_stands_alone() -> None:
    codes = group_codes(["a", "", "a", ""], 4)
    assert codes is not None
    assert codes[0] == codes[2]
    assert len(set(codes.tolist())) == 3
    assert group_codes(["a", "", "b"], 3) is None
    assert group_codes(None, 3) is None
    with pytest.raises(ValueError, match="2 groups for 3 samples"):
        group_codes(["a", "b"], 3)
