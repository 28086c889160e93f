"""hybridq train"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hybridq.cli.options import Runs


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
    runs: Runs = Path("runs"),
) -> None:
    """Train both stages into a run folder; the same command continues a killed training."""
    from hybridq.config import load_experiment

    chosen = [*(overrides or []), *([f"train.backend='{backend}'"] if backend else [])]
    experiment = load_experiment(config, chosen)
    from hybridq.cli.console import announce, bars
    from hybridq.training.train import train as run_training

    with bars() as progress:
        run = run_training(experiment, runs, announce=announce, progress=progress)
    result = run.read_json("training.json")
    best = f"{result['best_validation_auc']:.4f} in epoch {result['best_epoch']}"
    announce(f"best validation AUC {best}; run folder {run.folder}")
