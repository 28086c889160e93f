from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from hybridq.data.manifest import Manifest
from hybridq.errors import UserError

ROWS = [
    (f"{split}-{label}-{number}", f"/images/{split}-{label}-{number}.png", label, f"{split}-{number}", split)
    for split in ("train", "validation", "test")
    for label in (0, 1)
    for number in range(2)
]


def manifest(rows: list[tuple[str, str, int, str, str]], classes: tuple[str, ...] = ("well", "ill")) -> Manifest:
    table = pd.DataFrame(rows, columns=["id", "path", "label", "group", "split"])
    return Manifest("some:source", table, classes, groups="patient")


def test_counts_are_images_by_split_and_class() -> None:
    assert manifest(ROWS).counts().loc["test"].to_dict() == {"well": 2, "ill": 2}
    assert len(manifest(ROWS).part("train")) == 4


def test_rows_of_a_part_keep_their_position_in_the_table() -> None:
    complete = manifest(ROWS)
    part = complete.part("validation")
    assert complete.table.loc[part.index, "id"].tolist() == part["id"].tolist()


def test_an_unknown_split_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="train, validation, test"):
        manifest(ROWS).part("dev")


def test_patients_that_cross_splits_are_refused_and_listed() -> None:
    rows = [(name, path, label, group.split("-")[1], split) for name, path, label, group, split in ROWS]
    with pytest.raises(UserError, match=r"2 patients .*more than one split \(0, 1\)"):
        manifest(rows)


def test_unknown_groups_may_stand_in_every_split() -> None:
    assert len(manifest([(*row[:3], "", row[4]) for row in ROWS]).table) == len(ROWS)


def test_a_repeated_id_is_refused() -> None:
    with pytest.raises(UserError, match="the id train-0-0 stands for more than one image"):
        manifest([*ROWS, ROWS[0]])


def test_one_class_only_is_refused() -> None:
    with pytest.raises(UserError, match="at least two classes"):
        manifest([row for row in ROWS if row[2] == 0], classes=("well",))


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_split_without_positives_is_refused(split: str) -> None:
    with pytest.raises(UserError, match=f"split {split} holds no ill image"):
        manifest([row for row in ROWS if not (row[4] == split and row[2] == 1)])


def test_a_missing_split_is_refused() -> None:
    with pytest.raises(UserError, match="split test holds no images"):
        manifest([row for row in ROWS if row[4] != "test"])


def test_no_images_at_all_are_refused() -> None:
    with pytest.raises(UserError, match="holds no images"):
        manifest([])


def test_unlabelled_images_need_neither_classes_nor_splits() -> None:
    unlabelled = manifest([(*row[:2], -1, "", "train") for row in ROWS], classes=())
    assert not unlabelled.labelled
    assert unlabelled.counts().loc["train", "unlabelled"] == len(ROWS)


def several_labels(targets: np.ndarray, split: str = "validation") -> Manifest:
    rows = [(str(n), "/a.png", -1, "", part) for n, part in enumerate(("train", "train", split, split, "test", "test"))]
    table = pd.DataFrame(rows, columns=["id", "path", "label", "group", "split"])
    return Manifest("some:source", table, ("nodule", "effusion"), task="multi-label", targets=targets)


def test_an_image_with_several_labels_counts_for_each() -> None:
    targets = np.array([[1, 1], [0, 1], [0, 0], [0, 0], [1, 0], [0, 0]], np.uint8)
    assert several_labels(targets).counts().to_dict("index") == {
        "train": {"nodule": 1, "effusion": 2},
        "validation": {"nodule": 0, "effusion": 0},
        "test": {"nodule": 1, "effusion": 0},
    }


def test_targets_are_a_row_an_image_and_a_column_a_class() -> None:
    for wrong in (np.zeros((6, 3), np.uint8), np.zeros((5, 2), np.uint8), np.full((6, 2), 2, np.uint8)):
        with pytest.raises(ValueError, match="targets must be 0 or 1"):
            several_labels(wrong)


def test_a_missing_split_of_several_labels_is_refused() -> None:
    with pytest.raises(UserError, match="split validation holds no images"):
        several_labels(np.zeros((6, 2), np.uint8), split="train")
