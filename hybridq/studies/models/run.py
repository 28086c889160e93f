"""The cells of a study, run through joblib: processes on this machine, or a Dask cluster; finished ones never again."""

from __future__ import annotations

import shutil
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from hybridq.config import dump_experiment, parse_experiment
from hybridq.errors import UserError, WritingError
from hybridq.files import check_folder, make_folder, write_text
from hybridq.run_folder import RunFolder, cores
from hybridq.studies.models.config import CHOSEN, Cell, Study

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


def pending_encoders(cells: Sequence[Cell], root: Path) -> list[Cell]:
    """The shared encoders of these cells that are not trained yet; they come first."""
    encoders = {cell.encoder.name: cell.encoder for cell in cells if cell.encoder is not None}
    return [encoder for encoder in encoders.values() if not RunFolder(root / encoder.name).finished]


def is_finished(study: Study, cell: Cell, root: Path) -> bool:
    """Whether the cell is trained and evaluated on every backend of the study."""
    marker = _marker(root, cell.name)
    wanted = {study.split, *study.backends, *_interventions(study, cell)}
    return marker.is_file() and wanted <= set(marker.read_text(encoding="utf-8").split())


def failures(root: Path) -> dict[str, str]:
    """Why cells failed, a sentence by cell; those that were run again and finished are not among them."""
    files = sorted((root / "failures").glob("*.txt"))
    return {file.stem: file.read_text(encoding="utf-8").strip().splitlines()[-1] for file in files}


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
        report: called as cells, and the encoders that they share, end.

    Raises:
        UserError: the cluster cannot be reached, ``root`` cannot be written, a folder in it holds another
            configuration, or what the study tunes is not tuned.
    """
    from joblib import Parallel, delayed

    if study.tuning is not None and not (root / CHOSEN).is_file():
        raise UserError(f"{root / CHOSEN}: is missing; hybridq study tune makes it, from validation images alone")
    waiting = pending(study, cells, root)
    if waiting:
        check_folder(root)
    encoders = pending_encoders(waiting, root)
    for cell in (*encoders, *waiting):
        check_same(RunFolder(root / cell.name), cell)
    failed = {}
    with engine(address):
        workers = None if address else jobs or max(1, cores() // study.threads)
        for some, backends in ((encoders, ()), (waiting, study.backends)):
            tasks = [
                delayed(run_cell)(
                    dump_experiment(cell.experiment),
                    str(root.resolve()),
                    backends,
                    study.split,
                    _interventions(study, cell) if backends else (),
                    study.allow_leaks,
                )
                for cell in some
            ]
            for name, reason in Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1)(tasks):
                if reason is not None:
                    failed[name] = reason
                report(name, reason)
    return Outcome(tuple(cell.name for cell in cells if is_finished(study, cell, root)), failed)


def run_cell(
    configuration: str,
    root: str,
    backends: Sequence[str],
    split: str,
    interventions: Sequence[str] = (),
    allow_leaks: bool = False,
) -> tuple[str, str | None]:
    """Train and evaluate one cell in this process; its name, and why it failed or None.

    ``interventions`` are the ways in which q is also replaced, see :class:`Study`. What only a training that goes on
    needs is removed.

    Two processes that are given the same cell run it one after the other, and the second finds it done.
    """
    folder = Path(root)
    experiment = parse_experiment(configuration)
    name = experiment.name
    make_folder(folder)
    try:
        # Of several processes each would say the same again; what limits a run is in its files.
        with warnings.catch_warnings(), FileLock(folder / f".{name}.lock"):
            warnings.simplefilter("ignore")
            run = _trained(configuration, folder, allow_leaks)
            _evaluate(run, backends, split, interventions)
            write_text(_marker(folder, name), "\n".join([split, *backends, *interventions]) + "\n")
            shutil.rmtree(run.checkpoints, ignore_errors=True)
            _failure(folder, name).unlink(missing_ok=True)
    except Exception as error:
        reason = str(error) if isinstance(error, UserError) else traceback.format_exc()
        with suppress(WritingError):  # on a full disk, say, the reason is told and not noted
            write_text(_failure(folder, name), reason + "\n")
        return name, reason.strip().splitlines()[-1]
    return name, None


def check_same(run: RunFolder, cell: Cell) -> None:
    """Raise :class:`UserError` where the folder holds a run with another configuration than the cell's."""
    if run.config.exists() and run.experiment != cell.experiment:
        raise UserError(f"{run.folder}: holds a run with another configuration; choose another name of the study")


def _trained(configuration: str, folder: Path, allow_leaks: bool) -> RunFolder:
    from hybridq.training.train import train

    experiment = parse_experiment(configuration)
    return train(experiment, folder, announce=_quiet, progress=_quiet, allow_leaks=allow_leaks)


def _evaluate(run: RunFolder, backends: Sequence[str], split: str, interventions: Sequence[str]) -> None:
    from hybridq.evaluation.evaluate import evaluate, plan_evaluation
    from hybridq.evaluation.inference import Inference
    from hybridq.models.build import has_circuit
    from hybridq.results.selection import ImageChoice

    inference = Inference.of(run, ImageChoice(split))
    for backend in backends if has_circuit(run.experiment.model) else backends[:1]:
        for replace_q in (None, *interventions):
            evaluate(plan_evaluation(inference, backend, replace_q=replace_q))


def _interventions(study: Study, cell: Cell) -> tuple[str, ...]:
    return study.interventions if cell.model == study.reference else ()


@contextmanager
def engine(address: str | None) -> Iterator[None]:
    """Where joblib runs what follows: processes on this machine, or the Dask cluster of that address."""
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


def _marker(root: Path, cell: str) -> Path:
    return root / cell / "cell.txt"


def _failure(root: Path, cell: str) -> Path:
    return root / "failures" / f"{cell}.txt"


def _quiet(*_: object) -> None:
    """Cells run side by side: the study reports on them, not they themselves."""
