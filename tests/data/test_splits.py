from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hybridq.data.splits import split_groups
from hybridq.errors import UserError

FRACTIONS = {"train": 0.65, "validation": 0.15, "test": 0.2}
CLASSES = ("a", "b", "c")

images = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["", *(f"patient-{number}" for number in range(12))])),
    min_size=1,
    max_size=80,
)


@settings(max_examples=200, deadline=None)
@given(images, st.integers(0, 2**31 - 1))
def test_no_group_crosses_splits_and_every_split_has_every_class(rows: list[tuple[int, str]], seed: int) -> None:
    labels, groups = np.array([label for label, _ in rows]), [group for _, group in rows]
    classes = CLASSES[: labels.max() + 1]
    assume(len(set(labels.tolist())) == len(classes))
    try:
        splits = split_groups(labels, groups, FRACTIONS, classes=classes, seed=seed)
    except UserError:
        # Refusing is right only where some class has too little to go round: other classes may have taken its groups.
        independent = [len({g or i for i, (k, g) in enumerate(rows) if k == label}) for label in range(len(classes))]
        assert min(independent) < len(FRACTIONS) * len(classes)
        return
    for group in set(groups) - {""}:
        assert len({split for split, name in zip(splits, groups, strict=True) if name == group}) == 1
    for label in range(len(classes)):
        assert {split for split, one in zip(splits, labels, strict=True) if one == label} == set(FRACTIONS)


def test_shares_are_those_asked_for_in_every_class() -> None:
    labels = np.repeat([0, 1], [800, 200])
    splits = np.array(split_groups(labels, [""] * 1000, FRACTIONS, classes=CLASSES[:2], seed=0))
    for label, count in ((0, 800), (1, 200)):
        for name, fraction in FRACTIONS.items():
            assert abs(((splits == name) & (labels == label)).sum() - fraction * count) <= 2


def test_shares_of_uneven_patients_come_close() -> None:
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(100), rng.integers(1, 20, 100))
    labels = rng.integers(0, 2, len(patients))
    groups = [f"patient-{number}" for number in patients]
    splits = np.array(split_groups(labels, groups, FRACTIONS, classes=CLASSES[:2], seed=0))
    for name, fraction in FRACTIONS.items():
        assert (splits == name).mean() == pytest.approx(fraction, abs=0.02)


def test_the_seed_decides() -> None:
    labels = np.arange(60) % 2
    draws = [split_groups(labels, [""] * 60, FRACTIONS, classes=CLASSES[:2], seed=seed) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


def test_a_class_with_too_few_patients_is_named() -> None:
    labels = np.array([0] * 30 + [1] * 30)
    groups = [""] * 30 + ["anna"] * 15 + ["ben"] * 15
    with pytest.raises(UserError, match=r"the class ill has too few independent images or groups \(2\)"):
        split_groups(labels, groups, FRACTIONS, classes=("well", "ill"), seed=0)
