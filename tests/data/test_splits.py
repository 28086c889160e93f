from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hybridq.config import Data
from hybridq.data.splits import draw_missing, split_groups
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


def slowly(counts: list[tuple[int, int]], shares: dict[str, float]) -> tuple[list[str], bool]:
    """The split of groups of different sizes with so many images of two classes, and whether it was reserved."""
    largest_first = sorted(range(len(counts)), key=lambda group: -sum(counts[group]))
    dealt: dict[int, str] = {}
    for kind in (0, 1):
        held = dict.fromkeys(shares, 0)
        for group in largest_first:
            if (counts[group][1] > counts[group][0]) == bool(kind):
                total = sum(held.values()) + sum(counts[group])
                dealt[group] = max(shares, key=lambda name: shares[name] * total - held[name])
                held[dealt[group]] += sum(counts[group])

    def holds(found: dict[int, str], split: str, label: int) -> int:
        return sum(counts[group][label] for group, name in found.items() if name == split)

    if all(holds(dealt, split, label) for split in shares for label in (0, 1)):
        return [dealt[group] for group in range(len(counts))], False
    totals = [sum(group[label] for group in counts) for label in (0, 1)]
    found: dict[int, str] = {}
    for label in sorted((0, 1), key=lambda label: sum(group[label] > 0 for group in counts)):
        for split in sorted(shares, key=lambda name: shares[name]):
            if not holds(found, split, label):
                found[next(g for g in reversed(largest_first) if g not in found and counts[g][label])] = split

    def off(found: dict[int, str]) -> float:
        return sum(
            (holds(found, split, label) / totals[label] - share) ** 2
            for split, share in shares.items()
            for label in (0, 1)
        )

    for group in largest_first:
        if group not in found:
            found[group] = min(shares, key=lambda name: off({**found, group: name}))
    return [found[group] for group in range(len(counts))], True


def test_groups_are_dealt_out_and_where_a_class_is_missing_first_reserved_and_then_filled_up() -> None:
    reserved = []
    for seed in range(150):
        random = np.random.default_rng(seed)
        sizes = random.permutation(np.arange(3, 15))
        ill = random.binomial(sizes, random.choice([0.0, 0.05, 0.3], len(sizes)))
        counts = [(int(size - few), int(few)) for size, few in zip(sizes, ill, strict=True)]
        if sum(few > 0 for _, few in counts) < 5:  # too few for every split, as another test says
            continue
        labels = np.concatenate([np.repeat([0, 1], group) for group in counts])
        groups = [f"patient-{number}" for number, group in enumerate(counts) for _ in range(sum(group))]
        splits = split_groups(labels, groups, FRACTIONS, classes=CLASSES[:2], seed=seed)
        found = [splits[groups.index(f"patient-{number}")] for number in range(len(counts))]
        expected, was_reserved = slowly(counts, FRACTIONS)
        assert found == expected
        reserved.append(was_reserved)
    assert 15 < sum(reserved) < len(reserved) - 15


def table(*splits: str) -> pd.DataFrame:
    images = len(splits)
    return pd.DataFrame(
        {"id": [f"i{n}" for n in range(images)], "label": np.arange(images) % 2, "group": "", "split": splits}
    )


def test_a_source_without_splits_gets_all_three_and_one_without_validation_gets_that_of_its_training_images() -> None:
    data = Data(source="synthetic", validation_fraction=0.1, test_fraction=0.3)
    drawn = draw_missing(table(*[""] * 200), CLASSES[:2], data, 0, source="mine")
    assert drawn["split"].value_counts().to_dict() == {"train": 120, "validation": 20, "test": 60}
    given = table(*["train"] * 100, *["test"] * 40)
    drawn = draw_missing(given, CLASSES[:2], data, 0, source="mine")
    assert drawn["split"].value_counts().to_dict() == {"train": 90, "validation": 10, "test": 40}
    assert (drawn["split"][100:] == "test").all()
    assert (given["split"][:100] == "train").all()


def test_splits_that_are_given_are_kept_and_half_given_ones_refused() -> None:
    data = Data(source="synthetic")
    whole = table("train", "validation", "test", "train", "validation", "test")
    assert draw_missing(whole, CLASSES[:2], data, 0, source="mine") is whole
    with pytest.raises(UserError, match="mine: i1 has no split while others have one"):
        draw_missing(table("train", "", "test"), CLASSES[:2], data, 0, source="mine")
    with pytest.raises(UserError, match="mine: the class a has too few independent images"):
        draw_missing(table(*[""] * 4), CLASSES[:2], data, 0, source="mine")
