"""Classical baselines: a backbone and a linear head, no circuit."""

from __future__ import annotations

from torch import Tensor, nn

from hybridq import config
from hybridq.models.backbones.registry import Backbone, build_backbone
from hybridq.models.classifier import Classifier
from hybridq.models.registry import model


class Baseline(Classifier):
    """Any backbone of the registry with dropout and one linear layer; its angles and values have no columns."""

    def __init__(self, backbone: Backbone, circuit: nn.Module, classes: int, dropout: float) -> None:
        super().__init__(backbone, circuit)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(backbone.features, classes))

    def angles(self, h: Tensor) -> Tensor:
        """(N, 0)."""
        return h[:, :0]

    def decide(self, h: Tensor, q: Tensor) -> Tensor:
        """Features (N, d) to logits (N, classes)."""
        return self.head(h)

    def calibrate_angles(self, h: Tensor, spread: float) -> None:
        """There are none."""

    def quantum_branch(self, h: Tensor, q: Tensor) -> tuple[float, float]:
        """0 and 0."""
        return 0.0, 0.0


@model("baseline", circuit=False)
def _baseline(settings: config.Model, channels: int, classes: int, circuit: nn.Module) -> Baseline:
    backbone = build_backbone(settings.backbone, imagenet=settings.imagenet, channels=channels)
    return Baseline(backbone, circuit, classes, settings.dropout)
