"""The images of an evaluation, and their features."""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hybridq.config import Data
from hybridq.data.images.cache import open_images
from hybridq.data.images.images import Images
from hybridq.data.images.intensity import FULL, Levels, Measured, carried_over, far_outside, measure, named
from hybridq.data.manifest import Manifest
from hybridq.data.sources import load_manifest, path_of, with_path
from hybridq.errors import UserError
from hybridq.models import Classifier
from hybridq.models.build import intensity_of
from hybridq.models.features import compute_features, frozen_features
from hybridq.results.selection import Selection, choose_from
from hybridq.run_folder import RunFolder
from hybridq.typing import Progress


def choose_elsewhere(
    run: RunFolder,
    source: str,
    split: str = "test",
    limit: int | None = None,
    stratified: bool = False,
    *,
    own_range: bool = False,
) -> Selection:
    """Images of another source, on which the run's weights are tested as they are: another hospital's, say.

    They are brought to the run's range of intensities, or with ``own_range`` to their own. Raises :class:`UserError`
    where its task or classes are not the run's, where its intensities lie far outside of the run's, and as
    :func:`choose_images`.
    """
    manifest = _manifest(_data(run, source), run.experiment().split_seed, run.classes(), again=False)
    if not manifest.labelled:
        raise UserError(f"--data {source}: its images have no labels")
    theirs, ours = (manifest.task, manifest.classes), (run.task(), run.classes())
    if theirs != ours:
        raise UserError(
            f"--data {source}: {theirs[0]} with {', '.join(theirs[1])}; the run decides {ours[0]} with "
            f"{', '.join(ours[1])}, and both must be the same"
        )
    levels = _levels_elsewhere(run, manifest, own_range)
    return choose_from(run, manifest.listing(), source, split, limit, stratified, source, levels)


def locate(run: RunFolder, selection: Selection) -> tuple[Manifest, NDArray[np.int64]]:
    """The data as they are now, and where in their table the images stand.

    Raises :class:`UserError` where some are no longer there.
    """
    data = _data(run, selection.source)
    own = selection.source is None
    manifest = _manifest(data, run.experiment().split_seed, run.classes(), again=own)
    position = {name: index for index, name in enumerate(manifest.table["id"])}
    lost = [name for name in selection.ids if name not in position]
    if lost:
        raise UserError(
            f"{data.source}: {len(lost)} of the run's {selection.split} images are no longer there, such as {min(lost)}"
        )
    return manifest, np.array([position[name] for name in selection.ids])


def images_of(run: RunFolder, selection: Selection, progress: Progress) -> Images:
    """The chosen images, in their order; raises :class:`UserError` as :func:`locate`."""
    manifest, positions = locate(run, selection)
    images = open_images(manifest, _data(run, selection.source), progress=partial(progress, "decoding images"))
    return images.view(positions).brought_to(selection.levels or intensity_of(run).range)


def features_of(run: RunFolder, model: Classifier, images: Images, progress: Progress, what: str) -> torch.Tensor:
    """h of the images, (N, d), kept where the backbone was not trained; progress is reported as ``what``."""
    experiment = run.experiment()
    computing = partial(progress, what)
    if experiment.train.frozen:
        h = frozen_features(model, experiment.model.backbone, images, progress=computing)
        return torch.from_numpy(np.array(h))
    return compute_features(model, images, progress=computing)


def _data(run: RunFolder, source: str | None) -> Data:
    """How the images are read: as the run reads its own."""
    data = run.experiment().data
    if source is not None:
        return data.model_copy(update={"source": source, "splits": None, "positive": None, "columns": None})
    found = {}
    if (path := path_of(data.source)) is not None and (there := _found(run, path)) is not None:
        found["source"] = with_path(data.source, there)
    if data.splits is not None and (there := _found(run, data.splits)) is not None:
        found["splits"] = str(there)
    return data.model_copy(update=found)


def _found(run: RunFolder, path: str) -> Path | None:
    """Where a path of the run's data leads now, if not where it says.

    A relative one begins where the run was trained, or, where it is not there, where this command was started. Raises
    :class:`UserError` where there is nothing in either place.
    """
    given, trained_in = Path(path).expanduser(), run.directory()
    if trained_in not in (None, Path.cwd()) and not given.is_absolute() and (trained_in / given).exists():
        return trained_in / given
    if given.exists():
        return None
    looked = (
        [str(given)] if given.is_absolute() else [str(place / given) for place in (trained_in, Path.cwd()) if place]
    )
    raise UserError(
        f"{run.folder}: its data are not in {' or '.join(dict.fromkeys(looked))}; put a link there, start the command "
        "in the folder from which the path leads to them, or evaluate with --data SOURCE"
    )


def _levels_elsewhere(run: RunFolder, manifest: Manifest, own: bool) -> Levels | None:
    """The levels of ``manifest`` that become 0 and 1, if they are not the run's."""
    ours = intensity_of(run)
    if ours.bits is None:
        if own:
            raise UserError(f"--range own: {run.folder} was trained before runs kept their range of intensities")
        return None
    theirs = _measured(manifest)
    if theirs is None:
        return None
    if own:
        return carried_over(ours, theirs.levels)
    here = ours.percentiles or FULL
    if 16 in (ours.bits, theirs.bits) and far_outside(here, theirs.levels):
        raise UserError(
            f"--data {manifest.source}: its images use {named(theirs.levels)}, those that the run was trained on "
            f"{named(here)} (of 65,535), so that they would not look alike; --range own brings them to their own range"
        )
    return None


@lru_cache(maxsize=1)
def _measured(manifest: Manifest) -> Measured | None:
    return measure(manifest, manifest.table)


@lru_cache(maxsize=1)
def _manifest(data: Data, seed: int, classes: tuple[str, ...], *, again: bool) -> Manifest:
    """Several backends are evaluated on the same images, and checking a source reads every file of it."""
    return load_manifest(data.source, data, seed, classes=classes, again=again)
