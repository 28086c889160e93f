"""hybridq study table, hybridq study plot: what the finished cells of a study say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hybridq.cli.options import Runs

if TYPE_CHECKING:
    from hybridq.studies.models.config import Study
    from hybridq.studies.models.paired_tests import PairedTest
    from hybridq.studies.models.store import Results
    from hybridq.studies.models.tables import Part

NARROW_TITLES = {
    "accuracy": "accu-\nracy",
    "precision": "preci-\nsion",
    "sensitivity": "sensi-\ntivity",
    "specificity": "speci-\nficity",
    "average precision": "average\nprecision",
    "multiply-adds": "multiply-\nadds",
}
"""Titles of columns, so narrow that eighty characters hold a table."""

File = Annotated[Path, typer.Argument(help="YAML file of the study.")]
Collected = Annotated[
    Path | None,
    typer.Option(
        "--cells",
        metavar="FILE.csv",
        help="Rebuild from this cells.csv, and from history.csv and predictions/ beside it, instead of run folders.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Where files are written; by default results/ beside the cells."),
]


def table(
    file: File,
    runs: Runs = Path("runs"),
    cells: Collected = None,
    out: Out = None,
    digits: Annotated[
        int | None,
        typer.Option(min=3, max=15, help="Keep probabilities with so many decimals: smaller files to commit."),
    ] = None,
) -> None:
    """Collect the finished cells; means over seeds with intervals, costs, and paired tests against the main model.

    Writes cells.csv, history.csv and predictions/, from which everything can be rebuilt, and table.csv,
    single_seeds.csv, table.md and table.tex.
    """
    from hybridq.cli.console import announce, console
    from hybridq.studies.models.documents import EXPLANATION, parts, write_tables
    from hybridq.studies.models.tables import study_tables

    study, results, folder = _results(file, runs, cells, out)
    if digits is not None:
        results = results.rounded(digits)
    tests = _tests(study, results)
    tables = study_tables(study, results, tests)
    if cells is None:
        results.write(folder)
    write_tables(tables, tests, study.name, folder)
    for setting in tables:
        console.print(f"\n{setting.setting}", style="bold")
        for part in parts(setting):
            _print(part)
        for note in setting.notes:
            announce(note)
        console.print(setting.conclusion, style="bold")
    announce("")
    for sentence in EXPLANATION:
        announce(sentence)
    _announce_missing(results)
    announce(f"written: {folder}")


def plot(file: File, runs: Runs = Path("runs"), cells: Collected = None, out: Out = None) -> None:
    """Draw bars, radar, ROC, confusion matrices, learning curves and label-fraction curves as PNG in figures/."""
    from hybridq.cli.console import announce, bars
    from hybridq.figures.style import as_png
    from hybridq.files import atomic_write
    from hybridq.studies.models.figures import study_figures
    from hybridq.studies.models.tables import study_tables

    study, results, folder = _results(file, runs, cells, out)
    drawn = []
    with bars() as progress:
        for name, figure in study_figures(study, results, study_tables(study, results, [])):
            with atomic_write(folder / "figures" / f"{name}.png") as partial:
                partial.write_bytes(as_png(figure))
            drawn.append(name)
            progress("figures", len(drawn), len(drawn) + 1)
    _announce_missing(results)
    announce(f"{len(drawn)} figures in {folder / 'figures'}: {', '.join(drawn)}")


def _results(file: Path, runs: Path, cells: Path | None, out: Path | None) -> tuple[Study, Results, Path]:
    from hybridq.cli.console import bars
    from hybridq.errors import UserError
    from hybridq.files import check_folder
    from hybridq.studies.models.config import load_study
    from hybridq.studies.models.store import collect, read_results

    study, wanted = load_study(file, runs, tuned=cells is None)
    if cells is not None:
        results = read_results(study, wanted, cells)
        folder = out or cells.parent
    else:
        with bars() as progress:
            results = collect(study, wanted, runs / study.name, progress=progress)
        folder = out or runs / study.name / "results"
    check_folder(folder)
    if results.cells.empty:
        raise UserError(f"{cells or runs / study.name}: no cell of {study.name} is finished; hybridq study run {file}")
    return study, results, folder


def _tests(study: Study, results: Results) -> list[PairedTest]:
    from hybridq.cli.console import bars
    from hybridq.studies.models.paired_tests import compare_models

    with bars() as progress:
        return compare_models(study, results, progress=progress)


def _announce_missing(results: Results) -> None:
    from hybridq.cli.console import announce

    if results.unfinished:
        announce(f"{len(results.unfinished)} cells are not finished: {', '.join(results.unfinished)}")
    for name, reason in results.failed.items():
        announce(f"{name} failed: {reason}")


def _print(part: Part) -> None:
    """Columns that eighty characters hold: means stand above their intervals."""
    from rich import box
    from rich.table import Column, Table

    from hybridq.cli.console import console

    head, *rows = part
    titles = [NARROW_TITLES.get(name, name) for name in head]
    columns = [Column(titles[0], overflow="fold"), *(Column(title, justify="right") for title in titles[1:])]
    shown = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for row in rows:
        shown.add_row(*(cell.replace(" ± ", "\n±").replace(" [", "\n[") for cell in row))
    console.print(shown)
