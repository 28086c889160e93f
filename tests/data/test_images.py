from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from pictures import COLOUR, DEEP, RAMP, save, unlabelled
from PIL import Image

from hybridq.config import Data
from hybridq.data.images.images import Images, map_images
from hybridq.data.manifest import Manifest
from hybridq.data.pixels import Pixels
from hybridq.errors import UserError

DATA = Data(source="folder:path=pictures", size=16)


def shape_and_mean(pixels: Pixels) -> tuple[tuple[int, ...], float]:
    return pixels.shape, float(pixels.mean())


def test_every_image_is_given_at_its_own_size_and_depth_in_order(tmp_path: Path) -> None:
    pictures = [RAMP, COLOUR, DEEP, RAMP[:5]]
    manifest = unlabelled([save(tmp_path / f"{index}.png", pixels) for index, pixels in enumerate(pictures)])
    assert list(map_images(manifest, shape_and_mean)) == [shape_and_mean(pixels) for pixels in pictures]
    chosen = manifest.table.iloc[[3, 1]]
    assert list(map_images(manifest, shape_and_mean, rows=chosen)) == [shape_and_mean(p) for p in (RAMP[:5], COLOUR)]


def test_images_of_a_reader_are_given_likewise(tmp_path: Path) -> None:
    table = unlabelled([tmp_path / "a"] * 3).table.assign(path="")
    manifest = Manifest("made", table, (), read=lambda rows: (RAMP[: int(name) + 1] for name in rows["id"]))
    assert [shape for shape, _ in map_images(manifest, shape_and_mean)] == [(1, 32), (2, 32), (3, 32)]
    chosen = manifest.table.iloc[[2]]
    assert [shape for shape, _ in map_images(manifest, shape_and_mean, rows=chosen)] == [(3, 32)]


def test_frames_are_read_where_the_manifest_lists_them(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(RAMP).save(path, save_all=True, append_images=[Image.fromarray(RAMP[:7])])
    assert [shape for shape, _ in map_images(unlabelled([path] * 2, [1, 0]), shape_and_mean)] == [(7, 32), (32, 32)]
    with pytest.raises(UserError, match="holds 2 images"):
        list(map_images(unlabelled([path]), shape_and_mean))


def test_progress_reaches_the_number_of_images(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    manifest = unlabelled([save(tmp_path / f"{number}.png", RAMP) for number in range(70)])
    list(map_images(manifest, shape_and_mean, progress=lambda done, total: seen.append((done, total))))
    assert seen[-1] == (70, 70)
    assert len(seen) > 1


def test_bad_files_are_collected_up_to_ten(tmp_path: Path) -> None:
    good = save(tmp_path / "good.png", RAMP)
    manifest = unlabelled([good, *(tmp_path / f"image-{number:02}.png" for number in range(12)), good])
    with pytest.raises(UserError, match=r"image-00.png: no such file; .*image-09.png.*and 2 more$") as caught:
        list(map_images(manifest, shape_and_mean))
    assert "image-10" not in str(caught.value)
    assert "good" not in str(caught.value)


def test_bad_files_can_be_had_in_their_place(tmp_path: Path) -> None:
    good, bad = save(tmp_path / "good.png", RAMP), tmp_path / "bad.png"
    bad.write_text("text")
    found = list(map_images(unlabelled([good, bad, good]), shape_and_mean, errors="yield"))
    assert found[0] == found[2] == shape_and_mean(RAMP)
    assert str(found[1]) == f"{bad}: is not a PNG, JPEG, TIFF, BMP, WebP, GIF, JPEG 2000, PNM or DICOM image"


def test_a_view_reads_what_it_shows_and_nothing_else() -> None:
    pixels = np.arange(10 * 3 * 4 * 4, dtype=np.uint16).reshape(10, 3, 4, 4)
    images = Images(pixels)
    assert images.shape == (10, 3, 4, 4)
    assert images.dtype == np.uint16
    assert (images[[2, 0]] == pixels[[2, 0]]).all()
    view = images.view(np.array([7, 1, 4]))
    assert len(view) == 3
    assert (view[1:] == pixels[[1, 4]]).all()
    assert (view.view(np.array([True, False, True]))[:] == pixels[[7, 4]]).all()
    assert [len(some) for some in images.chunks(4)] == [4, 4, 2]


def test_all_processes_together_give_what_one_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    from hybridq.data.images import parallel

    def results(worth: float) -> list[int]:
        monkeypatch.setattr(parallel, "MEASURED_SECONDS", 0.0)
        monkeypatch.setattr(parallel, "WORTH_SECONDS", worth)
        return list(parallel.map_in_order(partial(pow, 3), range(200)))

    assert results(0.0) == results(float("inf")) == [3**number for number in range(200)]


def test_an_error_in_a_process_is_raised_here(monkeypatch: pytest.MonkeyPatch) -> None:
    from hybridq.data.images import parallel

    monkeypatch.setattr(parallel, "MEASURED_SECONDS", 0.0)
    monkeypatch.setattr(parallel, "WORTH_SECONDS", 0.0)
    with pytest.raises(ValueError, match="abc"):
        list(parallel.map_in_order(int, ["1", "2", "3", "abc", "4"]))
