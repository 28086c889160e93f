"""Training time of the networks of Hasan et al. side by side: steps in turns, in one process.

    python -m papers.epoch_times --out docs/results/epoch-times.csv

A step is forward, backward and AdamW on 32 images of Medical MNIST, 64 × 64. Each round times one step of every
network, in a random order; an epoch is the median step times the steps of an epoch. VGG-16, of which an epoch takes
most of an hour on two cores, is extrapolated like all others.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from hybridq.config import Experiment, load_experiment
from hybridq.data.images.cache import open_images
from hybridq.data.images.transforms import to_float
from hybridq.data.sources import load_manifest
from hybridq.files import atomic_write
from hybridq.models.build import new_model

BASE = Path("configs/lean_hybrid_medical_mnist.yaml")
NETWORKS = {
    "lean_hybrid": [],
    "lean_linear": ["model.branch=linear"],
    "cnn": ["model.name=baseline", "model.backbone=conventional_cnn"],
    "resnet18": ["model.name=baseline", "model.backbone=resnet18"],
    "vgg16": ["model.name=baseline", "model.backbone=vgg16"],
}
WARM = 3


class Trained:
    """A network and its optimizer."""

    def __init__(self, experiment: Experiment, classes: int) -> None:
        self.model = new_model(experiment, classes).train()
        settings = experiment.train
        self._optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.seconds: list[float] = []

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        start = time.perf_counter()
        self._optimizer.zero_grad()
        nn.functional.cross_entropy(self.model(images), labels).backward()
        self._optimizer.step()
        self.seconds.append(time.perf_counter() - start)


def measure(steps: int) -> pd.DataFrame:
    """A row a network: parameters, milliseconds of a step, seconds of an epoch."""
    base = load_experiment(BASE)
    manifest = load_manifest(base.data.source, base.data, base.split_seed)
    images, labels = open_images(manifest, base.data, split="train"), manifest.truth("train")
    networks = {
        name: Trained(load_experiment(BASE, changes), len(manifest.classes)) for name, changes in NETWORKS.items()
    }
    rng = np.random.default_rng(0)
    for _ in range(WARM + steps):
        chosen = np.sort(rng.choice(len(images), base.train.batch_size, replace=False))
        batch, truth = to_float(images[chosen]), torch.from_numpy(labels[chosen])
        for name in rng.permutation(list(networks)):
            networks[name].step(batch, truth)
    epoch = len(images) // base.train.batch_size
    rows = []
    for name, network in networks.items():
        low, median, high = np.quantile(network.seconds[WARM:], (0.25, 0.5, 0.75))
        rows.append(
            {
                "model": name,
                "parameters": sum(parameter.numel() for parameter in network.model.parameters()),
                "step_ms": round(1e3 * median, 2),
                "quartiles_ms": f"{1e3 * low:.2f} to {1e3 * high:.2f}",
                "epoch_s": round(epoch * median, 1),
                "median": median,
            }
        )
    table = pd.DataFrame(rows)
    table["times_lean_hybrid"] = (table["median"] / table["median"].iloc[0]).round(2)
    return table.drop(columns="median")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    table = measure(options.steps)
    with atomic_write(options.out) as partial:
        table.to_csv(partial, index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
