"""Models from configurations and from run folders."""

from __future__ import annotations

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from hybridq import config
from hybridq.errors import UserError
from hybridq.models.hybrid import HybridModel
from hybridq.models.registry import build_model
from hybridq.quantum.circuits import CircuitSpec
from hybridq.quantum.layer import quantum_layer
from hybridq.runs import Run

_DTYPES = {"float32": torch.float32, "float64": torch.float64}


def circuit_spec(settings: config.Model) -> CircuitSpec:
    """The circuit that the configuration describes."""
    return CircuitSpec(
        qubits=settings.qubits,
        layers=settings.layers,
        rotations=settings.rotations,
        entanglement=settings.entanglement,
        entangler=settings.entangler,
        reuploading=settings.reuploading,
    )


def new_model(experiment: config.Experiment, classes: int) -> HybridModel:
    """An untrained model; its random weights depend on the experiment's seed alone."""
    train = experiment.train
    circuit = quantum_layer(
        circuit_spec(experiment.model),
        backend=train.backend,
        engine=train.engine,
        seed=experiment.seed,
        dtype=_DTYPES[train.circuit_precision],
    )
    torch.manual_seed(experiment.seed)
    return build_model(experiment.model, classes, circuit)


def load_model(run: Run) -> HybridModel:
    """The trained model of a run in evaluation mode.

    Raises :class:`UserError` when the weights do not fit the run's configuration.
    """
    experiment = run.experiment()
    settings = experiment.model.model_copy(update={"imagenet": False})
    classes = len(run.read_json("data.json")["classes"])
    circuit = quantum_layer(
        circuit_spec(settings), seed=experiment.seed, dtype=_DTYPES[experiment.train.circuit_precision]
    )
    model = build_model(settings, classes, circuit)
    try:
        model.load_state_dict(load_file(run.weights))
    except (RuntimeError, SafetensorError, OSError) as error:
        first = str(error).replace("\n", " ").strip()[:200]
        raise UserError(f"{run.weights}: the weights do not fit {run.config} ({first})") from None
    return model.eval()
