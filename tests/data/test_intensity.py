from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import save, unlabelled

from hybridq.config import Augmentation, Data, parse_experiment
from hybridq.data.audit import audit
from hybridq.data.audit.findings import Finding
from hybridq.data.decoding import bring_to
from hybridq.data.images.cache import open_images
from hybridq.data.images.images import Images
from hybridq.data.images.intensity import (
    FULL,
    Intensity,
    Measured,
    carried_over,
    choose_range,
    describe,
    far_outside,
    levels_of,
    measure,
)
from hybridq.data.images.transforms import augment, to_float
from hybridq.data.manifest import Manifest
from hybridq.data.pixels import Levels
from hybridq.data.sources import load_manifest
from hybridq.errors import UserError

RNG = np.random.default_rng(0)
TWELVE_BITS = RNG.integers(1, 4096, (20, 40, 40)).astype(np.uint16)
HOUNSFIELD = RNG.integers(32768 - 1000, 32768 + 400, (20, 40, 40)).astype(np.uint16)


def manifest_of(folder: Path, images: np.ndarray) -> Manifest:
    folder.mkdir(parents=True, exist_ok=True)
    return unlabelled([save(folder / f"{number}.png", image) for number, image in enumerate(images)])


def measured(folder: Path, images: np.ndarray) -> Measured:
    manifest = manifest_of(folder, images)
    found = measure(manifest, manifest.table)
    assert found is not None
    return found


def test_the_levels_in_use_are_percentiles_of_the_pixels(tmp_path: Path) -> None:
    found = measured(tmp_path, TWELVE_BITS)
    assert found.bits == 16
    np.testing.assert_allclose(found.levels, np.percentile(TWELVE_BITS, [0.5, 99.5]), rtol=0.02, atol=3)


def test_some_extreme_pixels_do_not_widen_them(tmp_path: Path) -> None:
    images = TWELVE_BITS.copy()
    images[:, 0, :4] = 65535
    assert measured(tmp_path, images).levels[1] < 4200


def test_black_padding_does_not_count_as_used(tmp_path: Path) -> None:
    images = HOUNSFIELD.copy()
    images[:, :, :15] = 0
    low, high = measured(tmp_path, images).levels
    assert 31700 < low < high < 33200


def test_large_images_count_like_small_ones(tmp_path: Path) -> None:
    dark, bright = np.full((400, 400), 100, np.uint16), np.full((40, 40), 5000, np.uint16)
    manifest = unlabelled([save(tmp_path / "a.png", dark), save(tmp_path / "b.png", bright)])
    found = measure(manifest, manifest.table)
    assert found is not None
    assert found.levels == (100, 5000)


def test_images_of_eight_bits_are_measured_on_the_same_scale(tmp_path: Path) -> None:
    found = measured(tmp_path, np.clip(TWELVE_BITS // 16, 1, 255).astype(np.uint8))
    assert found.bits == 8
    assert found.levels[1] > 250 * 257


def test_what_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_text("no image")
    paths = [tmp_path / "bad.png", save(tmp_path / "good.png", TWELVE_BITS[0])]
    manifest = unlabelled(paths)
    assert measure(manifest, manifest.table) is not None
    assert measure(manifest, manifest.table[:1]) is None


@pytest.mark.parametrize(
    ("asked", "bits", "levels", "chosen"),
    [
        ("auto", 16, (200.0, 2900.0), (200.0, 2900.0)),
        ("auto", 16, (0.0, 32000.0), (0.0, 32000.0)),
        ("auto", 16, (0.0, 33000.0), None),
        ("auto", 16, (31768.0, 33000.0), (31768.0, 33000.0)),
        ("auto", 8, (257.0, 2570.0), None),
        ("full", 16, (200.0, 2900.0), None),
        ((0.0, 4095.0), 16, (200.0, 2900.0), (0.0, 4095.0)),
        ((0.0, 4095.0), 8, (0.0, 65535.0), (0.0, 4095.0)),
    ],
)
def test_the_range_is_chosen_by_depth_and_share_of_the_scale(
    asked: str, bits: int, levels: Levels, chosen: Levels | None
) -> None:
    assert choose_range(asked, Measured(bits, levels)) == chosen  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("theirs", "far"),
    [
        ((1000.0, 3000.0), False),
        ((1500.0, 2800.0), False),
        ((500.0, 3500.0), False),
        ((100.0, 3000.0), False),
        ((0.0, 4001.0), True),
        ((0.0, 65535.0), True),
        ((1000.0, 1499.0), True),
        ((31768.0, 33000.0), True),
    ],
)
def test_another_range_is_far_outside_where_it_would_be_clipped_or_flat(theirs: Levels, far: bool) -> None:
    assert far_outside((1000.0, 3000.0), theirs) is far


def test_levels_are_brought_to_the_ends_of_the_scale_and_clipped() -> None:
    images = np.array([[0, 1000, 2000, 3000, 60000]], np.uint16)
    assert bring_to(images, 1000, 3000).tolist() == [[0, 0, 32768, 65535, 65535]]
    assert bring_to(np.array([0, 10, 20], np.uint8), 0, 20 * 257).tolist() == [0, 32768, 65535]


def test_a_view_of_images_keeps_their_range_and_the_whole_scale_is_at_hand() -> None:
    pixels = TWELVE_BITS[:, None]
    images = Images(pixels).brought_to((0, 4095))
    assert images.dtype == np.uint16
    assert (images.view([3, 1])[:] == bring_to(pixels[[3, 1]], 0, 4095)).all()
    assert (images.brought_to(None)[:] == pixels).all()
    assert Images(pixels.astype(np.uint8)).dtype == np.uint8


def test_images_are_cached_once_whatever_their_range(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRIDQ_CACHE_DIR", str(tmp_path / "cache"))
    manifest = manifest_of(tmp_path / "images", TWELVE_BITS)
    for asked in ("auto", "full", (0.0, 4095.0)):
        images = open_images(manifest, Data(source="x", size=40, range=asked))  # type: ignore[arg-type]
        assert (images[:][:, 0] == TWELVE_BITS).all()
    assert len(list((tmp_path / "cache" / "images").glob("*/images.npy"))) == 1


def test_a_view_still_looks_like_its_image_once_it_is_brought_to_the_range_in_use() -> None:
    smooth = np.kron(RNG.normal(90, 30, (64, 8, 8)), np.ones((5, 5))).clip(0, 255).astype(np.uint16) * 16
    images = Images(smooth[:, None])
    only_intensity = Augmentation(rotation_degrees=0, crop_ratio=(1, 1), translate=0, shear_degrees=0, scale=(1, 1))

    def correlation(of: Images) -> float:
        before = to_float(of[:])
        after = augment(before.clone(), only_intensity, torch.Generator().manual_seed(0))
        pairs = zip(before.flatten(1).numpy(), after.flatten(1).numpy(), strict=True)
        return float(np.mean([np.corrcoef(one, other)[0, 1] if np.ptp(other) > 0 else 0 for one, other in pairs]))

    assert correlation(images) < 0.6
    assert correlation(images.brought_to(levels_of(smooth))) > 0.95


def test_what_data_json_keeps_is_read_back() -> None:
    for kept in (
        Intensity(),
        Intensity(8),
        Intensity(8, None, (0.0, 4095.0)),
        Intensity(16, (200.0, 2900.0), None),
        Intensity(16, (200.0, 2900.0), (200.0, 2900.0)),
    ):
        assert Intensity.of_card({"intensity": kept.as_json()}) == kept
    assert Intensity.of_card({"mean": 0.3, "std": 0.2}) == Intensity()


def test_other_images_are_carried_to_where_the_runs_fall() -> None:
    run = Intensity(16, (200.0, 2900.0), (200.0, 2900.0))
    assert carried_over(run, (2000.0, 29000.0)) == pytest.approx((2000, 29000))
    given = Intensity(16, (200.0, 2900.0), (0.0, 4095.0))
    assert carried_over(given, (2000.0, 29000.0)) == pytest.approx((0, 40950))
    assert carried_over(Intensity(8), (200.0, 2900.0)) == pytest.approx((200, 2900))
    assert carried_over(Intensity(16, FULL, None), FULL) == pytest.approx(FULL)


def test_what_is_said_names_depth_levels_and_share() -> None:
    twelve = Measured(16, (200.0, 2900.0))
    assert describe(twelve, twelve.levels) == "16 bits, levels 200–2,900 in use (4.1%), brought to 0–1"
    assert describe(twelve, None) == "16 bits, levels 200–2,900 in use (4.1%), the whole scale is kept"
    assert describe(twelve, (0, 4095)).endswith("in use (4.1%), levels 0–4,095 brought to 0–1")
    assert describe(Measured(8, FULL), None) == "8 bits, the whole scale is kept"


@pytest.mark.parametrize("given", ["half", "[4095, 0]", "[0, 70000]", "[1]", "[a, b]", "5"])
def test_a_wrong_range_in_the_configuration_is_one_sentence(given: str) -> None:
    text = f"{{name: x, data: {{source: padsd, range: {given}}}}}"
    with pytest.raises(UserError, match=r"data\.range = .*; expected auto, full or \[low, high\]"):
        parse_experiment(text)


def found(folder: Path, kind: str) -> Finding | None:
    manifest = load_manifest(f"folder:path={folder}", Data(source="x"), seed=0, as_released=True)
    return audit(manifest, progress=lambda *_: None).found(kind)


def classes_of(folder: Path, **images: np.ndarray) -> Path:
    for name, some in images.items():
        manifest_of(folder / name, some)
    return folder


def test_the_audit_states_the_range_in_use(tmp_path: Path) -> None:
    finding = found(classes_of(tmp_path, ill=TWELVE_BITS, well=TWELVE_BITS[::-1, ::-1]), "intensity range")
    assert finding is not None
    assert finding.weight == "note"
    assert "16 bits, levels" in finding.sentence
    assert "brought to 0–1 (data.range)" in finding.sentence


def test_the_audit_of_eight_bits_has_nothing_to_say_of_ranges(tmp_path: Path) -> None:
    folder = classes_of(tmp_path, ill=TWELVE_BITS.astype(np.uint8), well=TWELVE_BITS[:, ::-1].astype(np.uint8))
    for kind in ("intensity range", "mixed depths", "mixed ranges", "mixed windows"):
        assert found(folder, kind) is None


def test_two_depths_are_a_problem_where_they_go_with_the_class_and_a_note_where_not(tmp_path: Path) -> None:
    shallow = (TWELVE_BITS // 16).astype(np.uint8)
    with_class = found(classes_of(tmp_path / "a", ill=shallow, well=TWELVE_BITS[::-1] * 16), "mixed depths")
    assert with_class is not None
    assert with_class.weight == "problem"
    assert "20 of 40 images are of 8 bits, others of 16: 0% of well, 100% of ill" in with_class.sentence
    mixed = tmp_path / "b"
    for name, turn in (("ill", 1), ("well", 2)):
        for number, image in enumerate(TWELVE_BITS):
            (mixed / name).mkdir(parents=True, exist_ok=True)
            deep = np.rot90(image, turn) * 16
            save(mixed / name / f"{number}.png", (deep // 256).astype(np.uint8) if number % 2 else deep)
    without = found(mixed, "mixed depths")
    assert without is not None
    assert without.weight == "note"


def test_two_ranges_of_one_depth_are_found(tmp_path: Path) -> None:
    finding = found(classes_of(tmp_path, ill=TWELVE_BITS, well=TWELVE_BITS[::-1] * 16), "mixed ranges")
    assert finding is not None
    assert finding.weight == "problem"
    assert "20 of 40 images stay below 1/8 of what others reach" in finding.sentence
