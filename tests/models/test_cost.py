"""Multiply-adds are those that a reader counts from the layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hybridq.config import parse_experiment
from hybridq.models import Classifier
from hybridq.models.backbones.registry import build_backbone
from hybridq.models.build import new_model
from hybridq.models.cost import multiply_adds


def counted(module: nn.Module, channels: int, size: int) -> int:
    """From the sizes of every convolution's and linear layer's output."""
    total = 0

    def count(layer: nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal total
        if isinstance(layer, nn.Conv2d):
            total += output.numel() * layer.in_channels // layer.groups * layer.kernel_size[0] * layer.kernel_size[1]
        elif isinstance(layer, nn.Linear):
            total += output.numel() * layer.in_features

    for layer in module.modules():
        layer.register_forward_hook(count)
    module.eval()(torch.zeros(1, channels, size, size))
    return total


def model(*overrides: str) -> Classifier:
    return new_model(parse_experiment("name: a\ndata: {source: synthetic, size: 32}", list(overrides)), 2)


@pytest.mark.parametrize("backbone", ["simple_cnn", "mobilenet_v2"])
def test_a_baseline_costs_its_convolutions_and_its_head(backbone: str) -> None:
    found = multiply_adds(model("model.name=baseline", f"model.backbone={backbone}"), 1, 32)
    part = build_backbone(backbone, imagenet=False, channels=1)
    assert found == counted(part, 1, 32) + part.features * 2


def test_the_circuit_costs_nothing_and_what_replaces_it_does() -> None:
    hybrid, linear = (model("model.backbone=simple_cnn", f"model.branch={kind}") for kind in ("circuit", "linear"))
    qubits = linear.circuit.in_features
    assert multiply_adds(linear, 1, 32) - multiply_adds(hybrid, 1, 32) == qubits * qubits


def test_counting_leaves_the_model_as_it_was() -> None:
    hybrid = model("model.backbone=simple_cnn").train()
    before = {name: value.clone() for name, value in hybrid.state_dict().items()}
    multiply_adds(hybrid, 1, 32)
    assert hybrid.training
    assert all(torch.equal(value, before[name]) for name, value in hybrid.state_dict().items())
