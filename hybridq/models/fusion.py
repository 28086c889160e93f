"""Residual fusion of classical and quantum features (eq. 13)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ResidualFusion(nn.Module):
    """``h̃ = h + α · W_r q`` with a learnable scalar α.

    α starts away from zero and W_r is random: α = 0 would starve the circuit of gradient, W_r = 0 would starve α.
    """

    def __init__(self, qubits: int, features: int, alpha: float = 0.1) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.tensor(float(alpha)))
        self.projection = nn.Linear(qubits, features, bias=False)  # W_r

    def forward(self, h: Tensor, q: Tensor) -> Tensor:
        """``h`` of shape (N, d) and ``q`` of shape (N, Q) to (N, d)."""
        return h + self.alpha * self.projection(q)

    @torch.no_grad()
    def quantum_share(self, h: Tensor, q: Tensor) -> float:
        """‖α·W_r(q - q̄)‖ / ‖h - h̄‖, deviations over the samples.

        The batch normalisation behind the fusion cancels the constant part, and α and W_r are identifiable only as a
        product, so neither α alone nor the size of q says whether the branch is used; this ratio does.
        """
        branch = self.alpha * self.projection(q - q.mean(dim=0))
        deviation = (h - h.mean(dim=0)).norm()
        return float(branch.norm() / deviation) if deviation > 0 else float("inf")
