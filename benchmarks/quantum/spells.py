"""Steps of the layer in a process that also runs Aer: whether some of them are slow."""

from __future__ import annotations

import time

import numpy as np
import torch

from backends import open_backend
from benchmarks.quantum.cases import Q4
from benchmarks.quantum.effort import Effort
from benchmarks.quantum.ours import layer_step
from benchmarks.quantum.results import Figure, Found, Row, Tick
from benchmarks.quantum.timing import Timing, seconds_of

NAME = "QuantumLayer, an Aer run before every step"
SPREAD = "99th percentile / median"
OWN_SPREAD = "99th percentile / median of the thread's own processor time"
"""Where the two differ, somebody else had the core."""
AER_SAMPLES = 16


def measure(threads: int, effort: Effort, tick: Tick) -> Found:
    """Float32, Q4 L2 B32; Aer simulates the same circuit without noise and under a device's noise, in turns."""
    program, point = Q4.program(), Q4.point()
    step = layer_step(program, point, torch.float32)
    runs = []
    for name in ("aer", "fake_torino"):
        backend = open_backend(name)
        runs.append((backend, backend.compile(program)))
    inputs, weights = point.inputs[:AER_SAMPLES].numpy(), point.weights.numpy()
    for _ in range(5):
        step()
    seconds, own = [], []
    for number in range(effort.spell_steps):
        backend, compiled = runs[number % 2]
        backend.run(compiled, inputs, weights)
        before = time.thread_time()
        seconds.append(seconds_of(step))
        own.append(time.thread_time() - before)
        tick(f"spells, {threads} threads", number + 1, effort.spell_steps)
    return Found(
        [Row("spells", Q4.name, NAME, threads, Timing.of(seconds), "float32")],
        [
            Figure("spells", SPREAD, threads, _spread(seconds), "×"),
            Figure("spells", OWN_SPREAD, threads, _spread(own), "×"),
            Figure("spells", "longest", threads, 1e3 * max(seconds), "ms"),
        ],
    )


def _spread(seconds: list[float]) -> float:
    return float(np.percentile(seconds, 99) / np.median(seconds))
