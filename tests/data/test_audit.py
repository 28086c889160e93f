from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image
from planted import Planted

from hybridq.config import Data
from hybridq.data.audit import Audit, audit, inspect, leak_sentences, restrict
from hybridq.data.audit.balance import half_width, images_needed
from hybridq.data.audit.facts import image_facts
from hybridq.data.audit.moved import lay_over, moved_pairs, textures, turn_image
from hybridq.data.audit.near import NEAR, Whitening
from hybridq.data.audit.search import neighbours, pairs_above
from hybridq.data.audit.splitting import draw_folds, draw_splits
from hybridq.data.manifest import Manifest
from hybridq.data.sources import load_manifest
from hybridq.errors import UserError


def quietly(*_: object) -> None:
    """Nobody watches."""


def load(planted: Planted) -> Manifest:
    return load_manifest(planted.source, Data(source=planted.source), seed=0, as_released=True)


def run(planted: Planted) -> Audit:
    return audit(load(planted), progress=quietly)


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    return Planted(tmp_path / "images")


def pairs_of(found: Audit, kind: str) -> set[frozenset[str]]:
    finding = found.found(kind)
    return set() if finding is None else {frozenset((e.first, e.second)) for e in finding.examples}


def test_clean_data_raise_no_alarm(planted: Planted) -> None:
    found = run(planted)
    assert not found.rejected
    assert [f.kind for f in found.findings if f.weight == "problem"] == ["class balance"]
    assert found.clusters == 0
    assert found.shuffled == (0.0, 120)


def test_an_identical_image_in_two_splits_is_a_leak_whatever_its_file_holds(planted: Planted) -> None:
    pixels = planted.pixels("train/ill/003.png")
    planted.add("test/ill/copy.png", np.repeat(pixels[:, :, None], 3, axis=2))
    found = run(planted)
    assert found.rejected
    assert pairs_of(found, "identical across splits") == {frozenset(("train/ill/003.png", "test/ill/copy.png"))}
    assert "1 group of identical images in more than one split (train – test 1)" in found.leaks[0]


def test_identical_images_within_a_split_are_no_leak(planted: Planted) -> None:
    planted.add("train/ill/copy.png", planted.pixels("train/ill/003.png"))
    found = run(planted)
    assert not found.rejected
    assert found.found("identical").weight == "problem"


def test_the_same_thing_with_other_noise_is_a_near_duplicate(planted: Planted) -> None:
    planted.add("validation/healthy/again.png", planted.noisy("train/healthy/005.png"))
    found = run(planted)
    wanted = frozenset(("train/healthy/005.png", "validation/healthy/again.png"))
    assert pairs_of(found, "near duplicate across splits") == {wanted}


def darker(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.rint(pixels * 0.7 + 20).astype(np.uint8)


def shifted(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    moved = np.zeros_like(pixels)
    moved[6:, 3:] = pixels[:-6, :-3]
    return moved


@pytest.mark.parametrize(
    "change",
    [
        np.fliplr,
        np.flipud,
        np.rot90,
        np.transpose,
        shifted,
        lambda p: darker(np.fliplr(p)),
        lambda p: np.rot90(shifted(p)),
    ],
    ids=["mirrored", "upside down", "turned", "transposed", "shifted", "mirrored and darker", "shifted and turned"],
)
def test_an_augmented_copy_is_found_beside_its_original_and_across_splits(planted: Planted, change: object) -> None:
    assert callable(change)
    planted.add("train/ill/original_aug.png", np.ascontiguousarray(change(planted.pixels("train/ill/007.png"))))
    planted.add("test/ill/copy.png", np.ascontiguousarray(change(planted.pixels("train/ill/011.png"))))
    found = run(planted)
    beside = pairs_of(found, "moved copy within a split")
    across = pairs_of(found, "moved copy across splits")
    assert beside == {frozenset(("train/ill/007.png", "train/ill/original_aug.png"))}
    assert across == {frozenset(("train/ill/011.png", "test/ill/copy.png"))}


def test_a_brighter_copy_is_a_near_duplicate(planted: Planted) -> None:
    planted.add("test/ill/copy.png", darker(planted.pixels("train/ill/007.png")))
    assert len(pairs_of(run(planted), "near duplicate across splits")) == 1


def test_one_image_under_two_labels_is_a_conflict(planted: Planted) -> None:
    planted.add("train/healthy/same.png", planted.pixels("train/ill/003.png"))
    planted.add("train/healthy/almost.png", planted.noisy("train/ill/004.png"))
    found = run(planted)
    assert pairs_of(found, "two labels") == {frozenset(("train/ill/003.png", "train/healthy/same.png"))}
    assert len(pairs_of(found, "two labels, near duplicates")) == 1


def test_a_group_in_two_splits_is_a_leak(planted: Planted) -> None:
    manifest = load(planted)
    table = manifest.table.assign(group="")
    table.loc[table["id"].isin(["train/ill/001.png", "test/ill/001.png"]), "group"] = "patient 1"
    grouped = Manifest("planted", table, manifest.classes, groups="patient", checked=False)
    found = audit(grouped, progress=quietly)
    assert found.leaks == ["1 group (patient) with images in more than one split."]


def test_a_border_that_only_one_class_has_is_a_shortcut(planted: Planted) -> None:
    for path in planted.root.glob("*/ill/*.png"):
        pixels = planted.pixels(path.relative_to(planted.root).as_posix())
        pixels[:6] = 0
        Image.fromarray(pixels).save(path)
    found = run(planted)
    assert "100% of ill" in found.found("border").sentence
    assert found.probe.warns
    assert found.probe.alone["border"] == 1.0


def test_burned_in_text_that_only_one_class_has_is_a_shortcut(planted: Planted) -> None:
    for path in planted.root.glob("*/ill/*.png"):
        pixels = planted.pixels(path.relative_to(planted.root).as_posix())
        pixels[2:8, 2:20] = 0
        pixels[3:7, 3:19:3] = 255
        Image.fromarray(pixels).save(path)
    assert "100% of ill" in run(planted).found("text").sentence


def test_constant_and_unreadable_images_are_named_and_the_rest_is_audited(planted: Planted) -> None:
    planted.add("train/ill/flat.png", np.full((48, 48), 90, np.uint8))
    (planted.root / "train/ill/broken.png").write_bytes(b"no image")
    planted.add("test/ill/copy.png", planted.pixels("train/ill/003.png"))
    found = run(planted)
    assert [e.first for e in found.found("unreadable").examples] == ["train/ill/broken.png"]
    assert [e.first for e in found.found("constant").examples] == ["train/ill/flat.png"]
    assert found.found("identical across splits").count == 1


def test_a_second_audit_decodes_only_what_has_changed(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    from hybridq.data.audit import facts

    image_facts(load(planted))
    before = image_facts(load(planted))["digest"].tolist()
    decoded = []
    monkeypatch.setattr(
        facts,
        "_facts_of_file",
        lambda file: (
            decoded.append(file[0])
            or facts.facts_of_pixels(planted.pixels(Path(file[0]).relative_to(planted.root).as_posix()))
        ),
    )
    changed = planted.root / "train/ill/003.png"
    planted.add("train/ill/003.png", planted.texture())
    os.utime(changed, ns=(1, 1))
    after = image_facts(load(planted))["digest"].tolist()
    assert decoded == [str(changed)]
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1


def test_a_damaged_store_of_facts_is_made_again(planted: Planted) -> None:
    manifest = load(planted)
    first = image_facts(manifest)["digest"].tolist()
    for store in (Path(os.environ["HYBRIDQ_CACHE_DIR"]) / "audit").glob("facts-*.npz"):
        store.write_bytes(b"damaged")
    assert image_facts(manifest)["digest"].tolist() == first


def test_a_verdict_is_remembered_for_the_same_images_and_splits(planted: Planted) -> None:
    planted.add("test/ill/copy.png", planted.pixels("train/ill/003.png"))
    manifest = load(planted)
    assert (
        leak_sentences(manifest, quietly)
        == leak_sentences(manifest, quietly)
        == audit(manifest, progress=quietly).leaks
    )
    (planted.root / "test/ill/copy.png").unlink()
    assert leak_sentences(load(planted), quietly) == []


def test_what_was_seen_of_all_images_holds_for_some_of_them(planted: Planted) -> None:
    planted.add("test/ill/copy.png", planted.pixels("train/ill/003.png"))
    planted.add("test/ill/near.png", planted.noisy("train/ill/004.png"))
    manifest = load(planted)
    part = Manifest(
        "part", manifest.table[manifest.table["id"] != "train/ill/003.png"], manifest.classes, checked=False
    )
    seen = restrict(inspect(manifest, quietly), part)
    assert seen is not None
    near = {
        frozenset((seen.ids[a], seen.ids[b]))
        for a, b in zip(seen.alike.near.first, seen.alike.near.second, strict=True)
    }
    assert near == {frozenset(("train/ill/004.png", "test/ill/near.png"))}
    assert len(np.unique(seen.alike.identical)) == len(part.table)


def test_new_splits_keep_clusters_and_groups_together_and_are_reproducible(planted: Planted) -> None:
    for number in range(6):
        planted.add(f"test/ill/near{number}.png", planted.noisy(f"train/ill/{number:03}.png"))
    manifest = load(planted)
    table = manifest.table.assign(group=["patient 1" if i % 17 == 0 else "" for i in range(len(manifest.table))])
    grouped = Manifest("planted", table, manifest.classes, groups="patient", checked=False)
    clusters = inspect(grouped, quietly).alike.clusters
    shares = {"train": 0.6, "validation": 0.2, "test": 0.2}
    drawn = draw_splits(grouped, clusters, shares, seed=3)
    pd.testing.assert_frame_equal(drawn, draw_splits(grouped, clusters, shares, seed=3))
    assert list(drawn) == ["id", "group", "cluster", "split"]
    for column in ("group", "cluster"):
        named = drawn[drawn[column] != ""]
        assert named.groupby(column)["split"].nunique().max() == 1
    assert drawn["cluster"].replace("", None).nunique() == 6
    counts = pd.crosstab(drawn["split"], grouped.table["label"].to_numpy())
    assert (counts.to_numpy() > 0).all()
    assert abs(counts.loc["train"].sum() / len(drawn) - 0.6) < 0.1


def test_every_image_is_tested_once_in_k_folds(planted: Planted) -> None:
    manifest = load(planted)
    tables = draw_folds(manifest, np.arange(len(manifest.table)), 5, seed=0)
    tested = pd.concat([table[table["split"] == "test"] for table in tables])["id"]
    assert sorted(tested) == sorted(manifest.table["id"])
    assert all(set(table["split"]) == {"train", "validation", "test"} for table in tables)
    with pytest.raises(UserError, match="at least 3"):
        draw_folds(manifest, np.arange(len(manifest.table)), 2, seed=0)


def test_blocked_search_finds_what_comparing_all_pairs_finds() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((1100, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = pairs_above(vectors, 0.95)
    full = vectors @ vectors.T
    first, second = np.nonzero(np.triu(full > 0.95, 1))
    assert set(zip(found.first.tolist(), found.second.tolist(), strict=True)) == set(
        zip(first.tolist(), second.tolist(), strict=True)
    )
    np.fill_diagonal(full, -2)
    assert (np.sort(neighbours(vectors, 3), axis=1) == np.sort(np.argsort(-full, axis=1)[:, :3], axis=1)).all()


def test_search_among_many_equal_images_stays_small_and_connected() -> None:
    vectors = np.tile(np.array([[1, 0]], np.float32), (3000, 1))
    found = pairs_above(vectors, 0.9)
    assert len(found) <= 32 * 3000
    from hybridq.data.audit.clusters import linked

    assert len(np.unique(linked(3000, (found.first, found.second)))) == 1


def test_whitened_correlation_ignores_what_all_images_share() -> None:
    rng = np.random.default_rng(1)
    shared = np.outer(np.linspace(0, 150, 32), np.ones(32))
    images = np.clip(shared + 50 + 12 * rng.standard_normal((400, 32, 32)), 0, 255).astype(np.uint8)
    flat = images.reshape(400, -1) - images.reshape(400, -1).mean(axis=1, keepdims=True)
    assert np.corrcoef(flat)[0, 1:].min() > 0.9
    vectors = Whitening.of(images)(images)
    assert (vectors @ vectors.T - np.eye(400)).max() < NEAR / 2


@pytest.mark.parametrize("turn", range(8))
def test_laying_over_recovers_the_symmetry_and_the_shift(turn: int) -> None:
    rng = np.random.default_rng(turn)
    scene = textures(rng.integers(0, 256, (1, 32, 32)).astype(np.uint8))
    other = np.zeros_like(scene)
    other[:, :27, :29] = scene[:, 5:, 3:]
    score, placement = lay_over(scene, np.ascontiguousarray(_undo(other, turn)))
    assert score[0] > 0.999
    assert (placement.turned[0], placement.down[0], placement.right[0]) == (turn, 5, 3)


def _undo(images: NDArray[np.float32], turn: int) -> NDArray[np.float32]:
    return next(
        candidate
        for back in range(8)
        if np.array_equal(turn_image(candidate := turn_image(images, back), turn), images)
    )


def test_unrelated_images_are_no_moved_copies(planted: Planted) -> None:
    thumbs = image_facts(load(planted))["thumb"]
    found, _ = moved_pairs(thumbs, np.arange(len(thumbs)))
    assert len(found) == 0


@pytest.mark.parametrize(("count", "share", "half"), [(25, 0.9, 0.122), (100, 0.9, 0.060), (689, 0.9, 0.0224)])
def test_half_widths_are_wilsons(count: int, share: float, half: float) -> None:
    assert half_width(count, share) == pytest.approx(half, abs=6e-4)


def test_the_images_needed_are_the_fewest() -> None:
    assert half_width(images_needed()) <= 0.05 < half_width(images_needed() - 1)
