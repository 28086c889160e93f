"""Table 3 as a figure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.quantum.ours import LAYER
from benchmarks.quantum.peers import DEFAULT_QUBIT, LIGHTNING
from benchmarks.quantum.results import Found, Row
from benchmarks.quantum.scaling import BATCH_QUBITS, LAYERS, QUBITS_BATCH
from hybridq.files import atomic_write

LABELS = {LAYER: "hybridq QuantumLayer, float32", DEFAULT_QUBIT: DEFAULT_QUBIT, LIGHTNING: LIGHTNING}
COLOURS = {LAYER: "#0072b2", DEFAULT_QUBIT: "#d55e00", LIGHTNING: "#009e73"}
MARKERS = {LAYER: "o", DEFAULT_QUBIT: "s", LIGHTNING: "^"}


def draw(found: Found, path: Path, machine: str) -> bool:
    """Write the figure where ``scaling`` was run; bands are quartiles, open markers scaled from a part of the batch."""
    rows = [row for row in found.rows if row.section in {"qubits", "batch"} and row.timing and row.device == "cpu"]
    if not rows:
        return False
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    _curves(left, [row for row in rows if row.section == "qubits"], _qubits)
    _curves(right, [row for row in rows if row.section == "batch"], lambda row: row.batch)
    left.set(xlabel="qubits", ylabel="ms, forward and backward", title=f"{LAYERS} layers, batch {QUBITS_BATCH}")
    right.set(xlabel="batch", title=f"{BATCH_QUBITS} qubits, {LAYERS} layers")
    right.set_xscale("log", base=4)
    right.set_xticks(
        batches := sorted({row.batch for row in rows if row.section == "batch"}), [f"{b:,}" for b in batches]
    )
    left.set_yscale("log")
    left.set_xticks(sorted({_qubits(row) for row in rows if row.section == "qubits"}))
    for axes in (left, right):
        axes.grid(which="major", alpha=0.3)
    left.legend(frameon=False)
    threads = ", ".join(map(str, sorted({row.threads for row in rows})))
    figure.supxlabel(
        f"median and quartiles; open markers: scaled from a part of the batch; threads: {threads}; {machine}",
        fontsize=8,
    )
    with atomic_write(path) as partial:
        figure.savefig(partial, dpi=150)
    return True


def _curves(axes: Axes, rows: list[Row], along: Callable[[Row], int]) -> None:
    for name, label in LABELS.items():
        own = sorted((row for row in rows if row.name == name), key=along)
        x = [along(row) for row in own]
        timings = [row.timing for row in own if row.timing]
        axes.plot(x, [t.median_ms for t in timings], color=COLOURS[name], label=label)
        axes.fill_between(
            x, [t.low_ms for t in timings], [t.high_ms for t in timings], color=COLOURS[name], alpha=0.2, linewidth=0
        )
        for row, timing in zip(own, timings, strict=True):
            face = "white" if row.scaled else COLOURS[name]
            axes.plot(along(row), timing.median_ms, MARKERS[name], color=COLOURS[name], markerfacecolor=face)


def _qubits(row: Row) -> int:
    return int(row.case.split()[0].removeprefix("Q"))
