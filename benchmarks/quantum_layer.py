"""Time of one forward and backward pass of the quantum layer, beside the stock classes, interleaved in one process.

python benchmarks/quantum_layer.py [--qubits 4] [--layers 2] [--batch 32] [--repeats 30] [--threads 1]

The stock EstimatorQNN in a TorchConnector runs a batch of two; its time is scaled to the whole batch (it grows
linearly) and marked as extrapolated.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from qiskit.primitives import StatevectorEstimator
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.neural_networks import EstimatorQNN
from torch import Tensor, nn

from hybridq.quantum.circuits import CircuitSpec
from hybridq.quantum.layer import quantum_layer

STOCK_BATCH = 2
STOCK_EVERY = 10  # repeats of ours between two of the stock classes, which take thousands of times as long


def step(layer: nn.Module, inputs: Tensor) -> Callable[[], float]:
    """A function that runs one forward and backward pass and returns its seconds."""

    def run() -> float:
        x = inputs.clone().requires_grad_()
        start = time.perf_counter()
        layer(x).square().sum().backward()
        return time.perf_counter() - start

    return run


def stock_layer(spec: CircuitSpec) -> TorchConnector:
    """Stock classes throughout, exact."""
    program = spec.build()
    network = EstimatorQNN(
        circuit=program.circuit,
        estimator=StatevectorEstimator(),
        observables=list(program.observables),
        input_params=list(program.inputs),
        weight_params=list(program.weights),
        input_gradients=True,
        default_precision=0.0,
    )
    return TorchConnector(network)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {"qubits": 4, "layers": 2, "batch": 32, "repeats": 30, "threads": 1}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)

    spec = CircuitSpec(options.qubits, options.layers)
    inputs = torch.randn(options.batch, options.qubits)
    ours = {
        "exact engine, float32": step(quantum_layer(spec), inputs),
        "exact engine, float64": step(quantum_layer(spec, dtype=torch.float64).double(), inputs.double()),
    }
    stock = step(stock_layer(spec), inputs[:STOCK_BATCH])
    seconds: dict[str, list[float]] = {name: [] for name in ours}
    stock_seconds: list[float] = []
    for run in ours.values():
        for _ in range(5):
            run()
    for repeat in range(options.repeats):
        for name, run in ours.items():
            seconds[name].append(run())
        if repeat % STOCK_EVERY == 0:
            stock_seconds.append(stock() * options.batch / STOCK_BATCH)

    print(f"Q{options.qubits} L{options.layers} B{options.batch}, {options.threads} thread(s), medians and quartiles")
    for name, values in seconds.items():
        low, median, high = statistics.quantiles(values, n=4)
        print(f"  {name:38} {1e3 * median:12.2f} ms   ({1e3 * low:.2f} to {1e3 * high:.2f})")
    extrapolated = statistics.median(stock_seconds)
    print(f"  {'stock EstimatorQNN + TorchConnector †':38} {1e3 * extrapolated:12.0f} ms")
    ratio = extrapolated / statistics.median(seconds["exact engine, float32"])
    print(f"  † extrapolated linearly from a batch of {STOCK_BATCH}; {ratio:,.0f} times the exact engine in float32")


if __name__ == "__main__":
    main()
