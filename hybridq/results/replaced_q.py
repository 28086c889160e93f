"""q replaced at evaluation, in trained models: what a decision loses without what q says of the image. Loads no torch.

Never by zero: through the batch normalisation behind the fusion, that would shift every image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from hybridq.results.evaluation import Evaluation
from hybridq.statistics.intervals import NO_DIFFERENCE, Interval, proportion_with_interval, signed, verdict_of
from hybridq.typing import IntArray

INTERVENTIONS: Final = {"mean": "q at its training mean", "shuffle": "q shuffled"}
"""``mean``: by its mean over the training images on the noiseless simulator; ``shuffle``: by that of another image of
the evaluation, drawn with the run's seed."""


def intervened(backend: str, intervention: str | None) -> str:
    """What results call it: ``fake_torino, q shuffled``."""
    return backend if intervention is None else f"{backend}, {INTERVENTIONS[intervention]}"


def shuffled_rows(samples: int, seed: int) -> IntArray:
    """Whose q each image is given, (N,): a random permutation."""
    return np.random.default_rng([seed, 2]).permutation(samples)


@dataclass(frozen=True)
class Replacement:
    """The decisions from q as a backend gives it, beside those from q replaced, on the same images."""

    backend: str
    kind: str
    by: str
    """``mean`` or ``shuffle``."""
    changes: dict[str, Interval]
    """Of each metric when q is replaced, paired."""
    flips: Interval
    """Share of samples that are decided differently."""
    flipped: int
    samples: int

    @property
    def title(self) -> str:
        return INTERVENTIONS[self.by]

    def verdict(self, metric: str) -> str:
        """``lower``, ``higher``, or that no difference is shown."""
        return verdict_of(self.changes[metric])

    @property
    def sentence(self) -> str:
        """Whether the decision is shown to use the circuit."""
        shown = [f"{name} is {self.verdict(name)}" for name in self.changes if self.verdict(name) != NO_DIFFERENCE]
        auc = self.changes["auc"]
        return (
            f"{self.backend} with {self.title}: {', '.join(shown) or f'{NO_DIFFERENCE} in any metric'} (AUC "
            f"{signed(auc['value'])} [{signed(auc['low'])}, {signed(auc['high'])}]); {self.flipped} of "
            f"{self.samples:,} decisions differ."
        )

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {
            "changes": {name: {**change, "verdict": self.verdict(name)} for name, change in self.changes.items()}
        }


def replacements(evaluations: Sequence[Evaluation], seed: int) -> tuple[Replacement, ...]:
    """Each backend's evaluation beside those with q replaced: by the training mean, which is the same for all backends,
    and by the shuffled q of this backend. All are of the same samples."""
    found = []
    for plain in (e for e in evaluations if e.intervention is None):
        for other in (e for e in evaluations if e.intervention is not None):
            assert other.intervention is not None
            by, of = other.intervention["replace_q"], other.intervention["backend"]
            if by == "shuffle" and of != plain.backend:
                continue
            rows = other.rows_of(plain.ids)
            now = plain.scored(seed).saying(other.probabilities[rows])
            changes = plain.task.changes(now, plain.probabilities)
            differs = (other.predicted[rows] != plain.predicted).reshape(len(rows), -1).any(axis=1)
            flips = proportion_with_interval(differs, plain.groups, seed)
            found.append(Replacement(plain.backend, plain.kind, by, changes, flips, int(differs.sum()), len(plain.ids)))
    return tuple(found)
