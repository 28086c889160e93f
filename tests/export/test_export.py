"""Exported files against predict and evaluate."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import shapes  # noqa: F401  registers a source of images with several labels
import torch
from PIL import Image
from tiny import planned, quietly

from hybridq.data.images.transforms import to_float
from hybridq.errors import UserError
from hybridq.evaluation.evaluate import evaluate
from hybridq.evaluation.predict import predict_files
from hybridq.export import export as module
from hybridq.export import formats
from hybridq.export.export import Exported, Targets, export
from hybridq.models.backbones.registry import backbone_names
from hybridq.quantum.surrogate import load_surrogate, save_surrogate
from hybridq.results.selection import choose
from hybridq.run_folder import open_run


def write(folder: Path, backend: str = "aer", **targets: str) -> Exported:
    """Export into the folder around the run's."""
    paths = {name: folder.parent / file for name, file in targets.items()}
    return export(open_run(folder), Targets(**paths), backend=backend, progress=quietly)


def evaluated(folder: Path, backend: str) -> tuple[torch.Tensor, dict[str, np.ndarray], np.ndarray]:
    """The test images, and the expectation values and probabilities of an evaluation of them."""
    run = open_run(folder)
    saved = evaluate(planned(run, backend), progress=quietly)
    images = to_float(choose(run).images(quietly)[:])
    table = pd.read_csv(saved / "predictions.csv")
    return images, dict(np.load(saved / "expectations.npz")), table.filter(regex=r"^p_\d+$").to_numpy()


def onnx_probabilities(path: Path, images: torch.Tensor) -> np.ndarray:
    session = onnxruntime.InferenceSession(path)
    return np.asarray(session.run(["probabilities"], {"images": images.numpy()})[0])


@pytest.fixture(scope="module")
def written(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Exported]:
    """A run, with all its files on fake_manila written beside it."""
    folder = shutil.copytree(small_run, tmp_path_factory.mktemp("written") / "small")
    targets = {"surrogate": "q.pt2", "onnx": "model.onnx", "torch_export": "model.pt2"}
    return folder, write(folder, "fake_manila", **targets)


def test_files_give_what_an_evaluation_gives_on_the_same_backend(written: tuple[Path, Exported]) -> None:
    run, exported = written
    images, expectations, probabilities = evaluated(run, "fake_manila")
    angles = torch.from_numpy(expectations["angles"])
    values = torch.export.load(run.parent / "q.pt2").module()(angles)
    np.testing.assert_allclose(values, expectations["values"], rtol=0, atol=1e-6)
    graph = torch.export.load(run.parent / "model.pt2").module()
    for found in (graph(images), graph(images[:1]), onnx_probabilities(run.parent / "model.onnx", images)):
        np.testing.assert_allclose(found, probabilities[: len(found)], rtol=0, atol=1e-5)
    assert [file.path.name for file in exported.files] == ["q.pt2", "model.pt2", "model.onnx"]
    assert all(file.difference < 1e-5 and not file.changed for file in exported.files)


def test_a_file_says_what_predict_says_of_pictures(run_folder: Path, tmp_path: Path) -> None:
    write(run_folder, onnx="model.onnx")
    run = open_run(run_folder)
    pixels = choose(run).images(quietly)[:4]
    pictures = [tmp_path / f"{number}.png" for number in range(len(pixels))]
    for path, image in zip(pictures, pixels, strict=True):
        Image.fromarray(image[0]).save(path)
    predicted = predict_files(run, pictures)[list(run.classes)].to_numpy()
    found = onnx_probabilities(run_folder.parent / "model.onnx", to_float(pixels))
    np.testing.assert_allclose(found, predicted, rtol=0, atol=1e-5)


def test_nothing_in_a_pt2_file_is_pickled(written: tuple[Path, Exported]) -> None:
    for name in ("q.pt2", "model.pt2"):
        with zipfile.ZipFile(written[0].parent / name) as archive:
            for record in archive.infolist():
                content = archive.read(record)
                # A pickle of protocol 2 and later starts with 80 and its version; torch.save wraps it in a ZIP file.
                assert not content.startswith((b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")), record
                assert not record.filename.endswith(".pkl")


def test_a_file_says_what_it_is(written: tuple[Path, Exported]) -> None:
    run = written[0]
    inside: dict[str, str] = {"hybridq.json": ""}
    torch.export.load(run.parent / "model.pt2", extra_files=inside)
    model = onnx.load(run.parent / "model.onnx")
    said = json.loads({entry.key: entry.value for entry in model.metadata_props}["hybridq"])
    assert said == json.loads(inside["hybridq.json"])
    assert said["backend"] == "fake_manila"
    assert said["images"] == {"channels": 1, "size": 32, "range": [0, 1], "type": "float32"}
    assert said["classes"] == list(open_run(run).classes)


def test_the_noise_is_in_the_file(run_folder: Path) -> None:
    write(run_folder, "aer", surrogate="ideal.safetensors")
    write(run_folder, "noise:readout=0.1", surrogate="noisy.safetensors")
    ideal, noisy = (load_surrogate(run_folder.parent / f"{name}.safetensors") for name in ("ideal", "noisy"))
    angles = torch.rand(10, ideal.qubits, dtype=torch.float64)
    assert float((ideal(angles) - noisy(angles)).abs().max()) > 1e-3


def test_files_run_where_qiskit_cannot_be_imported_and_pt2_files_not_even_hybridq(
    written: tuple[Path, Exported],
) -> None:
    folder, exported = written[0].parent, written[1]
    assert exported.layer is not None
    save_surrogate(exported.layer.surrogate, folder / "q.safetensors", {})
    program = (
        "import sys; from pathlib import Path\n"
        "sys.modules['qiskit'] = sys.modules['qiskit_aer'] = None\n"
        "from hybridq.quantum.surrogate import load_surrogate\n"
        "layer = load_surrogate(Path('q.safetensors'))\n"
        "for name in [name for name in sys.modules if name.split('.')[0] in ('hybridq', 'backends')]:\n"
        "    sys.modules[name] = None\n"
        "import torch\n"
        "angles = torch.rand(5, 4, dtype=torch.float64)\n"
        "print(float((torch.export.load('q.pt2').module()(angles) - layer(angles)).abs().max()))\n"
        "print(tuple(torch.export.load('model.pt2').module()(torch.rand(3, 1, 32, 32)).shape))"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=folder
    ).stdout
    assert said.split("\n")[:2] == ["0.0", "(3, 2)"]


def test_onnx_without_its_packages_is_refused(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "ONNX_PACKAGES", ("onnx", "not_installed"))
    with pytest.raises(UserError, match=r"--onnx needs not_installed: pip install 'hybridq-medical\[onnx\]'"):
        write(run_folder, onnx="model.onnx")


def test_what_does_not_agree_is_not_written(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run_folder.parent / "q.safetensors").write_text("what was here before")
    monkeypatch.setattr(module, "EXPECTATION_TOLERANCE", -1.0)
    with pytest.raises(RuntimeError, match=r"q\.safetensors is not written: it differs by"):
        write(run_folder, surrogate="q.safetensors")
    assert (run_folder.parent / "q.safetensors").read_text() == "what was here before"
    assert sorted(path.name for path in run_folder.parent.iterdir()) == ["q.safetensors", "small"]


def test_several_labels_and_a_circuit_with_reuploading_are_exported(trained: Callable[..., Path]) -> None:
    model = "{backbone: simple_cnn, qubits: 3, reuploading: true}"
    folder = trained("labels", model, "shapes:task=multi-label")
    exported = write(folder, onnx="model.onnx")
    assert exported.layer is not None
    assert exported.layer.surrogate.degree == 2
    images, _, probabilities = evaluated(folder, "aer")
    found = onnx_probabilities(folder.parent / "model.onnx", images)
    np.testing.assert_allclose(found, probabilities, rtol=0, atol=1e-5)


@pytest.mark.parametrize("model", ["{name: baseline, backbone: simple_cnn}", "{backbone: simple_cnn, branch: mlp}"])
def test_a_model_without_a_circuit_is_exported_without_a_surrogate(model: str, trained: Callable[..., Path]) -> None:
    folder = trained("classical", model)
    assert write(folder, torch_export="model.pt2").layer is None
    with pytest.raises(UserError, match="has no circuit"):
        write(folder, surrogate="q.pt2")
    with pytest.raises(UserError, match=r"--backend fake_torino: .* has no circuit"):
        write(folder, "fake_torino", torch_export="model.pt2")


@pytest.mark.slow
@pytest.mark.parametrize("backbone", backbone_names())
def test_every_backbone_is_exported(backbone: str, trained: Callable[..., Path]) -> None:
    folder = trained(backbone, f"{{backbone: {backbone}}}")
    assert len(write(folder, onnx="model.onnx", torch_export="model.pt2").files) == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hqcnn", "lean_hybrid"])
@pytest.mark.filterwarnings("ignore:circuit. no observable depends:UserWarning")
def test_every_architecture_is_exported(name: str, trained: Callable[..., Path]) -> None:
    folder = trained(name, f"{{name: {name}}}")
    assert len(write(folder, surrogate="q.pt2", onnx="model.onnx", torch_export="model.pt2").files) == 3
