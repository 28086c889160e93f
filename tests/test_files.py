"""Files appear whole or not at all; a place that cannot be written and a full disk are one sentence."""

from __future__ import annotations

import errno
import io
import os
import pickle
import resource
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from backends.errors import BackendError
from backends.ibm.ledger import Ledger
from hybridq.errors import UserError, WritingError
from hybridq.files import atomic_write, check_file, check_folder, is_full, write_json, writing

LARGE = np.random.default_rng(0).integers(0, 256, (200, 200)).astype(np.uint8)


@contextmanager
def no_room() -> Iterator[None]:
    """No file may be larger than some kilobytes: the system answers as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _save_zip(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, large=LARGE)


def _torch_to_buffer(path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"large": torch.from_numpy(LARGE)}, buffer)
    path.write_bytes(buffer.getvalue())


WRITERS: dict[str, Callable[[Path], object]] = {
    "checkpoint": lambda path: torch.save({"large": torch.from_numpy(LARGE)}, path),
    "weights": lambda path: save_file({"large": torch.from_numpy(LARGE)}, path),
    "array": lambda path: np.save(path, LARGE),
    "arrays": lambda path: np.savez(path, large=LARGE),
    "arrays in an open file": _save_zip,
    "table": lambda path: pd.DataFrame(LARGE).to_csv(path, index=False),
    "parquet": lambda path: pd.DataFrame(LARGE).rename(columns=str).to_parquet(path),
    "picture": lambda path: Image.fromarray(LARGE).save(path),
    "text": lambda path: path.write_text("x" * 100_000),
    "bytes": _torch_to_buffer,
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_one_sentence_and_leaves_the_file_as_it_was(writer: str, tmp_path: Path) -> None:
    ending = {"array": ".npy", "arrays": ".npz", "picture": ".png"}.get(writer, ".bin")
    path = tmp_path / f"kept{ending}"
    path.write_text("before")
    with no_room(), pytest.raises(WritingError) as caught, atomic_write(path) as partial:
        WRITERS[writer](partial)
    assert str(caught.value).startswith(f"{tmp_path}: no room is left on the disk; what was finished before is kept")
    assert caught.value.errno in (errno.EFBIG, errno.ENOSPC)
    assert path.read_text() == "before"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("umask", [0o022, 0o027])
@pytest.mark.parametrize("writer", WRITERS)
def test_whoever_may_read_new_files_of_a_folder_may_read_what_any_library_wrote(
    writer: str, umask: int, tmp_path: Path
) -> None:
    ending = {"array": ".npy", "arrays": ".npz", "picture": ".png"}.get(writer, ".bin")
    before = os.umask(umask)
    try:
        with atomic_write(tmp_path / f"file{ending}") as partial:
            WRITERS[writer](partial)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / f"file{ending}").stat().st_mode) == 0o666 & ~umask


def test_a_block_that_writes_nothing_is_an_error_and_leaves_no_empty_file(tmp_path: Path) -> None:
    with pytest.raises(WritingError, match="no such file"), atomic_write(tmp_path / "a.txt"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_ledger_on_a_full_disk_is_one_sentence_and_keeps_its_rows(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    about = {"backend": "ibm_x", "device": "x", "folder": tmp_path, "chunks": 1}
    ledger.add_evaluation("first", run="r", **about)
    said = r"the ledger .*ledger.sqlite \(HYBRIDQ_LEDGER\) cannot be written: .*; what it holds is kept"
    with no_room(), pytest.raises(BackendError, match=said):
        for number in range(200):
            ledger.add_evaluation(f"k{number}", run="r" * 500, **about)
    ledger.add_evaluation("last", run="r", **about)
    assert {"first", "last"} <= {row.key for row in ledger.evaluations()}


def test_a_full_disk_is_seen_behind_an_error_that_was_raised_from_it(tmp_path: Path) -> None:
    error = RuntimeError("the commit failed")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert is_full(error)
    assert not is_full(RuntimeError("the commit failed"))
    with pytest.raises(WritingError, match=f"{tmp_path}: no room is left on the disk"), writing(tmp_path):
        raise error


def test_an_error_of_the_program_s_own_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="ours"), atomic_write(tmp_path / "a.txt"):
        raise RuntimeError("ours")
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "a.txt"):
        (tmp_path / "b" / "c").read_text()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("folder", "sentence"),
    [
        ("file", "file: cannot be made: .*/file is a file"),
        ("file/below/it", "below/it: cannot be made: .*/file is a file"),
        ("link", "link: cannot be made: .*/link is a link that leads nowhere"),
        ("a\0b", "is no name of a folder"),
        ("x" * 300, "cannot be written .file name too long"),
        ("/proc/no/such", "/proc/no/such: cannot be written"),
    ],
)
def test_a_folder_that_cannot_be_written_is_said_beforehand(folder: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("nowhere")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=sentence):
        check_folder(tmp_path / folder)
    with pytest.raises(UserError, match=sentence):
        check_file(tmp_path / folder / "table.csv")
    with pytest.raises((WritingError, ValueError)):
        write_json(tmp_path / folder / "x.json", {})
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_can_be_written_is_left_as_it_is(tmp_path: Path) -> None:
    check_folder(tmp_path / "a" / "b")
    check_file(tmp_path / "a" / "b.csv")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match="is a folder; name a file"):
        check_file(tmp_path)


def test_what_cannot_be_written_goes_from_one_process_to_another() -> None:
    error = WritingError("a\nb", errno.ENOSPC, "no room")
    assert isinstance(error, OSError)
    assert str(pickle.loads(pickle.dumps(error))) == str(error) == r"a\nb"
