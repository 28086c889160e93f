"""What every registered model and backbone promises; one that is added is tested here by itself."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hybridq.config import parse_experiment
from hybridq.errors import UserError
from hybridq.models import Classifier
from hybridq.models.backbones.registry import backbone_names, build_backbone
from hybridq.models.build import circuit_spec, new_model
from hybridq.models.registry import model_names
from hybridq.quantum.circuits import dead_weights

QUICK = [name for name in backbone_names() if name != "vgg16"]


def model(name: str, *overrides: str, classes: int = 2) -> Classifier:
    settings = [f"model.name={name}", *overrides]
    return new_model(parse_experiment("name: a\ndata: {source: synthetic}", settings), classes)


@pytest.mark.filterwarnings("ignore:circuit. no observable depends")
@pytest.mark.parametrize("name", model_names())
@pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 6)])
def test_a_model_learns_in_every_part_from_step_one(name, channels, classes):
    hybrid = model(name, f"data.channels={channels}", classes=classes).train()
    images = torch.rand(16, channels, 32, 32)
    hybrid.calibrate_angles(hybrid.features(images).detach(), 0.75)
    logits = hybrid(images)
    assert logits.shape == (16, classes)
    nn.functional.cross_entropy(logits, torch.arange(16) % classes).backward()
    for part in hybrid.part_sizes():
        parameters = getattr(hybrid, part).parameters()
        assert any(p.grad is not None and p.grad.abs().max() > 0 for p in parameters), part


@pytest.mark.filterwarnings("ignore:circuit. no observable depends")
@pytest.mark.parametrize("name", model_names())
def test_a_model_decides_from_its_features_and_expectation_values(name):
    hybrid = model(name, classes=3).eval()
    images = torch.rand(4, 1, 32, 32)
    with torch.no_grad():
        h = hybrid.features(images)
        assert hybrid.angles(h).shape == (4, 0 if name == "baseline" else 4)
        torch.testing.assert_close(hybrid.decide(h, hybrid.circuit(hybrid.angles(h))), hybrid(images))


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize(("channels", "side"), [(1, 28), (3, 64)])
def test_a_backbone_takes_grey_and_colour_images_of_any_size(name, channels, side):
    network = build_backbone(name, channels=channels).eval()
    assert network(torch.rand(2, channels, side, side)).shape == (2, network.features)


@pytest.mark.parametrize("name", QUICK)
def test_the_number_of_parameters_depends_on_the_channels_of_the_first_convolution_alone(name):
    grey, colour = (build_backbone(name, channels=channels) for channels in (1, 3))
    first = next(m for m in grey.modules() if isinstance(m, nn.Conv2d))
    more = 2 * first.weight.numel()
    assert sum(p.numel() for p in colour.parameters()) - sum(p.numel() for p in grey.parameters()) == more


@pytest.mark.filterwarnings("ignore:circuit. no observable depends")
def test_the_lean_hybrid_has_the_published_number_of_parameters():
    assert 0.035e6 < sum(model("lean_hybrid", classes=6).part_sizes().values()) <= 0.045e6


def test_the_lean_hybrid_is_strongly_entangling_with_dead_last_rz():
    experiment = parse_experiment("name: a\ndata: {source: synthetic}\nmodel: {name: lean_hybrid, layers: 2}")
    spec = circuit_spec(experiment.model)
    assert (spec.encoding, spec.rotations, spec.entanglement) == ("rx", ("rz", "ry", "rz"), "ranged")
    assert dead_weights(spec.build()) == ["w[20]", "w[21]", "w[22]", "w[23]"]


def test_hqcnn_has_superposition_attention_and_no_dead_weights():
    experiment = parse_experiment("name: a\ndata: {source: synthetic}\nmodel: {name: hqcnn}")
    spec = circuit_spec(experiment.model)
    assert (spec.superposition, spec.attention) == (True, "fourier")
    assert dead_weights(spec.build()) == []


def test_images_too_small_for_a_backbone_are_refused_in_one_sentence():
    with pytest.raises(UserError, match=r"^data.size = 28; vgg16 takes images from 32 pixels$"):
        model("ssl_quantum", "model.backbone=vgg16", "data.size=28")


def test_a_backbone_without_imagenet_weights_says_so():
    with pytest.raises(UserError, match=r"^model.imagenet = true: there are no ImageNet weights of compact_cnn"):
        build_backbone("compact_cnn", imagenet=True)


def test_a_fixed_alpha_of_zero_leaves_the_classical_half():
    hybrid = model("ssl_quantum", "model.alpha=0", "model.train_alpha=false").train()
    h, q = torch.rand(8, 1280), torch.rand(8, 4)
    torch.testing.assert_close(hybrid.fusion(h, q), h)
    nn.functional.cross_entropy(hybrid(torch.rand(8, 1, 32, 32)), torch.arange(8) % 2).backward()
    assert hybrid.fusion.alpha.grad is None
    assert float(hybrid.fusion.alpha) == 0


def test_without_the_residual_the_circuit_alone_decides():
    hybrid = model("ssl_quantum", "model.residual=false").eval()
    q = torch.rand(8, 4)
    torch.testing.assert_close(hybrid.decide(torch.rand(8, 1280), q), hybrid.decide(torch.rand(8, 1280), q))
    assert hybrid.quantum_branch(torch.rand(8, 1280), q)[1] == 1


@pytest.mark.parametrize("branch", ["circuit", "mlp", "linear", "fourier"])
def test_a_frozen_branch_keeps_its_random_weights(branch):
    hybrid = model("ssl_quantum", f"model.branch={branch}", "model.train_circuit=false").train()
    nn.functional.cross_entropy(hybrid(torch.rand(8, 1, 32, 32)), torch.arange(8) % 2).backward()
    assert all(parameter.grad is None for parameter in hybrid.circuit.parameters())
    assert hybrid.compression.weight.grad.abs().max() > 0
