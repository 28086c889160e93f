"""Backbones of torchvision, their first convolution for one channel or three."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import nn
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
from hybridq.models.backbones.registry import Backbone, backbone


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
