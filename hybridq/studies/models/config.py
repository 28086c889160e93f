"""A study: models × data sets × label fractions × seeds, read from one YAML file; every cell is a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BeforeValidator, Field, ValidationError, WithJsonSchema, model_validator

from hybridq.config import Experiment, Section, parse_experiment, sentences
from hybridq.config_schema import OVERRIDES
from hybridq.errors import UserError
from hybridq.yaml_text import read_settings

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._]*$", max_length=40)]
CHOSEN: Final = "tuning.yaml"
"""In a study's folder: what was tuned, by model and data set."""
Overrides = Annotated[dict[str, Any], WithJsonSchema({"type": "object", "$comment": OVERRIDES})]
"""Keys of the experiment's configuration, such as ``model.alpha: 0``; ``{seed}`` in a text is the cell's seed."""
Changes = Annotated[Overrides, BeforeValidator(lambda given: {} if given is None else given)]
"""Overrides of one model or data set; nothing after the name is none."""


class Choice(Section):
    """The values of one tuned key: between ``low`` and ``high``, or one of ``choices``."""

    low: float | None = None
    """Lowest value of a range."""
    high: float | None = None
    """Highest value of a range."""
    log: bool = False
    """Even over the logarithm."""
    choices: tuple[float | int | str | bool, ...] | None = None
    """The values themselves, in place of a range."""

    @model_validator(mode="after")
    def _complete(self) -> Choice:
        if self.choices is not None:
            if not self.choices or self.log or (self.low, self.high) != (None, None):
                raise ValueError("choices: at least one, and neither low, high nor log beside them")
        elif self.low is None or self.high is None or not self.low < self.high:
            raise ValueError("expected choices, or low and a greater high")
        elif self.log and self.low <= 0:
            raise ValueError("low: above 0 where log is true")
        return self


class Tuning(Section):
    """The same search for every model: on validation images alone, before the study runs."""

    space: Annotated[dict[str, Choice], Field(min_length=1)]
    """By key of the experiment's configuration, such as ``train.head_learning_rate``."""
    trials: Annotated[int, Field(ge=1)] = 20
    """Of every model on every data set."""


_OF_THE_STUDY = {"seed": "seeds", "data.label_fraction": "label_fractions", "train.threads": "threads"}
"""Keys of the experiment that every cell takes from the study, and from what."""


class Study(Section):
    """What a study file says."""

    name: Name
    """Name of the study's folder."""
    base: str
    """The experiment's configuration that all cells share; relative to the study file."""
    set: Overrides = Field(default_factory=dict)
    """Overrides of all cells."""
    models: Annotated[dict[Name, Changes], Field(min_length=1)]
    """What each model changes in the configuration; ``{}`` is the base itself."""
    main: Name | None = None
    """The model against which the others are tested; None: the first."""
    data: dict[Name, Changes] = Field(default_factory=lambda: {"data": dict[str, Any]()}, min_length=1)
    """What each data set changes."""
    label_fractions: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=1)] = (1.0,)
    """Shares of the training images whose labels are used."""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    """Each is a run of every model on every data set."""
    backends: Annotated[tuple[str, ...], Field(min_length=1)] = ("aer",)
    """Where the trained weights are evaluated; models without a circuit on the first only."""
    interventions: tuple[Literal["mean", "shuffle"], ...] = ()
    """The main model is also evaluated with q replaced: listed as models ``NAME_q_mean`` and ``NAME_q_shuffle``."""
    allow_leaks: bool = False
    """Train on splits that the audit rejects; runs, reports and tables say so."""
    split: str = "test"
    """The part of the images that is evaluated: train, validation or test."""
    threads: Annotated[int, Field(ge=1)] = 1
    """Of every cell; as many cells run side by side as there are cores for."""
    encoder: Overrides | None = None
    """One encoder for all seeds and models with that backbone, pretrained first, with these changes to the base; splits
    that are drawn are then the same for all seeds."""
    tuning: Tuning | None = None
    """Keys that are tuned for every model; drawn splits are then the same for all seeds."""
    equivalence_margin: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Two models whose difference in AUC lies within ± this are called equivalent; None: that is not tested."""

    @model_validator(mode="after")
    def _consistent(self) -> Study:
        if self.main is not None and self.main not in self.models:
            raise ValueError(f"main: {self.main} is none of the models {', '.join(self.models)}")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("seeds: a seed is listed twice")
        fixed = {"the study's set": self.set, **{f"the model {name}": changes for name, changes in self.models.items()}}
        for who, changes in [*fixed.items(), *((f"the data set {name}", some) for name, some in self.data.items())]:
            for key in sorted(_OF_THE_STUDY.keys() & changes.keys()):
                raise ValueError(f"{key} is set by {who}; {_OF_THE_STUDY[key]} of the study decides it")
        for key in self.tuning.space if self.tuning else ():
            for who, changes in fixed.items():
                if key in changes:
                    raise ValueError(f"tuning.space: {key} is also set by {who}; tune it or set it")
        return self

    @property
    def reference(self) -> str:
        """The model against which the others are tested."""
        return self.main or next(iter(self.models))

    @property
    def compared(self) -> tuple[str, ...]:
        """The models, and the main one with q replaced."""
        return (*self.models, *(with_replaced_q(self.reference, by) for by in self.interventions))


def with_replaced_q(name: str, by: str) -> str:
    """What the results of a model, or of a cell, are called where q was replaced."""
    return f"{name}_q_{by}"


@dataclass(frozen=True)
class Cell:
    """One run of a study."""

    model: str
    data: str
    label_fraction: float
    seed: int
    experiment: Experiment
    encoder: Cell | None = None
    """The run whose encoder it takes, where the study has one."""

    @property
    def name(self) -> str:
        return self.experiment.name


def load_study(path: Path, runs: Path = Path("runs"), *, tuned: bool = True) -> tuple[Study, list[Cell]]:
    """A study and its cells, seeds varying slowest, so that a study that is stopped early has whole seeds.

    ``runs`` is where the study's folder lies: what was tuned is read from it, and a shared encoder is expected in it.
    ``tuned=False`` gives the cells as they are before tuning.

    Raises :class:`UserError` naming file and key, also for cells whose configuration is not valid.
    """
    tree = read_settings(path)
    try:
        study = Study.model_validate(tree)
    except ValidationError as error:
        raise UserError(sentences(str(path), error, Study)) from None
    base = path.parent / study.base
    text = yaml.safe_dump(read_settings(base))
    root = runs / study.name
    chosen = _chosen(study, root / CHOSEN) if tuned else {}
    return study, list(_cells(study, text, chosen, root.resolve(), f"{path} over {base}"))


def some_cells(study: Study, cells: list[Cell], models: Sequence[str], seeds: Sequence[int]) -> list[Cell]:
    """Return the cells of these models and seeds; none named is all. Raises :class:`UserError` for unknown ones."""
    for option, given, known in (("--only", models, tuple(study.models)), ("--seed", seeds, study.seeds)):
        for value in given:
            if value not in known:
                raise UserError(f"{option} {value}: the study {study.name} has {', '.join(map(str, known))}")
    return [cell for cell in cells if cell.model in (models or study.models) and cell.seed in (seeds or study.seeds)]


def _chosen(study: Study, file: Path) -> dict[str, dict[str, Overrides]]:
    """What was tuned, by model and data set; empty where nothing is, or not yet."""
    if study.tuning is None or not file.is_file():
        return {}
    tree = read_settings(file)
    if tree["space"] != study.tuning.key_content()["space"]:
        raise UserError(f"{file}: was tuned in another space than the study has; remove it to tune again")
    chosen: dict[str, dict[str, Overrides]] = tree["chosen"]
    for model, data in product(study.models, study.data):
        if data not in chosen.get(model, {}):
            raise UserError(f"{file}: has nothing for the model {model} on {data}; remove it to tune that, too")
    return chosen


def _cells(study: Study, base: str, chosen: dict[str, dict[str, Overrides]], root: Path, where: str) -> Iterator[Cell]:
    def experiment(name: str, *changes: Overrides) -> Experiment:
        same_splits = {"data.seed": study.seeds[0]} if study.encoder is not None or study.tuning is not None else {}
        settings: Overrides = dict(same_splits)
        for some in (study.set, *changes, {"name": name, "train.threads": study.threads}):
            settings |= some
        for key, value in settings.items():
            if isinstance(value, str):
                settings[key] = value.replace("{seed}", str(settings["seed"]))
        overrides = [f"{key}={yaml.safe_dump(value, default_flow_style=True)}" for key, value in settings.items()]
        return parse_experiment(base, overrides, where=f"{where}, cell {name}")

    encoders = {}
    if study.encoder is not None:
        brief = {"train.epochs": 1, "train.unfreeze": "none"}  # only stage 1 counts
        for data, data_set in study.data.items():
            name, seed = f"encoder-{data}", study.seeds[0]
            found = experiment(name, data_set, brief, study.encoder, {"seed": seed})
            if found.pretrain.epochs == 0:
                raise UserError(f"{where}, cell {name}: pretrain.epochs = 0; a shared encoder is pretrained")
            encoders[data] = Cell("encoder", data, 1.0, seed, found)
    grid = product(study.seeds, study.data.items(), study.label_fractions, study.models.items())
    for seed, (data, data_set), fraction, (model, changes) in grid:
        share = [] if study.label_fractions == (1.0,) else [f"{fraction:g}"]
        name = "-".join([model, data, *share, f"s{seed}"])
        tuned = chosen.get(model, {}).get(data, {})
        found = experiment(name, data_set, changes, tuned, {"seed": seed, "data.label_fraction": fraction})
        encoder = encoders.get(data)
        if encoder is not None and _takes(found, encoder.experiment):
            pretrain = found.pretrain.model_copy(update={"encoder": str(root / encoder.name)})
            yield Cell(model, data, fraction, seed, found.model_copy(update={"pretrain": pretrain}), encoder)
        else:
            yield Cell(model, data, fraction, seed, found)


def _takes(experiment: Experiment, encoder: Experiment) -> bool:
    """Whether a cell pretrains the same backbone by itself; one that starts at random, say, goes on doing so."""
    from_scratch = experiment.pretrain.encoder is None and experiment.train.start is None
    pretrains = experiment.pretrain.epochs > 0 and from_scratch
    return pretrains and experiment.model.backbone == encoder.model.backbone
