"""What the circuits of the hybrid models are: gates, depth, parameters, time, and gradients at initialisation.

    python -m papers.transparency --out docs/results

Writes circuits.csv (the circuits of configs/, each once), gradients.csv (variance of a derivative at initialisation, of
each circuit with other numbers of qubits and layers) and gradients.png. Runs alone; times are of one thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from backends import open_backend
from hybridq.config import load_experiment
from hybridq.figures.style import as_png, colour, styled
from hybridq.files import atomic_write
from hybridq.models.build import circuit_spec, has_circuit
from hybridq.quantum.circuits import CircuitSpec, dead_weights, describe
from hybridq.quantum.layer import INITIAL_RANGE, quantum_layer

BATCH, STEPS, DRAWS = 32, 60, 300
QUBITS, LAYERS = (2, 4, 6, 8, 10, 12), (1, 2, 4, 8)
SPREAD = 0.75
"""Standard deviation of the input angles in radians: that of the first batch in training."""


def circuits() -> Iterator[tuple[str, CircuitSpec]]:
    """The circuits of the configurations, by the names of the models that have them."""
    named: dict[CircuitSpec, list[str]] = {}
    for file in sorted(Path("configs").glob("*.yaml")):
        model = load_experiment(file).model
        if has_circuit(model) and model.name not in named.setdefault(circuit_spec(model), []):
            named[circuit_spec(model)].append(model.name)
    yield from ((", ".join(names), spec) for spec, names in named.items())


def describe_circuit(name: str, spec: CircuitSpec) -> dict[str, Any]:
    program = spec.build()
    facts = describe(program)
    compiled = open_backend("fake_torino").compile(program).record
    seconds = _step(spec)
    return {
        "model": name,
        "qubits": spec.qubits,
        "layers": spec.layers,
        "gates": sum(facts["gates"].values()),
        "two_qubit_gates": facts["two_qubit_gates"],
        "depth": facts["depth"],
        "torino_two_qubit_gates": compiled["two_qubit_gates"],
        "torino_depth": compiled["depth"],
        "weights": facts["weights"],
        "dead_weights": len(dead_weights(program)),
        "step_ms": round(1e3 * seconds, 2),
        "seconds_per_1000_images": round(1000 / BATCH * seconds, 3),
        "gradient_variance": gradient_variance(spec),
    }


def gradient_variance(spec: CircuitSpec) -> float:
    """Variance of ∂⟨Z₀⟩/∂w over initial weights and inputs, the mean over the weights on which ⟨Z₀⟩ depends."""
    rng = torch.Generator().manual_seed(0)
    layer = quantum_layer(spec, dtype=torch.float64)
    found = []
    for _ in range(DRAWS):
        with torch.no_grad():
            layer.weight.uniform_(-INITIAL_RANGE, INITIAL_RANGE, generator=rng)
        layer.weight.grad = None
        layer(SPREAD * torch.randn(1, spec.qubits, generator=rng, dtype=torch.float64))[0, 0].backward()
        found.append(layer.weight.grad)
    gradients = torch.stack([gradient for gradient in found if gradient is not None])
    live = gradients.abs().amax(dim=0) > 1e-10
    return float(gradients[:, live].var(dim=0).mean())


def _step(spec: CircuitSpec) -> float:
    """Seconds of a forward and backward pass, the median."""
    layer = quantum_layer(spec)
    angles = torch.randn(BATCH, spec.qubits, requires_grad=True)
    taken = []
    for _ in range(STEPS):
        start = time.perf_counter()
        layer(angles).sum().backward()
        taken.append(time.perf_counter() - start)
    return float(np.median(taken[10:]))


@styled
def draw(table: pd.DataFrame) -> Figure:
    """A panel a circuit."""
    figure = Figure(figsize=(7.4, 3.1), layout="constrained")
    names = list(dict.fromkeys(table["model"]))
    panels = figure.subplots(1, len(names), sharey=True)
    for axes, name in zip(panels, names, strict=True):
        for index, (layers, rows) in enumerate(table[table["model"] == name].groupby("layers")):
            label = f"{layers} layer{'s' * (layers != 1)}"
            axes.plot(rows["qubits"], rows["gradient_variance"], marker="o", color=colour(index), label=label)
        axes.set_yscale("log")
        axes.set_xticks(list(QUBITS))
        axes.set_xlabel("qubits")
        axes.set_title(name)
    panels[0].set_ylabel("variance of ∂⟨Z₀⟩/∂w")
    panels[-1].legend()
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    described = pd.DataFrame([describe_circuit(name, spec) for name, spec in circuits()])
    gradients = pd.DataFrame(
        [
            {
                "model": name,
                "qubits": qubits,
                "layers": layers,
                "gradient_variance": gradient_variance(replace(spec, qubits=qubits, layers=layers)),
            }
            for name, spec in circuits()
            for layers in LAYERS
            for qubits in QUBITS
        ]
    )
    for table, name in ((described, "circuits.csv"), (gradients, "gradients.csv")):
        table["gradient_variance"] = table["gradient_variance"].map(lambda value: float(f"{value:.3g}"))
        with atomic_write(options.out / name) as partial:
            table.to_csv(partial, index=False)
        print(table.to_string(index=False))
    with atomic_write(options.out / "gradients.png") as partial:
        partial.write_bytes(as_png(draw(gradients)))


if __name__ == "__main__":
    main()
