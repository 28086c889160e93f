"""How long a run takes its time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """Seconds and repeats; ``QUICK`` shows that everything runs, its numbers mean little."""

    quick: bool
    turn: float
    """Seconds that one call of a slow peer may take; a part of the batch is run accordingly."""
    seconds: float
    """For all repeats of one thing."""
    repeats: int
    """At most."""
    patience: float
    """A peer that would need more seconds for a single sample is skipped."""
    steps: int
    """Training steps of each model in ``epoch``."""
    spell_steps: int
    images: int
    """In the noisy evaluation."""


FULL = Effort(quick=False, turn=0.8, seconds=2.0, repeats=40, patience=60.0, steps=26, spell_steps=300, images=3400)
QUICK = Effort(quick=True, turn=0.05, seconds=0.05, repeats=3, patience=1.0, steps=2, spell_steps=20, images=34)
