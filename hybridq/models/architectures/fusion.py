"""Residual fusion of classical and quantum features (eq. 13)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ResidualFusion(nn.Module):
    """``h̃ = h + α · W_r q`` with a learnable scalar α.

    α starts away from zero and W_r is random: α = 0 would starve the circuit of gradient, W_r = 0 would starve α.

    Controls: ``train_alpha=False`` keeps α as it is given (at 0 the model is its classical half), ``residual=False``
    leaves h out (``h̃ = α · W_r q``).
    """

    def __init__(
        self, qubits: int, features: int, alpha: float = 0.1, *, train_alpha: bool = True, residual: bool = True
    ) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.tensor(float(alpha)), requires_grad=train_alpha)
        self.projection = nn.Linear(qubits, features, bias=False)  # W_r
        self._residual = residual

    def forward(self, h: Tensor, q: Tensor) -> Tensor:
        """``h`` of shape (N, d) and ``q`` of shape (N, Q) to (N, d)."""
        branch = self.alpha * self.projection(q)
        return h + branch if self._residual else branch

    @torch.no_grad()
    def quantum_share(self, h: Tensor, q: Tensor) -> float:
        """‖α·W_r(q - q̄)‖ / ‖h - h̄‖, deviations over the samples.

        The batch normalisation behind the fusion cancels the constant part, and α and W_r are identifiable only as a
        product, so neither α alone nor the size of q says whether the branch is used; this ratio does. 1 without h.
        """
        if not self._residual:
            return 1.0
        branch = self.alpha * self.projection(q - q.mean(dim=0))
        deviation = (h - h.mean(dim=0)).norm()
        return float(branch.norm() / deviation) if deviation > 0 else float("inf")
