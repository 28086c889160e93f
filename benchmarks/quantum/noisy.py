"""Table 2: exact values and gradients under a stored device's noise, and the evaluation of a whole test set."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import torch

from backends import open_backend
from backends.contract import CompiledCircuit
from benchmarks.quantum.cases import NOISY, Q4, Case
from benchmarks.quantum.compare import compared
from benchmarks.quantum.effort import Effort
from benchmarks.quantum.ours import function_step, routes
from benchmarks.quantum.peers import noisy_peers
from benchmarks.quantum.results import Figure, Found, Row, Tick
from benchmarks.quantum.timing import Timing, interleaved, seconds_of
from hybridq.quantum.engine_choice import run_exactly

BACKEND = "fake_torino"
ENGINE, AER = "exact noisy engine, its compiling included", "Aer density matrix"
COMPILE = "layout, translation, noise (once, for both)"


TURN = 2.5
"""Seconds for one call of a slow peer: Aer prepares the noise for 0.1 s in every run, too much for a few samples."""


def measure(threads: int, effort: Effort, tick: Tick) -> Found:
    """Forward and backward beside Aer, then values alone for many images."""
    found = Found()
    longer = effort if effort.quick else replace(effort, turn=TURN)
    for case in (Q4,) if effort.quick else NOISY:
        program = case.program()
        found.rows += compared(
            "noisy",
            case.name,
            [*routes(program, BACKEND), *noisy_peers(BACKEND, program)],
            case.point(),
            partial(function_step, program, dtype=torch.float64, backend=BACKEND),
            threads=threads,
            effort=longer,
            tick=tick,
        )
    found.add(_evaluation(threads, effort, tick))
    return found


def _evaluation(threads: int, effort: Effort, tick: Tick) -> Found:
    """Values for so many images whose angles are known, as ``hybridq evaluate`` computes them."""
    case = Case(Q4.qubits, Q4.layers, effort.images)
    point = case.point()
    inputs, weights = point.inputs.numpy(), point.weights.numpy()
    backend = open_backend(BACKEND)
    compilations: list[CompiledCircuit] = []
    compiling = seconds_of(lambda: compilations.append(backend.compile(case.program())))
    (compiled,) = compilations
    ours = run_exactly(backend, compiled, inputs, weights)
    assert ours is not None
    difference = float(np.abs(ours.values - backend.run(compiled, inputs, weights).values).max())
    seconds = interleaved(
        {
            ENGINE: partial(run_exactly, backend, compiled, inputs, weights),
            AER: partial(backend.run, compiled, inputs, weights),
        },
        seconds=2 * effort.seconds,
        most=effort.repeats,
        tick=lambda done, total: tick(f"noisy, {case.batch} images, {threads} threads", done, total),
    )
    rows = [
        Row("evaluation", f"{case.batch:,} images", name, threads, Timing.of(spent), "float64", largest_difference=d)
        for (name, spent), d in zip(seconds.items(), (0.0, difference), strict=True)
    ]
    return Found(rows, [Figure("evaluation", COMPILE, threads, compiling, "s")])
