"""Stage 1: SimCLR (arXiv:2002.05709) with the medical augmentation family (arXiv:2601.16608, eq. 4-7)."""

from __future__ import annotations

import math
from typing import Any

import torch
from lightly.loss import NTXentLoss
from lightly.models.modules import SimCLRProjectionHead
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from hybridq.config import Pretrain
from hybridq.models.backbones.registry import Backbone
from hybridq.training.batches import Batches
from hybridq.training.callbacks import refuse_infinite
from hybridq.training.schedules import warm_cosine


def embedding_spread(z: Tensor) -> float:
    """How far unit embeddings (N, D) fill the sphere: √D times the mean standard deviation of a coordinate.

    1 when even over the sphere, 0 when all are equal (collapse).
    """
    return float(z.std(dim=0).mean() * math.sqrt(z.shape[1]))


class SimCLR(LightningModule):
    """Encoder f_θ and projection head g_φ under the NT-Xent loss; circuit and classification head take no part."""

    def __init__(self, backbone: Backbone, settings: Pretrain, batches: Batches, mean: float, std: float) -> None:
        super().__init__()
        self.backbone = backbone
        self.projection = SimCLRProjectionHead(
            backbone.features, backbone.features // 2, settings.projection_dim, num_layers=2
        )
        self._loss = NTXentLoss(temperature=settings.temperature)
        self._settings = settings
        self._batches = batches
        self._mean, self._std = mean, std

    def embed(self, images: Tensor) -> Tensor:
        """z of eq. 6: (N, C, H, W) in [0, 1] to unit vectors (N, D)."""
        h = self.backbone((images - self._mean) / self._std)
        return nn.functional.normalize(self.projection(h), dim=1)

    def train_dataloader(self) -> range:
        return range(len(self._batches))

    def training_step(self, batch: int, step: int) -> Tensor:
        epoch = self.current_epoch
        self._batches.seed_step(epoch, step)
        views = torch.cat([self._batches.view(epoch, step, number, device=self.device) for number in (0, 1)])
        first, second = self.embed(views).chunk(2)
        loss: Tensor = self._loss(first, second)
        refuse_infinite(loss, self, "pretrain", step, "pretrain.learning_rate")
        size = len(first)
        self.log("loss", loss, on_step=False, on_epoch=True, batch_size=size)
        spread = embedding_spread(first.detach())
        self.log("embedding_spread", spread, on_step=False, on_epoch=True, batch_size=size)
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=self._settings.learning_rate, weight_decay=self._settings.weight_decay
        )
        return warm_cosine(optimizer, self._settings.epochs * len(self._batches))
