"""The benchmark itself: that it compares like with like, says what it left out, and runs as a whole."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from rich.console import Console

from benchmarks.quantum import machine
from benchmarks.quantum.candidates import Candidate, NotInstalledError
from benchmarks.quantum.cases import Case
from benchmarks.quantum.compare import compared
from benchmarks.quantum.effort import QUICK
from benchmarks.quantum.ours import LAYER, function_step, layer_step
from benchmarks.quantum.peers import DEFAULT_QUBIT, PENNYLANE, STOCK
from benchmarks.quantum.results import Found, Row
from benchmarks.quantum.steps import Step
from benchmarks.quantum.tables import show
from benchmarks.quantum.targets import outcomes
from benchmarks.quantum.threads import SECTIONS
from benchmarks.quantum.timing import Timing, interleaved

CASE = Case(2, 1, 8)


def rows_of(*candidates: Candidate) -> list[Row]:
    program = CASE.program()
    reference = partial(function_step, program, dtype=torch.float64)
    return compared(
        "noiseless", CASE.name, candidates, CASE.point(), reference, threads=1, effort=QUICK, tick=lambda *_: None
    )


def ours(name: str = LAYER, **options) -> Candidate:
    prepare = partial(layer_step, CASE.program(), dtype=torch.float64)
    return Candidate(name, "float64", prepare, **{"tolerance": 1e-9, **options})


def shown(found: Found) -> str:
    console = Console(record=True, width=200, file=io.StringIO())
    show(console, found, outcomes(found), machine.describe())
    return console.export_text()


def test_what_agrees_with_the_reference_is_timed():
    (row,) = rows_of(ours())
    assert row.largest_difference < 1e-12
    assert row.timing.low_ms <= row.timing.median_ms <= row.timing.high_ms


def test_what_computes_something_else_stops_the_run():
    def wrong(point):
        step = layer_step(CASE.program(), point, torch.float64)
        return Step(lambda x: 1.01 * step.values(x), step.inputs, step.weights, step.upstream)

    with pytest.raises(SystemExit, match="wrong at Q2 L1 B8: values or gradients differ"):
        rows_of(Candidate("wrong", "float64", wrong, tolerance=1e-9))


def test_a_missing_peer_is_listed_and_the_others_are_timed():
    def missing(point):
        raise NotInstalledError("pennylane")

    found = Found(rows_of(Candidate(DEFAULT_QUBIT, "float64", missing, tolerance=1e-9), ours()))
    assert "pennylane is not installed" in shown(found)
    assert found.median_ms("noiseless", CASE.name, LAYER, 1) > 0


def test_a_peer_that_would_take_too_long_is_listed_as_skipped():
    slow = ours(STOCK, per_sample=True, sample_seconds=lambda point: 1e6)
    assert "skipped: about 1,000,000 s a sample" in shown(Found(rows_of(slow)))


def test_a_part_of_the_batch_is_marked_and_scaled_to_the_batch():
    timing = Timing.of([0.01, 0.01, 0.01], scale=4)
    row = Row("noiseless", "Q4 L2 B32", STOCK, 1, timing, batch=32, samples=8)
    text = shown(Found([row]))
    assert "40.0†" in text
    assert "scaled to the batch" in text


def test_targets_are_ratios_within_the_run_and_say_whether_they_are_reached():
    def row(name: str, ms: float) -> Row:
        return Row("noiseless", "Q4 L2 B32", name, 1, Timing(ms, ms, ms, 3), precision="float32", batch=32, samples=32)

    found = Found([row(LAYER, 2.0), row(STOCK, 8000.0), row(DEFAULT_QUBIT, 10.0)])
    assert [(o.measured, o.reached) for o in outcomes(found)] == [(4000.0, True), (5.0, False)]


def test_calls_take_turns():
    order = []
    interleaved({name: partial(order.append, name) for name in "ab"}, seconds=1, most=50)
    assert not any(len(set(order[i : i + 8])) == 1 for i in range(4, len(order) - 8))


def run_quick(folder: Path, *options: str, **environment: str) -> tuple[str, dict]:
    out = folder / "figures.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.quantum", "--quick", "--json", str(out), *options],
        env=os.environ | environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout, json.loads(out.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_a_quick_run_prints_every_table_and_writes_the_same_figures(tmp_path):
    text, figures = run_quick(tmp_path, "--plot", str(tmp_path / "cost.png"))
    for title in ("1. Noiseless", "2. Exact under the noise", "3a. Cost", "3b. Cost", "MobileNetV2", "Targets"):
        assert title in text
    assert {row["section"] for row in figures["rows"]} >= set(SECTIONS) - {"scaling"} | {"qubits", "batch"}
    assert Found.from_dict(figures).rows
    assert figures["quick"]
    assert figures["machine"]["versions"]["torch"]
    assert (tmp_path / "cost.png").stat().st_size > 0


@pytest.mark.slow
def test_it_runs_without_pennylane(tmp_path):
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "pennylane.py").write_text("raise ImportError('not installed')\n")
    text, figures = run_quick(tmp_path, "--only", "noiseless", PYTHONPATH=str(blocked))
    assert text.count("pennylane is not installed") == 2
    missing = [row["name"] for row in figures["rows"] if row["note"] == "pennylane is not installed"]
    assert missing == list(PENNYLANE)
