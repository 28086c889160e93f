"""Models from configurations and from run folders."""

from __future__ import annotations

import warnings
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from hybridq import config
from hybridq.errors import UserError
from hybridq.models.classifier import Classifier
from hybridq.models.controls import classical_branch
from hybridq.models.registry import build_model, has_place_for_circuit
from hybridq.quantum.circuits import CircuitSpec
from hybridq.quantum.layer import quantum_layer
from hybridq.run_folder import RunFolder

_DTYPES = {"float32": torch.float32, "float64": torch.float64}
NOISELESS_TRAINING: Final = config.Train()
"""The circuit of a model that is evaluated: exact values without noise."""


def circuit_spec(settings: config.Model) -> CircuitSpec:
    """The circuit that the configuration describes."""
    return CircuitSpec(
        qubits=settings.qubits,
        layers=settings.layers,
        encoding=settings.encoding,
        rotations=settings.rotations,
        entanglement=settings.entanglement,
        entangler=settings.entangler,
        reuploading=settings.reuploading,
        superposition=settings.superposition,
        attention=settings.attention,
    )


def has_circuit(settings: config.Model) -> bool:
    """Whether the model runs a circuit: a baseline has none, and some controls have something else in its place."""
    return has_place_for_circuit(settings) and settings.branch == "circuit"


def new_model(experiment: config.Experiment, classes: int) -> Classifier:
    """An untrained model; its random weights depend on the experiment's seed alone.

    Raises :class:`UserError` for an unknown model or backbone, or images that are too small for it.
    """
    circuit = _circuit(experiment, experiment.train)
    circuit.requires_grad_(experiment.model.train_circuit)
    torch.manual_seed(experiment.seed)
    model = build_model(experiment.model, experiment.data.channels, classes, circuit)
    if experiment.data.size < model.backbone.smallest:
        raise UserError(
            f"data.size = {experiment.data.size}; {experiment.model.backbone} takes images from "
            f"{model.backbone.smallest} pixels"
        )
    return model


def load_model(run: RunFolder) -> Classifier:
    """The trained model of a run in evaluation mode.

    Raises :class:`UserError` when the weights do not fit the run's configuration.
    """
    experiment = run.experiment
    settings = experiment.model.model_copy(update={"imagenet": False})
    with warnings.catch_warnings():
        # It was said when the run was trained, and circuit.json has it.
        warnings.filterwarnings("ignore", message="circuit: no observable depends on")
        circuit = _circuit(experiment, NOISELESS_TRAINING)
    model = build_model(settings, experiment.data.channels, len(run.classes), circuit)
    load_weights(model, run)
    return model.eval()


def load_weights(model: Classifier, run: RunFolder) -> None:
    """Give ``model`` the trained weights of a run; raises :class:`UserError` when they do not fit."""
    try:
        model.load_state_dict(load_file(run.weights))
    except (RuntimeError, SafetensorError, OSError) as error:
        first = str(error).replace("\n", " ").strip()[:200]
        raise UserError(f"{run.weights}: the weights do not fit {run.config} ({first})") from None


def _circuit(experiment: config.Experiment, train: config.Train) -> nn.Module:
    """The quantum layer under the noise of ``train``, or what the configuration has in its place."""
    settings = experiment.model
    if not has_place_for_circuit(settings):
        return nn.Identity()
    spec = circuit_spec(settings)
    if settings.branch != "circuit":
        return classical_branch(settings.branch, spec, experiment.seed)
    dtype = _DTYPES[experiment.train.circuit_precision]
    return quantum_layer(
        spec,
        backend=train.backend,
        engine=train.engine,
        seed=experiment.seed,
        dtype=dtype,
        noise_scale=train.noise_scale,
    )
