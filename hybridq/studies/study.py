"""A study: models × data sets × label fractions × seeds, read from one YAML file; every cell is a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError, model_validator

from hybridq.config import Experiment, Section, parse_experiment, sentences
from hybridq.errors import UserError

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._]*$", max_length=40)]
Overrides = dict[str, Any]
"""Keys of the experiment's configuration, such as ``model.alpha: 0``."""


class Study(Section):
    """What a study file says."""

    name: Name
    base: str
    """The experiment's configuration that all cells share; relative to the study file."""
    set: Overrides = Field(default_factory=dict)
    """Overrides of all cells."""
    models: Annotated[dict[Name, Overrides], Field(min_length=1)]
    """What each model changes in the configuration; ``{}`` is the base itself."""
    main: Name | None = None
    """The model against which the others are tested; None: the first."""
    data: dict[Name, Overrides] = Field(default_factory=lambda: {"data": Overrides()}, min_length=1)
    """What each data set changes."""
    label_fractions: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=1)] = (1.0,)
    """Shares of the training images whose labels are used."""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    backends: Annotated[tuple[str, ...], Field(min_length=1)] = ("aer",)
    """Where the trained weights are evaluated; models without a circuit on the first only."""
    split: str = "test"
    threads: Annotated[int, Field(ge=1)] = 1
    """Of every cell; as many cells run side by side as there are cores for."""
    equivalence_margin: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Two models whose difference in AUC lies within ± this are called equivalent; None: that is not tested."""

    @model_validator(mode="after")
    def _consistent(self) -> Study:
        if self.main is not None and self.main not in self.models:
            raise ValueError(f"main: {self.main} is none of the models {', '.join(self.models)}")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("seeds: a seed is listed twice")
        return self

    @property
    def reference(self) -> str:
        """The model against which the others are tested."""
        return self.main or next(iter(self.models))


@dataclass(frozen=True)
class Cell:
    """One run of a study."""

    model: str
    data: str
    label_fraction: float
    seed: int
    experiment: Experiment

    @property
    def name(self) -> str:
        return self.experiment.name


def load_study(path: Path) -> tuple[Study, list[Cell]]:
    """A study and its cells, seeds varying slowest, so that a study that is stopped early has whole seeds.

    Raises :class:`UserError` naming file and key, also for cells whose configuration is not valid.
    """
    tree = _read(path)
    try:
        study = Study.model_validate(tree)
    except ValidationError as error:
        raise UserError(sentences(str(path), error, Study)) from None
    base = path.parent / study.base
    text = yaml.safe_dump(_read(base))
    return study, list(_cells(study, text, f"{path} over {base}"))


def _cells(study: Study, base: str, where: str) -> Iterator[Cell]:
    grid = product(study.seeds, study.data.items(), study.label_fractions, study.models.items())
    for seed, (data, data_set), fraction, (model, changes) in grid:
        share = [] if study.label_fractions == (1.0,) else [f"{fraction:g}"]
        name = "-".join([model, data, *share, f"s{seed}"])
        of_cell = {"name": name, "seed": seed, "data.label_fraction": fraction, "train.threads": study.threads}
        settings = {**study.set, **data_set, **changes, **of_cell}
        overrides = [f"{key}={yaml.safe_dump(value, default_flow_style=True)}" for key, value in settings.items()]
        experiment = parse_experiment(base, overrides, where=f"{where}, cell {name}")
        yield Cell(model, data, fraction, seed, experiment)


def _read(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(tree, dict):
        raise UserError(f"{path}: holds no settings; expected a YAML mapping")
    return tree
