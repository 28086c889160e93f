"""Time the quantum layer beside the stock classes, Aer and PennyLane, and print one set of tables.

Sections: noiseless (table 1), share (of a MobileNetV2 step), noisy (table 2, and the evaluation of 3,400 images),
scaling (table 3, the plot), epoch (SSL-Quantum with and without its quantum branch), spells (steps beside Aer).
About ten minutes on two cores; have nothing else run on the machine.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from benchmarks.quantum import machine
from benchmarks.quantum.plot import draw
from benchmarks.quantum.results import Found
from benchmarks.quantum.tables import show
from benchmarks.quantum.targets import outcomes
from benchmarks.quantum.threads import SECTIONS, cores, run_section
from hybridq.files import write_json

SINGLE = ("scaling",)
"""Sections that run on one thread only."""


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    progress = Console(stderr=True)
    found = Found()
    for section in options.only or SECTIONS:
        for threads in (1,) if section in SINGLE or options.quick else sorted({1, cores()}):
            progress.print(f"{section}, {threads} thread{'s' * (threads > 1)} …", highlight=False)
            found.add(run_section(section, threads, quick=options.quick))
    where = machine.describe()
    reached = outcomes(found)
    show(Console(width=options.width, highlight=False), found, reached, where)
    if options.json:
        content = {
            "measured": datetime.now(UTC).isoformat(timespec="seconds"),
            "quick": options.quick,
            "machine": where,
            **found.as_dict(),
            "targets": [asdict(outcome) for outcome in reached],
        }
        write_json(options.json, content)
    if options.plot:
        draw(found, options.plot, f"{where['processor']}, {where['cores']} cores")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quantum", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw table 3 there (.png, .svg, .pdf)")
    parser.add_argument("--only", choices=SECTIONS, action="append", help="a section; may be given several times")
    parser.add_argument("--quick", action="store_true", help="a small version that shows only that everything runs")
    parser.add_argument("--width", type=int, default=200, help="columns of the tables (default 200)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
