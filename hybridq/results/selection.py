"""Which images of a run are meant, and where they are now. Loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import pandas as pd

from hybridq.data.images.cache import open_images
from hybridq.data.images.images import Images
from hybridq.data.images.intensity import Intensity
from hybridq.data.manifest import Manifest
from hybridq.data.pixels import Levels
from hybridq.errors import UserError
from hybridq.results.manifests import levels_elsewhere, manifest_of, settings_of
from hybridq.run_folder import RunFolder
from hybridq.statistics.scored import Scored
from hybridq.statistics.tasks import Task, task_named
from hybridq.typing import FloatArray, IntArray, Progress


@dataclass(frozen=True)
class ImageChoice:
    """Images as they are asked for."""

    split: str = "test"
    limit: int | None = None
    """How many of them, drawn with the run's seed; None: all."""
    stratified: bool = False
    """Whether a limited choice keeps how frequent each class or label is in the split."""
    data: str | None = None
    """Another source than the run's, with the same classes: another hospital's, say."""
    own_range: bool = False
    """Whether the images of ``data`` are brought to their own range of intensities in place of the run's."""


@dataclass(eq=False)
class Selection:
    """Images of one split of a run's data, or of another source that is read as they are."""

    run: RunFolder
    choice: ImageChoice
    described: str
    """``all``, or how many of how many, to be shown."""
    rows: pd.DataFrame
    """Their rows of splits.csv: id, group, split, and label or true_0, true_1, …"""
    levels: Levels | None = None
    """Levels that become 0 and 1, where the images are not brought to the run's range of intensities."""

    @property
    def split(self) -> str:
        return self.choice.split

    @property
    def source(self) -> str | None:
        """Source of the images; None where they are of the run's own data."""
        return self.choice.data

    @property
    def task(self) -> Task:
        """What is decided."""
        return task_named(self.run.task)

    @property
    def groups(self) -> tuple[str, ...] | None:
        """Group of each image, "" where it is unknown; None where no image has one."""
        names = self.rows["group"]
        return tuple(map(str, names)) if (names != "").any() else None

    @property
    def ids(self) -> list[str]:
        """Sample ids, in the order of splits.csv."""
        return [str(name) for name in self.rows["id"]]

    @cached_property
    def truth(self) -> IntArray:
        """What is true of each image: (N,), or (N, C) in {0, 1} where an image may have several labels."""
        return self.task.truth(self.rows)

    def scored(self, probabilities: FloatArray) -> Scored:
        """Return the images with the probabilities (N, C) that a model gives them; the run's seed decides resamples."""
        seed = self.run.experiment.seed
        return Scored(self.truth, probabilities, self.groups, self.run.classes, self.split, seed)

    @cached_property
    def manifest(self) -> Manifest:
        """The data as they are now."""
        return manifest_of(self.run, self.source)

    @cached_property
    def located(self) -> IntArray:
        """Row of each image in the table of ``manifest``; raises :class:`UserError` where some are no longer there."""
        position = {name: index for index, name in enumerate(self.manifest.table["id"])}
        lost = [name for name in self.ids if name not in position]
        if lost:
            raise UserError(
                f"{self.manifest.source}: {len(lost)} of the run's {self.split} images are no longer there, such as "
                f"{min(lost)}"
            )
        return np.array([position[name] for name in self.ids], dtype=np.int64)

    def images(self, progress: Progress) -> Images:
        """Open the images, in their order; raises :class:`UserError` where some are no longer there."""
        positions, settings = self.located, settings_of(self.run, self.source)
        images = open_images(self.manifest, settings, progress=partial(progress, "decoding images"))
        return images.view(positions).brought_to(self.levels or Intensity.of_card(self.run.data_card).range)


def choose(run: RunFolder, choice: ImageChoice | None = None) -> Selection:
    """Choose images of a finished run; by default all test images.

    Raises :class:`UserError` when the split does not exist, when the limit leaves a class empty (a label of images that
    have several may be left without positives), and for ``data`` with another task, other classes, or intensities far
    outside of the run's.
    """
    choice = choice or ImageChoice()
    if choice.data is None:
        if choice.own_range:
            raise UserError("--range own is for --data: the images of the run are brought to its range")
        return _drawn(run, run.read_splits(), str(run.splits), choice)
    manifest = manifest_of(run, choice.data)
    if not manifest.labelled:
        raise UserError(f"--data {choice.data}: its images have no labels")
    theirs, ours = (manifest.task, manifest.classes), (run.task, run.classes)
    if theirs != ours:
        raise UserError(
            f"--data {choice.data}: {theirs[0]} with {', '.join(theirs[1])}; the run decides {ours[0]} with "
            f"{', '.join(ours[1])}, and both must be the same"
        )
    levels = levels_elsewhere(run, manifest, choice.own_range)
    selection = _drawn(run, manifest.listing(), choice.data, choice, levels)
    selection.manifest = manifest
    return selection


def _drawn(
    run: RunFolder, splits: pd.DataFrame, where: str, choice: ImageChoice, levels: Levels | None = None
) -> Selection:
    """Choose from a table with the columns of splits.csv; ``where`` names it in errors."""
    split, limit, task = choice.split, choice.limit, task_named(run.task)
    wanted = splits[splits["split"] == split]
    if wanted.empty:
        raise UserError(f"--split {split}: {where} has {', '.join(sorted(set(splits['split'])))}")
    described = "all"
    if limit is not None and limit < len(wanted):
        described = f"{limit} of {len(wanted)}{', stratified' if choice.stratified else ''}"
        drawn = _draw(wanted, limit, task if choice.stratified else None, run.experiment.seed)
        wanted = wanted[wanted["id"].isin(set(drawn["id"]))]
    if (lack := task.lacks(wanted, run.classes)) is not None:
        if limit is None:
            raise UserError(f"the images of split {split} {lack}")
        enough = choice.stratified or limit < len(run.classes)
        advice = "choose more" if enough else "choose more, or add --stratified"
        raise UserError(f"--limit {limit}: the chosen images of split {split} {lack}; {advice}")
    return Selection(run, choice, described, wanted.reset_index(drop=True), levels)


def _draw(table: pd.DataFrame, limit: int, stratify: Task | None, seed: int) -> pd.DataFrame:
    if limit < 1:
        raise UserError(f"--limit {limit}: at least 1")
    rng = np.random.default_rng(seed)
    shuffled = table.iloc[rng.permutation(len(table))]
    return shuffled.head(limit) if stratify is None else stratify.draw(shuffled, limit)
