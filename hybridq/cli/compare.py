"""hybridq compare"""

from __future__ import annotations

from typing import Annotated

import typer

from hybridq.cli.options import Limit, RunFolder, Split, Stratified, Yes


def compare(
    run: RunFolder,
    backend: Annotated[list[str], typer.Option(help="A backend to compare; give it twice or more, aer first.")],
    split: Split = "test",
    limit: Limit = None,
    stratified: Stratified = False,
    yes: Yes = False,
) -> None:
    """Compare the same weights on the same images on several backends; missing evaluations are run."""
    from backends.names import parse_name

    for name in backend:
        parse_name(name)
    from hybridq.cli.console import announce
    from hybridq.cli.evaluate import evaluate_on
    from hybridq.cli.tables import comparison_tables
    from hybridq.evaluation.compare import compare_evaluations, write_comparison
    from hybridq.runs import open_run

    opened = open_run(run)
    folders = [
        evaluate_on(opened, name, split=split, limit=limit, stratified=stratified, yes=yes)
        for name in dict.fromkeys(backend)
    ]
    comparison = compare_evaluations(folders)
    write_comparison(comparison, opened.folder)
    comparison_tables(comparison)
    announce(f"written: {opened.folder / 'comparison.csv'}")
