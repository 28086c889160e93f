"""Hundreds of damaged and odd files and manifests: named in one sentence each, never a crash, nothing left behind."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dicom_files import write_dicom
from pictures import COLOUR, DEEP, DEEP_COLOUR, GREY, GREY_ALPHA, RAMP, RGB, png, unlabelled
from PIL import Image

from hybridq.config import Data
from hybridq.data.decoding import Unreadable
from hybridq.data.images.cache import open_images
from hybridq.data.images.images import map_images
from hybridq.data.manifest import SPLITS
from hybridq.data.pixels import Pixels
from hybridq.data.sources import load_manifest
from hybridq.errors import UserError

NOISE = np.random.default_rng(5).integers(0, 256, (40, 48)).astype(np.uint8)


def encoded(pixels: np.ndarray, kind: str, mode: str | None = None, **options: object) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


def dicom(folder: Path, pixels: np.ndarray | None, **elements: object) -> bytes:
    write_dicom(folder / "made.dcm", pixels, **elements)  # type: ignore[arg-type]
    return (folder / "made.dcm").read_bytes()


GOOD: dict[str, bytes] = {
    "grey.png": encoded(NOISE, "PNG"),
    "deep.png": encoded(DEEP, "PNG"),
    "deep-colour.png": png(DEEP_COLOUR, RGB),
    "palette.png": encoded(COLOUR, "PNG", "P"),
    "grey.jpg": encoded(NOISE, "JPEG"),
    "cmyk.jpg": encoded(COLOUR, "JPEG", "CMYK"),
    "progressive.jpg": encoded(NOISE, "JPEG", progressive=True),
    "plain.tif": encoded(DEEP, "TIFF"),
    "lzw.tif": encoded(NOISE, "TIFF", compression="tiff_lzw"),
}
CUTS = (0.02, 0.1, 0.3, 0.5, 0.6, 0.7, 0.85)
FLIPS = range(10)

REFUSED: dict[str, bytes] = {
    f"cut-{int(100 * cut)}-{name}": content[: int(cut * len(content))] for name, content in GOOD.items() for cut in CUTS
} | {
    "empty.png": b"",
    "empty.jpg": b"",
    "empty.tif": b"",
    "one-byte.png": b"\x89",
    "text.png": b"patient,label\n1,2\n",
    "text.jpg": "für später".encode(),
    "text.tif": b"II",
    "page.png": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
    "lfs.png": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n",
    "zeros.png": bytes(4096),
    "ones.jpg": b"\xff" * 4096,
    "noise.png": np.random.default_rng(0).bytes(4096),
    "noise.tif": b"II*\0" + np.random.default_rng(0).bytes(4096),
    "noise.jpg": b"\xff\xd8\xff" + np.random.default_rng(0).bytes(4096),
    "head.png": b"\x89PNG\r\n\x1a\n" + np.random.default_rng(0).bytes(400),
    "pdf.png": b"%PDF-1.4\n",
    "archive.png": b"PK\x03\x04" + bytes(100),
    "animated.png": encoded(RAMP, "PNG", save_all=True, append_images=[Image.fromarray(RAMP.T.copy())]),
    "pages.tif": encoded(RAMP, "TIFF", save_all=True, append_images=[Image.fromarray(DEEP)]),
    "bomb.png": png(RAMP, GREY, claimed=(50_000, 50_000)),
    "small-bomb.png": png(RAMP, GREY, claimed=(12_000, 12_000)),
    "wide-bomb.png": png(RAMP, GREY, claimed=(2**31 - 1, 1)),
    "no-width.png": png(RAMP, GREY, claimed=(0, 32)),
    "text-bomb.png": png(RAMP, GREY).replace(b"IDAT", b"zTXt", 1),
    "deep-alpha.png": png(np.dstack([DEEP, DEEP]), GREY_ALPHA),
    "float.tif": encoded(NOISE.astype(np.float32), "TIFF"),
    "signed.tif": encoded(NOISE.astype(np.int32) - 200, "TIFF"),
    "far.tif": encoded(NOISE.astype(np.int32) * 9999, "TIFF"),
    "not-dicom.dcm": b"DICOM" * 100,
    "empty-dicom.dcm": bytes(128) + b"DICM",
    "dicom.png": bytes(128) + b"DICM" + bytes(64),
}
ODD: dict[str, bytes] = {f"flip-{seed}-{name}": bytes(content) for name, content in GOOD.items() for seed in FLIPS} | {
    "long.png": encoded(np.zeros((1, 30_000), np.uint8), "PNG"),
    "tall.jpg": encoded(np.zeros((30_000, 1), np.uint8), "JPEG"),
    "dot.png": encoded(np.zeros((1, 1), np.uint8), "PNG"),
    "png.jpg": GOOD["grey.png"],
    "jpg.png": GOOD["grey.jpg"],
    "tiff.png": GOOD["plain.tif"],
    "name with spaces, and commas.png": GOOD["grey.png"],
    "line\nbreak.png": GOOD["grey.png"],
    "röntgen-肺.png": GOOD["grey.png"],
    "tab\t\x1b[31mred.png": GOOD["grey.png"],
    "gif.png": encoded(NOISE, "GIF"),
    "bmp.png": encoded(NOISE, "BMP"),
    "webp.png": encoded(NOISE, "WEBP"),
    "trailing.png": GOOD["grey.png"] + b"more",
}


def flipped(content: bytes, seed: int) -> bytes:
    """With one bit in a thousand, at least one, the other way round."""
    rng = np.random.default_rng(seed)
    data = bytearray(content)
    for place in rng.integers(8, len(data), max(1, len(data) // 125)):
        data[place] ^= 1 << int(rng.integers(8))
    return bytes(data)


def looked_at(pixels: Pixels) -> tuple[tuple[int, ...], str]:
    return pixels.shape, str(pixels.dtype)


def one_sentence(text: str) -> bool:
    return text.isprintable() and "Traceback" not in text


def what_became_of(path: Path) -> object:
    (found,) = map_images(unlabelled([path]), looked_at, errors="yield")
    if isinstance(found, Unreadable):
        assert found.path == str(path) or found.path.startswith("DICOM image ")  # names may be those of patients
        assert found.reason
        assert one_sentence(str(found))
    return found


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_file_is_named_in_one_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(REFUSED[name])
    assert isinstance(what_became_of(tmp_path / name), Unreadable)


@pytest.mark.parametrize("name", ODD)
def test_an_odd_file_is_read_or_named_in_one_sentence(tmp_path: Path, name: str) -> None:
    content = flipped(ODD[name], int(name.split("-")[1])) if name.startswith("flip-") else ODD[name]
    (tmp_path / name).write_bytes(content)
    found = what_became_of(tmp_path / name)
    assert name.startswith("flip-") or not isinstance(found, Unreadable)


@pytest.mark.parametrize(
    "elements",
    [
        {"PixelData": None},
        {"Rows": None},
        {"Columns": 0},
        {"Rows": 60_000, "Columns": 60_000},
        {"BitsAllocated": 7},
        {"BitsStored": 0},
        {"PhotometricInterpretation": "MAGIC"},
        {"NumberOfFrames": 2},
        {"SamplesPerPixel": None},
    ],
    ids=str,
)
def test_a_dicom_file_without_a_whole_image_is_named(tmp_path: Path, elements: dict[str, object]) -> None:
    dicom(tmp_path, NOISE, **elements)
    assert isinstance(what_became_of(tmp_path / "made.dcm"), Unreadable)


@pytest.mark.parametrize("cut", [0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95])
def test_a_truncated_dicom_file_is_named(tmp_path: Path, cut: float) -> None:
    content = dicom(tmp_path, NOISE)
    (tmp_path / "made.dcm").write_bytes(content[: int(cut * len(content))])
    assert isinstance(what_became_of(tmp_path / "made.dcm"), Unreadable)


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_dicom_file_is_read_or_named(tmp_path: Path, seed: int) -> None:
    (tmp_path / "bad.dcm").write_bytes(flipped(dicom(tmp_path, NOISE), seed))
    what_became_of(tmp_path / "bad.dcm")


def test_at_least_two_hundred_bad_files_and_manifests_are_tried() -> None:
    assert len(REFUSED) + len(ODD) + len(MANIFESTS) + len(FOLDERS) >= 200


def test_all_of_them_together_are_collected_and_leave_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRIDQ_CACHE_DIR", str(tmp_path / "cache"))
    for name, content in (GOOD | REFUSED).items():
        (tmp_path / name).write_bytes(content)
    manifest = unlabelled([tmp_path / name for name in GOOD | REFUSED])
    with pytest.raises(UserError) as caught:
        open_images(manifest, Data(source="x", size=16))
    assert str(caught.value).count("; ") == 10
    assert str(caught.value).endswith(f"; and {len(REFUSED) - 10} more")
    assert one_sentence(str(caught.value).replace(str(tmp_path), ""))
    assert [path for path in tmp_path.glob("cache/images/*") if path.suffix != ".lock"] == []


# Manifests


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with pictures a0.png … a9.png and b0.png … b9.png, beside one that lies outside."""
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "outside.png").write_bytes(GOOD["grey.png"])
    for name in (f"{kind}{number}.png" for kind in "ab" for number in range(10)):
        (folder / name).write_bytes(GOOD["grey.png"])
    return folder


def rows(count: int = 10) -> list[str]:
    return [f"{kind}{number}.png,{kind}" for kind in "ab" for number in range(count)]


def table(*more: str, header: str = "path,label") -> bytes:
    return listed(header, *rows(), *more)


def listed(header: str, *lines: str) -> bytes:
    return "\n".join([header, *lines, ""]).encode()


def in_training(lines: list[str]) -> list[str]:
    return [f"{line},train" for line in lines]


MANIFESTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "header only": (b"path,label\n", "lists no images"),
    "blank lines": (b"\n\n\n", "is empty"),
    "no path column": (table(header="file,label"), "has no column path"),
    "two paths": (table(header="path,PATH"), "the columns path, PATH may each be the path"),
    "binary": (np.random.default_rng(0).bytes(500), "is not a readable CSV file"),
    "a picture": (GOOD["grey.png"], "is not a readable CSV file"),
    "UTF-16 cut in two": (table().decode().encode("utf-16")[:-1], "is not a readable CSV file"),
    "Latin 1": ("path,label\nröntgen.png,a\n".encode("latin-1"), "files do not exist"),
    "a workbook": (b"PK\x03\x04" + bytes(100), "save the sheet as CSV"),
    "too many fields": (table("a1.png,b,c,d"), "is not a readable CSV file"),
    "open quote": (table('"a1.png,b'), "is not a readable CSV file"),
    "NUL": (table("c\0.png,a"), r"\x00"),
    "repeated path": (table("a3.png,a"), "a3.png is listed more than once"),
    "repeated by another way": (table("./a3.png,a"), "a3.png is listed more than once"),
    "repeated through a folder": (table("x/../a3.png,b"), "a3.png is listed more than once"),
    "missing file": (table("c1.png,a"), "c1.png"),
    "a folder": (table(".,a"), "files do not exist"),
    "no path": (table(",a"), "path"),
    "no label": (table("a1.png,", "b1.png,None"), "2 of 22 images have no label (row 21: empty, row 22: None)"),
    "one label": (b"path,label\na1.png,a\na2.png,a\n", "at least two classes are needed"),
    "a label of blanks": (b"path,label\na1.png, \nb1.png,b\n", "has no label"),
    "above": (table("../outside.png,a"), "../outside.png lies outside"),
    "far above": (table("../../../../../../../../etc/passwd,a"), "lies outside"),
    "absolute": (table("/etc/passwd,a"), "is an absolute path"),
    "back in and out": (table("x/../../outside.png,a"), "../outside.png lies outside"),
    "link out": (table("link.png,a"), "link.png lies outside"),
    "link to a folder out": (table("up/outside.png,a"), "up/outside.png lies outside"),
    "loop": (table("loop.png,a"), "loop.png"),
    "line break in a name": (table('"c\nd.png",a'), r"c\nd.png"),
    "escape in a name": (table("c\x1b[31m.png,a"), r"\x1b[31m"),
    "unknown split": (
        listed("path,label,split", *in_training(rows(9)), "a9.png,a,later", "b9.png,b,holdout"),
        "split = holdout, later; allowed: train, validation, test",
    ),
    "some splits": (listed("path,label,split", "a1.png,a,train", "b1.png,b,"), "has no split"),
    "no test images": (listed("path,label,split", *in_training(rows())), "split validation holds no images"),
    "everything at once": (
        table(
            ",a", "/x.png,a", "../x.png,a", "../y.png,a", "a1.png,a", "b1.png,b", *(f"c{n}.png,a" for n in range(12))
        ),
        "row 21 has no path; /x.png is an absolute path; paths are relative to the folder of the file; ../x.png, "
        "../y.png lie outside the folder of the file; a1.png, b1.png are listed more than once; "
        "12 of 37 files do not exist in",
    ),
    "many missing": (table(*(f"c{n}.png,a" for n in range(12))), "c8.png, c9.png and 2 more"),
    "a split without a class": (
        listed("path,label,split", *in_training(rows(3)), "a4.png,a,val", "a5.png,a,test"),
        "split validation holds no b image",
    ),
    "a patient in two splits": (
        listed(
            "path,label,patient,split",
            *(f"{kind}{n}.png,{kind},p{n},{split}" for n, split in enumerate(SPLITS) for kind in "ab"),
            "a5.png,a,p0,test",
        ),
        "1 patient with images in more than one split (p0)",
    ),
    "two patients": (
        listed("path,label,patient", *(f"{row},p{index % 2}" for index, row in enumerate(rows()))),
        "too few independent images or groups",
    ),
    "too few images": (b"path,label\na1.png,a\nb1.png,b\n", "too few independent images or groups"),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_bad_manifest_is_refused_in_one_sentence(pictures: Path, name: str) -> None:
    content, reason = MANIFESTS[name]
    (pictures / "link.png").symlink_to(pictures.parent / "outside.png")
    (pictures / "up").symlink_to(pictures.parent)
    (pictures / "loop.png").symlink_to(pictures / "loop.png")
    (pictures / "list.csv").write_bytes(content)
    source = f"manifest:path={pictures / 'list.csv'}"
    with pytest.raises(UserError) as caught:
        load_manifest(source, Data(source=source), seed=0)
    assert reason in str(caught.value)
    assert one_sentence(str(caught.value).replace(str(pictures), ""))


def test_paths_inside_are_taken_however_they_are_written(pictures: Path) -> None:
    (pictures / "inside.png").symlink_to(pictures / "a0.png")
    (pictures / "list.csv").write_bytes(table("../data/inside.png,a"))
    source = f"manifest:path={pictures / 'list.csv'}"
    assert len(load_manifest(source, Data(source=source), seed=0).table) == 21


Spoil = Callable[[Path], object]
FOLDERS: dict[str, tuple[Spoil, str]] = {
    "a broken link": (lambda kind: (kind / "x.png").symlink_to("nowhere.png"), "x.png: no such file"),
    "a link to itself": (lambda kind: (kind / "x.png").symlink_to("x.png"), "x.png: cannot be read"),
    "a link to a folder": (lambda kind: (kind / "x.png").symlink_to(kind), "x.png: is a folder"),
    "a pipe": (lambda kind: os.mkfifo(kind / "x.png"), "x.png: is not a regular file"),
    "text": (lambda kind: (kind / "x\ny.png").write_text("x"), r"x\ny.png: is not a PNG"),
    "undecodable name": (
        lambda kind: Path(os.fsdecode(os.fsencode(kind) + b"/\xff.png")).write_bytes(b""),
        "udcff.png",
    ),
    "a class that leads nowhere": (lambda kind: kind.with_name("c").symlink_to("nowhere"), "c is a link that leads"),
    "a class that leads to itself": (lambda kind: kind.with_name("c").symlink_to("c"), "c is a link that leads"),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_bad_folder_is_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    spoil, reason = FOLDERS[name]
    for kind in "ab":
        (tmp_path / kind).mkdir()
        for number in range(8):
            (tmp_path / kind / f"{number}.png").write_bytes(GOOD["grey.png"])
    spoil(tmp_path / "b")
    data = Data(source=f"folder:path={tmp_path}", size=16)
    with pytest.raises(UserError) as caught:
        open_images(load_manifest(data.source, data, seed=0), data)
    assert reason in str(caught.value)
    assert one_sentence(str(caught.value))


def test_training_on_bad_files_says_so_in_one_sentence_and_makes_no_run(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for kind in "ab":
        (tmp_path / "data" / kind).mkdir(parents=True)
        for number in range(8):
            different = rng.integers(0, 256, (32, 32)).astype(np.uint8)
            (tmp_path / "data" / kind / f"{number}.png").write_bytes(encoded(different, "PNG"))
    for name in ("cut-50-deep.png", "text.png", "bomb.png"):
        (tmp_path / "data" / "b" / name).write_bytes(REFUSED[name])
    (tmp_path / "bad.yaml").write_text(
        f"name: bad\ndata: {{source: 'folder:path={tmp_path}/data,positive=b', size: 32}}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "hybridq", "train", "bad.yaml"],
        cwd=tmp_path,
        env=os.environ | {"HYBRIDQ_CACHE_DIR": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    (sentence,) = (done.stdout + done.stderr).strip().splitlines()
    for name in ("cut-50-deep.png: cannot be decoded", "text.png: is not a PNG", "bomb.png: claims"):
        assert name in sentence
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.yaml", "cache", "data"]
    assert not list(tmp_path.glob("cache/images/*/"))
