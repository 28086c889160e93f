"""MedMNIST v2, every 2D set at every size: ``medmnist:name=breastmnist,size=64``.

Names, labels, tasks, addresses and checksums are those of the index in the installed package ``medmnist``. Yang et al.,
"MedMNIST v2", Scientific Data 10, 41 (2023).
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BeforeValidator

from hybridq.data.manifest import COLUMNS, Manifest, Task
from hybridq.data.sources.registry import Options, Received, Request, find_data, source
from hybridq.data.sources.support.npz import ArrayMember, array_members
from hybridq.errors import UserError
from hybridq.typing import Count

FOLDER: Final = "medmnist"
SPLIT_OF: Final = {"train": "train", "val": "validation", "test": "test"}
TASKS: Final[dict[str, Task]] = {
    "binary-class": "binary",
    "multi-class": "multi-class",
    "ordinal-regression": "ordinal",
    "multi-label, binary-class": "multi-label",
}
MODALITIES: Final = {
    "pathmnist": "histology",
    "chestmnist": "X-ray",
    "dermamnist": "dermatoscopy",
    "octmnist": "optical coherence tomography",
    "pneumoniamnist": "X-ray",
    "retinamnist": "fundus photography",
    "breastmnist": "ultrasound",
    "bloodmnist": "microscopy",
    "tissuemnist": "microscopy",
    "organamnist": "CT",
    "organcmnist": "CT",
    "organsmnist": "CT",
}
"""Table 1 of the paper."""
READ_BYTES: Final = 1 << 24


def _number(text: object) -> object:
    return int(text) if isinstance(text, str) and text.isdecimal() else text


class MedmnistOptions(Options):
    name: Annotated[str, BeforeValidator(lambda text: text.lower() if isinstance(text, str) else text)]
    """A 2D set, such as breastmnist, in any case."""
    size: Annotated[Literal[28, 64, 128, 224], BeforeValidator(_number)] = 28
    """Side in pixels of the images in the file."""
    path: str | None = None
    """The .npz file, if it is not in the folder ``medmnist``."""


@cache
def index() -> dict[str, dict[str, Any]]:
    """What the package knows of its 2D sets, by name.

    The index is read and not imported: importing it loads torch and makes a folder in the user's home.
    """
    package = importlib.util.find_spec("medmnist")
    assert package is not None
    assert package.origin is not None
    for node in ast.parse(Path(package.origin).with_name("info.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "INFO":
            return {name: entry for name, entry in ast.literal_eval(node.value).items() if not name.endswith("3d")}
    raise RuntimeError("the package medmnist has no index INFO of the form that its version 3 has")


def fetch(request: Request[MedmnistOptions], folder: Path, received: Received | None, progress: Count | None) -> Path:
    """The release's file of this name and size, checked against the index's MD5."""
    from hybridq.data.sources.support.download import download

    _entry(request)
    file = folder / FOLDER / file_name(request.options)
    if file.exists():
        raise UserError(f"{file}: is there already; remove it to fetch it again")
    url, md5 = official(request.options)
    download(url, file, md5=md5, received=received)
    return file


@source("medmnist", MedmnistOptions, place=FOLDER, download=fetch)
def medmnist(request: Request[MedmnistOptions]) -> Manifest:
    """MedMNIST v2, twelve 2D sets at four sizes.

    By name, in the release's own splits, read from its .npz files.
    A file whose MD5 is not the official one is read as well, and a note says so. Raises :class:`UserError` for unknown
    names, missing files, files of another form, and the file of another set.
    """
    entry, file = _entry(request), _file(request)
    arrays = _arrays(request, file)
    task, names = TASKS[entry["task"]], tuple(entry["label"][str(label)] for label in range(len(entry["label"])))
    labels = {part: _labels(file, arrays[f"{part}_labels"], task, len(names)) for part in SPLIT_OF}
    counts = {part: len(labels[part]) for part in labels}
    digest = _md5(file, request.progress)
    _refuse_another_set(request, file, digest, counts)
    rows = [
        (f"{part}/{position:06}", "", -1 if task == "multi-label" else int(label[0]), "", SPLIT_OF[part], position)
        for part in labels
        for position, label in enumerate(labels[part])
    ]
    table = pd.DataFrame(rows, columns=[*COLUMNS, "frame"]).assign(
        width=request.options.size, height=request.options.size, modality=MODALITIES.get(request.options.name, "")
    )

    def read(rows: pd.DataFrame) -> Iterator[NDArray[np.uint8]]:
        return _read(file, arrays, rows)

    return Manifest(
        request.source,
        table,
        names,
        notes=_notes(entry, file, digest, request, names, counts, 3 if len(arrays["train_images"].shape) == 4 else 1),
        positive_by="label 1 of the release",
        task=task,
        targets=np.concatenate(list(labels.values())) if task == "multi-label" else None,
        read=read,
        content=digest,
        checked=False,
    )


def file_name(options: MedmnistOptions) -> str:
    """As the release names its files: ``breastmnist.npz``, ``breastmnist_64.npz``."""
    return f"{options.name}{_suffix(options)}.npz"


def official(options: MedmnistOptions) -> tuple[str, str]:
    """Address and MD5 of the release's file."""
    entry = index()[options.name]
    return entry[f"url{_suffix(options)}"], entry[f"MD5{_suffix(options)}"]


def _suffix(options: MedmnistOptions) -> str:
    return "" if options.size == 28 else f"_{options.size}"


def _entry(request: Request[MedmnistOptions]) -> dict[str, Any]:
    name = request.options.name
    if name not in index():
        nearest = difflib.get_close_matches(name, index(), n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]}? " if nearest else ""
        raise UserError(f"{request.source}: there is no 2D set {name}; {hint}known: {', '.join(index())}")
    return index()[name]


def _file(request: Request[MedmnistOptions]) -> Path:
    options = request.options
    if options.path is not None:
        file = Path(options.path).expanduser().resolve()
        if not file.is_file():
            raise UserError(f"{request.source}: {file} is no file; path= names an .npz file of MedMNIST v2")
        return file
    url, _ = official(options)
    file = find_data(request, None, FOLDER, f"the file {file_name(options)} of MedMNIST v2 ({url})") / file_name(
        options
    )
    if not file.is_file():
        raise UserError(
            f"{request.source}: {file} does not exist; `hybridq data download {request.source}` fetches it from {url}, "
            "or give another file with path="
        )
    return file


def _arrays(request: Request[MedmnistOptions], file: Path) -> dict[str, ArrayMember]:
    arrays = array_members(file)
    size = request.options.size
    for part in SPLIT_OF:
        for name in (f"{part}_images", f"{part}_labels"):
            if name not in arrays:
                raise UserError(
                    f"{file}: has no array {name}; a MedMNIST file has images and labels of {', '.join(SPLIT_OF)}"
                )
        images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
        if images.dtype != np.uint8 or images.shape[1:] not in ((size, size), (size, size, 3)):
            raise UserError(
                f"{file}: {part}_images is {images.dtype} of shape {images.shape}; {request.source} needs uint8 of "
                f"shape (N, {size}, {size}) or (N, {size}, {size}, 3)"
            )
        if len(labels.shape) not in (1, 2) or labels.shape[0] != images.shape[0]:
            raise UserError(f"{file}: {part}_labels has the shape {labels.shape} for {images.shape[0]} images")
    return arrays


def _labels(file: Path, array: ArrayMember, task: Task, classes: int) -> NDArray[np.uint8]:
    """(N, 1) class indices, which a file may have as (N,), or (N, K) in {0, 1} of a multi-label set."""
    labels = array.load(file)
    labels = labels[:, None] if labels.ndim == 1 else labels
    columns, most = (classes, 1) if task == "multi-label" else (1, classes - 1)
    in_range = np.issubdtype(labels.dtype, np.integer) and bool(((labels >= 0) & (labels <= most)).all())
    if labels.shape[1] != columns or not in_range:
        raise UserError(f"{file}: {array.name} needs {columns} column{'s' * (columns > 1)} of integers in 0 … {most}")
    return labels.astype(np.uint8)


def _read(file: Path, arrays: dict[str, ArrayMember], rows: pd.DataFrame) -> Iterator[NDArray[np.uint8]]:
    """One image after the other; only rows in another order than the file's are held in memory, for compressed files
    can be read forwards only."""
    part = rows["id"].str.partition("/")[0].tolist()
    wanted = list(zip((list(SPLIT_OF).index(name) for name in part), rows["frame"].tolist(), strict=True))
    forwards = sorted(set(wanted))
    if forwards == wanted:
        yield from _forwards(file, arrays, wanted)
    else:
        held = dict(zip(forwards, _forwards(file, arrays, forwards), strict=True))
        yield from (held[key] for key in wanted)


def _forwards(file: Path, arrays: dict[str, ArrayMember], wanted: list[tuple[int, int]]) -> Iterator[NDArray[np.uint8]]:
    for number, part in enumerate(SPLIT_OF):
        positions = [position for of, position in wanted if of == number]
        yield from arrays[f"{part}_images"].items(file, positions)


def _md5(file: Path, progress: Count | None) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    total = max(1, file.stat().st_size)
    done = 0
    with file.open("rb") as opened:
        while piece := opened.read(READ_BYTES):
            digest.update(piece)
            done += len(piece)
            if progress:
                progress(round(100 * done / total), 100)
    return digest.hexdigest()


def _refuse_another_set(request: Request[MedmnistOptions], file: Path, digest: str, counts: dict[str, int]) -> None:
    """Raise :class:`UserError` if the MD5 or the counts of validation and test images are those of another set."""
    name = request.options.name
    own = index()[name]["n_samples"]
    for other, entry in index().items():
        if other == name:
            continue
        if digest in {value for key, value in entry.items() if key.startswith("MD5")}:
            raise UserError(f"{request.source}: {file} is not the file of {name}; its MD5 is that of {other}")
        if all(counts[part] == entry["n_samples"][part] != own[part] for part in ("val", "test")):
            raise UserError(
                f"{request.source}: {file} is not the file of {name}; it has the {counts['val']} validation and "
                f"{counts['test']} test images of {other}"
            )


def _notes(
    entry: dict[str, Any],
    file: Path,
    digest: str,
    request: Request[MedmnistOptions],
    classes: tuple[str, ...],
    counts: dict[str, int],
    channels: int,
) -> tuple[str, ...]:
    notes = [f"The images are licensed {entry['license']}."]
    _, md5 = official(request.options)
    if channels != entry["n_channels"]:
        notes.append(f"Its images have {channels} channels, the release's {entry['n_channels']}.")
    if digest != md5:
        notes.append(f"{file.name} is not the official file: its MD5 is {digest}, the release's is {md5}.")
        other = [f"{counts[part]} {part} images for {n}" for part, n in entry["n_samples"].items() if counts[part] != n]
        if other:
            notes.append(f"It holds {' and '.join(other)} of the release.")
    if len(classes) == 2 and request.data.classes is None and request.data.positive is None:
        notes.append(f"The positive class is {classes[1]}, label 1 of the release.")
    notes.append("The file names no patients: that the splits keep patients apart cannot be shown.")
    return tuple(notes)
