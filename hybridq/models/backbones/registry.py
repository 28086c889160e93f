"""Convolutional feature extractors f_θ (eq. 2, eq. 8): images to feature vectors."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import (
    EfficientNet_B0_Weights,
    MobileNet_V2_Weights,
    ResNet18_Weights,
    VGG16_Weights,
    WeightsEnum,
    efficientnet_b0,
    mobilenet_v2,
    resnet18,
    vgg16,
)
from torchvision.models.mobilenetv2 import InvertedResidual

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
    return sorted(_BACKBONES)


def build_backbone(name: str, *, imagenet: bool = False, channels: int = 1) -> Backbone:
    """The backbone of that name for images of 1 or 3 ``channels``.

    Its layout is channels-last, on CPUs twice as fast for depthwise convolutions.

    Raises :class:`UserError` for an unknown name or when ImageNet weights cannot be downloaded.
    """
    if name not in _BACKBONES:
        raise UserError(f"model.backbone = {name!r}; known: {', '.join(backbone_names())}")
    return _BACKBONES[name](imagenet, channels).to(memory_format=torch.channels_last)


@backbone("mobilenet_v2")
def _mobilenet_v2(imagenet: bool, channels: int) -> Backbone:
    """MobileNetV2 (doi:10.1109/CVPR.2018.00474), d = 1280, its first convolution for one channel or three.

    Without ImageNet weights, residual branches start at zero (arXiv:1706.02677, section 5.1): with 52 normalised layers
    at random, two views of an image are as far apart as two images, and contrastive learning takes long to begin.
    """
    network = _torchvision(mobilenet_v2, MobileNet_V2_Weights.IMAGENET1K_V2 if imagenet else None)
    network.features[0][0] = _first(network.features[0][0], channels)
    if not imagenet:
        for block in network.features:
            if isinstance(block, InvertedResidual) and block.use_res_connect:
                nn.init.zeros_(block.conv[-1].weight)
    return Backbone(network.features, network.last_channel)


@backbone("resnet18")
def _resnet18(imagenet: bool, channels: int) -> Backbone:
    """ResNet-18 (doi:10.1109/CVPR.2016.90), d = 512."""
    network = _torchvision(resnet18, ResNet18_Weights.IMAGENET1K_V1 if imagenet else None)
    network.conv1 = _first(network.conv1, channels)
    stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
    return Backbone(nn.Sequential(stem, network.layer1, network.layer2, network.layer3, network.layer4), 512)


@backbone("efficientnet_b0")
def _efficientnet_b0(imagenet: bool, channels: int) -> Backbone:
    """EfficientNet-B0 (arXiv:1905.11946), d = 1280."""
    network = _torchvision(efficientnet_b0, EfficientNet_B0_Weights.IMAGENET1K_V1 if imagenet else None)
    network.features[0][0] = _first(network.features[0][0], channels)
    return Backbone(network.features, 1280)


@backbone("vgg16")
def _vgg16(imagenet: bool, channels: int) -> Backbone:
    """VGG-16 (arXiv:1409.1556), d = 4096.

    Its fully connected layers expect maps of 7 x 7; smaller ones are repeated to that size by its own average pooling,
    larger ones averaged.
    """
    network = _torchvision(vgg16, VGG16_Weights.IMAGENET1K_V1 if imagenet else None)
    network.features[0] = _first(network.features[0], channels)
    ends = [i + 1 for i, layer in enumerate(network.features) if isinstance(layer, nn.MaxPool2d)]
    blocks = [network.features[start:end] for start, end in pairwise([0, *ends])]
    dense = nn.Sequential(network.avgpool, nn.Flatten(), *network.classifier[:-1])
    return Backbone(nn.Sequential(*blocks, dense), 4096, smallest=32)


def _torchvision(build: Callable[..., nn.Module], weights: WeightsEnum | None) -> Any:
    """One of torchvision's networks; raises :class:`UserError` where its weights cannot be downloaded."""
    try:
        return build(weights=weights)
    except OSError as error:  # URLError is one
        raise UserError(
            f"model.imagenet = true: torchvision could not download {weights.url if weights else ''} ({error}); place "
            f"the file in {torch.hub.get_dir()}/checkpoints or set model.imagenet=false"
        ) from None


def _first(convolution: nn.Conv2d, channels: int) -> nn.Conv2d:
    """A first convolution for one channel that responds as the original does to three equal ones."""
    if channels == convolution.in_channels:
        return convolution
    grey = nn.Conv2d(
        1,
        convolution.out_channels,
        convolution.kernel_size,  # type: ignore[arg-type]
        convolution.stride,  # type: ignore[arg-type]
        convolution.padding,  # type: ignore[arg-type]
        bias=convolution.bias is not None,
    )
    with torch.no_grad():
        grey.weight.copy_(convolution.weight.sum(dim=1, keepdim=True))
        if grey.bias is not None and convolution.bias is not None:
            grey.bias.copy_(convolution.bias)
    return grey
