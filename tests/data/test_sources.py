from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hybridq.config import Data
from hybridq.data.images.cache import open_images
from hybridq.data.manifest import Manifest
from hybridq.data.sources import load_manifest, source_infos, source_names
from hybridq.errors import UserError

DATA = Data(source="folder:path=images")


def load(name: str, seed: int = 0) -> Manifest:
    return load_manifest(name, DATA, seed)


def save(path: Path, level: int = 100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((20, 20), level, np.uint8)).save(path)


def fill(root: Path, folders: dict[str, int], ending: str = ".png") -> None:
    for folder, count in folders.items():
        for number in range(count):
            save(root / folder / f"{number:03}{ending}")


def write_csv(root: Path, header: str, rows: list[str]) -> str:
    (root / "images.csv").write_text("\n".join([header, *rows]) + "\n")
    return f"manifest:path={root / 'images.csv'}"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("padds", "unknown data source 'padds'; did you mean padsd"),
        ("nonsense", "known: adsss, dicom, folder, manifest, medical_mnist, medmnist, padsd, .*synthetic"),
        ("", "unknown data source"),
        ("synthetic:patient=5", "unknown option patient; did you mean patients"),
        ("synthetic:colour=5", "known for synthetic: patients, patches, size, seed"),
        ("synthetic:patients", "expected key=value after the colon, got 'patients'"),
        ("synthetic:patients=", "expected key=value"),
        ("synthetic:patients=3,patients=4", "patients is given twice"),
        ("synthetic:patients=many", "patients = many; .*integer"),
        ("synthetic:patients=1", "patients = 1; .*greater than or equal to 3"),
        ("adsss:fold=5", "fold = 5; .*less than or equal to 4"),
        ("folder", "path= is missing"),
        ("folder:path=/nowhere/at/all", "/nowhere/at/all is no folder"),
        ("manifest:path=/nowhere.csv", "/nowhere.csv: no such file"),
    ],
)
def test_a_wrong_name_or_option_is_one_sentence(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load(name)
    assert "\n" not in str(caught.value)


def test_the_sources_are_listed() -> None:
    names = ["adsss", "dicom", "folder", "manifest", "medical_mnist", "medmnist", "padsd", "synthetic"]
    infos = [info for info in source_infos() if info.name != "shapes"]  # that of the tests, once they are collected
    assert [name for name in source_names() if name != "shapes"] == [info.name for info in infos] == names
    assert all(0 < len(info.summary) <= 50 for info in infos)


@pytest.mark.parametrize("validation", ["validation", "val"])
def test_split_folders_are_taken_as_they_are(tmp_path: Path, validation: str) -> None:
    parts = {"train": 5, validation: 2, "test": 3}
    fill(tmp_path, {f"{part}/{kind}": count for part, count in parts.items() for kind in ("ill", "well")})
    manifest = load(f"folder:path={tmp_path}")
    assert manifest.counts().to_dict("index") == {
        "train": {"ill": 5, "well": 5},
        "validation": {"ill": 2, "well": 2},
        "test": {"ill": 3, "well": 3},
    }
    assert manifest.table["id"].iloc[0].startswith(("test/", "train/", "val"))
    assert open_images(manifest, Data(source="x", size=16)).shape == (20, 1, 16, 16)


def test_class_folders_are_split_in_proportion(tmp_path: Path) -> None:
    fill(tmp_path, {"negative": 40, "positive": 20}, ending=".JPG")
    manifest = load(f"folder:path={tmp_path}")
    assert manifest.classes == ("negative", "positive")
    assert manifest.counts().to_dict("index") == {
        "train": {"negative": 26, "positive": 13},
        "validation": {"negative": 6, "positive": 3},
        "test": {"negative": 8, "positive": 4},
    }
    same, other = load(f"folder:path={tmp_path}"), load(f"folder:path={tmp_path}", seed=1)
    assert same.table.equals(manifest.table)
    assert not other.table.equals(manifest.table)


def test_validation_is_drawn_from_training_where_only_training_and_test_exist(tmp_path: Path) -> None:
    fill(tmp_path, {"train/a": 40, "train/b": 40, "test/a": 4, "test/b": 4})
    manifest = load(f"folder:path={tmp_path}")
    assert manifest.counts().to_dict("index") == {
        "train": {"a": 34, "b": 34},
        "validation": {"a": 6, "b": 6},
        "test": {"a": 4, "b": 4},
    }
    assert manifest.part("validation")["id"].str.startswith("train/").all()


def test_the_positive_class_can_be_chosen(tmp_path: Path) -> None:
    fill(tmp_path, {"abnormal": 20, "normal": 20})
    assert load(f"folder:path={tmp_path}").classes == ("normal", "abnormal")
    chosen = load(f"folder:path={tmp_path},positive=normal")
    assert chosen.classes == ("abnormal", "normal")
    assert set(chosen.table.loc[chosen.table["label"] == 1, "id"].str.split("/").str[0]) == {"normal"}
    with pytest.raises(UserError, match="positive = odd; abnormal or normal"):
        load(f"folder:path={tmp_path},positive=odd")


def test_a_path_may_hold_commas_and_equals_signs(tmp_path: Path) -> None:
    fill(tmp_path / "a,B=c, d", {"x": 20, "y": 20})
    assert len(load(f"folder:path={tmp_path / 'a,B=c, d'}").table) == 40


def test_a_folder_of_files_is_an_unlabelled_source(tmp_path: Path) -> None:
    fill(tmp_path, {"scans": 7})
    manifest = load(f"folder:path={tmp_path / 'scans'}")
    assert not manifest.labelled
    assert len(manifest.part("train")) == 7


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        ({}, "holds no images; expected split/class"),
        ({"only": 9}, "all images are of the class only; at least two classes"),
        ({"a": 30, "b": 2}, r"the class b has too few independent images or groups \(2\)"),
        (
            {"train/a": 5, "train/b": 5, "test/a": 5, "validation/a": 2, "validation/b": 2},
            "split test holds no b image",
        ),
        ({"train/a": 5, "train/b": 5}, "split validation holds no images"),
        ({"train/a": 5, "test/a": 5, "extra/a": 5}, "the folder extra stands beside split folders"),
        ({"train/a": 5, "val/a": 5, "validation/a": 5}, "both val and validation"),
    ],
)
def test_a_folder_that_cannot_be_trained_on_is_refused(tmp_path: Path, folders: dict[str, int], message: str) -> None:
    fill(tmp_path, folders)
    with pytest.raises(UserError, match=message):
        load(f"folder:path={tmp_path}")


def patients_csv(root: Path, *, split: bool = False) -> str:
    rows = []
    for number in range(60):
        save(root / "scans" / f"{number}.png")
        patient = number // 4
        part = ("train", "val", "test")[patient % 3]
        rows.append(f"scans/{number}.png,{number % 2},p{patient}" + (f",{part}" if split else ""))
    return write_csv(root, "path,label,patient" + (",split" if split else ""), rows)


def test_a_table_is_split_by_patient(tmp_path: Path) -> None:
    manifest = load(patients_csv(tmp_path))
    assert manifest.groups == "patient"
    assert manifest.classes == ("0", "1")
    assert (manifest.table.groupby("group")["split"].nunique() == 1).all()
    assert (manifest.counts() > 0).all(axis=None)
    assert open_images(manifest, Data(source="x", size=16)).shape == (60, 1, 16, 16)


def test_splits_of_a_table_are_kept(tmp_path: Path) -> None:
    assert load(patients_csv(tmp_path, split=True)).counts().sum(axis=1).to_dict() == {
        "train": 20,
        "validation": 20,
        "test": 20,
    }


def test_ids_do_not_tell_where_the_images_lie(tmp_path: Path) -> None:
    manifest = load(patients_csv(tmp_path))
    assert manifest.table["id"].iloc[0] == "scans/0.png"
    assert not manifest.table["id"].str.contains(str(tmp_path), regex=False).any()


def test_a_table_saved_by_a_spreadsheet_is_read(tmp_path: Path) -> None:
    name = patients_csv(tmp_path)
    text = (tmp_path / "images.csv").read_text()
    (tmp_path / "images.csv").write_text(text.replace(",", ", ").replace("\n", "\r\n"), encoding="utf-8-sig")
    assert load(name).counts().to_numpy().sum() == 60


def test_a_table_of_paths_is_an_unlabelled_source(tmp_path: Path) -> None:
    fill(tmp_path, {"scans": 3})
    manifest = load(write_csv(tmp_path, "path", ["scans/000.png", "scans/001.png"]))
    assert not manifest.labelled
    assert len(manifest.part("train")) == 2


def test_a_parquet_table_is_read_as_a_csv_one(tmp_path: Path) -> None:
    name = patients_csv(tmp_path, split=True)
    given = pd.read_csv(tmp_path / "images.csv")
    given["path"] = given["path"].astype("string")
    given.loc[:2, "patient"] = None
    given.to_parquet(tmp_path / "images.parquet")
    manifest, same = load(f"manifest:path={tmp_path / 'images.parquet'}"), load(name)
    assert manifest.table["id"].tolist() == same.table["id"].tolist()
    assert manifest.table["label"].tolist() == same.table["label"].tolist()
    assert manifest.table["group"].tolist() == ["", "", "", *same.table["group"].tolist()[3:]]


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "images.parquet").write_text("path,label\n")
    with pytest.raises(UserError, match=r"images.parquet: is not a readable Parquet file"):
        load(f"manifest:path={tmp_path / 'images.parquet'}")


def test_tiff_files_are_images(tmp_path: Path) -> None:
    fill(tmp_path, {"x": 20}, ending=".tif")
    fill(tmp_path, {"y": 20}, ending=".TIFF")
    assert open_images(load(f"folder:path={tmp_path}"), Data(source="x", size=16)).shape == (40, 1, 16, 16)


def test_a_patient_that_crosses_splits_is_refused_by_name(tmp_path: Path) -> None:
    name = patients_csv(tmp_path, split=True)
    text = (tmp_path / "images.csv").read_text().replace("scans/0.png,0,p0,train", "scans/0.png,0,p0,test")
    (tmp_path / "images.csv").write_text(text)
    with pytest.raises(UserError, match=r"1 patient with images in more than one split \(p0\)"):
        load(name)


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        ("", [], "is empty"),
        ("path,label", [], "lists no images"),
        ("file,label", ["0.png,a"], "no column path"),
        ("path,label", ["0.png,a", "9.png,b"], "1 of 2 files do not exist in .*: 9.png"),
        ("path,label", ["0.png,a", "./0.png,b"], "0.png is listed more than once"),
        ("path,label", ["/etc/0.png,a"], "is an absolute path"),
        ("path,label", ["0.png,a", "../outside.png,b"], "../outside.png lies outside the folder of the file"),
        ("path,label", ["0.png,a", "1.png,"], r"1 of 2 images has no label \(row 2: empty\)"),
        ("path,label,split", ["0.png,a,train", "1.png,b,later"], "split = later; allowed: train, validation, test"),
        ("path,label,split", ["0.png,a,train", "1.png,b,"], "1.png has no split while others have one"),
        ("path,label", ["0.png,a", "1.png,a"], "all images are of the class a"),
        ("path,label", ['"0.png,a', "1.png,a"], "not a readable CSV file"),
        ("path,label", ["0.png,a,p1", "1.png,b,p2"], "not a readable CSV file"),
        ("path,label", ["0.png,a", "1.png"], r"1 of 2 images has no label \(row 2: empty\)"),
    ],
)
def test_a_bad_table_is_refused_in_one_sentence(tmp_path: Path, header: str, rows: list[str], message: str) -> None:
    for number in range(2):
        save(tmp_path / f"{number}.png")
    with pytest.raises(UserError, match=message) as caught:
        load(write_csv(tmp_path, header, rows))
    assert "images.csv" in str(caught.value)
    assert "\n" not in str(caught.value)
