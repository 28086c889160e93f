"""The registry of sources: a decorator and the parsing of ``name:key=value,…``."""

from __future__ import annotations

import difflib
import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Generic, TypeVar

from pydantic import ValidationError

from hybridq.config import Data, Section
from hybridq.data.manifest import Manifest
from hybridq.data.merged import merge_classes
from hybridq.data.positive import choose_positive
from hybridq.data.split_file import apply_split_manifest
from hybridq.data.splits import draw_missing
from hybridq.data.tables import OF_SPLITS, Columns
from hybridq.errors import UserError
from hybridq.files import check_folder
from hybridq.typing import Count

logger = logging.getLogger(__name__)

DATA_DIR: Final = "HYBRIDQ_DATA_DIR"
"""Environment variable that names the folder under which data sets are looked for."""


class Options(Section):
    """What may follow the colon of a source's name; every source declares its own."""

    @property
    def table(self) -> str | None:
        """The file, if any, in which the source finds labels by column."""
        return None


OptionsT = TypeVar("OptionsT", bound=Options)


@dataclass(frozen=True)
class Request(Generic[OptionsT]):
    """What a source is asked for."""

    source: str
    """Canonical source string, for the manifest and for messages."""
    options: OptionsT
    data: Data
    """What the configuration asks of the images, whatever their source."""
    progress: Count | None = None
    as_released: bool = False
    """Nothing is removed, and groups are those that the release itself names."""
    again: bool = False
    """The images are those of a finished run: they are found as it found them, and nothing is judged."""

    @property
    def columns(self) -> Columns:
        """Columns of the source's table that ``data.columns`` maps or leaves out."""
        return tuple(pair for pair in self.data.columns or () if pair[0] not in OF_SPLITS)


Received = Callable[[int, int], None]
"""Called with (bytes here, bytes in all); 0 in all is unknown."""

Download = Callable[[Request, Path, Received | None, Count | None], Path]
"""Fetch the data of a request into the folder of all data."""


@dataclass(frozen=True)
class SourceInfo:
    """What a list of sources says of one."""

    name: str
    summary: str
    options: tuple[str, ...]
    place: str | None
    """Where its data lie under ``HYBRIDQ_DATA_DIR``; None where a path is given or nothing is needed."""
    downloadable: bool


@dataclass(frozen=True)
class _Registered:
    options: type[Options]
    load: Callable[[Request], Manifest]
    place: str | None
    download: Download | None


_SOURCES: dict[str, _Registered] = {}

Load = Callable[[Request[OptionsT]], Manifest]


def source(
    name: str, options: type[OptionsT], *, place: str | None = None, download: Download | None = None
) -> Callable[[Load[OptionsT]], Load[OptionsT]]:
    """Register the decorated function as the source ``name`` with these options.

    ``place`` is where its data lie under ``HYBRIDQ_DATA_DIR``, if that is where they are looked for; ``download``
    fetches them there and returns what it made.

    It returns a manifest with ``checked=False``: the splits that it does not bring ("") are drawn, and all of it is
    checked, by :func:`load_manifest`.
    """

    def register(load: Load[OptionsT]) -> Load[OptionsT]:
        _SOURCES[name] = _Registered(options, load, place, download)
        return load

    return register


def source_names() -> list[str]:
    """Return the names of the registered sources of images, in order."""
    return sorted(_SOURCES)


def source_infos() -> list[SourceInfo]:
    """All sources in order of name."""
    return [
        SourceInfo(
            name,
            (registered.load.__doc__ or "").partition("\n")[0].rstrip("."),
            tuple(registered.options.model_fields),
            registered.place,
            registered.download is not None,
        )
        for name, registered in sorted(_SOURCES.items())
    ]


def data_folder() -> Path | None:
    """The folder named by ``HYBRIDQ_DATA_DIR``, if it is set; it need not exist."""
    given = os.environ.get(DATA_DIR)
    return Path(given).expanduser() if given else None


def download_source(name: str, *, received: Received | None = None, progress: Count | None = None) -> Path:
    """Fetch the data of a source such as ``padsd`` or ``medmnist:name=breastmnist`` to where it looks for them.

    Raises :class:`UserError` where the source cannot be downloaded, ``HYBRIDQ_DATA_DIR`` is not set, or it fails.
    """
    registered, request = _parse(name, Data(source=name), progress, as_released=False)
    if registered.download is None:
        known = ", ".join(info.name for info in source_infos() if info.downloadable)
        raise UserError(f"{request.source}: is not downloaded; those that are: {known}")
    folder = data_folder()
    if folder is None:
        raise UserError(f"{request.source}: {DATA_DIR} is not set; it names the folder into which data are downloaded")
    check_folder(folder)
    return registered.download(request, folder.resolve(), received, progress)


def load_manifest(
    name: str,
    data: Data,
    seed: int,
    *,
    progress: Count | None = None,
    as_released: bool = False,
    classes: tuple[str, ...] | None = None,
    again: bool = False,
) -> Manifest:
    """The images of a source such as ``padsd``, ``adsss:fold=0`` or ``folder:path=images``.

    ``data`` gives a split manifest and classes to merge, where wanted, and the fractions, with ``seed``, by which
    splits are drawn that neither that manifest nor the source brings. Images without labels (a folder of files, a CSV
    of paths) come as an unlabelled manifest, all of it training images. ``as_released`` gives the data as they were
    published, for the audit: no image is removed and groups may cross splits. ``classes`` are those of a run, whose
    order and meaning count; ``again`` finds the images of a finished run, and judges neither columns nor splits.

    Raises :class:`UserError` for unknown sources and options, missing data, or data that cannot be trained on.
    """
    # What a source removes keeps its own splits apart; other splits may have room for it.
    whole = as_released or data.splits is not None
    registered, request = _parse(name, data, progress, whole, again)
    _check_columns(request)
    manifest = registered.load(request)
    logger.debug("%s: %d images, classes %s", manifest.source, len(manifest.table), manifest.classes)
    if data.splits is not None:
        manifest = apply_split_manifest(
            manifest,
            Path(data.splits).expanduser(),
            columns=data.columns or (),
            strict=request.options.table is None,
            judged=not again,
        )
    if data.classes is not None:
        manifest = merge_classes(manifest, data.classes, classes)
    manifest = choose_positive(manifest, *_positive(request), classes)
    table = manifest.table
    if again:  # the run has its splits
        return replace(manifest, checked=False)
    if manifest.targets is not None:  # there is no one class to keep in proportion
        drawn = draw_missing(table.assign(label=0), ("labelled",), data, seed, source=request.source)
        table = table.assign(split=drawn["split"])
    elif manifest.labelled:
        table = draw_missing(table, manifest.classes, data, seed, source=request.source)
    return replace(manifest, table=table, checked=not as_released)


def _check_columns(request: Request) -> None:
    """Refuse ``data.columns`` if nothing reads them."""
    data = request.data
    if data.columns is None or request.again:
        return
    for key, _ in data.columns:
        if data.splits is None and (key in OF_SPLITS or request.options.table is None):
            raise UserError(f"data.columns = {{{key}: …}}; {request.source} has no table with such a column")


def _positive(request: Request) -> tuple[str | None, str]:
    """Return the positive class that the user names, if any, and by what."""
    option, key = getattr(request.options, "positive", None), request.data.positive
    if None not in (option, key) and option != key:
        raise UserError(f"data.positive = {key}; {request.source} names {option}")
    if request.data.classes is not None:
        if key is not None and not request.again:
            raise UserError(f"data.positive = {key}; with data.classes the classes under 1 are the positive ones")
        return None, ""
    return (key, "data.positive") if key is not None else (option, "positive")


def path_of(name: str) -> str | None:
    """What ``path=`` says in a source's name, if anything."""
    return _options(name, name.partition(":")[2]).get("path")


def with_path(name: str, path: Path) -> str:
    """The same source with ``path=`` pointing elsewhere."""
    kind, _, tail = name.partition(":")
    options = _options(name, tail) | {"path": str(path)}
    return f"{kind}:{','.join(f'{key}={value}' for key, value in options.items())}"


def find_data(request: Request, path: str | None, default: str, holds: str) -> Path:
    """The folder of a data set: ``path=`` if given, else ``default`` under ``HYBRIDQ_DATA_DIR``.

    ``holds`` says what has to be there. Raises :class:`UserError` where it is not.
    """
    if path is not None:
        folder = Path(path).expanduser()
        advice = f"path= has to name the folder that holds {holds}"
    elif (data := data_folder()) is not None:
        folder = data / default
        advice = f"place {holds} there or give the folder with path="
    else:
        raise UserError(
            f"{request.source}: {DATA_DIR} is not set; place {holds} in a folder {default} and set {DATA_DIR} to the "
            "folder around it, or give the folder itself with path="
        )
    if not folder.is_dir():
        raise UserError(f"{request.source}: {folder} does not exist; {advice}")
    return folder.resolve()


def _parse(
    text: str, data: Data, progress: Count | None, as_released: bool, again: bool = False
) -> tuple[_Registered, Request]:
    name, _, tail = text.strip().partition(":")
    registered = _SOURCES.get(name)
    if registered is None:
        nearest = difflib.get_close_matches(name, _SOURCES, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]}? " if nearest else ""
        raise UserError(f"unknown data source {name!r}; {hint}known: {', '.join(source_names())}")
    given = _options(text, tail)
    known = list(registered.options.model_fields)
    for key in given:
        if key not in known:
            nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"did you mean {nearest[0]}? " if nearest else ""
            raise UserError(f"{text}: unknown option {key}; {hint}known for {name}: {', '.join(known)}")
    try:
        options = registered.options.model_validate(given)
    except ValidationError as error:
        raise UserError("; ".join(_sentence(text, item) for item in error.errors())) from None
    values = {key: value for key, value in options.key_content().items() if value is not None}
    canonical = name + (":" + ",".join(f"{key}={value}" for key, value in values.items()) if values else "")
    return registered, Request(canonical, options, data, progress, as_released, again)


def _options(text: str, tail: str) -> dict[str, str]:
    given: dict[str, str] = {}
    # A comma separates options only where a key follows, so that paths may hold commas.
    for piece in re.split(r",(?=[a-z_]+=)", tail) if tail else []:
        key, equals, value = piece.partition("=")
        if not equals or not key or not value:
            raise UserError(f"{text}: expected key=value after the colon, got {piece!r}")
        if key in given:
            raise UserError(f"{text}: {key} is given twice")
        given[key] = value
    return given


def _sentence(text: str, item: object) -> str:
    assert isinstance(item, dict)
    key = ".".join(str(step) for step in item["loc"])
    if item["type"] == "missing":
        return f"{text}: {key}= is missing"
    message = str(item["msg"]).removeprefix("Value error, ")
    given = f"{key} = {item['input']}; " if key else ""
    return f"{text}: {given}{message[0].lower()}{message[1:]}"
