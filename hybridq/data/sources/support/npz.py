"""Arrays of an .npz file read piece by piece: a file larger than the memory works, compressed or not."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from hybridq.errors import UserError


@dataclass(frozen=True)
class ArrayMember:
    """One array of an .npz file, by its header."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    """Bytes of the member before the first element."""

    def load(self, file: Path) -> NDArray[Any]:
        """The whole array. Raises :class:`UserError` where the file is damaged."""
        with _member(file, self.name) as stream:
            return _next(file, self, stream, self.shape, self.offset)

    def items(self, file: Path, positions: Sequence[int]) -> Iterator[NDArray[Any]]:
        """The subarrays at ``positions`` of the first axis, which ascend. Raises :class:`UserError` as :meth:`load`."""
        if not positions:
            return
        item = self.shape[1:]
        size = math.prod(item) * self.dtype.itemsize
        with _member(file, self.name) as stream:
            for position in positions:
                yield _next(file, self, stream, item, self.offset + position * size)


def array_members(file: Path) -> dict[str, ArrayMember]:
    """The arrays of an .npz file by name; no object in it is unpickled. Raises :class:`UserError` for other files."""
    members = {}
    try:
        with zipfile.ZipFile(file) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        for name in names:
            with _member(file, name) as stream:
                members[name] = _header(file, name, stream)
    except (zipfile.BadZipFile, OSError) as error:
        raise UserError(f"{file}: is not a readable .npz file ({error})") from None
    if not members:
        raise UserError(f"{file}: is not an .npz file of arrays")
    return members


def _header(file: Path, name: str, stream: IO[bytes]) -> ArrayMember:
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, column_major, dtype = read(stream)
    except ValueError:
        raise UserError(f"{file}: its array {name} has no readable header") from None
    if dtype.hasobject or column_major:
        raise UserError(f"{file}: its array {name} holds objects or is stored by columns; numbers by rows are read")
    return ArrayMember(name, shape, dtype, stream.tell())


def _member(file: Path, name: str) -> IO[bytes]:
    try:
        # The stream keeps its archive's file open by itself.
        return zipfile.ZipFile(file).open(f"{name}.npy")
    except (zipfile.BadZipFile, KeyError, OSError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{file}: its array {name} cannot be read ({error})") from None


def _next(file: Path, member: ArrayMember, stream: IO[bytes], shape: tuple[int, ...], at: int) -> NDArray[Any]:
    size = math.prod(shape) * member.dtype.itemsize
    try:
        stream.seek(at)
        content = stream.read(size)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError) as error:
        raise UserError(f"{file}: its array {member.name} is damaged ({error})") from None
    if len(content) != size:
        raise UserError(f"{file}: its array {member.name} ends early")
    return np.frombuffer(content, member.dtype).reshape(shape)
