"""Write a trained run as files, each read back and checked on the run's images before it gets its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pandas as pd
import torch
from torch import Tensor

from backends.names import NOISELESS_BACKEND, parse_name
from hybridq.data.images.images import Images
from hybridq.data.images.intensity import FULL, Intensity
from hybridq.data.images.transforms import to_float
from hybridq.errors import UserError
from hybridq.export import formats
from hybridq.export.classifier import FittedLayer, Reference, fit_layer, without_qiskit
from hybridq.export.spectrum import save_spectrum
from hybridq.files import atomic_write, check_file, check_folder
from hybridq.models.build import has_circuit
from hybridq.quantum.surrogate import load_surrogate, save_surrogate
from hybridq.results.selection import ImageChoice, Selection, choose
from hybridq.run_folder import RunFolder
from hybridq.statistics.tasks import task_named
from hybridq.typing import Progress

EXPECTATION_TOLERANCE: Final = 1e-6
"""Of ⟨Z⟩; the files hold float64, and differ by about 1e-15."""
PROBABILITY_TOLERANCE: Final = 1e-5
"""Of probabilities computed in float32."""
BATCH: Final = 256


@dataclass(frozen=True)
class Targets:
    """Where to write what; None leaves it out."""

    surrogate: Path | None = None
    """The quantum layer alone, ``.safetensors`` or ``.pt2``."""
    onnx: Path | None = None
    """The whole classifier."""
    torch_export: Path | None = None
    """The whole classifier, ``.pt2``."""

    def check(self) -> None:
        """Raise :class:`UserError` where nothing is asked for, or where something could not be written."""
        options = {
            "--surrogate": (self.surrogate, (".safetensors", ".pt2")),
            "--onnx": (self.onnx, (".onnx",)),
            "--torch-export": (self.torch_export, (".pt2",)),
        }
        given = {option: path.absolute() for option, (path, _) in options.items() if path is not None}
        if not given:
            raise UserError(f"nothing to write; name a file with {', '.join(options)}")
        for option, path in given.items():
            endings = options[option][1]
            if path.suffix not in endings:
                raise UserError(f"{option} {path.name}: the file must end in {' or '.join(endings)}")
            check_file(path)
        if len(set(given.values())) < len(given):
            raise UserError(f"{' and '.join(given)} name the same file")


@dataclass(frozen=True)
class Written:
    """One file, as it was read back before it got its name."""

    path: Path
    of: str
    """``expectations`` or ``probabilities``."""
    difference: float
    """Largest over the images, from the exact engine or from ``hybridq predict``."""
    changed: int | None
    """Images that are decided differently; None for expectations."""


@dataclass(frozen=True)
class Exported:
    """What :func:`export` wrote."""

    layer: FittedLayer | None
    """None where the model has no circuit."""
    selection: Selection
    files: list[Written]
    spectrum: pd.DataFrame | None
    """The content of spectrum.csv, where a surrogate was asked for."""


def export(
    run: RunFolder,
    targets: Targets,
    *,
    backend: str = NOISELESS_BACKEND,
    split: str = "test",
    limit: int | None = None,
    progress: Progress,
) -> Exported:
    """Write the targets; where one does not agree with what it replaces, it is not written.

    On ``aer`` the classifiers are checked against what ``hybridq predict`` computes, under noise against what
    ``hybridq evaluate`` does; the surrogate against the exact engine at the angles of the same images, those of
    ``split``, or ``limit`` of them.

    Raises:
        UserError: a target or backend that is not possible, images that are no longer there.
        RuntimeError: a file does not agree.
    """
    targets.check()
    if targets.onnx is not None:
        formats.check_onnx_packages()
    if targets.surrogate is not None:
        check_folder(run.folder / "surrogate")
    selection = choose(run, ImageChoice(split, limit))
    progress("computing the surrogate", 0, 1)
    layer = _layer(run, targets, backend)
    progress("computing the surrogate", 1, 1)
    images = selection.images(progress)
    angles, probabilities = _reference(Reference(run, layer), images, progress)
    about = _about(run, layer)
    files, spectrum = [], None
    if targets.surrogate is not None:
        assert layer is not None
        files.append(_write_layer(layer, targets.surrogate, about, angles))
        layers = [fit_layer(run, NOISELESS_BACKEND), layer] if layer.simulated_noise else [layer]
        spectrum = save_spectrum(run, layers)
    files += _write_classifier(run, layer, targets, about, images, probabilities, progress)
    return Exported(layer, selection, files, spectrum)


def _layer(run: RunFolder, targets: Targets, backend: str) -> FittedLayer | None:
    if targets.surrogate is None and not has_circuit(run.experiment.model):
        if parse_name(backend).canonical != NOISELESS_BACKEND:
            raise UserError(f"--backend {backend}: the model of {run.folder} has no circuit; leave it out")
        return None
    return fit_layer(run, backend)


def _reference(reference: Reference, images: Images, progress: Progress) -> tuple[Tensor, Tensor]:
    angles, probabilities = zip(*(reference(some) for some in _batches(images, "predicting", progress)), strict=True)
    return torch.cat(angles), torch.cat(probabilities)


def _write_layer(layer: FittedLayer, path: Path, about: dict[str, Any], angles: Tensor) -> Written:
    expected = layer.values(angles)
    with atomic_write(path) as partial:
        if path.suffix == ".pt2":
            example = torch.zeros(2, layer.surrogate.qubits, dtype=torch.float64)
            formats.write_pt2(formats.trace(layer.surrogate, example, "angles"), partial, about)
            computed = formats.read_pt2(partial)(angles)
        else:
            save_surrogate(layer.surrogate, partial, about)
            computed = load_surrogate(partial)(angles)
        difference = _largest(computed, expected, EXPECTATION_TOLERANCE, path)
    return Written(path, "expectations", difference, None)


def _write_classifier(
    run: RunFolder,
    layer: FittedLayer | None,
    targets: Targets,
    about: dict[str, Any],
    images: Images,
    probabilities: Tensor,
    progress: Progress,
) -> list[Written]:
    ways = (
        (targets.torch_export, formats.write_pt2, formats.read_pt2),
        (targets.onnx, formats.write_onnx, formats.read_onnx),
    )
    wanted = [(path, write, read) for path, write, read in ways if path is not None]
    if not wanted:
        return []
    progress("tracing the classifier", 0, 1)
    program = formats.trace(without_qiskit(run, layer), torch.zeros(2, *images.shape[1:]), "images")
    progress("tracing the classifier", 1, 1)
    decide, expected = task_named(run.task).decide, probabilities.numpy()
    files = []
    for path, write, read in wanted:
        with atomic_write(path) as partial:
            progress(f"writing {path.name}", 0, 1)
            write(program, partial, about)
            module = read(partial)
            progress(f"writing {path.name}", 1, 1)
            # Files take the scale of image files; the range of the run is in them.
            computed = _probabilities(module, images.brought_to(None), f"checking {path.name}", progress)
            difference = _largest(computed, probabilities, PROBABILITY_TOLERANCE, path)
        changed = (decide(computed.numpy()) != decide(expected)).reshape(len(computed), -1).any(axis=1)
        files.append(Written(path, "probabilities", difference, int(changed.sum())))
    return files


def _probabilities(module: Callable[[Tensor], Tensor], images: Images, what: str, progress: Progress) -> Tensor:
    with torch.inference_mode():
        return torch.cat([module(some).double() for some in _batches(images, what, progress)])


def _batches(images: Images, what: str, progress: Progress) -> Iterator[Tensor]:
    """The first image by itself, which a graph for batches might not take, then the others."""
    starts = [0, *range(1, len(images), BATCH), len(images)]
    for start, end in pairwise(starts):
        yield to_float(images[start:end])
        progress(what, end, len(images))


def _largest(computed: Tensor, expected: Tensor, tolerance: float, path: Path) -> float:
    difference = float((computed - expected).abs().max())
    if not difference <= tolerance:
        raise RuntimeError(f"{path} is not written: it differs by {difference:.1e}, more than {tolerance:.0e}")
    return difference


def _about(run: RunFolder, layer: FittedLayer | None) -> dict[str, Any]:
    """What a file says about itself."""
    data, levels = run.experiment.data, Intensity.of_card(run.data_card).range
    images = {"channels": data.channels, "size": data.size, "range": [0, 1], "type": "float32"}
    if levels is not None:  # applied in the file; said, so that it can be checked
        images["levels_brought_to_0_and_1"] = [level / FULL[1] for level in levels]
    return {
        "made_by": f"hybridq-medical {version('hybridq-medical')}",
        "run": run.folder.resolve().name,
        "weights": run.weights_digest,
        "backend": NOISELESS_BACKEND if layer is None else layer.backend,
        "images": images,
        "task": run.task,
        "classes": list(run.classes),
        "note": "Research software, not a medical device.",
    }
