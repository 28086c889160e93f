"""Files appear whole or not at all: written under a temporary name beside the target, then renamed.

Where a place cannot be written, and where a disk is full, that is one sentence: before anything is computed, as far as
it can be known then.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from hybridq.errors import UserError, WritingError

FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""The system's numbers for a disk, a share of it, or a file that is full."""
FULL_IN_WORDS: Final = (
    "PytorchStreamWriter failed writing",
    "unexpected pos",
    "(os error 28)",
    "(os error 122)",
    "(os error 27)",
    "database or disk is full",
)
"""The same of libraries that pass on no number: torch, safetensors, SQLite."""
KEPT: Final = "what was finished before is kept whole, and the same command continues once there is room"


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` with the same ending; renamed to ``path`` when the block ends without an error.

    Whoever may read new files of the folder may read this one, also where a library writes for the owner alone. Raises
    :class:`WritingError` where the folder cannot be made or has no room.

    >>> with atomic_write(Path("history.csv")) as partial:  # doctest: +SKIP
    ...     frame.to_csv(partial)
    """
    make_folder(path.parent)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        with writing(path.parent):
            mode = _mode_of_new(partial)
            yield partial
            with partial.open("rb") as written:
                os.fsync(written.fileno())
            if stat.S_IMODE(partial.stat().st_mode) != mode:
                partial.chmod(mode)
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_json(path: Path) -> Any:
    """Read a JSON file; raises :class:`UserError` when it is missing or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None


def _mode_of_new(path: Path) -> int:
    """Return the permissions that ``path`` gets as a new file: by umask, or as the folder's access list says."""
    path.unlink(missing_ok=True)  # left by a process of the same number that was killed
    path.touch()
    mode = stat.S_IMODE(path.stat().st_mode)
    path.unlink()  # a block that writes nothing is still an error
    return mode


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, whole or not at all."""
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON, whole or not at all; NaN is refused since other readers do not know it."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Raise :class:`WritingError` about ``folder`` where it, or a file that the block writes into it, is refused."""
    try:
        yield
    except WritingError:
        raise
    except Exception as error:
        if is_full(error):
            number = error.errno if isinstance(error, OSError) and error.errno else errno.ENOSPC
            raise WritingError(f"{folder}: no room is left on the disk; {KEPT}", number, os.strerror(number)) from None
        if isinstance(error, OSError) and error.filename and Path(error.filename).parent == folder:
            raise _refused(folder, error) from None
        raise


def is_full(error: BaseException) -> bool:
    """Whether an error of any library, or one that it was raised from, says that there is no room on the disk."""
    if isinstance(error, OSError):
        # numpy's has no number and only counts what it wrote.
        return error.errno in FULL or (error.errno is None and " requested and " in str(error))
    said = any(words in str(error) for words in FULL_IN_WORDS)
    return said or (error.__cause__ is not None and is_full(error.__cause__))


def make_folder(folder: Path) -> None:
    """Make ``folder`` and those around it; raises :class:`WritingError` where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _refused(folder, error) from None


def check_folder(folder: Path) -> None:
    """Raise :class:`UserError` where ``folder`` cannot be made or written; nothing is left of the attempt."""
    if "\0" in str(folder):
        raise UserError(f"{folder}: is no name of a folder")
    existing = folder.absolute()
    try:
        while not existing.exists():
            if existing.is_symlink():
                raise UserError(f"{folder}: cannot be made: {existing} is a link that leads nowhere")
            existing = existing.parent
        if not existing.is_dir():
            raise UserError(f"{folder}: cannot be made: {existing} is a file")
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(b"\0")
    except OSError as error:
        raise _refused(folder, error) from None


def check_file(path: Path) -> None:
    """Raise :class:`UserError` where the file ``path`` cannot be written; nothing is left of the attempt."""
    check_folder(path.parent)
    if path.is_dir():
        raise UserError(f"{path}: is a folder; name a file")


def _refused(folder: Path, error: OSError) -> WritingError:
    reason = (error.strerror or str(error)).lower()
    sentence = f"{folder}: cannot be written ({reason}); name another folder, or make this one writable"
    if error.errno in FULL:
        sentence = f"{folder}: no room is left on the disk; {KEPT}"
    return WritingError(sentence, error.errno, error.strerror)
