"""Tuning: the same search for every model of a study, judged by validation AUC alone.

A trial is a training, which uses neither images nor labels of the test part; nothing is evaluated. Optuna suggests
settings and keeps the trials in one SQLite file of the study's folder, so that a killed search goes on where it was.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd
import yaml
from filelock import FileLock

from hybridq.config import Experiment, dump_experiment, parse_experiment
from hybridq.errors import UserError, WritingError
from hybridq.files import atomic_write, check_folder, make_folder, write_text, writing
from hybridq.run_folder import RunFolder, cores
from hybridq.studies.models.config import CHOSEN, Cell, Choice, Overrides, Study, Tuning
from hybridq.studies.models.run import check_same, engine, pending_encoders, run_cell

if TYPE_CHECKING:
    from optuna import Study as Search
    from optuna.trial import FrozenTrial, Trial

TRIALS: Final = "tuning.csv"
"""In a study's folder: every trial of every model."""
STORAGE: Final = "tuning.sqlite"
OBJECTIVE: Final = "highest validation AUC of an epoch"

Report = Callable[[str, float | None], None]
"""Called with the name of each trial that ended, and its validation AUC or None where its training failed."""


@dataclass(frozen=True)
class Task:
    """A model on a data set, and its search."""

    model: str
    data: str
    configuration: str
    """The experiment, as YAML, in which the search changes the keys of its space."""
    tuning: Tuning
    allow_leaks: bool

    @property
    def name(self) -> str:
        return f"{self.model}-{self.data}"


def tune(
    study: Study,
    cells: Sequence[Cell],
    root: Path,
    *,
    trials: int | None = None,
    jobs: int | None = None,
    report: Report,
) -> Path:
    """Run the trials that are missing, and write all of them (tuning.csv) and the best (tuning.yaml), returned.

    Every model on every data set has the same number of trials, with all labels and the study's first seed; a training
    that fails, such as by a loss that is not finite, is one of them. The first trials are the same for all models.

    Args:
        cells: of ``load_study(file, runs, tuned=False)``.
        root: the study's folder.
        trials: of each model and data set, instead of the study's.
        jobs: models tuned side by side; None: as many as have ``study.threads`` cores each.
        report: called as trials end.

    Raises:
        UserError: the study tunes nothing, the folder holds the trials of another search, an encoder cannot be trained,
            or every trial of a model failed. A folder in which no training began is not left behind.
    """
    tasks = _tasks(study, cells, trials)
    encoders = pending_encoders(cells, root)
    for cell in encoders:
        check_same(RunFolder(root / cell.name), cell)
    new = not root.exists()
    make_folder(root)
    try:
        _run_missing(tasks, encoders, study, root, jobs, report)
    except WritingError:
        raise
    except UserError:  # with data that are not there, say
        if new and not _begun(tasks, root):
            shutil.rmtree(root)
        raise
    return _write(tasks, root)


def count_missing(study: Study, cells: Sequence[Cell], root: Path, trials: int | None = None) -> tuple[int, int]:
    """Trials that are still to be run, of how many; the folder is not made."""
    tasks = _tasks(study, cells, trials)
    check_folder(root)
    total = sum(task.tuning.trials for task in tasks)
    if not (root / STORAGE).is_file():
        return total, total
    return total - sum(min(task.tuning.trials, len(_ended(_search(task, root)))) for task in tasks), total


def _begun(tasks: Sequence[Task], root: Path) -> bool:
    """Return whether a training began: an encoder or a trial that is there, or a trial that ended."""
    ended = (root / STORAGE).is_file() and any(_ended(_search(task, root)) for task in tasks)
    return ended or any(root.rglob("config.yaml"))


def _run_missing(
    tasks: Sequence[Task], encoders: Sequence[Cell], study: Study, root: Path, jobs: int | None, report: Report
) -> None:
    from joblib import Parallel, delayed

    missing = {task.name: task.tuning.trials - len(_ended(_search(task, root))) for task in tasks}
    workers = jobs or max(1, cores() // study.threads)
    place = str(root.resolve())
    # A model's next trial depends on its last: models take turns, so that the processes seldom wait for each other.
    turns = [task for turn in range(max(missing.values())) for task in tasks if turn < missing[task.name]]
    with engine(None):
        first = [
            delayed(run_cell)(dump_experiment(cell.experiment), place, (), study.split, (), study.allow_leaks)
            for cell in encoders
        ]
        for name, reason in Parallel(n_jobs=workers)(first):
            if reason is not None:
                raise UserError(f"{name}: {reason}")
        next_trials = [delayed(run_trial)(task, place) for task in turns]
        processes = min(workers, len(tasks))
        for name, value in Parallel(n_jobs=processes, return_as="generator_unordered", batch_size=1)(next_trials):
            report(name, value)


def run_trial(task: Task, root: str) -> tuple[str, float | None]:
    """The next trial of a model in this process: its name, and its validation AUC or None where the training failed."""
    from optuna.samplers import TPESampler
    from optuna.trial import TrialState

    from hybridq.training.train import train

    folder = Path(root) / "tuning" / task.name
    make_folder(folder)
    with writing(Path(root)), FileLock(folder.with_name(f".{task.name}.lock")):
        search = _search(task, Path(root))
        for killed in search.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
            search.tell(killed.number, state=TrialState.FAIL)
        number = len(_ended(search))
        name = f"trial-{number}"
        # By the number alone: every model begins with the same settings, and a killed trial is suggested again.
        search.sampler = TPESampler(seed=number)
        trial = search.ask()
        experiment = _experiment(task, trial, name)
        run = RunFolder(folder / name)
        if run.config.exists() and run.experiment != experiment:
            shutil.rmtree(run.folder)
        try:
            train(experiment, folder, announce=_quiet, progress=_quiet, allow_leaks=task.allow_leaks)
        except WritingError:  # says nothing of these settings
            raise
        except UserError as error:
            if not run.config.exists():  # nothing was trained: the data or the configuration are wrong
                raise
            trial.set_user_attr("reason", str(error))
            search.tell(trial, state=TrialState.PRUNED)
            value = None
        else:
            value = float(run.read_json("training.json")["best_validation_auc"])
            trial.set_user_attr("seconds", sum(run.read_json("training.json")["seconds"].values()))
            search.tell(trial, value)
        shutil.rmtree(run.folder)
    return f"{task.name} {name}", value


def _tasks(study: Study, cells: Sequence[Cell], trials: int | None) -> list[Task]:
    if study.tuning is None:
        raise UserError(f"the study {study.name} tunes nothing; a section tuning names keys and their ranges")
    tuning = study.tuning if trials is None else study.tuning.model_copy(update={"trials": trials})
    most = max(study.label_fractions)
    return [
        Task(cell.model, cell.data, dump_experiment(cell.experiment), tuning, study.allow_leaks)
        for cell in cells
        if cell.seed == study.seeds[0] and cell.label_fraction == most
    ]


def _search(task: Task, root: Path) -> Search:
    """Optuna's study of this model; raises :class:`UserError` where it is of other settings."""
    try:
        import optuna
        from optuna.storages import RDBStorage
    except ImportError:
        raise UserError("hybridq study tune needs Optuna; pip install 'hybridq-medical[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    waiting = {"connect_args": {"timeout": 60}}  # seconds, for other processes that write
    with writing(root):
        storage = RDBStorage(f"sqlite:///{root.resolve() / STORAGE}", engine_kwargs=waiting)
        search = optuna.create_study(study_name=task.name, storage=storage, direction="maximize", load_if_exists=True)
    settings = {"configuration": task.configuration, "space": _space(task.tuning)}
    known = search.user_attrs
    for key, value in settings.items():
        if key not in known:
            search.set_user_attr(key, value)
        elif not _same(key, known[key], value):
            raise UserError(
                f"{root / STORAGE}: holds trials of {task.name} with another {key}; remove the file to tune again"
            )
    return search


def _same(key: str, known: Any, value: Any) -> bool:
    """Return whether settings agree; a configuration that was written before a key existed has it at its default."""
    if key == "configuration":
        return parse_experiment(known) == parse_experiment(value)
    return bool(known == value)


def _ended(search: Search) -> list[FrozenTrial]:
    """Trials that count: those of killed processes do not."""
    from optuna.trial import TrialState

    return search.get_trials(deepcopy=False, states=[TrialState.COMPLETE, TrialState.PRUNED])


def _space(tuning: Tuning) -> dict[str, Any]:
    space: dict[str, Any] = tuning.key_content()["space"]
    return space


def _experiment(task: Task, trial: Trial, name: str) -> Experiment:
    chosen = {key: _suggest(trial, key, choice) for key, choice in task.tuning.space.items()}
    overrides = [f"{key}={json.dumps(value)}" for key, value in ({"name": name} | chosen).items()]
    return parse_experiment(task.configuration, overrides)


def _suggest(trial: Trial, key: str, choice: Choice) -> Any:
    if choice.choices is not None:
        return trial.suggest_categorical(key, choice.choices)
    assert choice.low is not None
    assert choice.high is not None
    return trial.suggest_float(key, choice.low, choice.high, log=choice.log)


def _write(tasks: Sequence[Task], root: Path) -> Path:
    rows, chosen = [], dict[str, dict[str, Overrides]]()
    for task in tasks:
        ended = _ended(_search(task, root))[: task.tuning.trials]  # the same number for all, whatever was asked before
        for number, trial in enumerate(ended):
            about = {"model": task.model, "data": task.data, "trial": number, "validation_auc": trial.value}
            rows.append({**about, **{key: trial.user_attrs.get(key) for key in ("seconds", "reason")}, **trial.params})
        with_value = [trial for trial in ended if trial.value is not None]
        if not with_value:
            raise UserError(f"{task.name}: every trial failed, the first since {ended[0].user_attrs['reason']}")
        best = max(with_value, key=lambda trial: trial.value or 0.0)
        chosen.setdefault(task.model, {})[task.data] = dict(best.params)
    with atomic_write(root / TRIALS) as unfinished:
        pd.DataFrame(rows).to_csv(unfinished, index=False)
    tuning = tasks[0].tuning
    content = {"objective": OBJECTIVE, "trials": tuning.trials, "space": _space(tuning), "chosen": chosen}
    write_text(root / CHOSEN, yaml.safe_dump(content, sort_keys=False))
    shutil.rmtree(root / "tuning", ignore_errors=True)  # nothing of the trials is left but their locks
    return root / CHOSEN


def _quiet(*_: object) -> None:
    """Trials run side by side: the search reports on them, not they themselves."""
