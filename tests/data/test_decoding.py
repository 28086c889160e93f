from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pictures import COLOUR, DEEP, DEEP_COLOUR, GREY, GREY_ALPHA, RAMP, RGB, RGBA, png, save
from PIL import Image

from hybridq.data.decoding import Unreadable, as_sixteen_bits, decode_file, fit

UPRIGHT_IS_TURNED = 6
"""EXIF orientation of a picture that was taken with the camera turned by a quarter."""


def decoded(path: Path, frame: int | None = None) -> np.ndarray:
    pixels = decode_file(str(path), frame)
    assert not isinstance(pixels, Unreadable), pixels
    return pixels


def refusal(path: Path, frame: int | None = None) -> str:
    found = decode_file(str(path), frame)
    assert isinstance(found, Unreadable)
    assert found.path == str(path)
    assert "\n" not in str(found)
    return found.reason


def same(first: np.ndarray, second: np.ndarray) -> bool:
    return first.dtype == second.dtype and np.array_equal(first, second)


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("pixels", [RAMP, COLOUR, DEEP], ids=["grey", "colour", "16-bit grey"])
def test_lossless_files_keep_their_pixels_and_depth(tmp_path: Path, pixels: np.ndarray, ending: str) -> None:
    assert same(decoded(save(tmp_path / f"a.{ending}", pixels)), pixels)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_compressed_tiff_of_16_bits_keeps_its_pixels(tmp_path: Path, compression: str | None) -> None:
    assert same(decoded(save(tmp_path / "a.tif", DEEP, compression=compression)), DEEP)


def test_16_bit_colour_keeps_its_depth(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(DEEP_COLOUR, RGB))
    assert same(decoded(tmp_path / "a.png"), DEEP_COLOUR)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_16_bit_colour_tiff_keeps_its_depth(tmp_path: Path, byteorder: str, compression: str | None, tile) -> None:  # type: ignore[no-untyped-def]
    tifffile = pytest.importorskip("tifffile")
    options = {"byteorder": byteorder, "compression": compression, "tile": tile, "photometric": "rgb"}
    tifffile.imwrite(tmp_path / "a.tif", DEEP_COLOUR, **options)
    assert same(decoded(tmp_path / "a.tif"), DEEP_COLOUR)


def test_16_bit_tiff_with_white_at_zero_is_turned_over(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "a.tif", DEEP, photometric="miniswhite")
    assert same(decoded(tmp_path / "a.tif"), 65535 - DEEP)


def test_transparency_is_dropped(tmp_path: Path) -> None:
    alpha = np.full_like(RAMP, 7)
    assert same(decoded(save(tmp_path / "a.png", np.dstack([RAMP, alpha]))), RAMP)
    assert same(decoded(save(tmp_path / "b.png", np.dstack([COLOUR, alpha]))), COLOUR)
    (tmp_path / "c.png").write_bytes(png(np.dstack([DEEP_COLOUR, DEEP_COLOUR[..., 0]]), RGBA))
    assert same(decoded(tmp_path / "c.png"), DEEP_COLOUR)


def test_a_palette_is_resolved_to_its_colours(tmp_path: Path) -> None:
    image = Image.new("P", (32, 32), 7)
    image.putpalette([0, 0, 0] * 7 + [200, 100, 50])
    image.save(tmp_path / "a.png")
    assert (decoded(tmp_path / "a.png") == [200, 100, 50]).all()


@pytest.mark.parametrize("ending", ["jpg", "tif"])
def test_cmyk_becomes_rgb(tmp_path: Path, ending: str) -> None:
    Image.fromarray(COLOUR).convert("CMYK").save(tmp_path / f"a.{ending}")
    assert np.abs(decoded(tmp_path / f"a.{ending}").astype(int) - COLOUR).mean() < 4


def test_one_bit_becomes_black_and_white(tmp_path: Path) -> None:
    Image.fromarray(RAMP > 100).save(tmp_path / "a.png")
    assert same(decoded(tmp_path / "a.png"), (RAMP > 100).astype(np.uint8) * np.uint8(255))


@pytest.mark.parametrize("ending", ["png", "tif", "jpg"])
def test_the_orientation_that_a_camera_wrote_is_applied(tmp_path: Path, ending: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = UPRIGHT_IS_TURNED
    save(tmp_path / f"a.{ending}", COLOUR[:20], exif=exif)
    turned = decoded(tmp_path / f"a.{ending}")
    assert turned.shape == (32, 20, 3)
    assert np.abs(turned.astype(int) - np.rot90(COLOUR[:20], -1)).mean() < 8  # what is left is JPEG's


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_a_file_of_several_images_is_read_only_by_frame(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    Image.fromarray(RAMP).save(path, save_all=True, append_images=[Image.fromarray(RAMP.T[::-1].copy())])
    assert refusal(path).startswith("holds 2 images")
    assert same(decoded(path, 0), RAMP)
    assert same(decoded(path, 1), RAMP.T[::-1])
    assert refusal(path, 2) == "has no frame 2; it holds 2"


def test_a_photo_with_a_preview_in_it_is_one_image(tmp_path: Path) -> None:
    Image.fromarray(COLOUR).save(
        tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[Image.fromarray(COLOUR)]
    )
    assert decoded(tmp_path / "a.jpg").shape == COLOUR.shape


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (png(np.dstack([DEEP, DEEP]), GREY_ALPHA), "has 16 bits a channel in a layout that would be cut to 8"),
        (png(RAMP, GREY, claimed=(60_000, 60_000)), "claims more than"),
        (png(RAMP, GREY, claimed=(9_000, 9_000)), "claims 9,000 × 9,000 pixels; at most"),
        (b"", "is empty"),
        (b"not an image", "is not a PNG, JPEG, TIFF, BMP, WebP, GIF, JPEG 2000, PNM or DICOM image"),
        (png(RAMP, GREY)[:90], "cannot be decoded"),
    ],
)
def test_what_cannot_be_read_rightly_is_refused_with_the_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    assert reason in refusal(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (RAMP.astype(np.float32), "has floating-point pixels"),
        (RAMP.astype(np.int32) * 1000, "32-bit intensities outside 0–65535"),
        (RAMP.astype(np.int32) - 9, "has signed"),
    ],
)
def test_other_depths_are_refused(tmp_path: Path, pixels: np.ndarray, reason: str) -> None:
    assert reason in refusal(save(tmp_path / "a.tif", pixels))


def test_32_bits_that_hold_16_are_read(tmp_path: Path) -> None:
    assert same(decoded(save(tmp_path / "a.tif", DEEP.astype(np.int32))), DEEP)


def test_paths_that_are_no_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    assert refusal(tmp_path / "missing.png") == "no such file"
    assert refusal(tmp_path).startswith("is a folder")
    assert "symbolic links" in refusal(tmp_path / "loop.png")
    assert "null byte" in decode_file("a\0.png").reason  # type: ignore[union-attr]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "a.png")
    assert refusal(tmp_path / "a.png").startswith("is not a regular file")


def test_a_name_with_a_line_break_is_shown_in_one_line() -> None:
    assert str(decode_file("a\nb.png")) == r"a\nb.png: no such file"


# To a network's size and channels


@pytest.mark.parametrize("pixels", [RAMP, COLOUR, DEEP, DEEP_COLOUR], ids=["grey", "colour", "deep", "deep colour"])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_image_becomes_a_square_of_its_own_depth(pixels: np.ndarray, channels: int) -> None:
    fitted = fit(pixels, 16, channels)
    assert fitted.shape == (channels, 16, 16)
    assert fitted.dtype == pixels.dtype


def test_an_image_of_the_right_size_stays_as_it_is() -> None:
    assert same(fit(RAMP, 32, 1)[0], RAMP)
    assert same(fit(DEEP, 32, 1)[0], DEEP)
    assert same(np.moveaxis(fit(COLOUR, 32, 3), 0, 2), COLOUR)


def test_grey_is_repeated_for_three_channels() -> None:
    assert (fit(RAMP, 32, 3) == RAMP).all()


def test_colour_becomes_luminance_for_one_channel() -> None:
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 255
    assert (fit(red, 32, 1) == 76).all()
    assert (fit(as_sixteen_bits(red), 32, 1) == round(0.299 * 65535)).all()
    assert same(fit(np.dstack([RAMP] * 3), 32, 1)[0], RAMP)


@pytest.mark.parametrize("deep", [False, True])
def test_shrinking_averages_instead_of_picking_pixels(deep: bool) -> None:
    checkers = (np.indices((256, 256)).sum(axis=0) % 2 * 255).astype(np.uint8)
    shrunk = fit(as_sixteen_bits(checkers) if deep else checkers, 16, 1)
    assert np.abs(shrunk / (257 if deep else 1) - 127.5).max() <= 6


@pytest.mark.parametrize("shape", [(1, 30_000), (30_000, 1), (1, 1)])
def test_extreme_shapes_become_squares(shape: tuple[int, int]) -> None:
    assert (fit(np.full(shape, 90, np.uint8), 16, 3) == 90).all()


def test_16_bits_are_resized_as_8_bits_are() -> None:
    shallow, deep = fit(RAMP, 11, 1), fit(as_sixteen_bits(RAMP), 11, 1)
    assert np.abs(deep / 257 - shallow).max() <= 1
