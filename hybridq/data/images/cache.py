"""Decoded images on disk, once per data set, size and number of channels: one array that is mapped, never loaded whole.

Everything under :func:`cache_folder` can be deleted at any time; it is made again when it is needed.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import math
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import platformdirs
from filelock import FileLock
from numpy.typing import NDArray

from hybridq.config import Data
from hybridq.data.decoding import FileFacts, Unreadable, decode_and_fit, digest_of, fit
from hybridq.data.images.array_file import ArrayFile
from hybridq.data.images.images import Images, all_readable, files_of, reporting
from hybridq.data.images.parallel import map_in_order
from hybridq.data.manifest import Manifest
from hybridq.data.pixels import File, Pixels
from hybridq.errors import UserError
from hybridq.files import atomic_write
from hybridq.typing import Count

logger = logging.getLogger(__name__)

CACHE_DIR: Final = "HYBRIDQ_CACHE_DIR"
"""Environment variable that names the folder of what can be computed again."""
VERSION: Final = 1
"""Raised when the same files give other pixels."""
PIXELS: Final = "images.npy"
FACTS: Final = "files.npy"
FACT: Final = np.dtype([("size", "<i8"), ("modified_ns", "<i8"), ("digest", "u1", 16)])
"""What is known of a file when it was decoded."""


def cache_folder() -> Path:
    """``HYBRIDQ_CACHE_DIR``, else the platform's cache folder for this user; it need not exist."""
    given = os.environ.get(CACHE_DIR)
    return Path(given).expanduser() if given else Path(platformdirs.user_cache_dir("hybridq"))


def open_images(manifest: Manifest, data: Data, *, split: str | None = None, progress: Count | None = None) -> Images:
    """The images of a manifest (or of one split of it, in table order) as (N, ``data.channels``, size, size).

    All images of the manifest are decoded the first time, and again when a file has changed; of two processes that
    start at once one decodes and the other waits. 16 bits are kept, for all images where one has them.

    Raises :class:`UserError` naming unreadable files, or where the cache cannot be written; nothing is left then.
    """
    files = None if manifest.read is not None else files_of(manifest, manifest.table)
    folder = cache_folder() / "images" / _name(manifest, data, files)
    try:
        pixels = _open(folder, files, len(manifest.table))
        if pixels is None:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(folder.with_name(f"{folder.name}.lock")):
                pixels = _open(folder, files, len(manifest.table))  # another process may have made it meanwhile
                if pixels is None:
                    _build(folder, manifest, data, files, progress)
                    pixels = np.load(folder / PIXELS, mmap_mode="r")
    except OSError as error:
        raise UserError(f"{folder.parent}: {_complaint(error)}; {CACHE_DIR} can name another folder") from None
    logger.debug("decoded images %s: %s", pixels.shape, folder)
    images = Images(pixels)
    return images if split is None else images.view(manifest.part(split).index.to_numpy())


def _name(manifest: Manifest, data: Data, files: list[File] | None) -> str:
    """A readable beginning and a hash of what the pixels depend on, the files' content apart."""
    parts: list[object] = [VERSION, data.size, data.channels]
    parts += [manifest.source, manifest.content, *manifest.table["id"]] if files is None else files
    key = hashlib.sha256("\0".join(map(repr, parts)).encode()).hexdigest()[:16]
    readable = re.sub(r"[^A-Za-z0-9]+", "-", manifest.source)[:40].strip("-")
    return f"{readable}-{data.size}-{key}"


def _open(folder: Path, files: list[File] | None, count: int) -> Pixels | None:
    """The array of a finished cache whose files have not changed, else None."""
    try:
        pixels: Pixels = np.load(folder / PIXELS, mmap_mode="r")
        facts = np.load(folder / FACTS)
    except (OSError, ValueError, EOFError):  # not there or damaged
        return None
    if len(pixels) != count or len(facts) != count or facts.dtype != FACT:
        return None
    return pixels if files is None or _unchanged(folder, files, facts) else None


def _unchanged(folder: Path, files: list[File], facts: NDArray[np.void]) -> bool:
    """Whether files have the size and time noted, or at least the content; such new times are noted."""
    try:
        now = [Path(path).stat() for path, _ in files]
        if (facts["size"] != [found.st_size for found in now]).any():
            return False
        modified = np.array([found.st_mtime_ns for found in now])
        touched = np.flatnonzero(facts["modified_ns"] != modified)
        for index in touched:
            if digest_of(Path(files[index][0]).read_bytes()) != facts["digest"][index].tobytes():
                return False
    except OSError:
        return False
    if len(touched):
        facts["modified_ns"] = modified
        with suppress(OSError), atomic_write(folder / FACTS) as unfinished:  # someone else's cache may be read-only
            np.save(unfinished, facts)
    return True


def _build(folder: Path, manifest: Manifest, data: Data, files: list[File] | None, progress: Count | None) -> None:
    """Decode everything beside ``folder``, then rename; whatever ends it early leaves nothing."""
    for abandoned in folder.parent.glob(f".{folder.name}.*"):  # of processes that were killed: this one has the lock
        shutil.rmtree(abandoned)
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}")
    count, shape = len(manifest.table), (data.channels, data.size, data.size)
    _check_room(folder.parent, count * math.prod(shape))
    unfinished.mkdir()
    try:
        facts = np.zeros(count, FACT)
        results = reporting(_decoded(manifest, data, files), count, progress)
        with ArrayFile(unfinished / PIXELS, count, shape) as array:
            for index, (image, fact) in enumerate(all_readable(results)):
                array.append(image)
                if fact is not None:
                    facts[index] = (fact.size, fact.modified_ns, np.frombuffer(fact.digest, np.uint8))
            array.finish()
        np.save(unfinished / FACTS, facts)
        if folder.exists():
            shutil.rmtree(folder)  # who has it open keeps it
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _decoded(
    manifest: Manifest, data: Data, files: list[File] | None
) -> Iterator[tuple[Pixels, FileFacts | None] | Unreadable]:
    if files is not None:
        return map_in_order(partial(decode_and_fit, size=data.size, channels=data.channels), files)
    assert manifest.read is not None
    return ((fit(image, data.size, data.channels), None) for image in manifest.read(manifest.table))


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(errno.ENOSPC, f"{needed / 1e6:,.1f} MB are needed and {free / 1e6:,.1f} MB are free")


def _complaint(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"the decoded images do not fit on the disk ({error.strerror})"
    return f"the decoded images cannot be written ({error.strerror or error})"
