"""Convolutional feature extractors f_θ (eq. 2, eq. 8): images to feature vectors."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hybridq.errors import UserError


class Backbone(nn.Module):
    """A stack of blocks and global average pooling: (N, C, H, W) -> (N, ``features``).

    ``blocks`` are in order from image to features, so that "the last n blocks" has a meaning when unfreezing. Where the
    last one leaves vectors, they are the features. ``smallest`` is the least side of an image, in pixels.
    """

    def __init__(self, blocks: nn.Sequential, features: int, smallest: int = 1) -> None:
        super().__init__()
        self.blocks = blocks
        self.features = features
        self.smallest = smallest

    def forward(self, images: Tensor) -> Tensor:
        maps = self.blocks(images.contiguous(memory_format=torch.channels_last))
        return maps if maps.ndim == 2 else maps.mean(dim=(2, 3))


Build = Callable[[bool, int], Backbone]
_BACKBONES: dict[str, Build] = {}


def backbone(name: str) -> Callable[[Build], Build]:
    """Register a function ``(imagenet: bool, channels: int) -> Backbone`` under ``name``."""

    def register(build: Build) -> Build:
        _BACKBONES[name] = build
        return build

    return register


def backbone_names() -> list[str]:
    """Return the names of the registered backbones, in order."""
    return sorted(_BACKBONES)


def build_backbone(name: str, *, imagenet: bool = False, channels: int = 1) -> Backbone:
    """The backbone of that name for images of 1 or 3 ``channels``.

    Its layout is channels-last, on CPUs twice as fast for depthwise convolutions.

    Raises :class:`UserError` for an unknown name or when ImageNet weights cannot be downloaded.
    """
    if name not in _BACKBONES:
        raise UserError(f"model.backbone = {name!r}; known: {', '.join(backbone_names())}")
    return _BACKBONES[name](imagenet, channels).to(memory_format=torch.channels_last)
