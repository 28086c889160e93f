"""hybridq train"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hybridq.cli.options import Runs

if TYPE_CHECKING:
    from hybridq.config import Experiment
    from hybridq.run_folder import RunFolder


def train(
    config: Annotated[
        Path, typer.Argument(help="YAML file of the experiment, such as configs/ssl_quantum_adsss.yaml.")
    ],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key, such as train.epochs=5.")
    ] = None,
    backend: Annotated[
        str | None, typer.Option(help="Backend of the training; the same as --set train.backend.")
    ] = None,
    allow_leaks: Annotated[
        bool, typer.Option("--allow-leaks", help="Train on splits that the audit rejects; every report says so.")
    ] = False,
    runs: Runs = Path("runs"),
) -> None:
    """Train both stages into a run folder; the same command continues a killed training."""
    from hybridq.config import load_experiment

    chosen = [*(overrides or []), *([f"train.backend='{backend}'"] if backend else [])]
    experiment = load_experiment(config, chosen)
    train_experiment(experiment, runs, allow_leaks=allow_leaks)


def train_experiment(experiment: Experiment, runs: Path, *, allow_leaks: bool = False) -> RunFolder:
    """Train with progress and end with a line that names the result."""
    from hybridq.cli.console import announce, bars, narrate, working

    with working("loading torch and qiskit"):
        from hybridq.training.train import train as run_training
    try:
        with bars() as progress:
            run = run_training(
                experiment, runs, announce=narrate, warn=announce, progress=progress, allow_leaks=allow_leaks
            )
    except KeyboardInterrupt:
        announce("interrupted; the same command continues after the last finished epoch")
        raise
    result = run.read_json("training.json")
    best = f"{result['best_validation_auc']:.4f} in epoch {result['best_epoch']}"
    chosen = "best validation AUC" if experiment.train.monitor == "auc" else "lowest validation loss: validation AUC"
    announce(f"{chosen} {best}; run folder {run.folder}")
    return run
