"""Results as tables in the terminal."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from rich.table import Column, Table

from hybridq.cli.console import console
from hybridq.evaluation.compare import Comparison
from hybridq.evaluation.metrics import METRICS
from hybridq.evaluation.saved import read_evaluation
from hybridq.evaluation.statistics import Interval


def metrics_table(folder: Path) -> None:
    """The seven metrics of one evaluation with their intervals."""
    evaluation = read_evaluation(folder)
    record = evaluation.record
    title = (
        f"{evaluation.backend} ({evaluation.kind}), {record['samples']} {record['split']} images, {record['selection']}"
    )
    table = Table("metric", "value", "95 % interval", "method", title=title)
    for name in METRICS:
        interval = evaluation.metrics["metrics"][name]
        low_high = f"{interval['low']:.4f} – {interval['high']:.4f}"
        table.add_row(name, f"{interval['value']:.4f}", low_high, interval["method"])
    console.print(table)


def comparison_tables(comparison: Comparison) -> None:
    """Metrics side by side; then flips, errors of ⟨Z⟩ and what ran."""
    backends = comparison.backends
    images = f"{comparison.samples} {comparison.split} images ({comparison.selection})"
    title = f"{images}; intervals: {comparison.interval}"
    columns = [Column(f"{b.backend}\n{b.kind}", overflow="fold") for b in backends]
    table = Table("metric", *columns, title=title)
    for name in METRICS:
        table.add_row(name, *(_cell(b.metrics[name]) for b in backends))
    table.add_section()
    table.add_row("change of AUC", *(_change(b.changes, b.verdict("auc")) for b in backends))
    table.add_row("decisions that flip", *(_percent(b.flips) for b in backends))
    worst = [None if b.z_errors is None else max(error.rms for error in b.z_errors) for b in backends]
    table.add_row("worst rms error of ⟨Z⟩", *("–" if w is None else f"{w:.4f}" for w in worst))
    table.add_row("shots", *("exact" if b.shots is None else f"{b.shots:,}" for b in backends))
    table.add_row("depth / 2q gates", *(f"{b.depth} / {b.two_qubit_gates}" for b in backends))
    table.add_row("seconds", *("–" if b.seconds is None else f"{b.seconds:.1f}" for b in backends))
    console.print(table)


def print_frame(frame: pd.DataFrame, title: str) -> None:
    """Any small table; numbers with four decimals."""
    table = Table(*map(str, frame.columns), title=title)
    for row in frame.itertuples(index=False):
        table.add_row(*(f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in row))
    console.print(table)


def _cell(interval: Interval) -> str:
    return f"{interval['value']:.3f}\n{interval['low']:.3f} – {interval['high']:.3f}"


def _change(changes: dict[str, Interval] | None, verdict: str) -> str:
    if changes is None:
        return "–"
    change = changes["auc"]
    return f"{change['value']:+.3f}\n{change['low']:+.3f} … {change['high']:+.3f}\n{verdict}"


def _percent(interval: Interval | None) -> str:
    if interval is None:
        return "–"
    return f"{interval['value']:.1%}\n{interval['low']:.1%} – {interval['high']:.1%}"
