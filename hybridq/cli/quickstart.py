"""hybridq quickstart"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from hybridq.cli.options import Runs

BACKENDS = ("aer", "aer:shots=4096", "fake_torino")


def quickstart(runs: Runs = Path("runs")) -> None:
    """The whole road in minutes on synthetic images: train, evaluate on three simulated backends, compare, report."""
    from hybridq.config import parse_experiment

    text = files("hybridq").joinpath("configs/quickstart.yaml").read_text(encoding="utf-8")
    experiment = parse_experiment(text, where="quickstart.yaml")
    from hybridq.cli.compare import compare
    from hybridq.cli.console import narrate
    from hybridq.cli.report import report
    from hybridq.cli.train import train_experiment

    narrate("Synthetic coronary angiogram patches, drawn by this package; nothing is downloaded.")
    run = train_experiment(experiment, runs)
    compare(run.folder, list(BACKENDS))
    report(run.folder)
