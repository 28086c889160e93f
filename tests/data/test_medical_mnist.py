from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hybridq.config import Data
from hybridq.data.manifest import Manifest
from hybridq.data.sources import load_manifest
from hybridq.data.sources.medical_mnist import CLASSES
from hybridq.errors import UserError

real_data = pytest.mark.skipif(
    not os.environ.get("HYBRIDQ_DATA_DIR"), reason="HYBRIDQ_DATA_DIR is not set: Medical MNIST is not here"
)


def load(name: str, *, as_released: bool = False) -> Manifest:
    return load_manifest(name, Data(source=name), seed=0, as_released=as_released)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Twenty images of each class; in every class the image 000000 is there three times."""
    rng = np.random.default_rng(0)
    for kind in CLASSES:
        folder = tmp_path / "resized" / kind
        folder.mkdir(parents=True)
        for number in range(20):
            Image.fromarray(rng.integers(0, 256, (64, 64)).astype(np.uint8)).save(folder / f"{number:06}.jpeg")
        for number in (20, 21):
            shutil.copy(folder / "000000.jpeg", folder / f"{number:06}.jpeg")
    return tmp_path


def test_copies_of_an_image_stay_in_one_split(release: Path) -> None:
    manifest = load(f"medical_mnist:path={release}")
    copies = manifest.table[manifest.table["group"] != ""]
    assert sorted(copies["group"].unique()) == sorted(f"{kind}/000000.jpeg" for kind in CLASSES)
    assert (copies.groupby("group")["split"].nunique() == 1).all()
    assert len(copies) == 18
    assert "6 images are there more than once (12 copies); each stays in one split." in manifest.notes
    assert (manifest.counts() > 0).all(axis=None)


def test_as_released_nothing_is_known_of_copies(release: Path) -> None:
    manifest = load(f"medical_mnist:path={release}", as_released=True)
    assert (manifest.table["group"] == "").all()
    assert not manifest.checked
    assert "The release has no splits: these are drawn image by image." in manifest.notes


def test_modalities_are_known(release: Path) -> None:
    table = load(f"medical_mnist:path={release}", as_released=True).table
    by_class = table.groupby("label")["modality"].unique().str[0].tolist()
    assert dict(zip(CLASSES, by_class, strict=True))["BreastMRI"] == "MR"


def test_a_missing_class_is_one_sentence(release: Path) -> None:
    shutil.rmtree(release / "resized" / "Hand")
    with pytest.raises(UserError, match="resized/Hand does not exist; it is a folder of Medical MNIST"):
        load(f"medical_mnist:path={release}")


@real_data
@pytest.mark.slow
def test_the_real_release_has_348_images_more_than_once() -> None:
    manifest = load("medical_mnist")
    assert len(manifest.table) == 58_954
    assert "348 images are there more than once (440 copies); each stays in one split." in manifest.notes
