"""A trained run and the images on which its noise is studied: everything that no noise changes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from hybridq.evaluation.evaluate import circuit_of
from hybridq.evaluation.images import features_of, images_of
from hybridq.models import Classifier
from hybridq.models.build import has_circuit, load_model
from hybridq.models.objectives import objective_of
from hybridq.quantum.engine import compile_program
from hybridq.quantum.layer import QuantumLayer
from hybridq.results.selection import Selection, choose_images
from hybridq.run_folder import RunFolder
from hybridq.statistics.scored import Scored
from hybridq.statistics.tasks import Task, task_named
from hybridq.typing import FloatArray, IntArray, Progress


@dataclass(frozen=True, eq=False)
class Subject:
    """A run, its images of one split, and what its model makes of them before and behind the circuit."""

    run: RunFolder
    selection: Selection
    progress: Progress

    @cached_property
    def model(self) -> Classifier:
        return load_model(self.run)

    @property
    def task(self) -> Task:
        return task_named(self.selection.task)

    @cached_property
    def truth(self) -> IntArray:
        return self.task.truth(self.selection.rows)

    @cached_property
    def groups(self) -> list[str] | None:
        """Group of each image; None where no image has one."""
        groups = self.selection.rows["group"]
        return [str(group) for group in groups] if (groups != "").any() else None

    @cached_property
    def features(self) -> torch.Tensor:
        """h (N, d)."""
        images = images_of(self.run, self.selection, self.progress)
        what = f"features of {self.selection.split} images"
        return features_of(self.run, self.model, images, self.progress, what)

    @cached_property
    def angles(self) -> FloatArray:
        """u (N, Q), radians."""
        with torch.inference_mode():
            return self.model.angles(self.features).double().numpy()

    @cached_property
    def weights(self) -> FloatArray:
        """Of the circuit, (W,) radians."""
        assert isinstance(self.model.circuit, QuantumLayer)
        return self.model.circuit.weight.detach().double().numpy()

    def noiseless_values(self) -> FloatArray:
        """q (N, Q) without noise: exact, or of what stands in the circuit's place."""
        with torch.inference_mode():
            u = torch.from_numpy(self.angles)
            if not has_circuit(self.run.experiment().model):
                return self.model.circuit(u.float()).double().numpy()
            return compile_program(circuit_of(self.run))(u, torch.from_numpy(self.weights)).numpy()

    def logits(self, q: FloatArray) -> torch.Tensor:
        """(N, C) in double precision."""
        with torch.inference_mode():
            return self.model.decide(self.features, torch.as_tensor(q, dtype=self.features.dtype)).double()

    def probabilities(self, q: FloatArray) -> FloatArray:
        """(N, C)"""
        return objective_of(self.selection.task).probabilities(self.logits(q)).numpy()

    def log_odds(self, q: FloatArray) -> FloatArray:
        """(N, K): of class 1 of two, of each class against the rest, or of each label."""
        logits = self.logits(q)
        if self.selection.task == "multi-label":
            return logits.numpy()
        if logits.shape[1] == 2:
            return (logits[:, 1:] - logits[:, :1]).numpy()
        others = ~torch.eye(logits.shape[1], dtype=torch.bool)
        rest = [logits[:, keep].logsumexp(dim=1) for keep in others]
        return (logits - torch.stack(rest, dim=1)).numpy()

    def quantum_branch(self, q: FloatArray) -> tuple[float, float]:
        """α and the share of the branch in the fused features, see ``ResidualFusion.quantum_share``."""
        with torch.inference_mode():
            return self.model.quantum_branch(self.features, torch.as_tensor(q, dtype=self.features.dtype))

    def on_validation(self) -> Subject:
        """The same run on its validation images."""
        return Subject(self.run, choose_images(self.run, "validation"), self.progress)

    def scored(self, q: FloatArray) -> Scored:
        """What the model says of the images with q (N, Q) behind the circuit."""
        return self.selection.scored(self.probabilities(q), self.run.experiment().seed)
