"""Grades and several labels in a user's own table or folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hybridq.config import Data
from hybridq.data.manifest import Manifest
from hybridq.data.sources import load_manifest
from hybridq.errors import UserError

GRADES = ("mild", "none", "severe")
FINDINGS = [("edema",), ("edema", "effusion"), (), ("nodule", "effusion")]
"""Of every fourth image, in turn."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(48):
        Image.fromarray(np.full((8, 8), number, np.uint8)).save(tmp_path / f"{number:02}.png")
    return tmp_path


def write(folder: Path, header: str, cells: list[str]) -> str:
    lines = [header, *(f"{number:02}.png,{cell}" for number, cell in enumerate(cells)), ""]
    (folder / "m.csv").write_text("\n".join(lines))
    return f"manifest:path={folder / 'm.csv'}"


def load(source: str, **keys: object) -> Manifest:
    return load_manifest(source, Data(source=source, **keys), seed=0)  # type: ignore[arg-type]


def graded(folder: Path) -> str:
    return write(folder, "path,label", [GRADES[number % 3] for number in range(48)])


def test_grades_are_in_the_order_that_is_stated(folder: Path) -> None:
    manifest = load(f"{graded(folder)},task=ordinal,order=none|mild|severe")
    assert manifest.task == "ordinal"
    assert manifest.classes == ("none", "mild", "severe")
    assert manifest.table["label"].tolist() == [(1, 0, 2)[number % 3] for number in range(48)]
    assert "The grades are, from the lowest to the highest, none, mild, severe." in manifest.notes
    assert manifest.source.endswith("m.csv,task=ordinal,order=none|mild|severe")


def test_grades_that_are_numbers_are_in_their_own_order(folder: Path) -> None:
    source = write(folder, "path,label", [("10", "2.0", "-1", "2")[number % 4] for number in range(48)])
    manifest = load(f"{source},task=ordinal")
    assert manifest.classes == ("-1", "2", "10")
    assert manifest.table["label"].tolist()[:4] == [2, 1, 0, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("task=ordinal", r"needs the order of mild, none, severe, .* such as order=mild\|none\|severe"),
        ("task=ordinal,order=none|mild", r"order = none\|mild; the classes are mild, none, severe, each once"),
        ("task=ordinal,order=none|mild|severe|worst", "the classes are mild, none, severe, each once"),
        ("order=none|mild|severe", r"severe: order= is for task=ordinal$"),
        ("task=ordinal,order=none|mild|severe,positive=mild", "positive= is for two classes, not for task=ordinal"),
        ("separator=;", "separator= is for task=multi-label"),
        ("task=grades", "task = grades; input should be 'ordinal' or 'multi-label'"),
    ],
)
def test_a_task_that_is_not_stated_whole_is_refused(folder: Path, options: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(f"{graded(folder)},{options}")


def test_several_columns_without_a_task_are_refused(folder: Path) -> None:
    with pytest.raises(UserError, match="label = edema, nodule; several columns are for task=multi-label"):
        load(f"{columns(folder)},label=edema|nodule")


def test_two_classes_are_no_grades(folder: Path) -> None:
    source = write(folder, "path,label", [str(number % 2) for number in range(48)])
    with pytest.raises(UserError, match="task=ordinal is for three grades or more, here are 0, 1"):
        load(f"{source},task=ordinal")


def expected() -> list[list[int]]:
    names = ("edema", "effusion", "nodule")
    return [[int(name in FINDINGS[number % 4]) for name in names] for number in range(48)]


def several(folder: Path, separator: str, none: str) -> str:
    cells = [separator.join(FINDINGS[number % 4]) or none for number in range(48)]
    return write(folder, "path,label", cells)


@pytest.mark.parametrize(
    ("separator", "none", "options"),
    [
        ("|", "", ""),
        ("|", "No Finding", ",none=No Finding"),
        (";", "", ",separator=;"),
        (" + ", "none", ",separator=+,none=none"),
    ],
)
def test_several_labels_in_one_column(folder: Path, separator: str, none: str, options: str) -> None:
    manifest = load(f"{several(folder, separator, none)},task=multi-label{options}")
    assert manifest.task == "multi-label"
    assert manifest.classes == ("edema", "effusion", "nodule")
    assert manifest.targets is not None
    assert manifest.targets.tolist() == expected()
    assert set(manifest.table["split"]) == {"train", "validation", "test"}
    assert "12 of 48 images have none of the labels." in manifest.notes


def columns(folder: Path, of_true: str = "1", of_false: str = "0") -> str:
    cells = [",".join((of_false, of_true)[value] for value in row) for row in expected()]
    return write(folder, "path,edema,effusion,nodule", cells)


@pytest.mark.parametrize(("of_true", "of_false"), [("1", "0"), ("1.0", "0.0"), ("True", "False"), ("yes", "no")])
def test_a_column_for_each_label(folder: Path, of_true: str, of_false: str) -> None:
    source = columns(folder, of_true, of_false)
    by_name = load(f"{source},task=multi-label,label=edema|effusion|nodule")
    by_key = load(f"{source},task=multi-label", columns={"label": ["edema", "effusion", "nodule"]})
    for manifest in (by_name, by_key):
        assert manifest.classes == ("edema", "effusion", "nodule")
        assert manifest.targets is not None
        assert manifest.targets.tolist() == expected()


@pytest.mark.parametrize("cell", ["", "-1", "maybe", "nan", "2"])
def test_a_cell_that_says_neither_is_refused_with_its_place(folder: Path, cell: str) -> None:
    source = columns(folder)
    text = (folder / "m.csv").read_text().replace("04.png,1,0,0", f"04.png,1,{cell},0")
    (folder / "m.csv").write_text(text)
    with pytest.raises(UserError, match=f"the column effusion has row 5: {cell or 'empty'}; of several labels each"):
        load(f"{source},task=multi-label,label=edema|effusion|nodule")


def test_a_missing_cell_is_refused_and_an_empty_one_is_no_label(folder: Path) -> None:
    source = write(
        folder, "path,label", ["None" if number == 2 else "a|b" if number % 2 else "" for number in range(48)]
    )
    with pytest.raises(UserError, match=r"1 of 48 images has no label \(row 3: None\)"):
        load(f"{source},task=multi-label")


def test_a_task_without_labels_is_refused(folder: Path) -> None:
    source = write(folder, "path,age", ["1"] * 48)
    with pytest.raises(UserError, match=r"m.csv: task=multi-label needs a column of labels"):
        load(f"{source},task=multi-label")


def test_folders_may_be_grades_or_sets_of_labels(tmp_path: Path) -> None:
    for name in ("edema", "edema+effusion", "effusion", "normal"):
        (tmp_path / name).mkdir()
        for number in range(12):
            Image.new("L", (8, 8)).save(tmp_path / name / f"{number}.png")
    source = f"folder:path={tmp_path}"
    labels = load(f"{source},task=multi-label,separator=+,none=normal")
    assert labels.classes == ("edema", "effusion")
    assert labels.targets is not None
    of_folder = dict(zip(labels.table["id"].str.partition("/")[0], labels.targets.tolist(), strict=True))
    assert of_folder == {"edema": [1, 0], "edema+effusion": [1, 1], "effusion": [0, 1], "normal": [0, 0]}
    grades = load(f"{source},task=ordinal,order=normal|edema|effusion|edema+effusion")
    assert grades.classes == ("normal", "edema", "effusion", "edema+effusion")
    assert grades.task == "ordinal"
