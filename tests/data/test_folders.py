"""Folders of images as they come: parts in other words, patients in folders, other files between the images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hybridq.config import Data
from hybridq.data.decoding import Unreadable, decode_file
from hybridq.data.manifest import Manifest
from hybridq.data.sources import load_manifest
from hybridq.errors import UserError

RAMP = np.add.outer(np.arange(24), np.arange(32)).astype(np.uint8) * 4


def fill(root: Path, folders: dict[str, int], ending: str = ".png") -> None:
    for name, count in folders.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            Image.new("L", (8, 8)).save(root / name / f"{number:02}{ending}")


def load(root: Path, more: str = "", **keys: object) -> Manifest:
    source = f"folder:path={root}{more}"
    return load_manifest(source, Data(source=source), seed=0, **keys)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("train", "val", "test"),
        ("Train", "Validation", "Test"),
        ("TRAIN", "VALID", "TEST"),
        ("Training", "valid", "Testing"),
        ("training", "dev", "test"),
    ],
)
def test_parts_are_known_by_several_words_in_any_case(tmp_path: Path, train: str, validation: str, test: str) -> None:
    for name, count in ((train, 5), (validation, 2), (test, 3)):
        fill(tmp_path, {f"{name}/healthy": count, f"{name}/sick": count})
    counts = load(tmp_path).counts()
    assert counts["healthy"].to_dict() == counts["sick"].to_dict() == {"train": 5, "validation": 2, "test": 3}


def test_two_folders_for_one_part_are_refused(tmp_path: Path) -> None:
    fill(tmp_path, {"Train/a": 3, "training/a": 3, "test/a": 3})
    with pytest.raises(UserError, match="has both Train and training; one of them is the train part"):
        load(tmp_path)


@pytest.mark.parametrize("layout", ["{kind}", "train/{kind}"])
def test_what_systems_leave_behind_is_passed_over_everywhere(tmp_path: Path, layout: str) -> None:
    fill(tmp_path, {layout.format(kind=kind): 10 for kind in ("healthy", "sick")})
    if "train" in layout:
        fill(tmp_path, {f"{part}/{kind}": 4 for part in ("val", "test") for kind in ("healthy", "sick")})
    clean = load(tmp_path)
    for around in (tmp_path, *[path for path in tmp_path.rglob("*") if path.is_dir()]):
        fill(around, {"__MACOSX": 1, ".cache": 1})
        for name in (".DS_Store", "._00.png", "Thumbs.db", "desktop.ini"):
            (around / name).write_bytes(b"x")
    littered = load(tmp_path)
    assert littered.table.equals(clean.table)
    assert littered.notes == clean.notes


def test_what_is_left_out_is_counted_by_ending_and_place_on_one_line(tmp_path: Path) -> None:
    fill(tmp_path, {"healthy": 8, "sick": 8, "empty": 0})
    (tmp_path / "readme.md").write_text("x")
    Image.new("L", (8, 8)).save(tmp_path / "logo.png")
    for number in range(3):
        (tmp_path / "sick" / f"{number}.DCM").write_bytes(b"x")
    (tmp_path / "healthy" / "notes").write_text("x")
    fill(tmp_path, {"sick/old": 2, "sick/old/older/oldest": 4})
    notes = load(tmp_path).notes
    root = tmp_path.name
    assert (
        f"Left out: 3 .dcm in sick, 1 .md in {root}, beside the folders, 2 images in folders within sick, 4 images in "
        f"folders within sick/old, 1 image in {root}, beside the folders, 1 without an ending in healthy."
    ) in notes
    assert "Folders without images, which are no classes: empty." in notes
    assert len(load(tmp_path).table) == 16


def test_several_kinds_of_file_are_all_read_and_counted(tmp_path: Path) -> None:
    fill(tmp_path, {"healthy": 15, "sick": 15})
    for number, ending in enumerate((".bmp", ".webp", ".gif", ".jp2", ".pgm", ".TIF", ".jpeg")):
        Image.new("L", (8, 8)).save(tmp_path / "sick" / f"more{number}{ending}")
    manifest = load(tmp_path)
    assert len(manifest.table) == 37
    assert "The files are 1 .bmp, 1 .gif, 1 .jp2, 1 .jpeg, 1 .pgm, 30 .png, 1 .tif, 1 .webp." in manifest.notes


@pytest.mark.parametrize("ending", [".bmp", ".webp", ".gif", ".jp2", ".pgm", ".ppm"])
def test_the_pixels_of_every_kind_are_those_that_were_saved(tmp_path: Path, ending: str) -> None:
    colour = np.dstack([RAMP, RAMP // 2, 255 - RAMP])
    pixels = colour if ending in (".webp", ".ppm") else RAMP
    options: dict[str, object] = {"lossless": True} if ending == ".webp" else {}
    Image.fromarray(pixels).save(tmp_path / f"x{ending}", **options)  # type: ignore[arg-type]
    found = decode_file(str(tmp_path / f"x{ending}"))
    assert not isinstance(found, Unreadable)
    assert (found == pixels if found.ndim == pixels.ndim else found == pixels[..., None]).all()


def test_the_first_image_of_an_animated_gif_is_taken(tmp_path: Path) -> None:
    first, second = Image.fromarray(RAMP), Image.fromarray(255 - RAMP)
    first.save(tmp_path / "x.gif", save_all=True, append_images=[second])
    found = decode_file(str(tmp_path / "x.gif"))
    assert not isinstance(found, Unreadable)
    assert (found.reshape(24, 32, -1)[..., 0] == RAMP).all()


def test_sixteen_bits_are_kept_or_refused_and_never_cut(tmp_path: Path) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (8, 8)).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "x.jp2", irreversible=False)
    (tmp_path / "x.pgm").write_bytes(b"P5 8 8 65535\n" + deep.astype(">u2").tobytes())
    for name in ("x.jp2", "x.pgm"):
        found = decode_file(str(tmp_path / name))
        assert not isinstance(found, Unreadable)
        assert (found == deep).all()
    (tmp_path / "x.ppm").write_bytes(b"P6 2 2 65535\n" + bytes(24))
    refused = decode_file(str(tmp_path / "x.ppm"))
    assert isinstance(refused, Unreadable)
    assert refused.reason.startswith("has more than 8 bits a channel")


PATIENTS = {f"{kind}/{kind[0]}{number}": 3 for kind in ("healthy", "sick") for number in range(8)}


def test_folders_in_class_folders_are_patients(tmp_path: Path) -> None:
    fill(tmp_path, PATIENTS)
    manifest = load(tmp_path)
    assert manifest.classes == ("healthy", "sick")
    assert manifest.groups == "patient"
    assert manifest.table["group"].nunique() == 16
    assert manifest.table["id"].iloc[0] == "healthy/h0/00.png"
    assert (manifest.table.groupby("group")["split"].nunique() == 1).all()
    assert "The folders within class folders are taken for 16 patients (groups=none: for none)." in manifest.notes
    alone = load(tmp_path, ",groups=none")
    assert alone.groups == "none"
    assert len(alone.table) == 48
    assert any("names no patients" in note or "name no patients" in note for note in alone.notes)


def test_patients_are_kept_in_the_parts_that_folders_give(tmp_path: Path) -> None:
    for part in ("Train", "Val", "Test"):
        fill(tmp_path / part, {name.replace("/", f"/{part}-"): count for name, count in PATIENTS.items()})
    manifest = load(tmp_path)
    assert manifest.counts().to_numpy().tolist() == [[24, 24]] * 3
    assert manifest.table["group"].nunique() == 48
    fill(tmp_path, {"Test/sick/Train-s0": 1})
    with pytest.raises(UserError, match=r"1 patient with images in more than one split \(Train-s0\)"):
        load(tmp_path)


def test_a_patient_may_have_images_of_both_classes(tmp_path: Path) -> None:
    fill(tmp_path, PATIENTS | {"sick/h0": 2, "healthy/s1": 2})
    table = load(tmp_path).table
    assert table["group"].nunique() == 16
    assert table.loc[table["group"] == "h0", "label"].nunique() == 2
    assert table.loc[table["group"] == "h0", "split"].nunique() == 1


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (
            {"fold1/a": 5, "fold1/b": 5, "fold2/a": 5, "fold2/b": 5},
            r"fold1, fold2 hold folders of the same names \(a, b\)",
        ),
        ({"P1/benign": 2, "P2/benign": 2, "P3/malignant": 2, "P4/malignant": 2}, "folders of the same names"),
        (
            {"data/benign": 5, "data/malignant": 5},
            "all images lie in folders of data .benign, malignant.; .* name data",
        ),
        (
            {"healthy": 5, "sick/p1": 5, "sick/p2": 5},
            "all images of sick lie in folders within it, those of others do not",
        ),
    ],
)
def test_layouts_that_can_be_read_in_two_ways_are_refused(
    tmp_path: Path, folders: dict[str, int], message: str
) -> None:
    fill(tmp_path, folders)
    with pytest.raises(UserError, match=message):
        load(tmp_path)


def test_patients_are_numbered_alike_in_every_class_if_that_is_said(tmp_path: Path) -> None:
    fill(tmp_path, {f"{kind}/{number}": 3 for kind in ("healthy", "sick") for number in range(8)})
    with pytest.raises(UserError, match="may be classes or patients; groups=patient or groups=none says"):
        load(tmp_path)
    assert load(tmp_path, ",groups=patient").table["group"].nunique() == 8
    assert set(load(tmp_path, ",groups=none").table["group"]) == {""}


@pytest.mark.parametrize("end", ["_mask", "_seg", "_label", "-mask", " Mask_1", "_segmentation", "_GT"])
def test_masks_beside_their_images_are_named_and_left_out(tmp_path: Path, end: str) -> None:
    fill(tmp_path, {"healthy": 10, "sick": 10})
    for number in range(10):
        Image.new("L", (8, 8)).save(tmp_path / "sick" / f"{number:02}{end}.png")
    Image.new("L", (8, 8)).save(tmp_path / "sick" / f"alone{end}.png")
    manifest = load(tmp_path)
    assert manifest.counts().sum().to_dict() == {"healthy": 10, "sick": 11}
    (note,) = [note for note in manifest.notes if "masks" in note]
    assert note.startswith(f"10 files named like masks of others, such as sick/00{end}.png, are left out; masks=keep")
    assert load(tmp_path, ",masks=keep").counts().sum().to_dict() == {"healthy": 10, "sick": 21}


def test_an_unlabelled_folder_says_what_it_leaves_out(tmp_path: Path) -> None:
    fill(tmp_path, {"scans": 3})
    (tmp_path / "scans" / "list.csv").write_text("x")
    Image.new("L", (8, 8)).save(tmp_path / "scans" / "00_mask.png")
    manifest = load(tmp_path / "scans")
    assert len(manifest.table) == 3
    assert manifest.notes[0] == "Left out: 1 .csv in scans."
    assert "1 file named like a mask of others, such as 00_mask.png, is left out" in manifest.notes[1]


def test_folders_without_images_say_what_is_there(tmp_path: Path) -> None:
    fill(tmp_path, {"Train": 3, "Test": 2})
    with pytest.raises(
        UserError, match=r"holds no images; .*; it has the folders Test, Train and 2 images in Test.*3 images"
    ):
        load(tmp_path)


def test_what_a_finished_run_was_made_of_is_found_as_it_was(tmp_path: Path) -> None:
    fill(tmp_path, {"healthy": 5, "sick": 5, "sick/more": 5})
    for number in range(5):
        Image.new("L", (8, 8)).save(tmp_path / "sick" / f"{number:02}_mask.png")
    ids = load(tmp_path, again=True, classes=("healthy", "sick")).table["id"].tolist()
    assert ids == [f"healthy/{n:02}.png" for n in range(5)] + sorted(
        f"sick/{n:02}{end}.png" for n in range(5) for end in ("", "_mask")
    )
