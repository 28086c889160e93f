"""The smallest experiment that trains: seconds on one thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybridq.evaluation.evaluate import EvaluationPlan
    from hybridq.run_folder import RunFolder

TINY = """
name: tiny
seed: 3
data: {source: "synthetic:patients=12,patches=4", size: 32}
pretrain: {epochs: 2, batch_size: 16}
train: {epochs: 3, batch_size: 16, threads: 1}
"""


def quietly(*_: object) -> None:
    """Nobody watches."""


def planned(run: RunFolder, backend: str, *, replace_q: str | None = None, **choice: Any) -> EvaluationPlan:
    """An evaluation of a run on one backend, of the images that ``ImageChoice(**choice)`` chooses."""
    from hybridq.evaluation.evaluate import plan_evaluation
    from hybridq.evaluation.inference import Inference
    from hybridq.results.selection import ImageChoice

    return plan_evaluation(Inference.of(run, ImageChoice(**choice)), backend, replace_q=replace_q)
