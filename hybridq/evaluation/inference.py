"""A trained model on chosen images: everything that no backend changes, each part computed once."""

from __future__ import annotations

from functools import cached_property, partial
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from backends.contract import CircuitProgram
from hybridq.data.images.images import Images
from hybridq.errors import UserError
from hybridq.evaluation.representations import representations
from hybridq.files import write_json
from hybridq.models import Classifier
from hybridq.models.build import circuit_spec, has_circuit, load_model
from hybridq.models.features import compute_features, frozen_features
from hybridq.models.objectives import Objective, objective_of
from hybridq.quantum.engine import compile_program
from hybridq.quantum.layer import QuantumLayer
from hybridq.results.selection import ImageChoice, Selection, choose
from hybridq.run_folder import RunFolder
from hybridq.statistics.scored import Scored
from hybridq.typing import FloatArray, Progress

TRAINING_MEAN: Final = "q_training_mean.json"
"""In a run folder: q̄ and the digest of the weights."""


class Inference:
    """The model of a run on N images.

    Nothing is read before it is asked for; what was read stays in memory as long as the object lives. Backends share
    one object. d features, Q qubits, C classes or labels.
    """

    def __init__(self, selection: Selection, progress: Progress | None = None) -> None:
        self.selection = selection
        self.progress: Progress = progress or (lambda *_: None)
        self.run: RunFolder = selection.run

    @classmethod
    def of(cls, run: RunFolder, choice: ImageChoice | None = None, progress: Progress | None = None) -> Inference:
        """Choose the images, by default all test images; raises :class:`UserError` as :func:`choose`."""
        return cls(choose(run, choice), progress)

    def on(self, selection: Selection) -> Inference:
        """Return the same model on other images of the run."""
        other = Inference(selection, self.progress)
        if "model" in self.__dict__:
            other.model = self.model
        if "manifest" in self.selection.__dict__ and selection.source == self.selection.source:
            selection.manifest = self.selection.manifest
        return other

    @cached_property
    def model(self) -> Classifier:
        """Trained model in evaluation mode."""
        return load_model(self.run)

    @property
    def objective(self) -> Objective:
        """How logits become probabilities."""
        return objective_of(self.run.task)

    @cached_property
    def images(self) -> Images:
        """Images in the order of the selection; raises :class:`UserError` where some are no longer there."""
        return self.selection.images(self.progress)

    # Model and features are bound before each block below: a model that is loaded, or features that are computed, in
    # inference mode could not be differentiated later.

    @cached_property
    def features(self) -> torch.Tensor:
        """h (N, d), kept on disk where the backbone was not trained."""
        experiment = self.run.experiment
        computing = partial(self.progress, f"features of {self.selection.split} images")
        if experiment.train.frozen:
            h = frozen_features(self.model, experiment.model.backbone, self.images, progress=computing)
            return torch.from_numpy(np.array(h))
        return compute_features(self.model, self.images, progress=computing)

    @cached_property
    def angles(self) -> FloatArray:
        """u (N, Q), radians."""
        model, h = self.model, self.features
        with torch.inference_mode():
            return model.angles(h).double().numpy()

    @cached_property
    def weights(self) -> FloatArray:
        """Weights of the circuit (W,), radians."""
        return circuit_weights(self.model)

    @cached_property
    def program(self) -> CircuitProgram:
        """Circuit of the model; raises :class:`UserError` where it has none."""
        return circuit_of(self.run)

    def exact_values(self) -> FloatArray:
        """Return q (N, Q) without noise, in double precision, or the values of the circuit's classical substitute."""
        if has_circuit(self.run.experiment.model):
            return self.exact_values_of(self.angles)
        model, u = self.model, self.angles
        with torch.inference_mode():
            return model.circuit(torch.as_tensor(u, dtype=torch.float32)).double().numpy()

    def exact_values_of(self, angles: FloatArray) -> FloatArray:
        """Return q (M, Q) of the circuit without noise for angles (M, Q), radians."""
        weights = torch.from_numpy(self.weights)
        with torch.inference_mode():
            return compile_program(self.program)(torch.from_numpy(angles), weights).numpy()

    def logits(self, q: FloatArray) -> torch.Tensor:
        """Return the logits (N, C) in double precision, from circuit values (N, Q)."""
        model, h = self.model, self.features
        with torch.inference_mode():
            return model.decide(h, torch.as_tensor(q, dtype=h.dtype)).double()

    def probabilities(self, q: FloatArray) -> FloatArray:
        """Return a column for each class or label (N, C)."""
        return self.objective.probabilities(self.logits(q)).numpy()

    def log_odds(self, q: FloatArray) -> FloatArray:
        """Return (N, K): of class 1 of two, of each class against the rest, or of each label."""
        logits = self.logits(q)
        if self.run.task == "multi-label":
            return logits.numpy()
        if logits.shape[1] == 2:
            return (logits[:, 1:] - logits[:, :1]).numpy()
        others = ~torch.eye(logits.shape[1], dtype=torch.bool)
        rest = [logits[:, keep].logsumexp(dim=1) for keep in others]
        return (logits - torch.stack(rest, dim=1)).numpy()

    def scored(self, q: FloatArray) -> Scored:
        """Return what is true of the images and what the model says of them with q (N, Q)."""
        return self.selection.scored(self.probabilities(q))

    def representations(self, q: FloatArray) -> dict[str, NDArray[Any]]:
        """Return the content of features.npz."""
        model, h = self.model, self.features
        with torch.inference_mode():
            return representations(model, h, torch.as_tensor(q, dtype=h.dtype))

    def quantum_branch(self, q: FloatArray) -> tuple[float, float]:
        """Return α and the share of the branch in the fused features, see ``ResidualFusion.quantum_share``."""
        model, h = self.model, self.features
        with torch.inference_mode():
            return model.quantum_branch(h, torch.as_tensor(q, dtype=h.dtype))

    def training_mean(self) -> tuple[FloatArray, int]:
        """Return q̄ (Q,), the mean of q over the training images, and their number.

        All training images as they are, without augmentation, on the noiseless simulator (a control in the circuit's
        place is computed as it is). Computed once for the same weights and kept in the run folder. Raises
        :class:`UserError` where training images are no longer there.
        """
        weights = self.run.weights_digest
        if (self.run.folder / TRAINING_MEAN).is_file():
            kept = self.run.read_json(TRAINING_MEAN)
            if kept["weights"] == weights:
                return np.array(kept["mean"], dtype=np.float64), int(kept["images"])
        model = self.model
        h = self.on(choose(self.run, ImageChoice("train"))).features
        with torch.inference_mode():
            q = model.circuit(model.angles(h)).double()
        mean = q.mean(dim=0).numpy()
        write_json(self.run.folder / TRAINING_MEAN, {"weights": weights, "images": len(q), "mean": mean.tolist()})
        return mean, len(q)


def circuit_of(run: RunFolder) -> CircuitProgram:
    """Return the quantum circuit of a run's model; raises :class:`UserError` where it has none."""
    settings = run.experiment.model
    if not has_circuit(settings):
        raise UserError(f"{run.folder}: its model has no circuit; it can be evaluated on aer alone")
    return circuit_spec(settings).build()


def circuit_weights(model: Classifier) -> FloatArray:
    """Return the weights of the model's circuit (W,), radians."""
    assert isinstance(model.circuit, QuantumLayer)
    return model.circuit.weight.detach().double().numpy()
