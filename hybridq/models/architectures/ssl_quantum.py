"""SSL-Quantum, stage 2 (arXiv:2601.16608, eq. 8-14)."""

from __future__ import annotations

from torch import Tensor, nn

from hybridq import config
from hybridq.models.architectures.fusion import ResidualFusion
from hybridq.models.architectures.hybrid import HybridModel
from hybridq.models.backbones.registry import Backbone, build_backbone
from hybridq.models.registry import model


class SSLQuantum(HybridModel):
    """MobileNetV2 features, linear compression to angles, a quantum layer, residual fusion and a linear head."""

    def __init__(self, backbone: Backbone, circuit: nn.Module, settings: config.Model, classes: int) -> None:
        super().__init__(backbone, circuit, settings)
        self.fusion = ResidualFusion(
            settings.qubits,
            backbone.features,
            settings.alpha,
            train_alpha=settings.train_alpha,
            residual=settings.residual,
        )
        self.head = nn.Sequential(
            nn.BatchNorm1d(backbone.features), nn.Dropout(settings.dropout), nn.Linear(backbone.features, classes)
        )

    def decide(self, h: Tensor, q: Tensor) -> Tensor:
        """Logits of eq. 14 from h (N, d) and q (N, Q): fusion (eq. 13), batch normalisation, dropout, linear."""
        return self.head(self.fused(h, q))

    def fused(self, h: Tensor, q: Tensor) -> Tensor:
        """h̃ = h + α·W_r q (eq. 13), (N, d)."""
        return self.fusion(h, self.normalisation(q))

    def quantum_branch(self, h: Tensor, q: Tensor) -> tuple[float, float]:
        """α and ‖α·W_r(q - q̄)‖ / ‖h - h̄‖ over the samples."""
        return float(self.fusion.alpha.detach()), self.fusion.quantum_share(h, self.normalisation(q))


@model("ssl_quantum")
def _ssl_quantum(settings: config.Model, channels: int, classes: int, circuit: nn.Module) -> SSLQuantum:
    backbone = build_backbone(settings.backbone, imagenet=settings.imagenet, channels=channels)
    return SSLQuantum(backbone, circuit, settings, classes)
