from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from file_server import Behaviour, serving
from PIL import Image

from hybridq.data.sources import download_source
from hybridq.data.sources.support import releases
from hybridq.data.sources.support.releases import Release, digest_of, download_release
from hybridq.errors import UserError

COMMIT = "0aad5fcccdb0a02736296a8a1915e7e57e78be6f"
PICTURES = {f"A/train/{number}.png": np.full((4, 5), number, np.uint8) for number in range(6)}


def png(pixels: np.ndarray, **options: int) -> bytes:
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "PNG", **options)
    return written.getvalue()


def archive(pictures: dict[str, np.ndarray], *, comment: str = COMMIT, top: str = "repository-0aad5fc/") -> bytes:
    """As git makes it: one folder around everything, the commit in the comment, and files that are no images."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as file:
        file.writestr(f"{top}README.md", "about")
        for name, pixels in pictures.items():
            # The release stores three equal channels.
            file.writestr(top + name, png(np.stack([pixels] * 3, axis=2)))
        file.comment = comment.encode()
    return written.getvalue()


@pytest.fixture
def release(tmp_path: Path) -> Release:
    for name, pixels in PICTURES.items():
        path = tmp_path / "known" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(pixels))
    digest = digest_of(tmp_path / "known", ("A",), pixels=True)
    return Release("owner/repository", COMMIT, ("A",), len(PICTURES), digest, pixels=True)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "data" / "set"


def fetch(content: bytes, release: Release, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Behaviour(content, chunked=True)) as url:
        # The server answers every address with the archive.
        monkeypatch.setattr(releases, "HOST", url)
        download_release(release, place)


def nothing_is_left(place: Path) -> bool:
    return not [path for path in place.parent.iterdir() if not path.name.endswith(".lock")]


def test_a_release_is_unpacked_and_verified_by_its_pixels(
    release: Release, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(archive(PICTURES), release, place, monkeypatch)
    assert sorted(path.relative_to(place).as_posix() for path in place.rglob("*.png")) == sorted(PICTURES)
    assert [path.name for path in place.parent.iterdir() if not path.name.endswith(".lock")] == ["set"]


def test_images_may_be_in_a_zip_file_in_the_repository(
    release: Release, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as file:
        file.writestr("repository-0aad5fc/images.zip", archive(PICTURES, top=""))
        file.comment = COMMIT.encode()
    fetch(written.getvalue(), release, place, monkeypatch)
    assert len(list(place.rglob("*.png"))) == 6


OTHER = {**PICTURES, "A/train/0.png": np.full((4, 5), 9, np.uint8)}
FEWER = dict(list(PICTURES.items())[1:])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>", "is not a zip archive; nothing was kept"),
        (archive(PICTURES, comment="1" * 40), f"is not the archive of commit {COMMIT}"),
        (archive(FEWER), "holds 5 images where the release has 6"),
        (archive(OTHER), "its images are not those of the release; nothing was kept"),
        (archive({f"../{name}": pixels for name, pixels in PICTURES.items()}), "holds 0 images"),
    ],
)
def test_another_archive_leaves_nothing(
    release: Release, place: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        fetch(content, release, place, monkeypatch)
    assert nothing_is_left(place)


def test_a_damaged_archive_leaves_nothing(release: Release, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(archive(PICTURES))
    at = content.find(b"A/train/3.png") + len(b"A/train/3.png") + 30
    content[at] ^= 0xFF
    with pytest.raises(UserError, match=r"the archive is damaged .*nothing was kept"):
        fetch(bytes(content), release, place, monkeypatch)
    assert nothing_is_left(place)


def test_an_archive_that_is_here_already_is_not_fetched_again(
    release: Release, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: int) -> None:
        raise KeyboardInterrupt

    with serving(Behaviour(archive(PICTURES), chunked=True)) as url, pytest.raises(KeyboardInterrupt):
        monkeypatch.setattr(releases, "HOST", url)
        download_release(release, place, progress=killed)
    assert not place.exists()
    monkeypatch.setattr(releases, "HOST", "http://127.0.0.1:9")
    download_release(release, place)
    assert len(list(place.rglob("*.png"))) == 6


def test_without_a_network_one_sentence_says_what_to_place_where(
    release: Release, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releases, "HOST", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=f"127.0.0.1 cannot be reached; fetch .* elsewhere and place its A in {place}"):
        download_release(release, place)


@pytest.mark.skipif(not os.environ.get("HYBRIDQ_DATA_DIR"), reason="HYBRIDQ_DATA_DIR is not set")
@pytest.mark.slow
@pytest.mark.parametrize("source", ["lrse_net", "medical_mnist"])
def test_the_digests_are_those_of_the_real_releases(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Release] = []
    monkeypatch.setattr(releases, "download_release", lambda release, *_, **__: asked.append(release))
    name = "padsd" if source == "lrse_net" else source
    download_source(name)
    root = Path(os.environ["HYBRIDQ_DATA_DIR"]) / source
    assert digest_of(root, asked[0].folders, pixels=asked[0].pixels) == asked[0].digest


def test_what_is_there_is_not_fetched_again(release: Release, place: Path) -> None:
    place.mkdir(parents=True)
    with pytest.raises(UserError, match="is there already; remove it to fetch owner/repository again"):
        download_release(release, place)


def test_a_digest_of_bytes_tells_apart_what_a_digest_of_pixels_does_not(tmp_path: Path, release: Release) -> None:
    known = tmp_path / "known"
    by_bytes = digest_of(known, ("A",), pixels=False)
    name, pixels = next(iter(PICTURES.items()))
    (known / name).write_bytes(png(pixels, compress_level=0))
    assert digest_of(known, ("A",), pixels=True) == release.digest
    assert digest_of(known, ("A",), pixels=False) != by_bytes
