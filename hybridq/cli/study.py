"""hybridq study: many runs from one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from hybridq.cli.options import Runs
from hybridq.cli.study_mitigation import mitigation
from hybridq.cli.study_noise import noise
from hybridq.cli.study_table import plot, table

app = typer.Typer(help="Many runs from one file: models, data sets, label fractions and seeds.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="YAML file of the study, such as configs/studies/controls.yaml.")]


@app.command()
def run(
    file: File,
    engine: Annotated[Literal["local", "dask"], typer.Option(help="Processes here, or a Dask cluster.")] = "local",
    address: Annotated[str | None, typer.Option(help="Of the Dask scheduler, such as tcp://127.0.0.1:8786.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Cells side by side; default: what the cores allow.")] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="MODEL", help="Run this model's cells alone; may be given again.")
    ] = None,
    seed: Annotated[
        list[int] | None, typer.Option(metavar="N", help="Run this seed's cells alone; may be given again.")
    ] = None,
    runs: Runs = Path("runs"),
) -> None:
    """Train and evaluate the cells that are not finished; a cell that fails does not stop the others.

    The same command continues a killed study; with --only and --seed a part of it. Exit code 1 when a cell failed.
    """
    from hybridq.cli.console import announce, bars, narrate, working
    from hybridq.errors import UserError
    from hybridq.studies.models.config import load_study, some_cells

    if (engine == "dask") != (address is not None):
        raise UserError("--engine dask and --address belong together; give both or neither")
    study, everything = load_study(file, runs)
    cells = some_cells(study, everything, only or (), seed or ())
    with working("loading torch and qiskit"):
        from hybridq.studies.models.run import pending, pending_encoders, run_study
    root = runs / study.name
    waiting = pending(study, cells, root)
    encoders = pending_encoders(waiting, root)
    first = f", {len(encoders)} shared encoder{'s' if len(encoders) > 1 else ''} first" if encoders else ""
    finished = len(cells) - len(waiting)
    of = f" of {len(everything)}" if len(cells) < len(everything) else ""
    narrate(f"{study.name}: {len(cells)}{of} cells, {finished} finished, {len(waiting)} to run in {root}{first}")
    done = 0
    try:
        with bars() as progress:

            def report(cell: str, reason: str | None) -> None:
                nonlocal done
                done += 1
                if reason is None:
                    narrate(f"{cell}: finished")
                else:
                    announce(f"{cell}: failed: {reason}")
                progress("cells", done, len(encoders) + len(waiting))

            outcome = run_study(study, cells, root, address=address, jobs=jobs, report=report)
    except KeyboardInterrupt:
        announce("interrupted; the same command continues")
        raise
    chosen = " chosen" if of else ""
    announce(f"{len(outcome.finished)} of {len(cells)}{chosen} cells are finished")
    if outcome.failed:
        announce(f"{len(outcome.failed)} failed: {', '.join(outcome.failed)}; why: {root / 'failures'}")
        raise typer.Exit(1)


@app.command()
def tune(
    file: File,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Of each model and data set; default: what the file says.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Models side by side; default: what the cores allow.")] = None,
    runs: Runs = Path("runs"),
) -> None:
    """Search the study's tuning space for every model, with the same budget, by validation AUC.

    No test image is used. Every trial is in tuning.csv of the study's folder, the best settings are in tuning.yaml,
    which the study's cells take. The same command continues a killed search.
    """
    from hybridq.cli.console import announce, bars, narrate, working
    from hybridq.studies.models.config import load_study

    study, cells = load_study(file, runs, tuned=False)
    with working("loading torch and qiskit"):
        from hybridq.studies.models import tuning
        from hybridq.studies.models.run import pending_encoders
    root = runs / study.name
    missing, total = tuning.count_missing(study, cells, root, trials)
    first = "; the shared encoder is pretrained first" if pending_encoders(cells, root) else ""
    narrate(f"{study.name}: {total} trials, {total - missing} finished, {missing} to run in {root}{first}")
    done = 0
    try:
        with bars() as progress:

            def report(trial: str, value: float | None) -> None:
                nonlocal done
                done += 1
                if value is None:
                    announce(f"{trial}: failed")
                else:
                    narrate(f"{trial}: validation AUC {value:.4f}")
                progress("trials", done, missing)

            chosen = tuning.tune(study, cells, root, trials=trials, jobs=jobs, report=report)
    except KeyboardInterrupt:
        announce("interrupted; the same command continues")
        raise
    announce(f"the best settings: {chosen}; all trials: {chosen.with_name(tuning.TRIALS)}")


app.command()(table)
app.command()(plot)
app.command()(mitigation)
app.command()(noise)
