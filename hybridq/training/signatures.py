"""The ways in which this method is known to fail, recognised in the history and named with what to try."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

Row = Mapping[str, float]

COLLAPSED_SPREAD = 0.1
"""Spread of unit embeddings (1: even over the sphere, 0: all equal) under which they count as collapsed."""
CHANCE_AUC = (0.4, 0.6)
VANISHED_GRADIENT = 1e-6
CLASSICAL_SHARE = 0.01
"""Share of the quantum branch under which the model is classical for every practical purpose."""
DIVERGED = 1.5
"""A loss this many times above the stage's lowest has diverged."""
PATIENCE = 4
"""Epochs for which a signature must last before it is named."""


@dataclass(frozen=True)
class Signature:
    """One recognised failure; ``sentence`` says what was seen and what to try."""

    stage: str
    epoch: int
    signature: str
    sentence: str

    def as_dict(self) -> dict[str, str | int]:
        return asdict(self)


def pretraining_signatures(history: Sequence[Row]) -> list[Signature]:
    """Failures of stage 1 visible in its history (columns loss, embedding_spread), newest row last."""
    found = _divergence("pretrain", history, "pretrain.learning_rate")
    if history and history[-1]["embedding_spread"] < COLLAPSED_SPREAD:
        found.append(
            Signature(
                "pretrain",
                int(history[-1]["epoch"]),
                "collapsed embeddings",
                f"The contrastive embeddings have collapsed (spread {history[-1]['embedding_spread']:.3f}): try a "
                "higher pretrain.temperature, a lower pretrain.learning_rate or a larger pretrain.batch_size.",
            )
        )
    return found


def finetuning_signatures(history: Sequence[Row]) -> list[Signature]:
    """Failures of stage 2 visible in its history, newest row last."""
    found = _divergence("finetune", history, "train.learning_rate")
    recent = history[-PATIENCE:]
    if len(recent) < PATIENCE:
        return found
    epoch = int(recent[-1]["epoch"])

    def name(signature: str, sentence: str) -> None:
        found.append(Signature("finetune", epoch, signature, sentence))

    if all(CHANCE_AUC[0] <= row["validation_auc"] <= CHANCE_AUC[1] for row in recent):
        name(
            "AUC at chance",
            f"Validation AUC has stayed near 0.5 for {PATIENCE} epochs: the augmentation may destroy the lesion "
            "(narrow pretrain.augmentation and train.augmentation), or more of the encoder must learn "
            "(train.unfreeze).",
        )
    if all(row["predicted_classes"] < 2 for row in recent):
        name(
            "one class only",
            f"Every validation image was given the same class or labels for {PATIENCE} epochs: try "
            "train.class_weights=true or a lower train.head_learning_rate.",
        )
    if all(row["quantum_share"] == 0 for row in recent):
        return found  # there is no quantum branch, or a control keeps α at 0
    if all(row.get("circuit_gradient_norm", math.inf) < VANISHED_GRADIENT for row in recent):  # frozen: no gradient
        name(
            "vanishing circuit gradient",
            f"The gradient of the circuit's weights is below {VANISHED_GRADIENT:g}: try fewer model.qubits or "
            "model.layers, or a larger model.angle_spread.",
        )
    if all(row["quantum_share"] < CLASSICAL_SHARE for row in recent):
        name(
            "quantum branch unused",
            f"The quantum branch contributes {recent[-1]['quantum_share']:.2%} of the fused features' variation: the "
            "model is effectively classical; try a larger model.alpha or train.unfreeze=none, or report it as it is.",
        )
    return found


def _divergence(stage: str, history: Sequence[Row], learning_rate: str) -> list[Signature]:
    losses = [row["loss"] for row in history]
    if len(losses) < PATIENCE or losses[-1] <= DIVERGED * min(losses) or losses[-1] <= losses[0]:
        return []
    return [
        Signature(
            stage,
            int(history[-1]["epoch"]),
            "diverging loss",
            f"The training loss has grown from {min(losses):.3g} to {losses[-1]:.3g}: try a lower {learning_rate}.",
        )
    ]
