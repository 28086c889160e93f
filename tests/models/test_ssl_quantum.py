"""SSL-Quantum follows its equations, and everything in it learns from the first step."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backends import open_backend
from hybridq.config import Experiment, parse_experiment
from hybridq.errors import UserError
from hybridq.models import Classifier
from hybridq.models.architectures.fusion import ResidualFusion
from hybridq.models.backbones.registry import build_backbone
from hybridq.models.build import circuit_spec, new_model


def experiment(*overrides: str) -> Experiment:
    return parse_experiment("name: a\ndata: {source: synthetic}", overrides)


def model(*overrides: str, classes: int = 2) -> Classifier:
    torch.manual_seed(0)
    return new_model(experiment(*overrides), classes)


def test_the_default_model_has_between_2_2_and_2_3_million_parameters() -> None:
    sizes = model().part_sizes()
    assert 2_200_000 < sum(sizes.values()) < 2_300_000
    assert sizes["compression"] == 1280 * 4 + 4
    assert sizes["fusion"] == 4 * 1280 + 1
    assert sizes["circuit"] == 16


@pytest.mark.parametrize(("side", "classes"), [(28, 2), (64, 3), (97, 2)])
def test_greyscale_images_of_any_size_become_logits(side: int, classes: int) -> None:
    assert model(classes=classes).eval()(torch.rand(3, 1, side, side)).shape == (3, classes)


@pytest.mark.parametrize(("layers", "entanglement"), [(1, "full"), (2, "ring"), (3, "linear")])
def test_the_first_step_sends_gradient_to_fusion_compression_and_every_circuit_weight(
    layers: int, entanglement: str
) -> None:
    hybrid = model(f"model.layers={layers}", f"model.entanglement={entanglement}").train()
    images = torch.rand(16, 1, 32, 32)
    hybrid.calibrate_angles(hybrid.features(images).detach(), 0.75)
    torch.nn.functional.cross_entropy(hybrid(images), torch.arange(16) % 2).backward()
    gradients = {name: p.grad for name, p in hybrid.named_parameters() if not name.startswith("backbone.")}
    assert set(gradients) >= {"fusion.alpha", "fusion.projection.weight", "compression.weight", "compression.bias"}
    for name, gradient in gradients.items():
        assert gradient is not None, name
        assert gradient.abs().min() > 0 or name not in ("circuit.weight", "fusion.alpha", "compression.bias"), name
        assert gradient.abs().max() > 0, name


def test_calibrated_angles_spread_by_the_configured_radians() -> None:
    hybrid = model().train()
    h = hybrid.features(torch.rand(64, 1, 32, 32)).detach()
    hybrid.calibrate_angles(h, 0.75)
    angles = hybrid.angles(h)
    assert torch.allclose(angles.std(dim=0), torch.full((4,), 0.75), atol=1e-3)
    assert torch.allclose(angles.mean(dim=0), torch.zeros(4), atol=1e-3)


def test_cutting_the_model_where_the_hardware_sits_changes_nothing() -> None:
    hybrid = model().eval()
    images = torch.rand(5, 1, 32, 32)
    with torch.no_grad():
        whole = hybrid(images)
        h = hybrid.features(images)
        backend = open_backend("aer")
        compiled = backend.compile(circuit_spec(experiment().model).build())
        q = backend.run(compiled, hybrid.angles(h).double().numpy(), hybrid.circuit.weight.double().numpy()).values
        cut = hybrid.decide(h, torch.as_tensor(q, dtype=h.dtype))
    assert torch.allclose(whole, cut, atol=1e-5)


def test_fusion_is_equation_13() -> None:
    fusion = ResidualFusion(2, 3, alpha=0.5)
    h, q = torch.randn(4, 3), torch.randn(4, 2)
    expected = np.stack(
        [h[i].numpy() + 0.5 * fusion.projection.weight.detach().numpy() @ q[i].numpy() for i in range(4)]
    )
    assert np.allclose(fusion(h, q).detach().numpy(), expected, atol=1e-6)


def test_the_quantum_share_ignores_constants_and_counts_deviations() -> None:
    fusion = ResidualFusion(2, 3, alpha=0.5)
    h, q = torch.randn(50, 3), torch.randn(50, 2)
    share = fusion.quantum_share(h, q)
    assert share > 0
    assert fusion.quantum_share(h + 5, q - 3) == pytest.approx(share, rel=1e-4)
    assert fusion.quantum_share(h, 2 * q) == pytest.approx(2 * share, rel=1e-4)
    assert fusion.quantum_share(h, q.mean(dim=0).expand_as(q)) == pytest.approx(0, abs=1e-6)


def test_three_equal_channels_and_one_give_the_same_response() -> None:
    torch.manual_seed(0)
    from torchvision.models import mobilenet_v2

    torch.manual_seed(0)
    colour = mobilenet_v2().features[0][0]
    torch.manual_seed(0)
    grey = build_backbone("mobilenet_v2").blocks[0][0]
    image = torch.rand(1, 1, 16, 16)
    assert torch.allclose(colour(image.expand(1, 3, 16, 16)), grey(image), atol=1e-5)


def test_colour_images_have_a_first_convolution_of_their_own() -> None:
    assert build_backbone("mobilenet_v2", channels=3)(torch.rand(2, 3, 32, 32)).shape == (2, 1280)


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"model\.name = 'resnet'; known: baseline, hqcnn, lean_hybrid, ssl_quantum"):
        model("model.name=resnet")
    with pytest.raises(UserError, match=r"model\.backbone = 'vgg'; known: .*mobilenet_v2"):
        model("model.backbone=vgg")


def test_missing_imagenet_weights_are_explained(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens on the discard port
    with pytest.raises(UserError, match=r"could not download .*mobilenet_v2.* set model\.imagenet=false"):
        build_backbone("mobilenet_v2", imagenet=True)
