"""Few images that stand for many: shares of classes and labels are kept, rare ones are not lost."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridq.data.subsample import draw_by_class, draw_by_labels


@given(st.lists(st.integers(1, 60), min_size=2, max_size=6), st.integers(1, 100))
@settings(max_examples=80, deadline=None)
def test_classes_keep_their_shares_and_each_has_one(counts: list[int], percent: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    limit = max(1, len(labels) * percent // 100)
    drawn = draw_by_class(pd.DataFrame({"label": labels, "id": np.arange(len(labels))}), limit)
    assert len(drawn) == limit == drawn["id"].nunique()
    found = np.bincount(drawn["label"], minlength=len(counts))
    if limit >= len(counts):
        assert (found > 0).all()
    wanted = np.array(counts) * limit / len(labels)
    if (wanted >= 1).all():
        assert (np.abs(found - wanted) < 1).all()


@given(st.integers(0, 2**31 - 1), st.integers(10, 300), st.integers(1, 100))
@settings(max_examples=60, deadline=None)
def test_labels_keep_their_shares(seed: int, samples: int, percent: int) -> None:
    random = np.random.default_rng(seed)
    targets = (random.random((samples, 5)) < (0.5, 0.2, 0.1, 0.03, 0.0)).astype(int)
    limit = max(1, samples * percent // 100)
    chosen = draw_by_labels(targets, limit)
    assert len(set(chosen.tolist())) == len(chosen) == limit
    found, present = targets[chosen].sum(axis=0), targets.sum(axis=0)
    if limit >= 10:
        assert ((found > 0) == (present > 0)).all()
        assert (np.abs(found - present * limit / samples) <= 3).all()


def test_a_rare_label_is_drawn_where_chance_would_lose_it() -> None:
    targets = np.zeros((1000, 3), dtype=int)
    targets[::2, 0] = 1
    targets[[17, 400, 801], 2] = 1
    found = targets[draw_by_labels(targets, 20)].sum(axis=0)
    assert found.tolist() == [10, 0, 1]
