"""Table 3: cost against the number of qubits and against the batch."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch

from benchmarks.quantum.cases import Case
from benchmarks.quantum.compare import compared
from benchmarks.quantum.effort import Effort
from benchmarks.quantum.ours import LAYER, function_step, routes
from benchmarks.quantum.peers import PENNYLANE, noiseless_peers
from benchmarks.quantum.results import Found, Tick

LAYERS = 2
QUBITS_BATCH = 16
"""Batch of the cases that grow in qubits."""
BATCH_QUBITS = 4
"""Qubits of the cases that grow in the batch."""


def qubit_cases(quick: bool) -> list[Case]:
    return [Case(qubits, LAYERS, QUBITS_BATCH) for qubits in ((2, 4) if quick else range(2, 17, 2))]


def batch_cases(quick: bool) -> list[Case]:
    batches = (1, 4) if quick else (1, 4, 16, 64, 256, 1024, 4096)
    return [Case(BATCH_QUBITS, LAYERS, batch) for batch in batches]


def measure(threads: int, effort: Effort, tick: Tick) -> Found:
    """The project's layer in float32 and both PennyLane devices."""
    found = Found()
    shorter = effort if effort.quick else replace(effort, seconds=1.0, repeats=20)
    for section, cases in (("qubits", qubit_cases(effort.quick)), ("batch", batch_cases(effort.quick))):
        for case in cases:
            program = case.program()
            ours = [c for c in routes(program) if c.name == LAYER and c.precision == "float32"]
            theirs = [c for c in noiseless_peers(program) if c.name in PENNYLANE]
            found.rows += compared(
                section,
                case.name,
                [*ours, *theirs],
                case.point(),
                partial(function_step, program, dtype=torch.float64),
                threads=threads,
                effort=shorter,
                tick=tick,
            )
    return found
