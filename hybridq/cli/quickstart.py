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
    from hybridq.cli.console import announce, bars
    from hybridq.cli.report import report
    from hybridq.training.train import train

    announce("Synthetic coronary angiogram patches, drawn by this package; nothing is downloaded.")
    with bars() as progress:
        run = train(experiment, runs, announce=announce, progress=progress)
    compare(run.folder, list(BACKENDS))
    report(run.folder)
