"""Training steps of SSL-Quantum beside those of the same model without its quantum branch."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from benchmarks.quantum.effort import Effort
from benchmarks.quantum.results import Figure, Found, Row, Tick
from benchmarks.quantum.timing import Timing, seconds_of
from hybridq.config import Experiment, parse_experiment
from hybridq.data.images.cache import open_images
from hybridq.data.sources import load_manifest
from hybridq.models.architectures.ssl_quantum import SSLQuantum
from hybridq.models.backbones.registry import build_backbone
from hybridq.models.build import circuit_spec
from hybridq.models.objectives import objective_of
from hybridq.quantum.layer import quantum_layer
from hybridq.training.batches import Batches
from hybridq.training.finetune import FineTune

WITH, WITHOUT = "SSL-Quantum", "SSL-Quantum without its quantum branch"
RATIO = "epoch with the quantum branch / epoch without"
PAIRED = "the same, median over pairs of steps"
OWN = "the same, processor time"
WARM_UP = 2

EXPERIMENT = """
name: epoch
data: {source: "synthetic:patients=160,patches=8", size: 64}
train: {batch_size: 32}
"""


class WithoutQuantumBranch(SSLQuantum):
    """Features straight to the head; the parameters of the branch stay but nothing reaches them."""

    def logits(self, h: Tensor) -> Tensor:
        """Logits (N, classes) from features (N, d)."""
        logits: Tensor = self.head(h)
        return logits


def measure(threads: int, effort: Effort, tick: Tick) -> Found:
    """Steps of one epoch, taken in turns: augmentation, forward, backward, optimizer; backbone free."""
    experiment = parse_experiment(EXPERIMENT)
    trainings = {
        WITH: _training(experiment, SSLQuantum, effort),
        WITHOUT: _training(experiment, WithoutQuantumBranch, effort),
    }
    seconds: dict[str, list[float]] = {name: [] for name in trainings}
    own = dict.fromkeys(trainings, 0.0)
    for step in range(effort.steps + WARM_UP):
        for name in list(trainings)[:: 1 if step % 2 else -1]:
            before = time.process_time()
            spent = seconds_of(partial(trainings[name], step % effort.steps))
            if step >= WARM_UP:
                seconds[name].append(spent)
                own[name] += time.process_time() - before
        tick(f"epoch, {threads} threads", step + 1, effort.steps + WARM_UP)
    whole = sum(seconds[WITH]) / sum(seconds[WITHOUT])
    pairs = [a / b for a, b in zip(seconds[WITH], seconds[WITHOUT], strict=True)]
    return Found(
        [Row("epoch", "B32, 64 × 64", name, threads, Timing.of(spent), "float32") for name, spent in seconds.items()],
        [
            Figure("epoch", RATIO, threads, whole, "×"),
            Figure("epoch", PAIRED, threads, statistics.median(pairs), "×"),
            Figure("epoch", OWN, threads, own[WITH] / own[WITHOUT], "×"),
        ],
    )


def _training(experiment: Experiment, kind: type[SSLQuantum], effort: Effort) -> Callable[[int], None]:
    """The package's own training step and optimizer, by the number of the step."""
    shape, settings = experiment.model, experiment.train
    torch.manual_seed(experiment.seed)
    circuit = quantum_layer(circuit_spec(shape))
    model = kind(build_backbone(shape.backbone), circuit, shape, classes=2)
    manifest = load_manifest(experiment.data.source, experiment.data, experiment.seed)
    rows = manifest.part("train").head(effort.steps * settings.batch_size)
    images = open_images(manifest, experiment.data).view(rows.index.to_numpy())
    labels = rows["label"].to_numpy()
    batches = Batches(images, settings.batch_size, settings.augmentation, seed=experiment.seed, stage="finetune")
    objective = objective_of(str(manifest.task))
    module = FineTune(model, settings, shape, objective, batches, labels, images, labels)
    module.train()
    optimizer = module.configure_optimizers()["optimizer"]

    def step(number: int) -> None:
        optimizer.zero_grad()
        torch.autograd.backward(module.training_step(number, number))
        module.on_after_backward()
        optimizer.step()

    return step
