"""How long a training step of MobileNetV2 waits for its images."""

from __future__ import annotations

import time

import torch

from hybridq.config import Augmentation, Pretrain
from hybridq.data.images.images import Images
from hybridq.models.backbones.registry import build_backbone
from hybridq.training.batches import Batches
from hybridq.training.simclr import SimCLR


def shares_of_waiting(images: Images, batch: int, family: Augmentation, threads: int, steps: int) -> list[float]:
    """Of SimCLR steps (two views, forward, backward, optimizer), the share of time until both views are there."""
    torch.set_num_threads(threads)
    settings = Pretrain(batch_size=batch, augmentation=family)
    batches = Batches(images, batch, family, seed=0, stage="benchmark")
    module = SimCLR(build_backbone("mobilenet_v2"), settings, batches, 0.5, 0.25)
    optimizer = torch.optim.AdamW(module.parameters())
    shares = []
    for step in range(steps + 1):
        begun = time.perf_counter()
        views = torch.cat([batches.view(0, step % len(batches), number) for number in (0, 1)])
        waited = time.perf_counter() - begun
        first, second = module.embed(views).chunk(2)
        optimizer.zero_grad()
        module._loss(first, second).backward()
        optimizer.step()
        shares.append(waited / (time.perf_counter() - begun))
    return shares[1:]  # the first step plans its convolutions
