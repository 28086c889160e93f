"""The classifier of a run without Qiskit, and the one it has to agree with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from backends import open_backend
from backends.names import parse_name
from hybridq.data.images.intensity import FULL, Intensity
from hybridq.data.pixels import Levels
from hybridq.errors import UserError
from hybridq.evaluation.inference import circuit_weights
from hybridq.models import Classifier
from hybridq.models.build import circuit_spec, has_circuit, load_model
from hybridq.models.objectives import objective_of
from hybridq.quantum.circuits import CircuitSpec
from hybridq.quantum.engine_choice import exact_compiler
from hybridq.quantum.surrogate import Surrogate, fit_surrogate
from hybridq.run_folder import RunFolder

Values = Callable[[Tensor], Tensor]
"""Angles (N, Q) in radians, float64, to exact expectation values (N, Q)."""


class ImageClassifier(nn.Module):
    """Images (N, C, S, S), float32 in [0, 1], to probabilities (N, classes or labels), float32.

    1 is the largest value of the files; the run's range of intensities is applied here.
    """

    def __init__(self, model: Classifier, task: str, levels: Levels | None) -> None:
        super().__init__()
        self.model = model
        self._objective = objective_of(task)
        self._range = None if levels is None else (levels[0] / FULL[1], levels[1] / FULL[1])

    def forward(self, images: Tensor) -> Tensor:
        if self._range is not None:
            low, high = self._range
            images = ((images - low) / (high - low)).clamp(0, 1)
        return self._objective.probabilities(self.model(images)).float()


@dataclass(frozen=True, eq=False)
class FittedLayer:
    """The quantum layer of a run under one backend, twice."""

    backend: str
    """Canonical name."""
    simulated_noise: bool
    values: Values
    """From the exact engine."""
    surrogate: Surrogate


def fit_layer(run: RunFolder, backend: str) -> FittedLayer:
    """The surrogate of a run's trained circuit under a simulated backend.

    Raises :class:`UserError` where the model has no circuit, for hardware, for a backend that draws shots, and for
    circuits that are too large.
    """
    settings = run.experiment.model
    if not has_circuit(settings):
        raise UserError(f"{run.folder}: its model has no circuit, so nothing to make a surrogate of")
    if parse_name(backend).kind == "ibm":
        raise UserError(f"{backend} is hardware; a surrogate is made of exact values: name a simulated backend")
    where = open_backend(backend, seed=run.experiment.seed)
    spec = circuit_spec(settings)
    exact = exact_compiler(where)(spec.build())
    weights = torch.from_numpy(circuit_weights(load_model(run)))

    def values(angles: Tensor) -> Tensor:
        with torch.no_grad():
            return exact(angles, weights)

    return FittedLayer(
        where.name, where.kind != "noiseless", values, fit_surrogate(values, spec.qubits, times_encoded(spec))
    )


def times_encoded(spec: CircuitSpec) -> int:
    """How often each angle enters the circuit: the degree of ⟨Z⟩ in it."""
    return max(1, spec.layers) if spec.reuploading else 1


def without_qiskit(run: RunFolder, layer: FittedLayer | None) -> ImageClassifier:
    """The classifier with the surrogate in the circuit's place; ``layer`` is None where the model has no circuit."""
    model = load_model(run)
    if layer is not None:
        model.circuit = Surrogate(layer.surrogate.coefficients.float())
    # Files hold weights in the usual order of their axes, whatever layout is fastest here.
    classifier = ImageClassifier(model, run.task, Intensity.of_card(run.data_card).range).eval().requires_grad_(False)
    return classifier.to(memory_format=torch.contiguous_format)


class Reference:
    """What an exported classifier must agree with: ``hybridq predict``, or an evaluation on a noisy backend."""

    def __init__(self, run: RunFolder, layer: FittedLayer | None) -> None:
        self._model = load_model(run)
        self._objective = objective_of(run.task)
        if layer is not None and layer.simulated_noise:
            self._model.circuit = _ExactValues(layer.values)

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Angles (N, Q) and probabilities, float64, of images (N, C, S, S)."""
        with torch.inference_mode():
            h = self._model.features(images)
            probabilities = self._objective.probabilities(self._model.logits(h).double())
            return self._model.angles(h).double(), probabilities


class _ExactValues(nn.Module):
    def __init__(self, values: Values) -> None:
        super().__init__()
        self._values = values

    def forward(self, angles: Tensor) -> Tensor:
        return self._values(angles.double()).to(angles.dtype)
