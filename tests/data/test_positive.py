"""The positive class of two: named, kept, or chosen by what the names say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hybridq.config import Data
from hybridq.data.manifest import Manifest
from hybridq.data.positive import BY_NAME, BY_THE_OTHER, illness
from hybridq.data.sources import load_manifest
from hybridq.errors import UserError


def fill(root: Path, *names: str) -> str:
    for level, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for number in range(12):
            Image.fromarray(np.full((8, 8), 10 * level + number, np.uint8)).save(root / name / f"{number:02}.png")
    return f"folder:path={root}"


def load(source: str, of_run: tuple[str, ...] | None = None, **keys: object) -> Manifest:
    return load_manifest(source, Data(source=source, **keys), seed=0, classes=of_run)  # type: ignore[arg-type]


def of_positive(manifest: Manifest) -> set[str]:
    """The folders of the images labelled 1."""
    return set(manifest.table.loc[manifest.table["label"] == 1, "id"].str.split("/").str[0])


@pytest.mark.parametrize(
    ("negative", "positive"),
    [
        ("normal", "abnormal"),
        ("benign", "malignant"),
        ("NORMAL", "PNEUMONIA"),
        ("healthy", "COVID-19"),
        ("negative", "positive"),
        ("no", "yes"),
        ("no_tumor", "tumor"),
        ("notumor", "pituitary"),
        ("NonCancer", "Cancer"),
        ("healthy", "notHealthy"),
        ("uninfected", "Parasitized"),
        ("No Finding", "Cardiomegaly"),
        ("disease-free", "relapse"),
        ("control", "case"),
        ("nevus", "melanoma"),
        ("well", "ill"),
        ("False", "True"),
        ("benign tumour", "malignant tumour"),
        ("without fracture", "fractures"),
        ("other", "grade b"),
    ],
)
def test_of_two_names_the_one_that_speaks_of_illness_is_positive(tmp_path: Path, negative: str, positive: str) -> None:
    manifest = load(fill(tmp_path, negative, positive))
    assert manifest.classes == (negative, positive)
    assert of_positive(manifest) == {positive}
    by = BY_NAME if illness(positive) > 0 else BY_THE_OTHER
    assert f"The positive class is {positive} ({by})." in manifest.notes


@pytest.mark.parametrize(
    "names",
    [("a", "b"), ("benign", "normal"), ("covid", "pneumonia"), ("left", "right"), ("cat", "nodal"), ("t1", "t2")],
)
def test_where_the_names_do_not_say_it_nothing_is_chosen(tmp_path: Path, names: tuple[str, str]) -> None:
    manifest = load(fill(tmp_path, *names))
    assert manifest.classes == names
    assert manifest.positive_by == ""


def test_of_two_numbers_the_greater_one_is_positive(tmp_path: Path) -> None:
    manifest = load(fill(tmp_path, "10", "9"))
    assert manifest.classes == ("9", "10")
    assert manifest.positive_by == "the greater number"


@pytest.mark.parametrize(
    ("name", "score"), [("Normal", -1), ("abnormal", 1), ("nodule", 1), ("note", 0), ("benign lesion", 0), ("noise", 0)]
)
def test_a_name_says_ill_or_healthy_or_neither(name: str, score: int) -> None:
    assert illness(name) == score


def test_the_configuration_names_it(tmp_path: Path) -> None:
    source = fill(tmp_path, "abnormal", "normal")
    manifest = load(source, positive="normal")
    assert manifest.classes == ("abnormal", "normal")
    assert of_positive(manifest) == {"normal"}
    assert manifest.positive_by == "named by data.positive"
    assert load(f"{source},positive=normal").classes == ("abnormal", "normal")
    for key, message in (
        ({"positive": "odd"}, "data.positive = odd; abnormal or normal"),
        (
            {"positive": "normal", "classes": {0: ["normal"], 1: ["abnormal"]}},
            "data.positive = normal; with data.classes",
        ),
    ):
        with pytest.raises(UserError, match=message):
            load(source, **key)
    with pytest.raises(UserError, match=r"data.positive = normal; folder:.* names abnormal"):
        load(f"{source},positive=abnormal", positive="normal")


def test_more_than_two_classes_have_none(tmp_path: Path) -> None:
    source = fill(tmp_path, "benign", "malignant", "normal")
    assert load(source).classes == ("benign", "malignant", "normal")
    with pytest.raises(UserError, match=r"data\.positive = malignant; only for two classes of one image, here are 3"):
        load(source, positive="malignant")


def test_a_source_that_knows_its_positive_class_keeps_it() -> None:
    manifest = load("synthetic:patients=12,patches=2,size=16")
    assert manifest.classes == ("no narrowing", "narrowing")
    assert not any("positive class" in note for note in manifest.notes)
    turned = load("synthetic:patients=12,patches=2,size=16", positive="no narrowing")
    assert turned.classes == ("narrowing", "no narrowing")
    both = manifest.table.merge(turned.table, on="id")
    assert (both["label_x"] == 1 - both["label_y"]).all()


def test_the_classes_of_a_run_keep_their_order_and_spelling(tmp_path: Path) -> None:
    source = fill(tmp_path / "words", "abnormal", "normal")
    old = load(source, ("abnormal", "normal"))
    assert old.classes == ("abnormal", "normal")
    assert of_positive(old) == {"normal"}
    numbers = fill(tmp_path / "numbers", "0", "1")
    assert load(numbers, ("0.0", "1.0")).classes == ("0.0", "1.0")
    assert load(numbers, ("left", "right")).classes == ("0", "1")


GRADES = ("1", "2", "3", "4", "5")


def test_numbers_are_names_where_names_are_numbers(tmp_path: Path) -> None:
    source = fill(tmp_path, *GRADES)
    manifest = load(source)
    assert manifest.classes == GRADES
    merged = load_manifest(source, Data(source=source, classes={0: [1, 2], 1: [3, "4"]}), seed=0)  # type: ignore[arg-type]
    assert merged.classes == ("1/2", "3/4")
    assert of_positive(merged) == {"3", "4"}
    with pytest.raises(UserError, match="there is no class 0; known: 1, 2, 3, 4, 5"):
        load_manifest(source, Data(source=source, classes={0: [0], 1: [1]}), seed=0)  # type: ignore[arg-type]


def test_a_run_that_took_numbers_for_positions_keeps_that(tmp_path: Path) -> None:
    source = fill(tmp_path, *GRADES)
    data = Data(source=source, classes={0: [1, 2], 1: [3, 4]})  # type: ignore[arg-type]
    kept = load_manifest(source, data, seed=0, classes=("2/3", "4/5"), again=True)
    assert kept.classes == ("2/3", "4/5")
    assert of_positive(kept) == {"4", "5"}
    assert load_manifest(source, data, seed=0, classes=("1/2", "3/4"), again=True).classes == ("1/2", "3/4")


def test_positions_are_still_positions_where_names_are_words(tmp_path: Path) -> None:
    source = fill(tmp_path, "cyst", "normal", "stone")
    data = Data(source=source, classes={0: [1], 1: [0, "stone"]})  # type: ignore[arg-type]
    assert load_manifest(source, data, seed=0).classes == ("normal", "cyst/stone")
