"""Table 1: forward and backward without noise, by every route and by every peer."""

from __future__ import annotations

from functools import partial

import torch

from benchmarks.quantum.cases import NOISELESS, Q4
from benchmarks.quantum.compare import compared
from benchmarks.quantum.effort import Effort
from benchmarks.quantum.ours import function_step, routes
from benchmarks.quantum.peers import noiseless_peers
from benchmarks.quantum.results import Found, Tick


def measure(threads: int, effort: Effort, tick: Tick) -> Found:
    """All cases, the smallest alone in a quick run."""
    found = Found()
    for case in (Q4,) if effort.quick else NOISELESS:
        program = case.program()
        found.rows += compared(
            "noiseless",
            case.name,
            [*routes(program), *noiseless_peers(program)],
            case.point(),
            partial(function_step, program, dtype=torch.float64),
            threads=threads,
            effort=effort,
            tick=tick,
        )
    return found
