"""Data sets published as git repositories, fetched as the archive of one commit."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from filelock import FileLock, Timeout
from PIL import Image, UnidentifiedImageError

from hybridq.data.sources.support.download import Received, download
from hybridq.errors import UserError
from hybridq.typing import Count

HOST: Final = "https://github.com"
REPORTED: Final = 256
"""Files between two reports of progress."""


@dataclass(frozen=True)
class Release:
    """Which files of which commit, and what they must be."""

    repository: str
    commit: str
    folders: tuple[str, ...]
    """Folders at the top of the repository (or of a zip file in it) that hold the images."""
    files: int
    """How many files are in them."""
    digest: str
    """:func:`digest_of` these folders."""
    pixels: bool
    """Whether the digest is of the decoded pixels, not of the files' bytes."""

    @property
    def url(self) -> str:
        return f"{HOST}/{self.repository}/archive/{self.commit}.zip"


def download_release(
    release: Release, place: Path, *, received: Received | None = None, progress: Count | None = None
) -> None:
    """Fetch a release into the new folder ``place``, which appears complete or not at all.

    What is verified: the archive names the commit (git writes it into the archive), every file in it has its CRC-32,
    and the images are as many and have the digest that was computed of the release when this was written. The commit's
    own hash covers more than an archive holds, so it is not recomputed. Raises :class:`UserError`.
    """
    if place.exists():
        raise UserError(f"{place}: is there already; remove it to fetch {release.repository} again")
    place.parent.mkdir(parents=True, exist_ok=True)
    archive = place.with_name(f".{place.name}-{release.commit[:7]}.zip")
    unfinished = place.with_name(f".{place.name}.partial")
    try:
        with FileLock(place.with_name(f".{place.name}.lock")).acquire(timeout=0):
            if not archive.exists() or _other_commit(archive, release):
                download(
                    release.url,
                    archive,
                    check=lambda file: _other_commit(file, release),
                    received=received,
                    otherwise=f"place its {' and '.join(release.folders)} in {place}",
                )
            try:
                wrong = _unpack(archive, release, unfinished, progress)
                if wrong is None:
                    unfinished.rename(place)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
            archive.unlink()
            if wrong:
                raise UserError(f"{release.url}: {wrong}; nothing was kept")
    except Timeout:
        raise UserError(f"{place}: another process is fetching it") from None
    except OSError as error:
        raise UserError(f"{place}: cannot be written ({error.strerror or error})") from None


def digest_of(root: Path, folders: tuple[str, ...], *, pixels: bool) -> str:
    """SHA-256 over the names and contents of all files in ``folders`` of ``root``, in order of name.

    With ``pixels`` a file's content is its decoded grey pixels, which are the same however the file was compressed.
    """
    total = hashlib.sha256()
    for folder in folders:
        for path in sorted(path for path in (root / folder).rglob("*") if path.is_file()):
            total.update(path.relative_to(root).as_posix().encode() + b"\0")
            total.update(hashlib.sha256(_pixels(path) if pixels else path.read_bytes()).digest())
    return total.hexdigest()


def _pixels(path: Path) -> bytes:
    with Image.open(path) as image:
        grey = np.asarray(image.convert("L"))
    return f"{grey.shape}".encode() + grey.tobytes()


def _other_commit(file: Path, release: Release) -> str | None:
    try:
        with zipfile.ZipFile(file) as archive:
            comment = archive.comment.decode("ascii", "replace")
    except (zipfile.BadZipFile, OSError):
        return "is not a zip archive"
    return None if comment == release.commit else f"is not the archive of commit {release.commit}"


def _unpack(archive: Path, release: Release, into: Path, progress: Count | None) -> str | None:
    """Unpack the images; what is wrong with them, or None."""
    shutil.rmtree(into, ignore_errors=True)  # of a process that was killed
    try:
        with zipfile.ZipFile(archive) as outer, _holding(outer, release) as (inner, members):
            if len(members) != release.files:
                return f"holds {len(members)} images where the release has {release.files}"
            for done, (name, member) in enumerate(members.items(), start=1):
                target = into / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with inner.open(member) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file)
                if progress and (done % REPORTED == 0 or done == len(members)):
                    progress(done, len(members))
        found = digest_of(into, release.folders, pixels=release.pixels)
    except (zipfile.BadZipFile, zlib.error, EOFError, UnidentifiedImageError) as error:
        return f"the archive is damaged ({error})"
    return None if found == release.digest else "its images are not those of the release"


@contextmanager
def _holding(
    archive: zipfile.ZipFile, release: Release
) -> Iterator[tuple[zipfile.ZipFile, dict[PurePosixPath, zipfile.ZipInfo]]]:
    """The images by their path below the repository; of a zip file in the repository, where they are in one."""
    members = _images(archive, release, below=1)
    nested = [item for item in archive.infolist() if item.filename.endswith(".zip")]
    if members or len(nested) != 1:
        yield archive, members
        return
    with archive.open(nested[0]) as opened, zipfile.ZipFile(opened) as inner:
        yield inner, _images(inner, release, below=0)


def _images(archive: zipfile.ZipFile, release: Release, *, below: int) -> dict[PurePosixPath, zipfile.ZipInfo]:
    found = {}
    for item in archive.infolist():
        steps = PurePosixPath(item.filename).parts[below:]
        if item.is_dir() or len(steps) < 2 or steps[0] not in release.folders or ".." in steps:
            continue
        if PurePosixPath(steps[-1]).suffix.lower() in (".png", ".jpeg"):
            found[PurePosixPath(*steps)] = item
    return found
