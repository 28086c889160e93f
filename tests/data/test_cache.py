from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pictures import COLOUR, DEEP, RAMP, save, unlabelled

from hybridq.config import Data
from hybridq.data.images import cache
from hybridq.data.images.array_file import ArrayFile
from hybridq.data.images.cache import open_images
from hybridq.data.images.images import Images
from hybridq.data.manifest import Manifest
from hybridq.errors import UserError

DATA = Data(source="folder:path=pictures", size=32)
COLOURFUL = DATA.model_copy(update={"channels": 3})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder of this test's own."""
    monkeypatch.setenv("HYBRIDQ_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return [save(tmp_path / f"{shift}.png", np.roll(RAMP, shift)) for shift in range(5)]


def decodings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders built from now on."""
    built = []
    build = cache._build

    def counted(folder: Path, *rest: object) -> None:
        built.append(folder)
        build(folder, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(cache, "_build", counted)
    return built


def left_in(folder: Path) -> list[str]:
    """What lies in the cache, lock files apart."""
    return sorted(path.name for path in folder.glob("images/*") if path.suffix != ".lock")


def test_images_come_in_table_order_and_by_split(folder: Path, paths: list[Path]) -> None:
    manifest = unlabelled(paths)
    manifest.table["split"] = ["train", "test", "train", "validation", "test"]
    images = open_images(manifest, DATA)
    assert images.shape == (5, 1, 32, 32)
    assert images.dtype == np.uint8
    assert (images[[0, 4]][:, 0] == [RAMP, np.roll(RAMP, 4)]).all()
    assert (open_images(manifest, DATA, split="test")[:][:, 0] == [np.roll(RAMP, 1), np.roll(RAMP, 4)]).all()


def test_images_are_decoded_once_for_a_size_and_number_of_channels(
    folder: Path, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    built = decodings(monkeypatch)
    manifest = unlabelled(paths)
    for data in (DATA, DATA, COLOURFUL, DATA.model_copy(update={"size": 16}), DATA):
        open_images(manifest, data)
    assert len(built) == 3
    assert left_in(folder) == sorted(path.name for path in built)


def test_the_array_is_mapped_and_not_loaded(folder: Path, paths: list[Path]) -> None:
    assert isinstance(open_images(unlabelled(paths), DATA)._pixels, np.memmap)


def test_one_deep_image_makes_all_deep(folder: Path, paths: list[Path], tmp_path: Path) -> None:
    deep = save(tmp_path / "deep.png", DEEP)
    images = open_images(unlabelled([*paths, deep, *paths]), DATA)
    assert images.dtype == np.uint16
    assert (images[5] == DEEP).all()
    for index in (0, 6):
        assert (images[index] == RAMP.astype(np.uint16) * 257).all()


def test_colour_stays_colour_with_three_channels(folder: Path, tmp_path: Path) -> None:
    manifest = unlabelled([save(tmp_path / "a.png", COLOUR), save(tmp_path / "b.png", RAMP)])
    images = open_images(manifest, COLOURFUL)
    assert (images[0] == np.moveaxis(COLOUR, 2, 0)).all()
    assert (images[1] == RAMP).all()
    assert open_images(manifest, DATA).shape == (2, 1, 32, 32)


def test_images_of_a_reader_are_cached_under_what_it_depends_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = decodings(monkeypatch)
    table = unlabelled([Path("x")] * 4).table.assign(path="")

    def made(level: int, content: str) -> Images:
        manifest = Manifest(
            "made", table, (), read=lambda rows: (np.full((9, 9), level, np.uint8) for _ in rows["id"]), content=content
        )
        return open_images(manifest, DATA)

    assert (made(3, "first")[:] == 3).all()
    assert (made(4, "first")[:] == 3).all()
    assert (made(4, "second")[:] == 4).all()
    assert len(built) == 2


# Changes


def test_a_changed_file_is_decoded_again(folder: Path, paths: list[Path]) -> None:
    before = open_images(unlabelled(paths), DATA)
    save(paths[3], RAMP.T[::-1].copy())
    after = open_images(unlabelled(paths), DATA)
    assert (after[3] == RAMP.T[::-1]).all()
    assert (before[3] == np.roll(RAMP, 3)).all()  # who had it open keeps what it had


def test_a_change_that_keeps_size_and_differs_in_time_only_by_content_is_seen(folder: Path, tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", RAMP)
    open_images(unlabelled([path]), DATA)
    size = path.stat().st_size
    save(path, RAMP[::-1].copy())
    assert path.stat().st_size == size
    assert (open_images(unlabelled([path]), DATA)[0] == RAMP[::-1]).all()


def test_a_new_time_alone_decodes_nothing(folder: Path, paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    open_images(unlabelled(paths), DATA)
    built = decodings(monkeypatch)
    os.utime(paths[2], (1, 1))
    open_images(unlabelled(paths), DATA)
    assert built == []
    monkeypatch.setattr(Path, "read_bytes", None)  # the new time was noted: nothing is read to compare
    open_images(unlabelled(paths), DATA)


def test_more_or_fewer_files_are_another_data_set(folder: Path, paths: list[Path]) -> None:
    assert len(open_images(unlabelled(paths), DATA)) == 5
    assert len(open_images(unlabelled(paths[:4]), DATA)) == 4


@pytest.mark.parametrize("name", ["images.npy", "files.npy"])
@pytest.mark.parametrize(
    "damage", [lambda b: b[:-20], lambda b: b"", lambda b: b"\x00" * len(b)], ids=["cut", "empty", "zero"]
)
def test_a_damaged_cache_is_made_again(folder: Path, paths: list[Path], name: str, damage) -> None:  # type: ignore[no-untyped-def]
    open_images(unlabelled(paths), DATA)
    (made,) = folder.glob("images/*/")
    (made / name).write_bytes(damage((made / name).read_bytes()))
    assert (open_images(unlabelled(paths), DATA)[4] == np.roll(RAMP, 4)).all()


def test_what_a_killed_process_left_is_cleared_away(folder: Path, paths: list[Path]) -> None:
    open_images(unlabelled(paths), DATA)
    (made,) = folder.glob("images/*/")
    abandoned = made.with_name(f".{made.name}.12345")
    made.rename(abandoned)
    assert len(open_images(unlabelled(paths), DATA)) == 5
    assert left_in(folder) == [made.name]


# Failures


def test_unreadable_files_leave_no_cache(folder: Path, paths: list[Path], tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_text("text")
    with pytest.raises(UserError, match=r"bad.png: is not a PNG"):
        open_images(unlabelled([*paths, tmp_path / "bad.png", *paths]), DATA)
    assert left_in(folder) == []


def test_an_interrupted_build_leaves_no_cache(folder: Path, paths: list[Path]) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_images(unlabelled(paths), DATA, progress=interrupt)
    assert left_in(folder) == []


def test_a_disk_without_room_is_refused_before_anything_is_decoded(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 1000))  # type: ignore[attr-defined]
    with pytest.raises(
        UserError, match=r"do not fit on the disk \(188.7 MB are needed and 0.0 MB are free\); HYBRIDQ_CACHE"
    ):
        open_images(unlabelled([tmp_path / "missing.png"] * 60), COLOURFUL.model_copy(update={"size": 1024}))
    assert left_in(folder) == []


FULL = """
import resource, sys
from pathlib import Path
from pictures import RAMP, save, unlabelled
from hybridq.config import Data
from hybridq.data.images.cache import open_images
from hybridq.errors import UserError

paths = [save(Path(sys.argv[1]) / f"{number}.png", RAMP) for number in range(40)]
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    open_images(unlabelled(paths), Data(source="x", size=32))
except UserError as error:
    print(error)
"""


def python(program: str, folder: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", program, str(folder)],
        env=environment,
        stdin=pipe,
        stdout=pipe,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_disk_that_fills_while_decoding_leaves_no_cache(folder: Path, tmp_path: Path) -> None:
    said = python(FULL, tmp_path).communicate()[0]
    assert said.count("\n") == 1
    assert (
        "the decoded images do not fit on the disk (File too large); HYBRIDQ_CACHE_DIR can name another folder" in said
    )
    assert left_in(folder) == []


def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HYBRIDQ_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"file.*cannot be written.*HYBRIDQ_CACHE_DIR can name another folder"):
        open_images(unlabelled(paths), DATA)


BOTH = """
import sys
from pathlib import Path
from pictures import unlabelled
from hybridq.config import Data
from hybridq.data.images import cache

build = cache._build
def counted(*arguments):
    print("built")
    build(*arguments)
cache._build = counted
paths = sorted(Path(sys.argv[1]).glob("*.png"))
print("ready", flush=True)
sys.stdin.readline()
images = cache.open_images(unlabelled(paths), Data(source="x", size=256))
print(len(images), int(images[:].astype(int).sum()))
"""


def test_of_processes_that_start_at_once_one_decodes_and_all_get_the_images(folder: Path, tmp_path: Path) -> None:
    for number in range(150):
        save(tmp_path / f"{number}.png", np.roll(RAMP, number))
    started = [python(BOTH, tmp_path) for _ in range(2)]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    said = [process.communicate("\n")[0].splitlines() for process in started]
    assert sum(lines.count("built") for lines in said) == 1
    assert len({lines[-1] for lines in said}) == 1
    assert said[0][-1].startswith("150 ")


# Memory


LARGE = """
import sys
from pathlib import Path
import numpy as np
import pandas as pd
from hybridq.config import Augmentation, Data
from hybridq.data.images.cache import open_images
from hybridq.data.manifest import Manifest
from hybridq.data.images.transforms import intensity_statistics
from hybridq.training.batches import Batches

COUNT, SIZE, EPOCHS = 1000, 224, 6

def own_memory():
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("RssAnon:")[1].split()[0])

table = pd.DataFrame({"id": range(COUNT), "path": "", "label": -1, "group": "", "split": "train"}).astype({"id": str})
def read(rows):
    return (np.full((SIZE, SIZE), int(name) % 256, np.uint8) for name in rows["id"])
def epoch(number):
    for step in range(COUNT // 50):
        batches._images[batches.indices(number, step).numpy()]

before = own_memory()
images = open_images(Manifest("large", table, (), read=read), Data(source="large", size=SIZE))
intensity_statistics(images)
built = own_memory()
batches = Batches(images, 50, Augmentation(), seed=0, stage="x")
epoch(0)
first = own_memory()
for number in range(1, EPOCHS):
    epoch(number)
print(images.shape[0] * SIZE * SIZE, built - before, own_memory() - first)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is counted as Linux does")
def test_memory_holds_a_part_of_a_large_set_and_stays_flat_over_epochs(folder: Path, tmp_path: Path) -> None:
    size, to_build, over_epochs = map(int, python(LARGE, tmp_path).communicate()[0].split())
    assert to_build < size // 2
    assert over_epochs < size // 5


# The file


def test_an_array_file_holds_what_was_appended(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (700, 3, 4, 4)).astype(np.uint8)
    with ArrayFile(tmp_path / "a.npy", 700, (3, 4, 4)) as file:
        for image in images:
            file.append(image)
        file.finish()
    assert (np.load(tmp_path / "a.npy") == images).all()


@pytest.mark.parametrize("at", [0, 1, 256, 600, 699])
def test_it_deepens_when_the_first_deep_image_comes(tmp_path: Path, at: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (700, 1, 2, 2)).astype(np.uint8)
    with ArrayFile(tmp_path / "a.npy", 700, (1, 2, 2)) as file:
        for index, image in enumerate(images):
            file.append(image.astype(np.uint16) if index == at else image)
        file.finish()
    expected = images.astype(np.uint16) * 257
    expected[at] = images[at]
    assert (np.load(tmp_path / "a.npy") == expected).all()
    assert list(tmp_path.iterdir()) == [tmp_path / "a.npy"]
