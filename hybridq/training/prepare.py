"""The images of a run: loaded, split, and checked against each other before anything is trained."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hybridq.config import Experiment
from hybridq.data.images import load_images
from hybridq.data.manifest import Manifest
from hybridq.data.sources import load_manifest
from hybridq.data.transforms import intensity_statistics
from hybridq.errors import UserError
from hybridq.files import whole, write_json
from hybridq.runs import Run, open_run

Progress = Callable[[str, int, int], None]
"""Called with what is done, how many of it, of how many."""


@dataclass(frozen=True)
class Prepared:
    """Training and validation images with labels, and the images for stage 1; test images are not among them."""

    manifest: Manifest
    notes: tuple[str, ...]
    training: NDArray[np.uint8]
    training_labels: NDArray[np.int64]
    validation: NDArray[np.uint8]
    validation_labels: NDArray[np.int64]
    unlabelled: NDArray[np.uint8]
    mean: float
    std: float


def prepare(experiment: Experiment, progress: Progress) -> Prepared:
    """Load what training needs. Raises :class:`UserError` for everything that is wrong with the data."""
    data, pretrain = experiment.data, experiment.pretrain
    manifest = load_manifest(data.source, data, experiment.seed, progress=partial(progress, "checking the images"))
    if not manifest.labelled:
        raise UserError(
            f"data.source = {data.source!r}: its images have no labels; unlabelled images are for pretrain.data"
        )
    notes = list(manifest.notes)

    def load(of: Manifest, split: str, what: str) -> NDArray[np.uint8]:
        return load_images(
            of, data.size, rows=of.part(split), progress=lambda done, total: progress(f"loading {what}", done, total)
        )

    training_images = load(manifest, "train", "training images")
    validation_images = load(manifest, "validation", "validation images")
    unlabelled = training_images
    if pretrain.data is not None and pretrain.epochs and pretrain.encoder is None:
        other = load_manifest(pretrain.data, data.model_copy(update={"source": pretrain.data}), experiment.seed)
        unlabelled = load(other, "train", "unlabelled images")
        held_out = np.concatenate([validation_images, load(manifest, "test", "test images to leave them out")])
        unlabelled, removed = _without(unlabelled, held_out)
        if removed:
            notes.append(
                f"{removed} images of {pretrain.data} were left out of pretraining: identical to validation or test "
                "images."
            )
    if pretrain.encoder is not None:
        _check_encoder(pretrain.encoder, manifest)
        notes.append(f"The encoder was pretrained in another run ({pretrain.encoder}).")
    mean, std = intensity_statistics(training_images)
    return Prepared(
        manifest,
        tuple(notes),
        training_images,
        manifest.part("train")["label"].to_numpy(np.int64),
        validation_images,
        manifest.part("validation")["label"].to_numpy(np.int64),
        unlabelled,
        mean,
        std,
    )


def write_data(run: Run, prepared: Prepared) -> None:
    """splits.csv and data.json of the run."""
    manifest = prepared.manifest
    with whole(run.splits) as unfinished:
        manifest.table[["id", "group", "split", "label"]].to_csv(unfinished, index=False)
    write_json(
        run.folder / "data.json",
        {
            "source": manifest.source,
            "simulated": manifest.simulated,
            "groups": manifest.groups,
            "classes": list(manifest.classes),
            "counts": manifest.counts().T.to_dict(),
            "notes": list(prepared.notes),
            "intensity": {"mean": prepared.mean, "std": prepared.std},
        },
    )


def _without(images: NDArray[np.uint8], held_out: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
    """``images`` without those that are identical, pixel by pixel, to a held-out one; and how many those are."""
    known = {hashlib.sha256(image.tobytes()).digest() for image in held_out}
    keep = np.array([hashlib.sha256(image.tobytes()).digest() not in known for image in images], dtype=bool)
    return images[keep], int((~keep).sum())


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
