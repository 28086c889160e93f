from __future__ import annotations

import hashlib
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from file_server import Behaviour, serving

from hybridq.config import Data
from hybridq.data.manifest import Manifest
from hybridq.data.sources import download_source, load_manifest, medmnist
from hybridq.errors import UserError

SETS = (
    "blood",
    "breast",
    "chest",
    "derma",
    "oct",
    "organa",
    "organc",
    "organs",
    "path",
    "pneumonia",
    "retina",
    "tissue",
)
RNG = np.random.default_rng(0)

real_data = pytest.mark.skipif(
    not os.environ.get("HYBRIDQ_DATA_DIR"), reason="HYBRIDQ_DATA_DIR is not set: pneumoniamnist.npz is not here"
)


def load(name: str, **keys: object) -> Manifest:
    return load_manifest(name, Data(source=name, **keys), seed=0)


def arrays(name: str, size: int = 28, count: int = 40) -> dict[str, np.ndarray]:
    """A file of the set's form with random pixels."""
    entry = medmnist.index()[name]
    shape = (size, size, 3) if entry["n_channels"] == 3 else (size, size)
    made = {}
    for part in ("train", "val", "test"):
        made[f"{part}_images"] = RNG.integers(0, 256, (count, *shape)).astype(np.uint8)
        if entry["task"].startswith("multi-label"):
            labels = RNG.integers(0, 2, (count, len(entry["label"])))
        else:
            labels = np.arange(count)[:, None] % len(entry["label"])
        made[f"{part}_labels"] = labels.astype(np.uint8)
    return made


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HYBRIDQ_DATA_DIR", str(tmp_path))
    (tmp_path / "medmnist").mkdir()
    return tmp_path / "medmnist"


def stacked(manifest: Manifest, rows: pd.DataFrame | None = None) -> np.ndarray:
    assert manifest.read is not None
    return np.stack(list(manifest.read(manifest.table if rows is None else rows)))


def test_the_index_has_every_2d_set_with_an_address_and_a_checksum_for_every_size() -> None:
    index = medmnist.index()
    assert sorted(index) == sorted(f"{name}mnist" for name in SETS)
    for name in index:
        for size in (28, 64, 128, 224):
            url, md5 = medmnist.official(medmnist.MedmnistOptions(name=name, size=size))
            assert f"{name}{'' if size == 28 else f'_{size}'}.npz" in url
            assert len(md5) == 32
    assert sorted(medmnist.MODALITIES) == sorted(index)


def test_reading_the_index_neither_imports_the_package_nor_makes_a_folder_in_the_home() -> None:
    assert medmnist.index()
    assert "medmnist" not in sys.modules


@pytest.mark.parametrize("name", [f"{name}mnist" for name in SETS])
def test_every_set_is_read_with_its_own_task_labels_and_pixels(name: str, folder: Path) -> None:
    made = arrays(name)
    np.savez_compressed(folder / f"{name}.npz", **made)
    manifest = load(f"medmnist:name={name}")
    entry = medmnist.index()[name]
    assert manifest.task == {"b": "binary", "o": "ordinal", "m": "multi-class"}[entry["task"][0]] or (
        name == "chestmnist" and manifest.task == "multi-label"
    )
    assert list(manifest.classes) == list(entry["label"].values())
    assert manifest.table["split"].tolist() == ["train"] * 40 + ["validation"] * 40 + ["test"] * 40
    assert (stacked(manifest) == np.concatenate([made[f"{part}_images"] for part in ("train", "val", "test")])).all()
    labels = np.concatenate([made[f"{part}_labels"] for part in ("train", "val", "test")])
    if manifest.task == "multi-label":
        assert manifest.targets is not None
        assert (manifest.targets == labels).all()
        assert (manifest.table["label"] == -1).all()
        assert manifest.counts().loc["test"].tolist() == made["test_labels"].sum(axis=0).tolist()
    else:
        assert manifest.targets is None
        assert (manifest.table["label"] == labels[:, 0]).all()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_rows_are_read_in_any_order(folder: Path, save: object) -> None:
    assert callable(save)
    save(folder / "breastmnist_64.npz", **arrays("breastmnist", 64))
    manifest = load("medmnist:name=breastmnist,size=64")
    everything = stacked(manifest)
    mixed = manifest.table.sample(50, random_state=0)
    assert (stacked(manifest, mixed) == everything[mixed.index]).all()
    assert (stacked(manifest, manifest.part("test")) == everything[80:]).all()


def test_content_and_notes_tell_the_file_from_the_official_one(folder: Path) -> None:
    file = folder / "breastmnist.npz"
    np.savez(file, **arrays("breastmnist"))
    manifest = load("medmnist:name=breastmnist")
    digest = hashlib.md5(file.read_bytes()).hexdigest()
    assert manifest.content == digest
    assert any(f"is not the official file: its MD5 is {digest}" in note for note in manifest.notes)
    assert any("It holds 40 train images for 546 and 40 val images for 78" in note for note in manifest.notes)


def test_a_file_may_lie_anywhere(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", **arrays("bloodmnist"))
    assert len(load(f"medmnist:name=bloodmnist,path={tmp_path / 'mine.npz'}").table) == 120


def test_a_name_is_known_in_any_case(folder: Path) -> None:
    np.savez(folder / "breastmnist.npz", **arrays("breastmnist"))
    manifest = load("medmnist:name=BreastMNIST")
    assert manifest.source == "medmnist:name=breastmnist,size=28"
    assert len(manifest.table) == 120


def test_labels_may_be_a_plain_vector(folder: Path) -> None:
    made = arrays("bloodmnist")
    flat = {name: array[:, 0] if name.endswith("labels") else array for name, array in made.items()}
    np.savez(folder / "bloodmnist.npz", **flat)
    assert load("medmnist:name=bloodmnist").table["label"].tolist() == [*(made["train_labels"][:, 0].tolist() * 3)]
    flat = {name: array[:, 0] if name.endswith("labels") else array for name, array in arrays("chestmnist").items()}
    np.savez(folder / "chestmnist.npz", **flat)
    with pytest.raises(UserError, match="train_labels needs 14 columns"):
        load("medmnist:name=chestmnist")


def sized(name: str, of: str, **others: int) -> dict[str, np.ndarray]:
    """A file in the form of the set ``name`` with as many images as ``of`` has."""
    counts = {**medmnist.index()[of]["n_samples"], **others}
    made = {}
    for part, count in counts.items():
        made[f"{part}_images"] = np.zeros((count, 28, 28), np.uint8)
        made[f"{part}_labels"] = (np.arange(count) % len(medmnist.index()[name]["label"])).astype(np.uint8)
    return made


def test_the_file_of_another_set_is_refused_by_its_sizes(folder: Path) -> None:
    np.savez_compressed(folder / "breastmnist.npz", **sized("breastmnist", of="pneumoniamnist", train=100))
    with pytest.raises(
        UserError, match=r"not the file of breastmnist; it has the 524 .* 624 test images of pneumoniamnist"
    ):
        load("medmnist:name=breastmnist")
    np.savez_compressed(folder / "breastmnist.npz", **sized("breastmnist", of="breastmnist", train=100))
    notes = load("medmnist:name=breastmnist").notes
    assert "It holds 100 train images for 546 of the release." in notes


def test_the_file_of_another_set_is_refused_by_its_md5(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(folder / "breastmnist.npz", **arrays("breastmnist"))
    digest = hashlib.md5((folder / "breastmnist.npz").read_bytes()).hexdigest()
    monkeypatch.setitem(medmnist.index(), "retinamnist", {**medmnist.index()["retinamnist"], "MD5_64": digest})
    with pytest.raises(UserError, match="not the file of breastmnist; its MD5 is that of retinamnist"):
        load("medmnist:name=breastmnist")


def test_another_number_of_channels_is_said(folder: Path) -> None:
    made = arrays("breastmnist")
    colour = {name: np.stack([a] * 3, axis=3) if name.endswith("images") else a for name, a in made.items()}
    np.savez(folder / "breastmnist.npz", **colour)
    assert "Its images have 3 channels, the release's 1." in load("medmnist:name=breastmnist").notes


def test_label_1_stays_positive_unless_the_configuration_names_the_other(folder: Path) -> None:
    np.savez(folder / "breastmnist.npz", **arrays("breastmnist"))
    manifest = load("medmnist:name=breastmnist")
    assert manifest.classes == ("malignant", "normal, benign")
    assert "The positive class is normal, benign, label 1 of the release." in manifest.notes
    turned = load("medmnist:name=breastmnist", positive="malignant")
    assert turned.classes == ("normal, benign", "malignant")
    assert (turned.table["label"] == 1 - manifest.table["label"]).all()
    assert [note for note in turned.notes if "positive" in note] == [
        "The positive class is malignant (named by data.positive)."
    ]


def test_a_missing_file_is_one_sentence_with_its_address(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"breastmnist_64.npz does not exist; `hybridq data download .*https://"):
        load("medmnist:name=breastmnist,size=64")
    with pytest.raises(UserError, match=r"is no file; path= names an \.npz file of MedMNIST"):
        load("medmnist:name=breastmnist,path=/nowhere.npz")
    monkeypatch.delenv("HYBRIDQ_DATA_DIR")
    with pytest.raises(UserError, match=r"HYBRIDQ_DATA_DIR is not set; place the file breastmnist\.npz of MedMNIST v2"):
        load("medmnist:name=breastmnist")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_images": None}, "has no array train_images; a MedMNIST file has images and labels"),
        ({"val_images": np.zeros((40, 32, 32), np.uint8)}, r"val_images is uint8 of shape \(40, 32, 32\)"),
        ({"test_images": np.zeros((40, 28, 28), np.float32)}, "test_images is float32"),
        ({"train_labels": np.zeros((39, 1), np.uint8)}, r"train_labels has the shape \(39, 1\) for 40 images"),
        ({"train_labels": np.full((40, 1), 2, np.uint8)}, "train_labels needs 1 column of integers in 0 … 1"),
        ({"train_labels": np.zeros((40, 3), np.uint8)}, "train_labels needs 1 column of integers"),
        ({"train_labels": np.full((40, 1), 0.5)}, "train_labels needs 1 column of integers"),
        ({"train_labels": np.zeros((40, 1), np.uint8)}, "split train holds no normal, benign image"),
        ({"train_labels": np.full((40, 1), None)}, "train_labels holds objects"),
    ],
)
def test_a_file_of_another_form_is_refused_in_one_sentence(
    folder: Path, change: dict[str, np.ndarray | None], message: str
) -> None:
    made = {name: array for name, array in {**arrays("breastmnist"), **change}.items() if array is not None}
    np.savez(folder / "breastmnist.npz", **made)
    with pytest.raises(UserError, match=message):
        load("medmnist:name=breastmnist")


def test_damaged_files_are_refused(folder: Path) -> None:
    file = folder / "breastmnist.npz"
    for content in (b"", b"not a zip", b"PK\x05\x06" + bytes(18)):
        file.write_bytes(content)
        with pytest.raises(UserError, match=r"is not a.* \.npz file"):
            load("medmnist:name=breastmnist")
    np.savez_compressed(file, **arrays("breastmnist"))
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"is not a readable \.npz file"):
        load("medmnist:name=breastmnist")
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("train_images.npy", b"\x93NUMPY")
    with pytest.raises(UserError, match="has no readable header"):
        load("medmnist:name=breastmnist")


def test_pixels_that_are_damaged_are_noticed_when_they_are_read(folder: Path) -> None:
    file = folder / "breastmnist.npz"
    np.savez_compressed(file, **arrays("breastmnist"))
    content = bytearray(file.read_bytes())
    at = content.find(b"train_images.npy") + 5000
    content[at : at + 200] = bytes(200)
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"train_images (is damaged|ends early)"):
        stacked(load("medmnist:name=breastmnist"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("medmnist", "name= is missing"),
        ("medmnist:name=breastmnst", "there is no 2D set breastmnst; did you mean breastmnist?"),
        ("medmnist:name=nodulemnist3d", "there is no 2D set nodulemnist3d"),
        ("medmnist:name=breastmnist,size=32", "size = 32; input should be 28, 64, 128 or 224"),
    ],
)
def test_a_wrong_name_or_size_is_one_sentence(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(name)


def test_a_download_is_checked_against_the_index(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(folder / "made.npz", **arrays("breastmnist"))
    content = (folder / "made.npz").read_bytes()
    behaviour = Behaviour(b"another file")
    with serving(behaviour) as url:
        entry = {**medmnist.index()["breastmnist"], "url_64": url, "MD5_64": hashlib.md5(content).hexdigest()}
        monkeypatch.setitem(medmnist.index(), "breastmnist", entry)
        with pytest.raises(UserError, match="is not the file expected"):
            download_source("medmnist:name=breastmnist,size=64")
        behaviour.content = content
        assert download_source("medmnist:name=breastmnist,size=64") == folder / "breastmnist_64.npz"
    with pytest.raises(UserError, match="is there already"):
        download_source("medmnist:name=breastmnist,size=64")


@real_data
def test_the_real_file_is_read_and_marked_as_not_official() -> None:
    manifest = load("medmnist:name=pneumoniamnist")
    assert manifest.task == "binary"
    assert manifest.counts().sum(axis=1).to_dict() == {"train": 3882, "validation": 524, "test": 624}
    assert any("f5b994ec7c2fe8bc81ae15cbab7c3df8" in note for note in manifest.notes)
    with np.load(Path(os.environ["HYBRIDQ_DATA_DIR"]) / "medmnist" / "pneumoniamnist.npz", allow_pickle=False) as file:
        assert (stacked(manifest, manifest.part("test")) == file["test_images"]).all()
        assert (manifest.part("test")["label"].to_numpy() == file["test_labels"][:, 0]).all()
