"""The small convolutional backbones of the three papers: trained from scratch, on images of any size from 16 pixels."""

from __future__ import annotations

from torch import nn

from hybridq.errors import UserError
from hybridq.models.backbones.registry import Backbone, backbone


def _block(inside: int, outside: int, *, pool: bool) -> nn.Sequential:
    """3 x 3 convolution, batch normalisation, ReLU and, with ``pool``, 2 x 2 maximum pooling."""
    layers = [nn.Conv2d(inside, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, *([nn.MaxPool2d(2)] if pool else []))


def _from_scratch(name: str, imagenet: bool) -> None:
    if imagenet:
        raise UserError(f"model.imagenet = true: there are no ImageNet weights of {name}; set model.imagenet=false")


@backbone("simple_cnn")
def _simple_cnn(imagenet: bool, channels: int) -> Backbone:
    """Three convolutions, d = 128: the weak baseline of arXiv:2601.16608, which names it and gives no widths."""
    _from_scratch("simple_cnn", imagenet)
    widths = [(channels, 32), (32, 64), (64, 128)]
    return Backbone(nn.Sequential(*(_block(*width, pool=True) for width in widths)), 128)


@backbone("compact_cnn")
def _compact_cnn(imagenet: bool, channels: int) -> Backbone:
    """The classical part of the cost-efficient hybrid (Hasan et al.), d = 64, about 0.039 million parameters.

    The paper gives the number of parameters of the whole model (0.04 million), not the layers. Chosen here: 8, 16 and
    32 channels, each with 2 x 2 pooling, averaged to 4 x 4, and a dense layer.
    """
    _from_scratch("compact_cnn", imagenet)
    convolutions = [_block(*width, pool=True) for width in [(channels, 8), (8, 16), (16, 32)]]
    dense = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(32 * 4 * 4, 64), nn.ReLU(inplace=True))
    return Backbone(nn.Sequential(*convolutions, dense), 64)


@backbone("conventional_cnn")
def _conventional_cnn(imagenet: bool, channels: int) -> Backbone:
    """The CNN beside the cost-efficient hybrid (Hasan et al., Table I), d = 64, about 0.53 million parameters.

    The paper gives that number, not the layers. Chosen here: 16 and 32 channels, each with 2 x 2 pooling, maps of
    16 x 16 (what 64 x 64 images leave; others are averaged to it), and a dense layer that holds nearly all parameters.
    """
    _from_scratch("conventional_cnn", imagenet)
    convolutions = [
        nn.Sequential(nn.Conv2d(*width, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2))
        for width in [(channels, 16), (16, 32)]
    ]
    dense = nn.Sequential(nn.AdaptiveAvgPool2d(16), nn.Flatten(), nn.Linear(32 * 16 * 16, 64), nn.ReLU(inplace=True))
    return Backbone(nn.Sequential(*convolutions, dense), 64)


@backbone("five_layer_cnn")
def _five_layer_cnn(imagenet: bool, channels: int) -> Backbone:
    """The five-layer convolutional backbone of HQCNN (arXiv:2509.14277), d = 64.

    Public are the number of layers and that there are few parameters. Chosen here: 16, 32, 32, 64 and 64 channels,
    2 x 2 pooling after the first, second and fourth layer, and global average pooling.
    """
    _from_scratch("five_layer_cnn", imagenet)
    layers = [(channels, 16, True), (16, 32, True), (32, 32, False), (32, 64, True), (64, 64, False)]
    return Backbone(nn.Sequential(*(_block(inside, outside, pool=pool) for inside, outside, pool in layers)), 64)
