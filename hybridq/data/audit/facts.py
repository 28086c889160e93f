"""What the audit knows of every image, from one decoding pass; kept in the cache folder, so that a second is quick."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hybridq.data.decoding import Unreadable, decode_file, fit, luminance
from hybridq.data.images.cache import cache_folder
from hybridq.data.images.images import files_of, reporting
from hybridq.data.images.intensity import levels_of
from hybridq.data.images.parallel import map_in_order
from hybridq.data.manifest import Manifest
from hybridq.data.pixels import File, Pixels
from hybridq.files import atomic_write
from hybridq.typing import Count

VERSION: Final = 2
"""Raised when the same pixels give other facts."""
THUMB: Final = 32
"""Side of the picture in which images are compared."""
SMALL: Final = 16
"""Side at which the plain correlation is taken."""
EVEN: Final = 3 / 255
"""Range of intensities within a line of pixels that counts as constant, since JPEG leaves ripples."""
BRIGHT: Final = 0.85
STEP: Final = 0.5
"""Text is bright and ends at once: a pixel above BRIGHT beside one darker by STEP."""

FACT: Final = np.dtype(
    [
        ("digest", "V16"),
        ("width", "<i4"),
        ("height", "<i4"),
        ("bits", "u1"),
        ("brightest", "<f4"),
        ("mean", "<f4"),
        ("lowest", "<f4"),
        ("highest", "<f4"),
        ("border", "<f4"),
        ("text", "<f4"),
        ("small", "u1", (SMALL, SMALL)),
        ("thumb", "u1", (THUMB, THUMB)),
    ]
)
"""Of one image: a digest that is equal exactly where the decoded pixels are; its size in pixels and depth; the
upper of the levels it uses (``hybridq.data.images.intensity``), 0–65535; intensities in [0, 1];
the share of its area that is constant lines at its edges; the share of bright pixels with a hard edge, as burned-in
text has them; and itself in grey at two small sizes."""

KEY: Final = np.dtype([("place", "V16"), ("state", "V16")])
"""Which image it is, and a hash of what tells that it has changed."""


@dataclass(frozen=True)
class Facts:
    """The facts of N images, in the order asked for; all zero where one cannot be read."""

    table: NDArray[np.void]
    """(N,), of :data:`FACT`"""
    unreadable: dict[int, Unreadable]
    """By position."""

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.table[name]

    def __len__(self) -> int:
        return len(self.table)

    @property
    def readable(self) -> NDArray[np.bool_]:
        """(N,)"""
        found = np.ones(len(self), bool)
        found[list(self.unreadable)] = False
        return found


def image_facts(manifest: Manifest, *, progress: Count | None = None) -> Facts:
    """The facts of all images of ``manifest``, in the order of its table; only those not known yet are decoded."""
    table = manifest.table
    if manifest.read is None:
        return file_facts(files_of(manifest, table), progress=progress)
    keys = _keys((manifest.source, name, manifest.content) for name in table["id"])
    store = _store(f"{manifest.source}\0{manifest.content}")
    facts, missing = _known(store, keys)
    if len(missing):
        made = map(facts_of_pixels, manifest.read(table.iloc[missing]))
        facts = _complete(facts, missing, reporting(made, len(missing), progress))
        _keep(store, keys, facts)
    return facts


def file_facts(files: list[File], *, progress: Count | None = None) -> Facts:
    """The facts of image files, each a path and a frame of it; kept until a file's size or time changes."""
    keys = _keys((path, frame, *_state(path)) for path, frame in files)
    store = _store(os.path.commonpath([Path(path).parent for path, _ in files]) if files else "")
    facts, missing = _known(store, keys)
    if len(missing):
        made = map_in_order(_facts_of_file, [files[index] for index in missing])
        facts = _complete(facts, missing, reporting(made, len(missing), progress))
        _keep(store, keys, facts)
    return facts


def facts_of_pixels(pixels: Pixels) -> NDArray[np.void]:
    """The facts of one image (H, W) or (H, W, 3), uint8 or uint16: a scalar of :data:`FACT`."""
    if pixels.ndim == 3 and (pixels == pixels[:, :, :1]).all():
        pixels = pixels[:, :, 0]  # grey, whatever it was stored as
    grey = luminance(pixels)
    scaled = grey.astype(np.float32) / np.float32(np.iinfo(grey.dtype).max)
    fact = np.zeros((), FACT)
    shape = "x".join(str(side) for side in (*pixels.shape, pixels.itemsize))
    fact["digest"] = hashlib.blake2b(shape.encode() + pixels.tobytes(), digest_size=16).digest()
    fact["height"], fact["width"] = grey.shape
    fact["bits"], fact["brightest"] = 8 * grey.itemsize, levels_of(grey)[1]
    fact["mean"], fact["lowest"], fact["highest"] = scaled.mean(), scaled.min(), scaled.max()
    fact["border"], fact["text"] = _border(scaled), _text(scaled)
    for name, size in (("small", SMALL), ("thumb", THUMB)):
        picture = fit(grey, size, 1)[0]
        fact[name] = picture if picture.dtype == np.uint8 else _stretched(picture)
    return fact


def _facts_of_file(file: File) -> NDArray[np.void] | Unreadable:
    pixels = decode_file(*file)
    return pixels if isinstance(pixels, Unreadable) else facts_of_pixels(pixels)


def _stretched(picture: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """8 of 16 bits: those that the image uses."""
    low, high = float(picture.min()), float(picture.max())
    return np.rint((picture - low) * (255 / max(high - low, 1))).astype(np.uint8)


def _border(scaled: NDArray[np.float32]) -> float:
    """Share of the area in constant rows and columns at the edges."""
    inner = []
    for axis in (0, 1):
        lively = np.flatnonzero(np.ptp(scaled, axis=1 - axis) > EVEN)
        inner.append(lively[-1] - lively[0] + 1 if len(lively) else 0)
    return 1 - inner[0] * inner[1] / scaled.size


def _text(scaled: NDArray[np.float32]) -> float:
    edge = np.zeros(scaled.shape, bool)
    for here, there in (
        (np.s_[1:], np.s_[:-1]),
        (np.s_[:-1], np.s_[1:]),
        (np.s_[:, 1:], np.s_[:, :-1]),
        (np.s_[:, :-1], np.s_[:, 1:]),
    ):
        edge[here] |= scaled[here] - scaled[there] >= STEP
    return float((edge & (scaled >= BRIGHT)).mean())


def _state(path: str) -> tuple[int, int]:
    try:
        found = Path(path).stat()
    except OSError:
        return -1, -1
    return found.st_size, found.st_mtime_ns


def _keys(parts: Iterable[tuple[object, ...]]) -> NDArray[np.void]:
    """Of each image: the first two parts say which it is, all of them in which state."""
    rows = [(_hash(*row[:2]), _hash(*row)) for row in parts]
    return np.array(rows, KEY)


def _hash(*parts: object) -> bytes:
    return hashlib.blake2b("\0".join(map(str, parts)).encode("utf-8", "surrogateescape"), digest_size=16).digest()


def _store(name: str) -> Path:
    return cache_folder() / "audit" / f"facts-{_hash(VERSION, name).hex()}.npz"


def _known(store: Path, keys: NDArray[np.void]) -> tuple[Facts, NDArray[np.int64]]:
    """The facts kept of ``keys``, and the positions of those that are not."""
    table = np.zeros(len(keys), FACT)
    stored_keys, stored = _read(store)
    where = {state.tobytes(): index for index, state in enumerate(stored_keys["state"])}
    found = np.array([where.get(state.tobytes(), -1) for state in keys["state"]], np.int64)
    table[found >= 0] = stored[found[found >= 0]]
    return Facts(table, {}), np.flatnonzero(found < 0)


def _complete(facts: Facts, missing: NDArray[np.int64], made: Iterable[NDArray[np.void] | Unreadable]) -> Facts:
    unreadable = {}
    for index, fact in zip(missing.tolist(), made, strict=True):
        if isinstance(fact, Unreadable):
            unreadable[index] = fact
        else:
            facts.table[index] = fact
    return Facts(facts.table, unreadable)


def _read(store: Path) -> tuple[NDArray[np.void], NDArray[np.void]]:
    try:
        with np.load(store) as kept:
            keys, facts = kept["keys"], kept["facts"]
    except (OSError, ValueError, KeyError, EOFError):  # not there or damaged
        return np.zeros(0, KEY), np.zeros(0, FACT)
    if keys.dtype != KEY or facts.dtype != FACT or len(keys) != len(facts):
        return np.zeros(0, KEY), np.zeros(0, FACT)
    return keys, facts


def _keep(store: Path, keys: NDArray[np.void], facts: Facts) -> None:
    """Write what is known now, and what was known of other images; a cache that cannot be written is no mistake."""
    others, theirs = _read(store)
    other = ~np.isin(others["place"], keys["place"])
    readable = facts.readable
    with suppress(OSError), atomic_write(store) as partial_file:
        np.savez(
            partial_file,
            keys=np.concatenate([keys[readable], others[other]]),
            facts=np.concatenate([facts.table[readable], theirs[other]]),
        )
