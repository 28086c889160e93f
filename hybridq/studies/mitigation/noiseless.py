"""A run's own weights: ⟨Z⟩ without noise, and the decision from any ⟨Z⟩."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from backends.contract import CircuitProgram
from hybridq.models.build import load_model
from hybridq.models.objectives import objective_of
from hybridq.quantum.engine import compile_program
from hybridq.run_folder import RunFolder
from hybridq.typing import FloatArray


def noiseless_values(program: CircuitProgram, angles: FloatArray, weights: FloatArray) -> FloatArray:
    """⟨Z⟩ (N, Q) for angles (N, X) under weights (W,), radians."""
    with torch.inference_mode():
        return compile_program(program)(torch.from_numpy(angles), torch.from_numpy(weights)).numpy()


def decision(run: RunFolder, features: NDArray[np.float32]) -> Callable[[FloatArray], FloatArray]:
    """Probabilities (N, C) from ⟨Z⟩ (N, Q) of the images with these features (N, d)."""
    model, objective, h = load_model(run), objective_of(run.task()), torch.from_numpy(features)

    def decide(values: FloatArray) -> FloatArray:
        with torch.inference_mode():
            logits = model.decide(h, torch.as_tensor(values, dtype=h.dtype))
            return objective.probabilities(logits.double()).numpy()

    return decide
