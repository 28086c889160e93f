"""The images of a run: loaded, split, and checked against each other before anything is trained."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridq.config import OF_SOURCE, Experiment
from hybridq.data.audit import leak_sentences
from hybridq.data.decoding import as_sixteen_bits
from hybridq.data.images.appearance import MOST_LOOKED_AT, Appearance, appearance_of, summary_of
from hybridq.data.images.cache import open_images
from hybridq.data.images.images import Images, map_images
from hybridq.data.images.intensity import FULL, Intensity, Measured, choose_range, describe, is_narrow, measure, named
from hybridq.data.images.transforms import intensity_statistics
from hybridq.data.manifest import Manifest
from hybridq.data.pixels import Levels
from hybridq.data.sources import load_manifest
from hybridq.data.subsample import draw_by_class, draw_by_labels
from hybridq.errors import UserError
from hybridq.files import atomic_write, write_json
from hybridq.run_folder import RunFolder, open_run
from hybridq.training.start import check_start
from hybridq.typing import Progress


@dataclass(frozen=True)
class Prepared:
    """Training and validation images with labels, and the images for stage 1; test images are not among them."""

    manifest: Manifest
    notes: tuple[str, ...]
    training: Images
    """Those of ``every_training`` whose labels are used."""
    training_labels: NDArray[np.integer]
    """(N,), or targets (N, K) of a multi-label task."""
    validation: Images
    validation_labels: NDArray[np.integer]
    every_training: Images
    labelled: NDArray[np.int64]
    """Positions in ``every_training``."""
    unlabelled: Images
    mean: float
    std: float
    intensity: Intensity
    looks: tuple[Appearance, ...]
    """How some of the training images look in their files."""
    leaks: tuple[str, ...] = ()
    """What the audit has against the splits, a sentence each."""


def prepare(
    experiment: Experiment,
    progress: Progress,
    *,
    allow_leaks: bool = False,
    classes: tuple[str, ...] | None = None,
    intensity: Intensity | None = None,
) -> Prepared:
    """Load what training needs. Raises :class:`UserError` for everything that is wrong with the data.

    That includes splits that leak, unless ``allow_leaks``, and two classes of which neither is known to be the positive
    one. ``classes`` and ``intensity`` are those of a run that is continued.
    """
    data, pretrain = experiment.data, experiment.pretrain
    checking = partial(progress, "checking the images")
    manifest = load_manifest(data.source, data, experiment.split_seed, progress=checking, classes=classes)
    if not manifest.labelled:
        raise UserError(
            f"data.source = {data.source!r}: its images have no labels; unlabelled images are for pretrain.data"
        )
    if manifest.task == "binary" and not manifest.positive_by:
        names = manifest.classes
        raise UserError(
            f"{manifest.source}: the names do not say which of {' and '.join(names)} is the positive class; set "
            f"data.positive, such as data.positive={names[1]}"
        )
    leaks = leak_sentences(manifest, progress)
    if leaks and not allow_leaks:
        found = "; ".join(leak.rstrip(".") for leak in leaks)
        raise UserError(
            f"{manifest.source}: the splits leak ({found}); see hybridq data audit, draw others with hybridq data "
            "split for data.splits, or train all the same with --allow-leaks"
        )
    notes = list(manifest.notes)
    start = experiment.train.start
    if start is not None:
        check_start(experiment, manifest)
        intensity = intensity or Intensity.of_card(RunFolder(Path(start)).data_card)
        notes.append(f"The weights were trained in another run before ({start}).")

    def load(of: Manifest, split: str, what: str) -> Images:
        return open_images(of, data, split=split, progress=partial(progress, f"decoding {what}"))

    def uses(of: Manifest, images: Images) -> Measured | None:
        if images.dtype == np.uint8:
            return Measured(8, FULL)
        return measure(of, of.part("train"), progress=partial(progress, "measuring intensities"))

    training_images = load(manifest, "train", "images")
    if intensity is None:
        measured = uses(manifest, training_images)
        intensity = _intensity(data.range, measured)
        notes += _said_of_intensity(measured, intensity)
    validation_images = load(manifest, "validation", "images")
    held_out = [validation_images, load(manifest, "test", "images")]
    training_images, validation_images = (
        images.brought_to(intensity.range) for images in (training_images, validation_images)
    )
    unlabelled = training_images
    if pretrain.data is not None and pretrain.epochs and pretrain.encoder is None and start is None:
        other = load_manifest(
            pretrain.data,
            data.model_copy(update={"source": pretrain.data, **dict.fromkeys(OF_SOURCE)}),
            experiment.split_seed,
        )
        unlabelled, removed = _without(load(other, "train", "unlabelled images"), held_out)
        theirs = choose_range(data.range, uses(other, unlabelled))
        unlabelled = unlabelled.brought_to(theirs)
        if theirs != intensity.range:
            notes.append(
                f"The images of {pretrain.data} are brought to 0–1 by their own range "
                f"({'the whole scale' if theirs is None else named(theirs)})."
            )
        if removed:
            notes.append(
                f"{removed} images of {pretrain.data} were left out of pretraining: identical to validation or test "
                "images."
            )
    if pretrain.encoder is not None:
        _check_encoder(pretrain.encoder, manifest)
        notes.append(f"The encoder was pretrained in another run ({pretrain.encoder}).")
        if (theirs := Intensity.of_card(RunFolder(Path(pretrain.encoder)).data_card).range) != intensity.range:
            brought = "the whole scale" if theirs is None else named(theirs)
            notes.append(f"In that run other intensities were brought to 0–1: {brought}.")
    mean, std = intensity_statistics(training_images)
    labelled = _labelled(manifest, data.label_fraction, experiment.seed)
    if len(labelled) < len(training_images):
        notes.append(f"The labels of {len(labelled)} of {len(training_images)} training images are used.")
    return Prepared(
        manifest,
        tuple(notes),
        training_images.view(labelled),
        manifest.truth("train")[labelled],
        validation_images,
        manifest.truth("validation"),
        training_images,
        labelled,
        unlabelled,
        mean,
        std,
        intensity,
        _looks(manifest),
        tuple(leaks),
    )


def _labelled(manifest: Manifest, fraction: float, seed: int) -> NDArray[np.int64]:
    """Positions in the training part whose labels are used: drawn by the seed, classes or labels in proportion."""
    truth = manifest.truth("train")
    count = max(2, round(fraction * len(truth)))
    if count >= len(truth):
        return np.arange(len(truth))
    order = np.random.default_rng([seed, 1]).permutation(len(truth))
    if manifest.targets is not None:
        return np.sort(order[draw_by_labels(truth[order], count)])
    drawn = draw_by_class(pd.DataFrame({"label": truth[order], "position": order}), count)
    return np.sort(drawn["position"].to_numpy(np.int64))


def check_begun(run: RunFolder, manifest: Manifest) -> None:
    """Raise :class:`UserError` if the run was begun on other images, splits or labels than the source gives now."""
    if not run.splits.is_file():
        return
    now, before = manifest.listing().reset_index(drop=True), run.read_splits()
    if list(now) != list(before) or not now.equals(before.astype(now.dtypes.to_dict())):
        raise UserError(
            f"{run.folder}: was begun on other images, splits or labels than {manifest.source} gives now; remove it "
            "or choose another --set name=…"
        )


def write_data(run: RunFolder, prepared: Prepared) -> None:
    """splits.csv and data.json of the run."""
    manifest = prepared.manifest
    with atomic_write(run.splits) as unfinished:
        manifest.listing().to_csv(unfinished, index=False)
    write_json(
        run.folder / "data.json",
        {
            "source": manifest.source,
            "simulated": manifest.simulated,
            "groups": manifest.groups,
            "task": manifest.task,
            "classes": list(manifest.classes),
            **_positive(manifest),
            "counts": manifest.counts().T.to_dict(),
            "notes": list(prepared.notes),
            "leaks": list(prepared.leaks),
            "intensity": {"mean": prepared.mean, "std": prepared.std, **prepared.intensity.as_json()},
            "images": summary_of(prepared.looks),
        },
    )


def _positive(manifest: Manifest) -> dict[str, dict[str, str]]:
    if manifest.task != "binary":
        return {}
    return {"positive": {"class": manifest.classes[1], "by": manifest.positive_by}}


def _intensity(asked: Literal["auto", "full"] | Levels, measured: Measured | None) -> Intensity:
    chosen = choose_range(asked, measured)
    if measured is None or measured.bits == 8:
        return Intensity(8, None, chosen)
    return Intensity(16, measured.levels, chosen)


def _said_of_intensity(measured: Measured | None, intensity: Intensity) -> list[str]:
    """A sentence where the scale of the files is not the one of the network, or is hardly used."""
    if measured is None or (intensity.range is None and (measured.bits == 8 or not is_narrow(measured.levels))):
        return []
    absolute = "; brightness, noise and clipping of the augmentation are absolute" if intensity.range is None else ""
    return [f"Intensities of the training images: {describe(measured, intensity.range)} (data.range){absolute}."]


def _looks(manifest: Manifest) -> tuple[Appearance, ...]:
    """Of up to ``MOST_LOOKED_AT`` training images, evenly over their table."""
    training = manifest.part("train")
    chosen = np.unique(np.linspace(0, len(training) - 1, MOST_LOOKED_AT).astype(int))
    return tuple(map_images(manifest, appearance_of, rows=training.iloc[chosen]))


def _without(images: Images, held_out: Sequence[Images]) -> tuple[Images, int]:
    """``images`` without those that are identical, pixel by pixel, to a held-out one; and how many those are."""
    known = {digest for part in held_out for digest in _digests(part)}
    keep = np.array([digest not in known for digest in _digests(images)], dtype=bool)
    return images.view(keep), int((~keep).sum())


def _digests(images: Images) -> Iterator[bytes]:
    """Of the intensities, whether they are held in 8 bits or in 16."""
    chunks = (as_sixteen_bits(some) for some in images.chunks())
    return (hashlib.sha256(image.tobytes()).digest() for some in chunks for image in some)


def _check_encoder(encoder: str, manifest: Manifest) -> None:
    """Refuse an encoder whose training images are held out here."""
    run = open_run(Path(encoder))
    if not run.encoder.is_file():
        raise UserError(f"pretrain.encoder = {encoder!r}: that run has no pretrained encoder (encoder.safetensors)")
    if run.read_json("data.json")["source"] != manifest.source:
        return
    theirs = run.read_splits()
    seen = set(theirs.loc[theirs["split"] == "train", "id"])
    held_out = set(manifest.table.loc[manifest.table["split"] != "train", "id"])
    if shared := seen & held_out:
        raise UserError(
            f"pretrain.encoder = {encoder!r}: it was pretrained on {len(shared)} images that are validation or test "
            "images here; use the split and seed of that run"
        )
