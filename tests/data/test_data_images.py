from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hybridq.data.images import load_image_files, load_images
from hybridq.data.manifest import Manifest
from hybridq.errors import UserError

RAMP = np.add.outer(np.arange(32), np.arange(32)).astype(np.uint8) * 4


def save(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def test_greyscale_at_the_right_size_is_read_unchanged(tmp_path: Path) -> None:
    images = load_image_files([save(tmp_path / "a.png", RAMP), save(tmp_path / "b.png", RAMP.T[::-1])], 32)
    assert images.dtype == np.uint8
    assert (images == np.stack([RAMP, RAMP.T[::-1]])).all()


def test_equal_channels_read_as_greyscale(tmp_path: Path) -> None:
    assert (load_image_files([save(tmp_path / "a.png", np.dstack([RAMP] * 3))], 32)[0] == RAMP).all()


def test_colour_becomes_luminance(tmp_path: Path) -> None:
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 255
    assert (load_image_files([save(tmp_path / "a.png", red)], 32) == 76).all()


def test_a_palette_is_resolved_to_its_colours(tmp_path: Path) -> None:
    image = Image.new("P", (32, 32), 7)
    image.putpalette([0, 0, 0] * 7 + [200, 200, 200])
    image.save(tmp_path / "a.png")
    assert (load_image_files([tmp_path / "a.png"], 32) == 200).all()


def test_16_bits_map_their_full_range(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", RAMP.astype(np.uint16) * 257)
    assert (load_image_files([path], 32)[0] == RAMP).all()


def test_jpeg_is_read(tmp_path: Path) -> None:
    loaded = load_image_files([save(tmp_path / "a.jpg", RAMP)], 32)[0]
    assert np.abs(loaded.astype(int) - RAMP).mean() < 3


def test_any_size_and_shape_becomes_a_square(tmp_path: Path) -> None:
    stripes = np.zeros((50, 120), np.uint8)
    stripes[:, 60:] = 200
    image = load_image_files([save(tmp_path / "a.png", stripes)], 16)[0]
    assert image.shape == (16, 16)
    assert (image[:, :7] == 0).all()
    assert (image[:, 9:] == 200).all()


def test_shrinking_averages_instead_of_picking_pixels(tmp_path: Path) -> None:
    checkers = (np.indices((256, 256)).sum(axis=0) % 2 * 255).astype(np.uint8)
    image = load_image_files([save(tmp_path / "a.png", checkers)], 16)[0]
    assert np.abs(image.astype(int) - 128).max() <= 6


def test_progress_reaches_the_number_of_files(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    paths = [save(tmp_path / f"{number}.png", RAMP) for number in range(70)]
    load_image_files(paths, 16, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (70, 70)
    assert len(seen) > 1


def _truncated(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    save(path, noise)
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("empty.png", lambda path: path.write_bytes(b""), "is empty"),
        ("text.png", lambda path: path.write_text("not an image"), "is not a PNG or JPEG image"),
        ("short.png", _truncated, "cannot be decoded"),
        ("short.jpg", _truncated, "cannot be decoded"),
        ("missing.png", lambda path: None, "no such file"),
        ("folder.png", lambda path: path.mkdir(), "is a folder"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, name: str, make, message: str) -> None:  # type: ignore[no-untyped-def]
    make(tmp_path / name)
    good = save(tmp_path / "good.png", RAMP)
    with pytest.raises(UserError, match=f"{name}.*{message}") as caught:
        load_image_files([good, tmp_path / name], 32)
    assert "\n" not in str(caught.value)
    assert "good.png" not in str(caught.value)


def test_bad_files_are_collected_up_to_ten(tmp_path: Path) -> None:
    paths = [tmp_path / f"image-{number:02}.png" for number in range(12)]
    with pytest.raises(UserError, match=r"image-00.*image-09.*and 2 more$") as caught:
        load_image_files(paths, 32)
    assert "image-10" not in str(caught.value)


def test_chosen_rows_are_loaded_in_their_order(tmp_path: Path) -> None:
    levels = [10, 60, 110]
    rows = [(str(n), str(save(tmp_path / f"{n}.png", np.full((20, 20), n, np.uint8))), -1, "", "train") for n in levels]
    table = pd.DataFrame(rows, columns=["id", "path", "label", "group", "split"])
    manifest = Manifest("folder:path=x", table, ())
    assert load_images(manifest, 16)[:, 0, 0].tolist() == levels
    assert load_images(manifest, 16, rows=manifest.table.iloc[[2, 0]])[:, 0, 0].tolist() == [110, 10]
