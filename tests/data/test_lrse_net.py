from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hybridq.config import Data
from hybridq.data.images.cache import open_images
from hybridq.data.manifest import Manifest
from hybridq.data.sources import load_manifest
from hybridq.data.sources.support.duplicates import fingerprint_files
from hybridq.errors import UserError

DATA = Data(source="adsss")

real_data = pytest.mark.skipif(
    not os.environ.get("HYBRIDQ_DATA_DIR"), reason="HYBRIDQ_DATA_DIR is not set: the LRSE-Net release is not here"
)


def load(name: str) -> Manifest:
    return load_manifest(name, DATA, seed=0)


class Release:
    """A small A-DSSS whose copies are known."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._rng = np.random.default_rng(0)
        for split in ("train", "validation", "test"):
            for kind in ("negative", "positive"):
                for number in range(2):
                    self.add(f"{split}/{kind}/{split}-{number}.png")

    def add(self, name: str, like: str | None = None) -> None:
        path = self.root / "A-DSSS" / "fold0" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if like is None:
            Image.fromarray(self._rng.integers(0, 256, (32, 32)).astype(np.uint8)).save(path)
        else:
            # Other bytes, same pixels: RGB of three equal channels, as the original release stores them.
            with Image.open(self.root / "A-DSSS" / "fold0" / like) as image:
                image.convert("RGB").save(path, compress_level=1)

    def ids(self) -> set[str]:
        return set(load(f"adsss:path={self.root}").table["id"].str.removeprefix("fold0/"))

    def removed(self) -> set[str]:
        folder = self.root / "A-DSSS" / "fold0"
        return {path.relative_to(folder).as_posix() for path in folder.rglob("*.png")} - self.ids()


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return Release(tmp_path)


def test_nothing_is_removed_where_nothing_is_shared(release: Release) -> None:
    release.add("train/positive/train-0_aug_00.png")
    assert release.removed() == set()


def test_a_training_image_that_is_a_test_image_leaves_training_with_its_copies(release: Release) -> None:
    release.add("train/positive/7.png", like="test/positive/test-0.png")
    release.add("train/positive/7_aug_00.png")
    release.add("train/positive/7_aug_01.png")
    assert release.removed() == {f"train/positive/{name}.png" for name in ("7", "7_aug_00", "7_aug_01")}
    notes = " ".join(load(f"adsss:path={release.root}").notes)
    assert "3 images removed from train: 1 pixel-identical to test images, 2 of the same originals" in notes


def test_an_augmented_copy_that_is_a_validation_image_takes_its_original_along(release: Release) -> None:
    release.add("train/positive/7.png")
    release.add("train/positive/7_aug_00.png", like="validation/positive/validation-1.png")
    assert release.removed() == {"train/positive/7.png", "train/positive/7_aug_00.png"}


def test_copies_are_followed_over_several_steps(release: Release) -> None:
    release.add("train/positive/7.png", like="test/positive/test-0.png")
    release.add("train/positive/7_aug_00.png")
    release.add("train/positive/8.png", like="train/positive/7_aug_00.png")
    release.add("train/positive/8_aug_00.png")
    assert {"train/positive/8.png", "train/positive/8_aug_00.png"} <= release.removed()


def test_an_augmented_copy_of_a_validation_image_leaves_training(release: Release) -> None:
    release.add("validation/positive/9.png")
    release.add("train/positive/9_aug_00.png")
    assert release.removed() == {"train/positive/9_aug_00.png"}


def test_a_validation_image_that_is_a_test_image_leaves_validation_never_test(release: Release) -> None:
    release.add("validation/negative/7.png", like="test/negative/test-0.png")
    assert release.removed() == {"validation/negative/7.png"}


def test_copies_within_training_stay_and_share_a_group(release: Release) -> None:
    release.add("train/positive/7.png")
    release.add("train/positive/7_aug_00.png")
    release.add("train/positive/8.png", like="train/positive/7.png")
    assert release.removed() == set()
    table = load(f"adsss:path={release.root}").table
    family = table[table["id"].str.contains(r"/[78](?:_|\.)")]
    assert set(family["group"]) == {"fold0/train/positive/7"}
    assert (table.drop(family.index)["group"] == "").all()


def test_a_missing_release_says_what_to_place_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HYBRIDQ_DATA_DIR", raising=False)
    with pytest.raises(UserError, match=r"HYBRIDQ_DATA_DIR is not set; place the folder P-ADSD of the LRSE-Net"):
        load("padsd")
    monkeypatch.setenv("HYBRIDQ_DATA_DIR", str(tmp_path))
    with pytest.raises(UserError, match=rf"{tmp_path}/lrse_net does not exist; place the folder A-DSSS"):
        load("adsss:fold=3")
    with pytest.raises(UserError, match=r"A-DSSS does not exist; it is the folder A-DSSS of the LRSE-Net release"):
        load(f"adsss:path={tmp_path}")
    (tmp_path / "A-DSSS" / "fold1" / "train").mkdir(parents=True)
    with pytest.raises(UserError, match=r"fold1/train/negative does not exist"):
        load(f"adsss:fold=1,path={tmp_path}")


@real_data
@pytest.mark.parametrize("fold", range(5))
def test_real_folds_share_no_image_between_splits_and_keep_the_whole_test_set(fold: int) -> None:
    manifest = load(f"adsss:fold={fold}")
    splits_of: dict[bytes, set[str]] = {}
    for digest, split in zip(
        fingerprint_files([Path(path) for path in manifest.table["path"]]), manifest.table["split"], strict=True
    ):
        splits_of.setdefault(digest, set()).add(split)
    assert max(len(splits) for splits in splits_of.values()) == 1
    assert manifest.counts().loc["test"].to_dict() == {"negative": 279, "positive": 25}
    assert (manifest.part("test")["group"] == "").all()
    assert any("removed from train" in note for note in manifest.notes)


@real_data
def test_fold_0_loses_what_was_measured_by_hand() -> None:
    manifest = load("adsss:fold=0")
    left = Counter(manifest.part("train")["id"].str.extract(r"positive/(\d+)")[0].dropna())
    for original in ("1211", "1180", "1209", "1188", "1144", "1154", "1199", "1170", "1189"):
        assert left[original] == 0
    assert manifest.counts().loc["train", "positive"] == 385 - 45
    assert open_images(manifest, Data(source="adsss"), split="test").shape == (304, 1, 64, 64)


@real_data
@pytest.mark.slow
def test_real_padsd_is_complete_and_its_missing_patients_are_stated() -> None:
    manifest = load("padsd")
    assert len(manifest.table) == 33468
    assert manifest.groups == "none"
    assert "names no patients" in manifest.notes[0]
    assert not any("removed from" in note for note in manifest.notes)
