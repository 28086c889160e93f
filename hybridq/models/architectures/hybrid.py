"""Classifiers with a linear compression to the angles of a circuit."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hybridq import config
from hybridq.models.backbones.registry import Backbone
from hybridq.models.classifier import Classifier


class HybridModel(Classifier):
    """A backbone, its features compressed to one angle a qubit, a circuit or what a control has in its place."""

    def __init__(self, backbone: Backbone, circuit: nn.Module, settings: config.Model) -> None:
        super().__init__(backbone, circuit)
        self.compression = nn.Linear(backbone.features, settings.qubits)  # W_q, b_q of eq. 9
        self.normalisation = nn.BatchNorm1d(settings.qubits, affine=False) if settings.normalise_q else nn.Identity()
        """Of q before the decision: by the batch in training, by running statistics of training in evaluation."""

    def angles(self, h: Tensor) -> Tensor:
        """u of eq. 9: features (N, d) to angles (N, Q) in radians."""
        return self.compression(h)

    @torch.no_grad()
    def calibrate_angles(self, h: Tensor, spread: float) -> None:
        """Scale W_q and shift b_q so that the angles of these features have mean 0 and this standard deviation.

        With the default initialisation the angles crowd near one value, where ⟨Z⟩ is flat and W_q hardly learns.
        ``spread`` is in radians; ``h`` has shape (N, d), N ≥ 2.
        """
        u = self.compression(h) - self.compression.bias
        # A qubit whose angle does not vary over the batch cannot be scaled to vary.
        scale = spread / u.std(dim=0).clamp_min(1e-6)
        self.compression.weight.mul_(scale[:, None])
        self.compression.bias.copy_(-u.mean(dim=0) * scale)

    def quantum_branch(self, h: Tensor, q: Tensor) -> tuple[float, float]:
        """1 and 1 where the decision is made from q alone."""
        return 1.0, 1.0
