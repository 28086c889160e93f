"""The data of a run where they are now: its own, or another source that is read as its own are."""

from __future__ import annotations

from pathlib import Path

from hybridq.config import Data
from hybridq.data.images.intensity import FULL, Intensity, carried_over, far_outside, measure, named
from hybridq.data.manifest import Manifest
from hybridq.data.pixels import Levels
from hybridq.data.sources import load_manifest, path_of, with_path
from hybridq.errors import UserError
from hybridq.run_folder import RunFolder


def manifest_of(run: RunFolder, source: str | None = None) -> Manifest:
    """Load the run's data, or another source; raises :class:`UserError` where they are not found."""
    data = settings_of(run, source)
    return load_manifest(data.source, data, run.experiment.split_seed, classes=run.classes, again=source is None)


def settings_of(run: RunFolder, source: str | None = None) -> Data:
    """Return how images are read: as the run reads its own, from where they are now."""
    data = run.experiment.data
    if source is not None:
        return data.model_copy(update={"source": source, "splits": None, "positive": None, "columns": None})
    found = {}
    if (path := path_of(data.source)) is not None and (there := _found(run, path)) is not None:
        found["source"] = with_path(data.source, there)
    if data.splits is not None and (there := _found(run, data.splits)) is not None:
        found["splits"] = str(there)
    return data.model_copy(update=found)


def levels_elsewhere(run: RunFolder, manifest: Manifest, own: bool) -> Levels | None:
    """Return the levels of another source that become 0 and 1, if they are not the run's.

    Raises :class:`UserError` where its intensities lie far outside of the run's, unless it is brought to its own range.
    """
    ours = Intensity.of_card(run.data_card)
    if ours.bits is None:
        if own:
            raise UserError(f"--range own: {run.folder} was trained before runs kept their range of intensities")
        return None
    theirs = measure(manifest, manifest.table)
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


def _found(run: RunFolder, path: str) -> Path | None:
    """Where a path of the run's data leads now, if not where it says.

    A relative one begins where the run was trained, or, where it is not there, where this command was started. Raises
    :class:`UserError` where there is nothing in either place.
    """
    given, trained_in = Path(path).expanduser(), run.directory
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
