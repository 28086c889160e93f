"""Hybrids that decide from the circuit alone: convolutions, a quantum layer, a small classical head."""

from __future__ import annotations

from torch import Tensor, nn

from hybridq import config
from hybridq.models.architectures.hybrid import HybridModel
from hybridq.models.backbones.registry import Backbone, build_backbone
from hybridq.models.registry import model


class SequentialHybrid(HybridModel):
    """``features -> compression -> circuit -> head``: whatever the head learns has passed the Q expectation values."""

    def __init__(self, backbone: Backbone, circuit: nn.Module, settings: config.Model, head: nn.Module) -> None:
        super().__init__(backbone, circuit, settings)
        self.head = head

    def decide(self, h: Tensor, q: Tensor) -> Tensor:
        """Expectation values (N, Q) to logits (N, classes); ``h`` has been used up."""
        return self.head(self.normalisation(q))


@model("lean_hybrid")
def _lean_hybrid(settings: config.Model, channels: int, classes: int, circuit: nn.Module) -> SequentialHybrid:
    """The cost-efficient hybrid of Hasan et al. ("A Precise Classification of Medical Images …"), 0.04 M parameters.

    Specified: a compact CNN, PennyLane's ``AngleEmbedding`` (RX) on 4 qubits, ``StronglyEntanglingLayers``, a
    classifier; other properties follow Liu et al. (arXiv:2412.02059), who use four layers. Chosen here: the
    layers of the CNN (``compact_cnn``), a linear compression to the angles, and a linear classifier. The last RZ of the
    last layer are dead under ⟨Z⟩ and are reported so.
    """
    backbone = build_backbone(settings.backbone, imagenet=settings.imagenet, channels=channels)
    return SequentialHybrid(backbone, circuit, settings, nn.Linear(settings.qubits, classes))


@model("hqcnn")
def _hqcnn(settings: config.Model, channels: int, classes: int, circuit: nn.Module) -> SequentialHybrid:
    """HQCNN (arXiv:2509.14277), binary and multi-class.

    Public: a five-layer convolutional backbone, a 4-qubit circuit with state encoding, superposition, entanglement and
    a Fourier-inspired quantum attention, classical layers behind it. Chosen here: the widths of the backbone
    (``five_layer_cnn``), Hadamard gates before an RY encoding, two layers of RZ, RY and a ring of CX, attention as
    learned phases between the quantum Fourier transform and its inverse (the paper names no gates), and a head of one
    hidden layer of 32.
    """
    backbone = build_backbone(settings.backbone, imagenet=settings.imagenet, channels=channels)
    head = nn.Sequential(
        nn.Linear(settings.qubits, 32), nn.ReLU(inplace=True), nn.Dropout(settings.dropout), nn.Linear(32, classes)
    )
    return SequentialHybrid(backbone, circuit, settings, head)
