"""What every classifier is: calls that are cut where the hardware sits."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from hybridq.models.backbones.registry import Backbone


class Classifier(nn.Module, ABC):
    """``features -> angles -> circuit -> decide``; a model without a circuit has no angles.

    Training runs the calls in one forward pass; evaluation on a backend collects all angles first, runs the backend
    instead of ``circuit``, and then decides. The intensity statistics of the training images are buffers, so that the
    weights alone define the classifier.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone, circuit: nn.Module) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(0.0))
        self.register_buffer("std", torch.tensor(1.0))
        self.backbone = backbone
        self.circuit = circuit
        """(N, Q) angles to (N, Q) values: the quantum layer, or what a control has in its place."""

    def features(self, images: Tensor) -> Tensor:
        """h of eq. 8: images (N, C, H, W), intensities in [0, 1], to features (N, d)."""
        return self.backbone((images - self.mean) / self.std)

    @abstractmethod
    def angles(self, h: Tensor) -> Tensor:
        """u of eq. 9: features (N, d) to angles (N, Q) in radians."""

    @abstractmethod
    def decide(self, h: Tensor, q: Tensor) -> Tensor:
        """Features (N, d) and expectation values (N, Q) in [-1, 1] to logits (N, classes)."""

    @abstractmethod
    def calibrate_angles(self, h: Tensor, spread: float) -> None:
        """Set the compression so that the angles of features ``h`` have this standard deviation in radians."""

    @abstractmethod
    def quantum_branch(self, h: Tensor, q: Tensor) -> tuple[float, float]:
        """Its strength α and its share of the fused features, see ``ResidualFusion.quantum_share``."""

    def fused(self, h: Tensor, q: Tensor) -> Tensor | None:
        """h̃ of eq. 13, (N, d); None where the model fuses nothing."""
        return None

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes)."""
        return self.logits(self.features(images))

    def logits(self, h: Tensor) -> Tensor:
        """Logits (N, classes) from features (N, d)."""
        return self.decide(h, self.circuit(self.angles(h)))

    def part_sizes(self) -> dict[str, int]:
        """Number of parameters of each part that has any."""
        sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in self.named_children()}
        return {name: size for name, size in sizes.items() if size}
