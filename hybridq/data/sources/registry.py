"""The registry of sources: a decorator and the parsing of ``name:key=value,…``."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from hybridq.config import Data
from hybridq.data.manifest import Manifest, Progress
from hybridq.errors import UserError

DATA_DIR: Final = "HYBRIDQ_DATA_DIR"
"""Environment variable that names the folder under which data sets are looked for."""


class Options(BaseModel):
    """What may follow the colon of a source's name; every source declares its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)


OptionsT = TypeVar("OptionsT", bound=Options)


@dataclass(frozen=True)
class Request(Generic[OptionsT]):
    """What a source is asked for."""

    source: str
    """Canonical source string, for the manifest and for messages."""
    options: OptionsT
    data: Data
    """Fractions for sources that bring no splits."""
    seed: int
    """Seed of such splits."""
    progress: Progress | None = None


@dataclass(frozen=True)
class _Registered:
    options: type[Options]
    load: Callable[[Request], Manifest]


_SOURCES: dict[str, _Registered] = {}

Load = Callable[[Request[OptionsT]], Manifest]


def source(name: str, options: type[OptionsT]) -> Callable[[Load[OptionsT]], Load[OptionsT]]:
    """Register the decorated function as the source ``name`` with these options."""

    def register(load: Load[OptionsT]) -> Load[OptionsT]:
        _SOURCES[name] = _Registered(options, load)
        return load

    return register


def source_names() -> list[str]:
    return sorted(_SOURCES)


def load_manifest(name: str, data: Data, seed: int, *, progress: Progress | None = None) -> Manifest:
    """The images of a source such as ``padsd``, ``adsss:fold=0`` or ``folder:path=images``.

    ``data`` gives the fractions and ``seed`` the draw where the source brings no splits of its own. Images without
    labels (a folder of files, a CSV of paths) come as an unlabelled manifest, all of it training images. Raises
    :class:`UserError` for unknown sources and options, missing data, or data that cannot be trained on.
    """
    registered, request = _parse(name, data, seed, progress)
    return registered.load(request)


def find_data(request: Request, path: str | None, default: str, holds: str) -> Path:
    """The folder of a data set: ``path=`` if given, else ``default`` under ``HYBRIDQ_DATA_DIR``.

    ``holds`` says what has to be there. Raises :class:`UserError` where it is not.
    """
    if path is not None:
        folder = Path(path).expanduser()
        advice = f"path= has to name the folder that holds {holds}"
    elif os.environ.get(DATA_DIR):
        folder = Path(os.environ[DATA_DIR]).expanduser() / default
        advice = f"place {holds} there or give the folder with path="
    else:
        raise UserError(
            f"{request.source}: {DATA_DIR} is not set; place {holds} in a folder {default} and set {DATA_DIR} to the "
            "folder around it, or give the folder itself with path="
        )
    if not folder.is_dir():
        raise UserError(f"{request.source}: {folder} does not exist; {advice}")
    return folder.resolve()


def _parse(text: str, data: Data, seed: int, progress: Progress | None) -> tuple[_Registered, Request]:
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
    values = options.model_dump(exclude_none=True)
    canonical = name + (":" + ",".join(f"{key}={value}" for key, value in values.items()) if values else "")
    return registered, Request(canonical, options, data, seed, progress=progress)


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
    return f"{text}: {key} = {item['input']}; {message[0].lower()}{message[1:]}"
