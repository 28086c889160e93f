"""What part of a MobileNetV2 training step the quantum layer is."""

from __future__ import annotations

import gc

import torch
from torch import Tensor, nn

from benchmarks.quantum.cases import Q4
from benchmarks.quantum.effort import Effort
from benchmarks.quantum.ours import LAYER, layer_step
from benchmarks.quantum.results import Found, Row, Tick
from benchmarks.quantum.timing import Call, Timing, interleaved
from hybridq.models.backbones.registry import build_backbone

SIZES = (64, 224)


def step_name(size: int, *, frozen: bool) -> str:
    return f"MobileNetV2 step, {size} × {size}, backbone {'frozen' if frozen else 'free'}"


def measure(threads: int, effort: Effort, tick: Tick) -> Found:
    """Forward and backward of MobileNetV2 with a linear head, and of the layer, in turns; batch 32."""
    calls: dict[str, Call] = {}
    for size in (32,) if effort.quick else SIZES:
        for frozen in (False, True):
            calls[step_name(size, frozen=frozen)] = _mobilenet_step(size, frozen=frozen)
    calls[LAYER] = layer_step(Q4.program(), Q4.point(), torch.float32)
    # a step at 224 × 224 takes seconds: few repeats of it, many of the others
    seconds = interleaved(
        calls,
        seconds=3 * effort.seconds,
        most=effort.repeats,
        tick=lambda done, total: tick(f"share, {threads} threads", done, total),
    )
    gc.collect()
    return Found(
        [
            Row("share", Q4.name if name == LAYER else "B32", name, threads, Timing.of(spent), "float32")
            for name, spent in seconds.items()
        ]
    )


def _mobilenet_step(size: int, *, frozen: bool) -> Call:
    generator = torch.Generator().manual_seed(0)
    backbone = build_backbone("mobilenet_v2")
    head = nn.Linear(backbone.features, 2)
    backbone.requires_grad_(not frozen).train(not frozen)
    images = torch.rand(Q4.batch, 1, size, size, generator=generator)
    labels = torch.randint(2, (Q4.batch,), generator=generator)
    parameters: list[Tensor] = [p for p in (*backbone.parameters(), *head.parameters()) if p.requires_grad]

    def step() -> None:
        for parameter in parameters:
            parameter.grad = None
        torch.autograd.backward(nn.functional.cross_entropy(head(backbone(images)), labels))

    return step
