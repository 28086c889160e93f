"""What a person reads: the same numbers as the JSON file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.quantum import noisy, spells
from benchmarks.quantum.cases import CIRCUIT, Q4
from benchmarks.quantum.ours import LAYER
from benchmarks.quantum.results import Found, Row
from benchmarks.quantum.targets import Outcome

SCALED = "† a part of the batch was run and the time scaled to the batch, linearly"


def show(console: Console, found: Found, targets: Sequence[Outcome], machine: Mapping[str, Any]) -> None:
    """All tables of the sections that were run, then the targets."""
    _show_machine(console, machine)
    for section, title in (
        ("noiseless", "1. Noiseless, forward and backward"),
        ("noisy", f"2. Exact under the noise of {noisy.BACKEND}, forward and backward"),
        ("qubits", "3a. Cost against qubits, forward and backward"),
        ("batch", "3b. Cost against the batch, forward and backward"),
    ):
        for threads in _threads(found, section):
            _show_cases(console, found, section, f"{title}, {_count(threads)}: ms, median (quartiles)", threads)
    _show_share(console, found)
    _show_list(console, found, "evaluation", f"Values under {noisy.BACKEND}, angles known")
    _show_list(console, found, "epoch", "Training step of SSL-Quantum at 64 × 64, batch 32, backbone free")
    _show_list(console, found, "spells", f"{spells.NAME}, {Q4.name}")
    _show_differences(console, found)
    _show_targets(console, targets)


def _show_machine(console: Console, machine: Mapping[str, Any]) -> None:
    versions = ", ".join(f"{name} {version or 'not installed'}" for name, version in machine["versions"].items())
    console.print(f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB; {machine['system']}")
    console.print(f"GPU: {machine['gpu'] or 'none'}; Python {machine['python']}, {versions}")
    console.print(
        "Every section runs in a process of its own for each number of threads, to which "
        f"{', '.join(machine['thread_variables'])} and torch.set_num_threads are set, so that torch, Aer and OpenBLAS "
        "do not take each other's cores."
    )
    console.print(f"Circuit: {CIRCUIT}\n")


def _show_cases(console: Console, found: Found, section: str, title: str, threads: int) -> None:
    rows = [row for row in found.rows if (row.section, row.threads) == (section, threads)]
    cases = list(dict.fromkeys(row.case for row in rows))
    table = Table("", "", *(case for case in cases), title=title, title_justify="left")
    for column in table.columns[2:]:
        column.justify = "right"
    by_kind: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        place = row.precision if row.device == "cpu" else f"{row.precision}, {row.device}"
        by_kind.setdefault((row.name, place), {})[row.case] = row
    for (name, precision), cells in by_kind.items():
        table.add_row(name, precision, *(_cell(cells[case]) if case in cells else "" for case in cases))
    console.print(table)
    if any(row.scaled for row in rows):
        console.print(SCALED)
    console.print()


def _show_share(console: Console, found: Found) -> None:
    for threads in _threads(found, "share"):
        table = Table(
            "", "ms, median (quartiles)", "repeats", f"{LAYER} {Q4.name}, share", title_justify="left",
            title=f"A training step of MobileNetV2 with a linear head, batch 32, float32, {_count(threads)}",
        )  # fmt: skip
        layer = found.median_ms("share", Q4.name, LAYER, threads)
        for row in found.rows:
            if (row.section, row.threads) == ("share", threads) and row.timing:
                part = f"{100 * layer / row.timing.median_ms:.2f} %" if layer and row.name != LAYER else ""
                name = f"{LAYER} {Q4.name}" if row.name == LAYER else row.name
                table.add_row(name, _cell(row), str(row.timing.repeats), part)
        console.print(table, "")


def _show_list(console: Console, found: Found, section: str, title: str) -> None:
    for threads in _threads(found, section):
        table = Table("", "", "repeats", title=f"{title}, {_count(threads)}", title_justify="left")
        for row in found.rows:
            if (row.section, row.threads) == (section, threads) and row.timing:
                table.add_row(f"{row.name}, {row.case}", f"{_cell(row)} ms", str(row.timing.repeats))
        for figure in found.figures:
            if (figure.section, figure.threads) == (section, threads):
                table.add_row(figure.name, f"{_number(figure.value)} {figure.unit}", "")
        console.print(table, "")


def _show_differences(console: Console, found: Found) -> None:
    """The largest of each name and precision, over cases and threads."""
    largest: dict[tuple[str, str, str], float] = {}
    for row in found.rows:
        if row.largest_difference is not None:
            key = (row.section, row.name, row.precision)
            largest[key] = max(largest.get(key, 0.0), row.largest_difference)
    if largest:
        table = Table("", "", "", "largest difference", title_justify="left",
                      title="Values and gradients against the engine's plain function in float64")  # fmt: skip
        for key, difference in largest.items():
            table.add_row(*key, f"{difference:.1e}")
        console.print(table, "")


def _show_targets(console: Console, targets: Sequence[Outcome]) -> None:
    if targets:
        table = Table("target", "", "threads", "measured", "", "ours in float64", title="Targets", title_justify="left")
        for outcome in targets:
            measured = f"{_number(outcome.measured)} {outcome.unit}"
            verdict = "reached" if outcome.reached else "not reached"
            double = "" if outcome.in_double is None else f"{_number(outcome.in_double)} {outcome.unit}"
            table.add_row(outcome.name, outcome.bound, str(outcome.threads), measured, verdict, double)
        console.print(table)


def _threads(found: Found, section: str) -> list[int]:
    return sorted({row.threads for row in found.rows if row.section == section})


def _count(threads: int) -> str:
    return f"{threads} thread{'s' * (threads > 1)}"


def _cell(row: Row) -> str:
    if row.timing is None:
        return row.note
    mark = "†" if row.scaled else ""
    median, low, high = (_number(ms) for ms in (row.timing.median_ms, row.timing.low_ms, row.timing.high_ms))
    return f"{median}{mark} ({low}–{high})" if row.timing.repeats > 1 else f"{median}{mark} (once)"


def _number(value: float) -> str:
    """Three significant digits, thousands with commas."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"
