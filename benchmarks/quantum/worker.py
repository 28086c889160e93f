"""One section in this process: ``python -m benchmarks.quantum.worker SECTION THREADS OUT [--quick]``."""

from __future__ import annotations

import argparse
import json
import warnings
from importlib import import_module
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.quantum.effort import FULL, QUICK
from benchmarks.quantum.results import Found
from benchmarks.quantum.threads import SECTIONS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("section", choices=SECTIONS)
    parser.add_argument("threads", type=int)
    parser.add_argument("out", type=Path)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    measure = import_module(f"benchmarks.quantum.{options.section}").measure  # alone: each imports seconds of libraries
    warnings.simplefilter("ignore")
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(options.section)

        def tick(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total)

        found: Found = measure(options.threads, QUICK if options.quick else FULL, tick)
    options.out.write_text(json.dumps(found.as_dict()), encoding="utf-8")


if __name__ == "__main__":
    main()
