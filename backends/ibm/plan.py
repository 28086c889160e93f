"""What a run on hardware costs, before it is submitted. All constants of the cost model are here.

Quantum seconds = 2 s for each job + executions × (repetition delay + circuit duration). The form and the delay of
250 µs are IBM's documentation (Qiskit/documentation#2783); the counts are those of the client's executor: TREX adds
one calibration circuit for each randomization, ZNE repeats everything at three noise factors.
"""

from __future__ import annotations

from backends.contract import Cost
from backends.names import TWIRLS

JOB_SECONDS = 2.0
REP_DELAY_SECONDS = 250e-6
"""Where the device states none of its own."""
ZNE_FACTORS = (1, 3, 5)


def hardware_cost(
    *,
    samples: int,
    groups: int,
    shots: int,
    resilience: int,
    circuit_seconds: float,
    rep_delay_seconds: float = REP_DELAY_SECONDS,
) -> Cost:
    """Cost of one job for ``samples`` parameter sets, each measured in ``groups`` bases with ``shots`` shots.

    ``resilience`` 0 is plain; 1 adds measurement twirling and TREX; 2 adds gate twirling and ZNE, whose folded circuits
    take 3 and 5 times as long.
    """
    factors = ZNE_FACTORS if resilience == 2 else (1,)
    bound = samples * groups
    twirls = TWIRLS if resilience > 0 else 1
    seconds = JOB_SECONDS
    for factor in factors:
        seconds += bound * shots * (rep_delay_seconds + factor * circuit_seconds)
    circuits, executions = bound * len(factors) * twirls, bound * len(factors) * shots
    if resilience > 0 and bound:
        circuits += TWIRLS
        executions += shots
        seconds += shots * rep_delay_seconds
    return Cost(
        circuits=circuits, executions=executions, quantum_seconds=seconds if bound else 0.0, jobs=int(bound > 0)
    )
