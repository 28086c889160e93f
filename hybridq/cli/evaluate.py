"""hybridq evaluate"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hybridq.cli.options import Limit, RunFolder, Split, Stratified, Yes
from hybridq.errors import UserError

if TYPE_CHECKING:
    from backends.contract import Backend, Cost
    from hybridq.runs import Run


def evaluate(
    run: RunFolder,
    backend: Annotated[
        str, typer.Option(help="Backend: aer, aer:shots=4096, fake_torino, noise:…, ibm_torino.")
    ] = "aer",
    split: Split = "test",
    limit: Limit = None,
    stratified: Stratified = False,
    yes: Yes = False,
) -> None:
    """Evaluate the trained weights on a backend."""
    from backends.names import parse_name

    parse_name(backend)  # a misspelt name is answered before anything heavy is imported
    from hybridq.cli.console import announce
    from hybridq.cli.tables import metrics_table
    from hybridq.runs import open_run

    folder = evaluate_on(open_run(run), backend, split=split, limit=limit, stratified=stratified, yes=yes)
    metrics_table(folder)
    announce(f"results: {folder}")


def evaluate_on(
    run: Run,
    backend: str,
    *,
    split: str = "test",
    limit: int | None = None,
    stratified: bool = False,
    yes: bool = False,
) -> Path:
    """Run one evaluation with progress, or find it on disk; its folder."""
    from hybridq.cli.console import announce, bars, working

    with working("loading torch and qiskit"):
        from hybridq.evaluation.evaluate import evaluate as run_evaluation
        from hybridq.evaluation.evaluate import plan_evaluation
    plan = plan_evaluation(run, backend, split=split, limit=limit, stratified=stratified)
    if plan.finished:
        announce(f"{plan.backend.name}: on disk already ({plan.folder})")
        return plan.folder

    def confirm(cost: Cost) -> None:
        _confirm(plan.backend, cost, yes)

    with bars() as progress:
        return run_evaluation(plan, confirm=confirm, progress=progress)


def _confirm(backend: Backend, cost: Cost, yes: bool) -> None:
    from hybridq.cli.console import announce

    if backend.simulated:
        return
    announce(
        f"{backend.name}: {cost.circuits:,} circuits, {cost.executions:,} executions, about "
        f"{cost.quantum_seconds:,.0f} quantum seconds (estimated)"
    )
    if not yes:
        raise UserError(f"{backend.name} is hardware and nothing was submitted; add --yes to submit this")
