"""The cells of a study, run through joblib: processes on this machine, or a Dask cluster; finished ones never again."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from hybridq.config import dump_experiment, parse_experiment
from hybridq.errors import UserError
from hybridq.files import write_text
from hybridq.runs import Run, cores
from hybridq.studies.study import Cell, Study

FAILURE = "failure.txt"
"""In the folder of failures, by cell: why it failed."""

Report = Callable[[str, str | None], None]
"""Called with the name of each cell that ended, and why it failed or None."""


@dataclass(frozen=True)
class Outcome:
    """How the cells of a study stand after a pass over them."""

    finished: tuple[str, ...]
    failed: dict[str, str]
    """Why, by cell."""


def pending(study: Study, cells: Sequence[Cell], root: Path) -> list[Cell]:
    """The cells that have no result yet."""
    return [cell for cell in cells if not is_finished(study, cell, root)]


def is_finished(study: Study, cell: Cell, root: Path) -> bool:
    """Whether the cell is trained and evaluated on every backend of the study."""
    marker = _marker(root, cell.name)
    return marker.is_file() and set(marker.read_text(encoding="utf-8").split()) >= {study.split, *study.backends}


def run_study(
    study: Study,
    cells: Sequence[Cell],
    root: Path,
    *,
    address: str | None = None,
    jobs: int | None = None,
    report: Report,
) -> Outcome:
    """Run what is not finished. A cell that fails is noted and does not stop the others; the next call tries it again.

    Args:
        root: the study's folder; each cell is a run folder in it, which a cluster's workers must see too.
        address: of a Dask scheduler; None runs processes on this machine.
        jobs: processes on this machine; None: as many as have ``study.threads`` cores each.
        report: called as cells end.

    Raises:
        UserError: the cluster cannot be reached, or a folder in ``root`` holds another configuration.
    """
    from joblib import Parallel, delayed

    waiting = pending(study, cells, root)
    for cell in waiting:
        _check_same(Run(root / cell.name), cell)
    tasks = [
        delayed(run_cell)(dump_experiment(cell.experiment), str(root.resolve()), study.backends, study.split)
        for cell in waiting
    ]
    failed = {}
    with _engine(address):
        workers = None if address else jobs or max(1, cores() // study.threads)
        for name, reason in Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1)(tasks):
            if reason is not None:
                failed[name] = reason
            report(name, reason)
    return Outcome(tuple(cell.name for cell in cells if is_finished(study, cell, root)), failed)


def run_cell(configuration: str, root: str, backends: Sequence[str], split: str) -> tuple[str, str | None]:
    """Train and evaluate one cell in this process; its name, and why it failed or None.

    Two processes that are given the same cell run it one after the other, and the second finds it done.
    """
    folder = Path(root)
    experiment = parse_experiment(configuration)
    name = experiment.name
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / f".{name}.lock"):
            _train_and_evaluate(configuration, folder, backends, split)
            write_text(_marker(folder, name), "\n".join([split, *backends]) + "\n")
            _failure(folder, name).unlink(missing_ok=True)
    except Exception as error:
        reason = str(error) if isinstance(error, UserError) else traceback.format_exc()
        write_text(_failure(folder, name), reason + "\n")
        return name, reason.strip().splitlines()[-1]
    return name, None


def _train_and_evaluate(configuration: str, folder: Path, backends: Sequence[str], split: str) -> None:
    from hybridq.evaluation.evaluate import evaluate, plan_evaluation
    from hybridq.training.train import train

    run = train(parse_experiment(configuration), folder, announce=_quiet, progress=_quiet)
    for backend in backends:
        evaluate(plan_evaluation(run, backend, split=split), progress=_quiet)


@contextmanager
def _engine(address: str | None) -> Iterator[None]:
    from joblib import parallel_config

    if address is None:
        with parallel_config(backend="loky", inner_max_num_threads=1):
            yield
        return
    try:
        from dask.distributed import Client
    except ImportError:
        raise UserError("--engine dask needs Dask; pip install 'hybridq-medical[dask]'") from None
    try:
        client = Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise UserError(f"--address {address}: no Dask scheduler answers there ({error})") from None
    with client, parallel_config(backend="dask"):
        yield


def _check_same(run: Run, cell: Cell) -> None:
    if run.config.exists() and run.experiment() != cell.experiment:
        raise UserError(f"{run.folder}: holds a run with another configuration; choose another name of the study")


def _marker(root: Path, cell: str) -> Path:
    return root / cell / "cell.txt"


def _failure(root: Path, cell: str) -> Path:
    return root / "failures" / f"{cell}.txt"


def _quiet(*_: object) -> None:
    """Cells run side by side: the study reports on them, not they themselves."""
