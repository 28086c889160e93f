"""The operating point on the command line: the validation images it needs, and a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Column, Table

from hybridq.cli.console import announce, console
from hybridq.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hybridq.run_folder import RunFolder
    from hybridq.statistics.intervals import Interval
    from hybridq.statistics.operating_point import Point, Rule


def evaluate_validation(run: RunFolder, *, asked: bool) -> None:
    """Evaluate the run's validation images on the noiseless simulator, where they are not on disk.

    Without two classes, or where the images are gone, there is no threshold to choose: that is an error where a
    threshold was asked for, and else is said where it could be expected.
    """
    from hybridq.results.evaluation import read_evaluations
    from hybridq.results.operating_points import validations

    if len(run.classes) != 2 or run.task == "multi-label":
        if asked:
            what = f"{len(run.classes)} {'labels' if run.task == 'multi-label' else 'classes'}"
            raise UserError(f"--threshold is for two classes; {run.folder} has {what}")
        return
    evaluations = read_evaluations(run.folder)
    if not (evaluations or asked) or any(e.kind == "noiseless" for e in validations(evaluations).values()):
        return
    from hybridq.cli.evaluate import Evaluations
    from hybridq.results.selection import ImageChoice

    try:
        Evaluations(run, ImageChoice("validation")).on("aer")
    except UserError as error:
        if asked:
            raise
        announce(f"no operating point: {error}")


def compare_at_threshold(run: RunFolder, folders: Sequence[Path], rule: Rule) -> None:
    """Sensitivity and specificity of evaluations of the same images at one threshold: a table, and
    operating_point.json in the run folder."""
    from hybridq.files import write_json
    from hybridq.results.evaluation import read_evaluation, read_evaluations
    from hybridq.results.operating_points import operating_point, validations
    from hybridq.statistics.operating_point import RATES

    evaluations = [read_evaluation(folder) for folder in folders]
    found = operating_point(evaluations, validations(read_evaluations(run.folder)), rule, run.experiment.seed)
    assert found is not None  # two classes, and the validation images were evaluated
    path = run.folder / "operating_point.json"
    write_json(path, found.as_dict())
    chosen = found.threshold
    title = (
        f"called positive ({escape(run.classes[1])}) from {chosen.value:.3f} on ({rule.text}): chosen on "
        f"{chosen.images:,} validation images on {chosen.backend}, 95 % {chosen.low:.3f} – {chosen.high:.3f}"
    )
    names = [f"{p.backend}\n{p.kind}" + ("\nits own threshold" if p in found.own else "") for p in found.points]
    table = Table("", *(Column(name, overflow="fold") for name in names), title=title)
    table.add_row("threshold", *(f"{p.threshold.value:.3f}" for p in found.points))
    for rate in RATES:
        table.add_row(rate, *(_interval(p.rates[rate]) for p in found.points))
    for rate in RATES:
        table.add_row(f"change of {rate}", *(_change(p, rate) for p in found.points))
    console.print(table)
    announce(f"written: {path}")


def _interval(found: Interval) -> str:
    return f"{found['value']:.3f}\n{found['low']:.3f} – {found['high']:.3f}"


def _change(point: Point, rate: str) -> str:
    from hybridq.statistics.intervals import signed, verdict_of

    if point.changes is None:
        return "–"
    change = point.changes[rate]
    return f"{signed(change['value'])}\n{signed(change['low'])} … {signed(change['high'])}\n{verdict_of(change)}"
