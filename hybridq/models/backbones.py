"""Convolutional feature extractors f_θ (eq. 2, eq. 8): greyscale images to feature vectors."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torchvision.models import MobileNet_V2_Weights, mobilenet_v2
from torchvision.models.mobilenetv2 import InvertedResidual

from hybridq.errors import UserError


class Backbone(nn.Module):
    """A stack of blocks and global average pooling: (N, 1, H, W) -> (N, ``features``).

    ``blocks`` are in order from image to features, so that "the last n blocks" has a meaning when unfreezing.
    """

    def __init__(self, blocks: nn.Sequential, features: int) -> None:
        super().__init__()
        self.blocks = blocks
        self.features = features

    def forward(self, images: Tensor) -> Tensor:
        maps = self.blocks(images.contiguous(memory_format=torch.channels_last))
        return maps.mean(dim=(2, 3))


_BACKBONES: dict[str, Callable[[bool], Backbone]] = {}


def backbone(name: str) -> Callable[[Callable[[bool], Backbone]], Callable[[bool], Backbone]]:
    """Register a function ``(imagenet: bool) -> Backbone`` under ``name``."""

    def register(build: Callable[[bool], Backbone]) -> Callable[[bool], Backbone]:
        _BACKBONES[name] = build
        return build

    return register


def build_backbone(name: str, *, imagenet: bool = False) -> Backbone:
    """The backbone of that name in channels-last layout (on CPUs twice as fast for depthwise convolutions).

    Raises :class:`UserError` for an unknown name or when ImageNet weights cannot be downloaded.
    """
    if name not in _BACKBONES:
        raise UserError(f"model.backbone = {name!r}; known: {', '.join(sorted(_BACKBONES))}")
    return _BACKBONES[name](imagenet).to(memory_format=torch.channels_last)


@backbone("mobilenet_v2")
def _mobilenet_v2(imagenet: bool) -> Backbone:
    """MobileNetV2 (doi:10.1109/CVPR.2018.00474), d = 1280, first convolution for one channel.

    Without ImageNet weights, residual branches start at zero (arXiv:1706.02677, section 5.1): with 52 normalised layers
    at random, two views of an image are as far apart as two images, and contrastive learning takes long to begin.
    """
    weights = MobileNet_V2_Weights.IMAGENET1K_V2 if imagenet else None
    try:
        network = mobilenet_v2(weights=weights)
    except OSError as error:  # URLError is one
        raise UserError(
            f"model.imagenet = true: torchvision could not download {weights.url if weights else ''} ({error}); place "
            f"the file in {torch.hub.get_dir()}/checkpoints or set model.imagenet=false"
        ) from None
    first = network.features[0][0]
    grey = nn.Conv2d(1, first.out_channels, first.kernel_size, first.stride, first.padding, bias=False)
    with torch.no_grad():
        grey.weight.copy_(first.weight.sum(dim=1, keepdim=True))  # three equal channels give the same response
    network.features[0][0] = grey
    if weights is None:
        for block in network.features:
            if isinstance(block, InvertedResidual) and block.use_res_connect:
                nn.init.zeros_(block.conv[-1].weight)
    return Backbone(network.features, network.last_channel)
