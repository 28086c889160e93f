"""What one image costs a model."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from hybridq.models.classifier import Classifier
from hybridq.quantum.layer import QuantumLayer


def multiply_adds(model: Classifier, channels: int, size: int) -> int:
    """Multiply-adds of convolutions and matrix products for one image of ``size`` × ``size`` pixels.

    A quantum circuit has none: what its simulation costs says nothing about the model. What a control has in its place
    is counted. Activations, normalisation and pooling are not, as in the tables of most papers.
    """
    was_training = model.training
    model.eval()
    counter = FlopCounterMode(display=False)
    device = next(model.parameters()).device
    with torch.no_grad(), counter:
        h = model.features(torch.zeros(1, channels, size, size, device=device))
        u = model.angles(h)
        model.decide(h, torch.zeros_like(u) if isinstance(model.circuit, QuantumLayer) else model.circuit(u))
    model.train(was_training)
    return int(counter.get_total_flops()) // 2
