"""What a report shows of representations and explanations, gathered from an evaluation's folder."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from hybridq.errors import UserError
from hybridq.figures.embeddings import embedding_maps, tsne_maps
from hybridq.figures.style import inline_svg
from hybridq.results.evaluation import Evaluation
from hybridq.typing import IntArray

TITLES = {"h": "h, features", "q": "q, circuit or its stand-in", "fused": "h̃, fused"}


@dataclass(frozen=True)
class Explained:
    """A picture of explanations/; ``data`` is a PNG as a data URI."""

    data: str
    alt: str
    id: str
    true: str
    decided: str
    probability: float
    right: bool


@dataclass(frozen=True)
class Representation:
    """Of one evaluation: a map of its features, their stability, and pictures of where the model looks."""

    svg: Markup | None
    caption: str
    stability: list[tuple[str, dict[str, float | None]]]
    """Title of a representation, and what :func:`hybridq.evaluation.representations.stability` measured."""
    stability_images: int
    pictures: list[Explained]
    map_side: int | None
    """Side of the explained maps."""


def representation(evaluation: Evaluation, classes: Sequence[str], name: str, seed: int) -> Representation:
    """What the files of ``evaluation`` hold; ``name`` is unique on the page, ``seed`` that of the run.

    Evaluations that have no such files give an empty one. Raises :class:`UserError` naming a file that is damaged.
    """
    stability = _json(evaluation.folder / "stability.json") or {"representations": {}, "images": 0}
    explained = _json(evaluation.folder / "explanations" / "explanations.json") or {"images": [], "map_side": None}
    svg, caption = _maps(evaluation, classes, name, seed)
    return Representation(
        svg=svg,
        caption=caption,
        stability=[(TITLES[key], found) for key, found in stability["representations"].items()],
        stability_images=stability["images"],
        pictures=[_explained(evaluation.folder / "explanations", entry) for entry in explained["images"]],
        map_side=explained["map_side"],
    )


def _maps(evaluation: Evaluation, classes: Sequence[str], name: str, seed: int) -> tuple[Markup | None, str]:
    path = evaluation.folder / "features.npz"
    if not path.is_file() or len(evaluation.ids) < 4:
        return None, ""
    try:
        with np.load(path) as arrays:
            saved: dict[str, NDArray[Any]] = {title: arrays[key] for key, title in TITLES.items() if key in arrays}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise UserError(f"{path}: is damaged ({error}); delete its folder and run hybridq evaluate") from None
    found = {title: values for title, values in saved.items() if values.shape[1]}
    maps = tsne_maps(found, seed)
    groups, names = _groups(evaluation.labels, classes)
    figure = embedding_maps(maps, groups[maps.chosen], names)
    shown, total = len(maps.chosen), len(evaluation.ids)
    of = f"{shown} of {total:,}" if shown < total else f"{shown}"
    alt = f"t-SNE maps of {', '.join(found)}: a point for each of {of} images, coloured by {', '.join(names)}."
    caption = (
        f"t-SNE of {of} images on {evaluation.backend}, perplexity {maps.perplexity:.3g}, seed {seed}: who is near "
        "whom. Distances between groups, their sizes and directions mean nothing."
    )
    return Markup(inline_svg(figure, f"{name}-maps", alt)), caption


def _groups(labels: IntArray, classes: Sequence[str]) -> tuple[IntArray, list[str]]:
    """The colour of each image: its class, or whether it has any label."""
    if labels.ndim == 1:
        return labels, list(classes)
    return np.asarray(labels.any(axis=1), dtype=np.int64), ["no label", "one label or more"]


def _explained(folder: Path, entry: dict[str, Any]) -> Explained:
    try:
        data = base64.b64encode((folder / entry["file"]).read_bytes()).decode("ascii")
    except OSError as error:
        raise UserError(f"{folder / entry['file']}: cannot be read ({error})") from None
    fields = {key: entry[key] for key in ("alt", "id", "true", "decided", "probability", "right")}
    return Explained(data=f"data:image/png;base64,{data}", **fields)


def _json(path: Path) -> Any:
    """The content of a file, or None where it was not written."""
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
