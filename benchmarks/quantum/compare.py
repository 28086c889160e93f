"""Candidates beside each other at one point: ready, checked against the reference, timed in turns."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from benchmarks.quantum.candidates import Candidate, NotInstalledError, Ready, make_ready
from benchmarks.quantum.cases import Point
from benchmarks.quantum.effort import Effort
from benchmarks.quantum.results import Row, Tick
from benchmarks.quantum.steps import Step, largest_difference
from benchmarks.quantum.timing import LONG, Timing, interleaved


def compared(
    section: str,
    case: str,
    candidates: Sequence[Candidate],
    point: Point,
    reference: Callable[[Point], Step],
    *,
    threads: int,
    effort: Effort,
    tick: Tick,
) -> list[Row]:
    """A row for each candidate, in their order.

    Exits with a sentence when values or gradients of one differ from the reference by more than its tolerance: then it
    computes something else, and its time says nothing.
    """
    batch = len(point.inputs)
    what = f"{section}, {case}, {threads} thread{'s' * (threads > 1)}"
    ready: dict[Candidate, Ready] = {}
    notes: dict[Candidate, str] = {}
    differences: dict[Candidate, float] = {}
    for done, candidate in enumerate(candidates):
        tick(what, done, 2 * len(candidates))
        try:
            # what takes so long runs Python on one core anyway: more threads would only measure it again
            patience = effort.patience if threads == 1 else min(effort.patience, LONG)
            made = make_ready(candidate, point, turn=effort.turn, patience=patience)
        except NotInstalledError as missing:
            notes[candidate] = f"{missing} is not installed"
            continue
        if isinstance(made, float):
            notes[candidate] = f"skipped: about {made:,.0f} s a sample"
            continue
        ready[candidate] = made
        differences[candidate] = _checked(candidate, made, case, reference(point.part(made.samples)))
    keys = {candidate: str(place) for place, candidate in enumerate(candidates)}
    seconds = interleaved(
        {keys[candidate]: made.step for candidate, made in ready.items() if made.seconds is None},
        seconds=effort.seconds,
        most=effort.repeats,
        once={keys[candidate]: made.seconds for candidate, made in ready.items() if made.seconds is not None},
        tick=lambda done, total: tick(what, total + done, 2 * total),
    )

    def row(candidate: Candidate) -> Row:
        made = ready.get(candidate)
        return Row(
            section=section,
            case=case,
            name=candidate.name,
            threads=threads,
            timing=None if made is None else Timing.of(seconds[keys[candidate]], batch / made.samples),
            precision=candidate.precision,
            device=candidate.device,
            batch=batch,
            samples=batch if made is None else made.samples,
            largest_difference=differences.get(candidate),
            note=notes.get(candidate, ""),
        )

    return [row(candidate) for candidate in candidates]


def _checked(candidate: Candidate, made: Ready, case: str, reference: Step) -> float:
    if made.seconds is None:
        made.step()
    reference()
    difference = largest_difference(made.step, reference)
    if not difference <= candidate.tolerance:
        sys.exit(
            f"{candidate.name} at {case}: values or gradients differ from the reference by {difference:.2g}; at most "
            f"{candidate.tolerance:g} was expected"
        )
    return difference
