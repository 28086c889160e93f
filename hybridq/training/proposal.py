"""A first configuration for images of a user's own: what they are like, and a training that suits them."""

from __future__ import annotations

import math
import os
import re
import textwrap
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np
import pandas as pd

from hybridq.config import Data
from hybridq.config_schema import FIRST_LINE, FOLDER, in_one_line
from hybridq.data.audit import inspect, leak_sentences
from hybridq.data.audit.splitting import draw_splits
from hybridq.data.decoding import IMAGE_ENDINGS
from hybridq.data.formats.dicom_header import dicom_files
from hybridq.data.images.appearance import MOST_LOOKED_AT, Appearance, appearance_of
from hybridq.data.images.images import map_images
from hybridq.data.images.intensity import choose_range, describe, measure
from hybridq.data.manifest import SPLITS, Manifest
from hybridq.data.sources import load_manifest, source_names
from hybridq.data.splits import draw_missing
from hybridq.errors import UserError, printable

Progress = Callable[[str, int, int], None]

SEED: Final = 0
TABLES: Final = (".csv", ".tsv", ".txt", ".parquet")
SIDES: Final = ((40, 32), (160, 64))
"""Median sides of images up to which they are resized to so many pixels; larger ones to ``LARGEST``."""
LARGEST: Final = 128
SMALL: Final = 1000
"""Training images below which batches are small: many steps from few images."""
UNBALANCED: Final = 3.0
"""Times as many training images of the commonest class as of the rarest, above which the loss is weighted."""
WIDTH: Final = 118


@dataclass(frozen=True)
class Proposal:
    """A configuration, and what a person has to know of it."""

    text: str
    splits: pd.DataFrame | None
    """A split manifest that has to be written to where the configuration looks for it; None: none is needed."""
    said: tuple[str, ...]
    """How the images are, a sentence each."""
    warnings: tuple[str, ...]
    """What may be wrong, and what was decided without being known."""


def source_of(images: str) -> str:
    """Return the source that reads ``images``: a folder of pictures or of DICOM files, a table, or a source's name.

    Raises :class:`UserError` for what is none of them.
    """
    path = Path(images).expanduser()
    if images.partition(":")[0] in source_names() and not path.exists():
        return images
    if path.is_file():
        if path.suffix.lower() in TABLES:
            return f"manifest:path={images}"
        raise UserError(
            f"{images}: is a file; name a folder of images or DICOM files, or a table ({', '.join(TABLES)}) of them"
        )
    if not path.is_dir():
        raise UserError(
            f"{images}: no such file or folder; name a folder of images or DICOM files, a table of them, or a source "
            f"({', '.join(source_names())})"
        )
    pictures = any(file.suffix.lower() in IMAGE_ENDINGS for file in path.rglob("*"))
    return f"folder:path={images}" if pictures or not dicom_files(path) else f"dicom:path={images}"


def name_for(images: str) -> str:
    """Return a name for the run: that of the folder or table, with what a name may not hold replaced."""
    if not Path(images).expanduser().exists():  # a source's name: its first option
        images = re.sub(r"^[a-z_]+:(?:[a-z_]+=)?([^,]*).*$", r"\1", images)
    path = Path(images).expanduser().absolute()
    name = path.name if path.is_dir() else path.stem
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("_.-")[:100] or "images"


def propose(data: Data, name: str, file: Path, progress: Progress, *, splits_file: Path | None = None) -> Proposal:
    """Look at the labelled images of ``data.source`` and propose a configuration, to be written to ``file``.

    Splits that are drawn and leak, since images of one patient or near copies are on both sides, are drawn again as
    :func:`draw_splits` does; the configuration then names ``splits_file``. Raises :class:`UserError` for images that
    cannot be trained on.
    """
    checking = partial(progress, "checking the images")
    manifest = load_manifest(data.source, data, SEED, progress=checking)
    if not manifest.labelled:
        raise UserError(
            f"{manifest.source}: its images have no labels; they lie in a folder for each class, or a table has a "
            "column label"
        )
    warnings: list[str] = []
    positive = _positive(manifest, warnings)
    splits = None
    drawn = _drawn(manifest, data)
    if leaks := leak_sentences(manifest, progress):
        splits = _without_leaks(manifest, data, progress) if drawn else None
        if splits is None:
            warnings += [f"{leak} hybridq train refuses that without --allow-leaks." for leak in leaks]
        else:
            manifest = _with(manifest, splits)
            warnings.append(
                "Splits drawn at random would have images that are alike on both sides, so they were drawn with "
                f"similar images together, into {splits_file}."
            )
    warnings += _tables_beside(data.source)
    training = manifest.part("train")
    looks = _look(manifest, progress)
    measured = measure(manifest, training, progress=partial(progress, "measuring intensities"))
    intensities = "unknown" if measured is None else describe(measured, choose_range("auto", measured))
    size, channels = _size(looks), 3 if any(look.colour for look in looks) else 1
    counts = _counts(manifest)
    said = {
        "source": [_balance(manifest, counts), _groups(manifest), *manifest.notes],
        "splits": [
            _parts(
                manifest,
                "drawn by the seed"
                if drawn and splits is None
                else "kept apart by " + str(splits_file)
                if drawn
                else "as given",
            )
        ],
        "size": [f"{_sides(looks)}; resized to {size} × {size}. Twice the side takes four times as long."],
        "channels": [_colour(looks)],
        "range": [f"Intensities: {intensities}."],
    }
    section: dict[str, object] = {"source": data.source}
    if data.columns is not None:
        section["columns"] = data.model_dump(mode="json")["columns"]
    if positive is not None:
        section["positive"] = positive
        by = manifest.positive_by or "chosen here; nothing else says so"
        said["positive"] = [f"Of which class a sensitivity is: {positive} ({by})."]
    if splits is not None or data.splits is not None:
        section["splits"] = data.splits if splits is None else str(splits_file)
    section |= {"size": size, "channels": channels, "range": "auto"}
    text = "\n".join(
        [
            f"{FIRST_LINE}{_relative(FOLDER / 'experiment.json', file)}",
            *_comment(
                f"Written by hybridq init from a look at {len(manifest.table):,} images. hybridq train {file} trains "
                "it as it is; hybridq config keys lists every key. Relative paths begin in the folder in which the "
                "training is started."
            ),
            _line("name", name),
            _line("seed", SEED),
            "data:",
            *(line for key, value in section.items() for line in _with_comment(key, value, said.get(key, []))),
            *training_sections(len(training), counts["train"]),
        ]
    )
    sentences = [sentence for some in said.values() for sentence in some]
    return Proposal(text + "\n", splits, tuple(sentences), tuple(warnings))


def training_sections(images: int, counts: Counter[str]) -> list[str]:
    """Return the lines on model and training for so many training images, of classes with these counts."""
    batch = 16 if images < SMALL else 32 if images < 10 * SMALL else 64
    steps = math.ceil(images / batch)
    wanted = 300 if images < SMALL else 1500
    epochs = min(30, max(10, math.ceil(wanted / steps)))
    ratio = max(counts.values()) / max(1, min(counts.values()))
    weights = ratio > UNBALANCED
    lines = ["pretrain:"]
    lines += _with_comment(
        "epochs", 0, ["Stage 1 (SimCLR) is left out: it is slow, and gains with many more images than labels."]
    )
    lines += ["model:"]
    lines += _with_comment(
        "name",
        "ssl_quantum",
        ["A circuit of four qubits beside a linear path. baseline is the same without a circuit."],
    )
    lines += _with_comment(
        "backbone",
        "five_layer_cnn",
        ["70,000 parameters, trained from scratch. With many images a larger one may gain, such as resnet18."],
    )
    lines += ["train:"]
    lines += _with_comment(
        "epochs", epochs, [f"{epochs * steps:,} steps of {batch} images, of {images:,} to train on."]
    )
    lines += [f"  {_line('batch_size', batch)}"]
    lines += [f"  {_line('learning_rate', 0.003)}", f"  {_line('head_learning_rate', 0.003)}"]
    lines += _with_comment(
        "class_weights", weights, [f"The commonest class has {ratio:.1f} times as many images as the rarest."]
    )
    lines += _with_comment(
        "monitor",
        "loss",
        ["The epoch of the lowest validation loss is kept; the AUC of few images is soon 1. It trains to the end."],
    )
    lines += [f"  {_line('patience', epochs)}", "  augmentation:"]
    lines += [f"  {line}" for line in _comment("Brightness and grain differ between patients, and say little.", "  ")]
    for key, value in (
        *(("rotation_degrees", 10), ("crop_ratio", [0.85, 1.0]), ("brightness", 0.2), ("contrast", 0.4)),
        *(("noise", 0.05), ("flips", False)),
    ):
        lines.append(f"    {_line(key, value)}")
    return lines


def _without_leaks(manifest: Manifest, data: Data, progress: Progress) -> pd.DataFrame | None:
    """Return splits that keep similar images together; None if they cannot be drawn."""
    if manifest.targets is not None:
        return None
    shares = {
        "train": 1 - data.validation_fraction - data.test_fraction,
        "validation": data.validation_fraction,
        "test": data.test_fraction,
    }
    clusters = inspect(manifest, progress).alike.clusters
    try:
        drawn = draw_splits(manifest, clusters, shares, SEED)
    except UserError:  # too few images that are not alike
        return None
    return drawn if not leak_sentences(_with(manifest, drawn), progress) else None


def _with(manifest: Manifest, splits: pd.DataFrame) -> Manifest:
    return replace(manifest, table=manifest.table.assign(split=splits["split"].to_numpy()))


def _drawn(manifest: Manifest, data: Data) -> bool:
    """Whether the splits are those that the seed draws, and neither the source nor a split manifest brings them."""
    if data.splits is not None:
        return False
    bare = manifest.table.assign(split="")
    classes: tuple[str, ...] = manifest.classes
    if manifest.targets is not None:
        bare, classes = bare.assign(label=0), ("labelled",)
    again = draw_missing(bare, classes, data, SEED, source=manifest.source)
    return bool((again["split"] == manifest.table["split"]).all())


def _positive(manifest: Manifest, warnings: list[str]) -> str | None:
    if manifest.task != "binary":
        return None
    if manifest.positive_by:
        return manifest.classes[1]
    labels = manifest.table["label"].to_numpy(np.int64)
    rarer = manifest.classes[0 if (labels == 0).sum() < (labels == 1).sum() else 1]
    warnings.append(
        f"The names do not say which of {' and '.join(manifest.classes)} is the positive class; {rarer} was written to "
        "data.positive: change it if that is wrong, since every sensitivity is of that class."
    )
    return rarer


def _tables_beside(source: str) -> list[str]:
    """Say where a folder of images holds a table, which may name patients."""
    kind, _, path = source.partition(":path=")
    if kind != "folder":
        return []
    tables = sorted(file for file in Path(path).expanduser().iterdir() if file.suffix.lower() in TABLES)
    return [
        f"{table} was not read; if it lists the images, with their patients, hybridq init {table} keeps these apart."
        for table in tables
        if table.suffix.lower() != ".txt"
    ]


def _look(manifest: Manifest, progress: Progress) -> list[Appearance]:
    rows = np.unique(np.linspace(0, len(manifest.table) - 1, MOST_LOOKED_AT).astype(int))
    looked = map_images(
        manifest, appearance_of, rows=manifest.table.iloc[rows], progress=partial(progress, "looking at some images")
    )
    return list(looked)


def _size(looks: list[Appearance]) -> int:
    side = median(max(look.width, look.height) for look in looks)
    return next((size for most, size in SIDES if side <= most), LARGEST)


def _sides(looks: list[Appearance]) -> str:
    widths, heights = ({getattr(look, name) for look in looks} for name in ("width", "height"))
    if len(widths) == len(heights) == 1:
        return f"The images have {min(widths)} × {min(heights)} pixels"
    return f"The images have {min(widths)}–{max(widths)} × {min(heights)}–{max(heights)} pixels"


def _colour(looks: list[Appearance]) -> str:
    coloured = sum(look.colour for look in looks)
    if coloured == 0:
        return "The images are grey."
    return (
        "The images are in colour." if coloured == len(looks) else f"{coloured} of {len(looks)} images are in colour."
    )


def _counts(manifest: Manifest) -> dict[str, Counter[str]]:
    """Images by class, of each split and of all."""
    found = {
        str(split): Counter({str(name): int(count) for name, count in counts.items()})
        for split, counts in manifest.counts().to_dict("index").items()
    }
    return found | {"": sum(found.values(), Counter())}


def _balance(manifest: Manifest, counts: dict[str, Counter[str]]) -> str:
    classes = ", ".join(f"{counts[''][name]:,} {name}" for name in manifest.classes)
    return f"{len(manifest.table):,} images, {manifest.task}: {classes}."


def _groups(manifest: Manifest) -> str:
    named = manifest.table.loc[manifest.table["group"] != "", "group"]
    if not len(named):
        return "No groups of images are known."
    return f"{named.nunique():,} groups ({manifest.groups}), each in one split."


def _parts(manifest: Manifest, how: str) -> str:
    counts = manifest.table["split"].value_counts()
    parts = ", ".join(f"{counts[split]:,} {split}" for split in SPLITS)
    return f"{parts}; {how}."


def _relative(path: Path, file: Path) -> str:
    """The path from the folder of ``file``, without the names of machine and user where one folder holds both."""
    return Path(os.path.relpath(path, file.absolute().parent)).as_posix()


def _with_comment(key: str, value: object, said: list[str]) -> list[str]:
    return [*(line for sentence in said for line in _comment(sentence, "  ")), f"  {_line(key, value)}"]


def _comment(sentence: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        printable(sentence),
        WIDTH,
        initial_indent=f"{indent}# ",
        subsequent_indent=f"{indent}# ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _line(key: str, value: object) -> str:
    return f"{key}: {in_one_line(value)}"
