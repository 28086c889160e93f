"""SSL-Quantum, stage 2 (arXiv:2601.16608, eq. 8-14)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hybridq import config
from hybridq.models.backbones import Backbone, build_backbone
from hybridq.models.fusion import ResidualFusion
from hybridq.models.hybrid import HybridModel
from hybridq.models.registry import model
from hybridq.quantum.layer import QuantumLayer


class SSLQuantum(HybridModel):
    """MobileNetV2 features, linear compression to angles, a quantum layer, residual fusion and a linear head."""

    def __init__(
        self, backbone: Backbone, circuit: QuantumLayer, qubits: int, classes: int, *, alpha: float, dropout: float
    ) -> None:
        super().__init__(backbone, circuit)
        self.compression = nn.Linear(backbone.features, qubits)  # W_q, b_q of eq. 9
        self.fusion = ResidualFusion(qubits, backbone.features, alpha)
        self.head = nn.Sequential(
            nn.BatchNorm1d(backbone.features), nn.Dropout(dropout), nn.Linear(backbone.features, classes)
        )

    def angles(self, h: Tensor) -> Tensor:
        """u of eq. 9: (N, d) to (N, Q), radians."""
        return self.compression(h)

    def decide(self, h: Tensor, q: Tensor) -> Tensor:
        """Logits of eq. 14 from h (N, d) and q (N, Q): fusion (eq. 13), batch normalisation, dropout, linear."""
        return self.head(self.fusion(h, q))

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
        """α and ‖α·W_r(q - q̄)‖ / ‖h - h̄‖ over the samples."""
        return float(self.fusion.alpha.detach()), self.fusion.quantum_share(h, q)


@model("ssl_quantum")
def _ssl_quantum(settings: config.Model, classes: int, circuit: QuantumLayer) -> SSLQuantum:
    backbone = build_backbone(settings.backbone, imagenet=settings.imagenet)
    return SSLQuantum(backbone, circuit, settings.qubits, classes, alpha=settings.alpha, dropout=settings.dropout)
