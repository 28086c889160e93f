"""Whether a training may start from the weights of another run."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hybridq.config import Experiment
from hybridq.data.manifest import Manifest
from hybridq.errors import UserError
from hybridq.run_folder import open_run

CHANGEABLE: Final = {"imagenet", "dropout", "alpha", "train_alpha", "train_circuit", "angle_spread"}
"""Keys of ``model`` that decide how it starts and learns, not what it computes."""


def check_start(experiment: Experiment, manifest: Manifest) -> None:
    """Raise :class:`UserError` where ``train.start`` is no run of this model and these images, or saw held-out ones.

    Its own start and encoder were checked against its splits when it was trained, so that images held out here were
    never trained on if they are held out there. Test images here must be test images there: its best epoch was chosen
    on its validation images.
    """
    start = experiment.train.start
    assert start is not None
    where = f"train.start = {start!r}"
    if experiment.pretrain.encoder is not None:
        raise UserError(f"{where}: it has an encoder of its own; set pretrain.encoder=null")
    run = open_run(Path(start))
    theirs = run.experiment
    for section, ours, other in (("model", experiment.model, theirs.model), ("data", experiment.data, theirs.data)):
        keys = set(type(ours).model_fields) - CHANGEABLE if section == "model" else {"size", "channels", "range"}
        for key in sorted(keys):
            if (here := getattr(ours, key)) != (there := getattr(other, key)):
                raise UserError(f"{where}: it was trained with {section}.{key} = {there!r}, here it is {here!r}")
    described = run.read_json("data.json")
    if (described["source"], described["classes"]) != (manifest.source, list(manifest.classes)):
        raise UserError(
            f"{where}: it was trained on {described['source']} ({', '.join(described['classes'])}), here the images "
            f"are those of {manifest.source} ({', '.join(manifest.classes)})"
        )
    split_there = run.read_splits().set_index("id")["split"]
    for split, allowed in (("test", {"test"}), ("validation", {"test", "validation"})):
        ids = manifest.part(split)["id"]
        known = set(split_there.index[split_there.isin(list(allowed))])
        if seen := len(set(ids) - known):
            raise UserError(
                f"{where}: {seen} {split} images were not held out in its training; use the split and seed of that run"
            )
