"""What a configuration may ask of any source: other splits, and some of the classes as a binary task."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hybridq.config import Data, dump_experiment, parse_experiment
from hybridq.data.manifest import Manifest
from hybridq.data.merged import merge_classes
from hybridq.data.sources import load_manifest
from hybridq.errors import UserError

KINDS = ("cyst", "normal", "stone", "tumour")


@pytest.fixture
def images(tmp_path: Path) -> str:
    """A folder source of four classes, twelve images each."""
    for kind in KINDS:
        for number in range(12):
            path = tmp_path / "images" / kind / f"{number:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((8, 8), number, np.uint8)).save(path)
    return f"folder:path={tmp_path / 'images'}"


def load(source: str, **keys: object) -> Manifest:
    return load_manifest(source, Data(source=source, **keys), seed=0)


def test_classes_are_merged_by_name_or_index(images: str) -> None:
    manifest = load(images, classes={0: ["normal"], 1: [0, "tumour"]})
    assert manifest.classes == ("normal", "cyst/tumour")
    assert manifest.task == "binary"
    assert manifest.counts().sum().to_dict() == {"normal": 12, "cyst/tumour": 24}
    assert set(manifest.table.loc[manifest.table["label"] == 0, "id"].str.split("/").str[0]) == {"normal"}
    assert "12 images of other classes are left out." in manifest.notes


def test_the_positive_class_is_the_one_written_under_1(images: str) -> None:
    manifest = load(images, classes={1: ["cyst"], 0: ["stone"]})
    assert manifest.classes == ("stone", "cyst")
    assert not any("positive class" in note for note in manifest.notes)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({0: ["normal"], 1: ["polyp"]}, r"no class polyp; known: 0 \(cyst\), 1 \(normal\), 2 \(stone\), 3 \(tumour\)"),
        ({0: ["normal"], 1: [4]}, "no class 4; known"),
        ({0: ["normal"], 1: [1, 2]}, "names normal twice"),
        ({0: ["normal", "normal"], 1: [2]}, "names normal twice"),
    ],
)
def test_wrong_classes_are_refused_with_the_known_ones(images: str, classes: dict[int, list], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(images, classes=classes)


@pytest.mark.parametrize("text", ["{0: [a]}", "[a, b]", "{0: [], 1: [b]}", "{0: a, 1: b}", "{0: [a], 1: [0.5]}", "3"])
def test_classes_of_another_form_are_refused_by_key(text: str) -> None:
    with pytest.raises(UserError, match=r"data.classes = .*; expected"):
        parse_experiment(f"{{name: x, data: {{source: padsd, classes: {text}}}}}")


def test_a_configuration_with_classes_is_written_and_read_back() -> None:
    experiment = parse_experiment("{name: x, data: {source: padsd, classes: {0: [a, 2], 1: [b]}, splits: my.csv}}")
    assert experiment.data.classes == (("a", 2), ("b",))
    assert parse_experiment(dump_experiment(experiment)) == experiment
    assert len({experiment.data, experiment.data.model_copy()}) == 1


def test_sources_without_one_class_an_image_have_none_to_merge() -> None:
    table = pd.DataFrame([("a", "/a", -1, "", "train")], columns=["id", "path", "label", "group", "split"])
    unlabelled = Manifest("some:source", table, ())
    with pytest.raises(UserError, match="needs images of one class each; these have no labels"):
        merge_classes(unlabelled, (("x",), ("y",)))
    several = Manifest(
        "some:source", table, ("x", "y"), task="multi-label", targets=np.ones((1, 2), np.uint8), checked=False
    )
    with pytest.raises(UserError, match="these may have several labels at once"):
        merge_classes(several, (("x",), ("y",)))


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_merging_relabels_every_image_as_its_class_says(data: st.DataObject) -> None:
    labels = data.draw(st.lists(st.integers(0, 4), min_size=5, max_size=40)) + list(range(5))
    first = data.draw(st.sets(st.integers(0, 4), min_size=1, max_size=4))
    second = data.draw(st.sets(st.sampled_from(sorted({0, 1, 2, 3, 4} - first)), min_size=1))
    rows = [(str(number), f"/{number}", label, "", "train") for number, label in enumerate(labels)]
    table = pd.DataFrame(rows, columns=["id", "path", "label", "group", "split"])
    whole = Manifest("some:source", table, tuple("abcde"), checked=False)
    merged = merge_classes(whole, (tuple(first), tuple(second)))
    expected = {str(n): int(label in second) for n, label in enumerate(labels) if label in first | second}
    assert dict(zip(merged.table["id"], merged.table["label"], strict=True)) == expected


def split_csv(folder: Path, rows: list[tuple[str, ...]], columns: tuple[str, ...] = ("id", "group", "split")) -> str:
    pd.DataFrame(rows, columns=list(columns)).to_csv(folder / "splits.csv", index=False)
    return str(folder / "splits.csv")


def by_hand(parts: int = 3) -> list[tuple[str, ...]]:
    """Images in groups of two, one third each."""
    names = ("train", "val", "test")
    return [
        (f"{kind}/{number:02}.png", f"{kind}-{number // 2}", names[number % 12 // 4])
        for kind in KINDS
        for number in range(12)
    ]


def test_a_split_manifest_replaces_splits_and_groups(images: str, tmp_path: Path) -> None:
    manifest = load(images, splits=split_csv(tmp_path, by_hand()))
    assert manifest.counts().to_numpy().tolist() == [[4] * 4] * 3
    assert manifest.groups == "group"
    assert manifest.table.set_index("id").loc["cyst/05.png", ["group", "split"]].tolist() == ["cyst-2", "validation"]
    assert "The splits are those of splits.csv." in manifest.notes


def test_images_that_it_does_not_list_are_left_out_with_a_note(images: str, tmp_path: Path) -> None:
    manifest = load(images, splits=split_csv(tmp_path, by_hand()[1:]))
    assert len(manifest.table) == 47
    assert "1 images that splits.csv does not list are left out." in manifest.notes


def test_targets_stay_with_their_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRIDQ_DATA_DIR", str(tmp_path))
    (tmp_path / "medmnist").mkdir()
    rng = np.random.default_rng(0)
    made = {f"{part}_images": rng.integers(0, 256, (9, 28, 28)).astype(np.uint8) for part in ("train", "val", "test")}
    made |= {f"{part}_labels": rng.integers(0, 2, (9, 14)).astype(np.uint8) for part in ("train", "val", "test")}
    np.savez(tmp_path / "medmnist" / "chestmnist.npz", **made)
    rows = [(f"{part}/{number:06}", "", part) for part in ("test", "train") for number in (8, 2, 5)]
    manifest = load("medmnist:name=chestmnist", splits=split_csv(tmp_path, rows))
    listed = [f"{part}/00000{number}" for part in ("train", "test") for number in (2, 5, 8)]
    assert manifest.table["id"].tolist() == listed
    assert sorted(manifest.table["split"]) == ["test"] * 3 + ["train"] * 2 + ["validation"]
    assert manifest.targets is not None
    assert (manifest.targets[:3] == made["train_labels"][[2, 5, 8]]).all()
    assert (manifest.targets[3:] == made["test_labels"][[2, 5, 8]]).all()


def test_clusters_are_groups_where_no_group_is_known_and_are_not_called_patients(images: str, tmp_path: Path) -> None:
    rows = [(name, "", split, group) for name, group, split in by_hand()]
    manifest = load(images, splits=split_csv(tmp_path, rows, ("id", "group", "split", "cluster")))
    assert manifest.groups == "cluster of similar images"
    assert manifest.table["group"].nunique() == 24


def test_a_group_that_crosses_the_new_splits_is_refused(images: str, tmp_path: Path) -> None:
    rows = [(name, group, "test" if name == "cyst/00.png" else split) for name, group, split in by_hand()]
    with pytest.raises(UserError, match=r"1 group with images in more than one split \(cyst-0\)"):
        load(images, splits=split_csv(tmp_path, rows))


def test_classes_and_splits_go_together(images: str, tmp_path: Path) -> None:
    manifest = load(images, splits=split_csv(tmp_path, by_hand()), classes={0: ["normal"], 1: ["cyst", "stone"]})
    assert manifest.counts().to_numpy().tolist() == [[4, 8]] * 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,split\nnowhere.png,train\n", "1 of 1 images are not in folder:path=.*, such as nowhere.png"),
        ("id,split\ncyst/00.png,later\n", "split = 'later'; allowed: train, validation, test"),
        ("id,split\ncyst/00.png,\n", "split = ''; allowed"),
        ("id,split\ncyst/00.png,train\ncyst/00.png,test\n", "cyst/00.png is listed more than once"),
        ("id,fold\ncyst/00.png,1\n", "has no column split; a split manifest has the columns id, split"),
        ("id,split\n", "lists no images"),
        ("", "is empty"),
        ("id,split\ncyst/00.png,train\n", "split train holds no normal image"),
    ],
)
def test_a_wrong_split_manifest_is_one_sentence(images: str, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "splits.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        load(images, splits=str(tmp_path / "splits.csv"))
