"""Results as tables in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from rich import box
from rich.table import Column, Table

from hybridq.cli.console import console
from hybridq.results.comparison import ComparedBackend, Comparison, hardware_sentences
from hybridq.results.device_error import signed_sqrt
from hybridq.results.evaluation import read_evaluation
from hybridq.statistics.intervals import Interval, LabelMetrics

if TYPE_CHECKING:
    from backends.ibm.circuit import Patch
    from backends.ibm.plan import Plan
    from hybridq.run_folder import RunFolder


ERROR_PARTS = {
    "rms error of ⟨Z⟩": "total",
    "  of it shot noise": "shot_noise",
    "  of it in the noise model": "predicted",
    "  the rest": "rest",
}
"""Rows of the split error; their squares add up, and a rest below 0 means less error than the model has."""


LABEL_COLUMNS = {
    "auc": "auc",
    "average_precision": "average\nprecision",
    "sensitivity": "sensi-\ntivity",
    "specificity": "speci-\nficity",
}
"""Of the table by label, so narrow that eighty columns hold it."""


def metrics_table(folder: Path) -> None:
    """The metrics of one evaluation with their intervals, and those of each label where an image may have several."""
    evaluation = read_evaluation(folder)
    title = f"{evaluation.backend} ({evaluation.kind}), {evaluation.images}, {evaluation.record['selection']}"
    table = Table("metric", "value", "95 % interval", "method", title=title)
    for name, interval in evaluation.metrics["metrics"].items():
        low_high = f"{interval['low']:.4f} – {interval['high']:.4f}"
        table.add_row(name, f"{interval['value']:.4f}", low_high, interval["method"])
    console.print(table)
    if "labels" in evaluation.metrics:
        labels_table(evaluation.metrics["labels"])
    for note in evaluation.metrics.get("notes", []):
        console.print(note)


def announce_positive(run: RunFolder) -> None:
    """Say which class a sensitivity is of, if there are two."""
    if (sentence := run.positive_sentence()) is not None:
        console.print(sentence, markup=False)


def comparison_tables(comparison: Comparison) -> None:
    """Metrics side by side; then flips, errors of ⟨Z⟩ and what ran."""
    backends = comparison.backends
    images = f"{comparison.samples} {comparison.split} images ({comparison.selection})"
    title = f"{images}; intervals: {comparison.interval}"
    columns = [Column(f"{b.backend}\n{b.kind}", overflow="fold") for b in backends]
    table = Table("metric", *columns, title=title)
    for name in backends[0].metrics:
        table.add_row(name, *(_cell(b.metrics[name]) for b in backends))
    table.add_section()
    table.add_row("change of AUC", *(_change(b.changes, b.verdict("auc")) for b in backends))
    table.add_row("decisions that flip", *(_percent(b.flips) for b in backends))
    worst = [None if b.z_errors is None else max(error.rms for error in b.z_errors) for b in backends]
    table.add_row("worst rms error of ⟨Z⟩", *("–" if w is None else f"{w:.4f}" for w in worst))
    if any(b.error_parts for b in backends):
        for title, part in ERROR_PARTS.items():
            table.add_row(title, *(_part(b, part) for b in backends))
    table.add_row("shots", *(b.sampling for b in backends))
    table.add_row(
        "depth / 2q gates", *("–" if b.depth is None else f"{b.depth} / {b.two_qubit_gates}" for b in backends)
    )
    table.add_row("seconds", *("–" if b.seconds is None else f"{b.seconds:.1f}" for b in backends))
    if any(b.hardware for b in backends):
        each = [b.quantum_seconds_per_image for b in backends]
        table.add_row("quantum seconds an image", *("–" if s is None else f"{s:.3f}" for s in each))
    console.print(table)
    replaced = [r.sentence for r in comparison.replacements]
    for sentence in [*comparison.notes, *hardware_sentences(comparison), *replaced]:
        console.print(sentence)


def labels_table(labels: Sequence[LabelMetrics]) -> None:
    """Four metrics of each label and their intervals."""
    columns = [Column(title, justify="right", no_wrap=True) for title in LABEL_COLUMNS.values()]
    heading = (Column("label", overflow="fold"), Column("positives", justify="right"))
    table = Table(*heading, *columns, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for label in labels:
        metrics = label["metrics"]
        found = [None if metrics is None else metrics[name] for name in LABEL_COLUMNS]
        cells = ["–" if m is None else f"{m['value']:.3f}\n{m['low']:.2f}–{m['high']:.2f}" for m in found]
        table.add_row(label["label"], f"{label['positives']:,}", *cells)
    console.print(table)


def plan_table(title: str, plan: Plan, patches: Sequence[Patch], images: str) -> None:
    """Print what a run on hardware would send and cost."""
    from backends.ibm.plan import JOB_SECONDS, RESET_SECONDS

    work = plan.workload
    table = Table(title=title, box=box.SIMPLE_HEAD, show_header=False, title_justify="left", pad_edge=False)
    errors = [patch.expected_error for patch in patches]
    expected = f"{min(errors):.3f}" if len(errors) == 1 else f"{min(errors):.3f} to {max(errors):.3f}"
    repeated = ", the first one repeated at the end" if any(chunk.reference for chunk in plan.chunks) else ""
    on_all = f", {plan.references} image{'s' * (plan.references > 1)} on all of them" if plan.references else ""
    table.add_row("images", images)
    table.add_row("copies of the circuit", f"{plan.copies}{on_all}")
    table.add_row("expected error of ⟨Z⟩", f"{expected} by the calibration, unmitigated")
    table.add_row("parameter sets", f"{plan.sets:,} at {plan.shots:,} shots")
    learns = "" if plan.learning is None else ", the first of which learns layer noise"
    table.add_row("jobs", f"{plan.jobs:,} of one PUB{repeated}{learns}")
    for name, text in _noise_rows(plan):
        table.add_row(name, text)
    table.add_row("circuits, executions", f"{plan.circuits:,}, {plan.executions:,}")
    table.add_row("transfer", f"{_megabytes(plan.upload_bytes)} up, {_megabytes(plan.download_bytes)} down")
    table.add_row("quantum time", f"{_seconds(plan.quantum_seconds)}, estimated by IBM's formula", style="bold")
    table.add_row("by IBM's quick rule", f"{_seconds(plan.quick_seconds)}; budget and quota are held to the larger one")
    if plan.price is not None:
        table.add_row("price", f"{plan.price[0]:,.2f} to {plan.price[1]:,.2f} at {plan.price_per_second:g} a second")
    if plan.copies > 1:
        table.add_row("one image at a time", f"would take {_seconds(plan.quantum_seconds + plan.saved_seconds)}")
    if plan.quota_seconds is not None:
        table.add_row("remaining quota", _seconds(plan.quota_seconds))
    pause, circuit = f"{work.rep_delay_seconds * 1e6:g} µs", f"{work.circuit_seconds * 1e6:.1f} µs"
    each = f"{pause} of delay, {RESET_SECONDS * 1e6:g} µs of reset, {circuit}"
    charge = f", {work.seconds_per_circuit:g} s per circuit" if work.seconds_per_circuit else ""
    table.add_row("cost model", f"{each} of circuit per execution, {JOB_SECONDS:g} s per job{charge}")
    delays = [f"{s * 1e6:g} µs: {_seconds(plan.with_delay(s))}" for s in work.rep_delay.alternatives()]
    assumed = "" if work.rep_delay.stated else " (the device states none; assumed)"
    table.add_row("repetition delay", f"default {work.rep_delay.default * 1e6:g} µs{assumed}; " + ", ".join(delays))
    if plan.charged is not None:
        table.add_row("so far", plan.charged.sentence)
    console.print(table)


def _noise_rows(plan: Plan) -> Iterator[tuple[str, str]]:
    """What a plan says of noise that is learned; nothing where none is."""
    if plan.learning is not None:
        learning = plan.learning
        seconds = f"{_seconds(learning.seconds)} by the formula, {_seconds(learning.quick_seconds)} by the rule"
        yield "learning noise", f"of {learning.layers} layers: {learning.executions:,} executions, {seconds}"
    if plan.noise is not None:
        yield "layer noise", f"learned {plan.noise.age_hours:,.1f} hours ago by job {plan.noise.job_id}, used again"
    if plan.workload.options.pec:
        most = plan.workload.options.most_overhead
        known = "the learned noise takes" if plan.noise is not None else "it depends on the noise; estimated with"
        yield "shots of PEC", f"at most {most:g} times those asked for; {known} {plan.workload.overhead:,.2f}"


def patches_table(patches: Sequence[Patch]) -> None:
    """Where the copies of a circuit are placed, and what the calibration says of those places."""
    columns = [Column(name, justify="right") for name in ("error of ⟨Z⟩", "readout error", "two-qubit error")]
    table = Table("copy", "qubits", *columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for number, patch in enumerate(patches):
        readout = [sum(pair) / 2 for pair in patch.readout]
        pairs = [error for *_, error in patch.two_qubit_errors]
        table.add_row(
            str(number),
            " ".join(map(str, patch.qubits)),
            f"{patch.expected_error:.3f}",
            _mean_and_worst(readout),
            _mean_and_worst(pairs),
        )
    console.print(table)


def print_frame(frame: pd.DataFrame, title: str) -> None:
    """Any small table; numbers with four decimals."""
    table = Table(*map(str, frame.columns), title=title)
    for row in frame.itertuples(index=False):
        table.add_row(*(f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in row))
    console.print(table)


def _part(backend: ComparedBackend, part: str) -> str:
    parts = backend.error_parts
    value = None if parts is None else signed_sqrt(getattr(parts, part))
    if value is None:
        return "–"
    limits = [signed_sqrt(getattr(parts, f"{part}_{end}", None)) for end in ("low", "high")]
    interval = "" if None in limits else f"\n{limits[0]:.4f} – {limits[1]:.4f}"
    return f"{value:.4f}{interval}".replace("-", "−")


def _mean_and_worst(errors: Sequence[float]) -> str:
    return f"{sum(errors) / len(errors):.4f} (≤ {max(errors):.4f})" if errors else "–"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def _seconds(seconds: float) -> str:
    return f"{seconds:,.1f} s" if seconds < 120 else f"{seconds:,.0f} s ({seconds / 60:.1f} min)"


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
