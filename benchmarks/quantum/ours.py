"""The project's layer by each of its routes, without noise or under the noise of a backend."""

from __future__ import annotations

import warnings
from functools import partial

import torch
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.neural_networks import EstimatorQNN

from backends import open_backend
from backends.contract import CircuitProgram
from benchmarks.quantum.candidates import Candidate
from benchmarks.quantum.cases import Point
from benchmarks.quantum.steps import Step, leaves
from hybridq.quantum.engine_choice import exact_compiler
from hybridq.quantum.gradients import ExactEstimatorGradient
from hybridq.quantum.layer import QuantumLayer
from hybridq.quantum.qnn import ExactEstimatorQNN

LAYER = "QuantumLayer"
FUNCTION = "plain function of inputs and weights"
CONNECTOR = "stock TorchConnector over ExactEstimatorQNN"
GRADIENT = "stock EstimatorQNN + TorchConnector, ExactEstimatorGradient"

DTYPES = {"float32": torch.float32, "float64": torch.float64}
TOLERANCE = {"float32": 1e-4, "float64": 1e-9}


def routes(program: CircuitProgram, backend: str = "aer") -> list[Candidate]:
    """Every way to the exact engine that a backend has; layer and function also on the GPU where there is one."""
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    found = [
        Candidate(
            name,
            precision,
            partial(prepare, program, dtype=dtype, backend=backend, device=device),
            TOLERANCE[precision],
            device=device,
        )
        for device in devices
        for name, prepare in ((LAYER, layer_step), (FUNCTION, function_step))
        for precision, dtype in DTYPES.items()
    ]
    # a stock TorchConnector hands values and gradients on in float32
    found.append(Candidate(CONNECTOR, "float64", partial(_connected, program, backend), TOLERANCE["float32"]))
    if backend == "aer":  # the stock class computes the values itself, on Qiskit's noiseless estimator
        step = partial(_with_exact_gradient, program)
        found.append(Candidate(GRADIENT, "float64", step, TOLERANCE["float32"], per_sample=True))
    return found


def layer_step(
    program: CircuitProgram, point: Point, dtype: torch.dtype, backend: str = "aer", device: str = "cpu"
) -> Step:
    """QuantumLayer, a subclass of TorchConnector: what a training runs."""
    inputs, weights, upstream = leaves(point, dtype, device)
    layer = QuantumLayer(_network(program, backend), weights, dtype=dtype, in_double=False).to(device)
    return Step(layer, inputs, layer.weight, upstream)


def function_step(
    program: CircuitProgram, point: Point, dtype: torch.dtype, backend: str = "aer", device: str = "cpu"
) -> Step:
    """The engine without any torch module."""
    inputs, weights, upstream = leaves(point, dtype, device)
    compiled = exact_compiler(open_backend(backend))(program)
    return Step(lambda x: compiled(x, weights), inputs, weights, upstream)


def connector_step(network: EstimatorQNN, point: Point) -> Step:
    """A stock TorchConnector over any network."""
    inputs, weights, upstream = leaves(point, torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch.tensor(tensor)
        layer = TorchConnector(network, weights.detach())
    return Step(layer, inputs, layer.weight, upstream)


def _network(program: CircuitProgram, backend: str) -> ExactEstimatorQNN:
    return ExactEstimatorQNN.from_program(program, compiler=exact_compiler(open_backend(backend)))


def _connected(program: CircuitProgram, backend: str, point: Point) -> Step:
    return connector_step(_network(program, backend), point)


def _with_exact_gradient(program: CircuitProgram, point: Point) -> Step:
    network = EstimatorQNN(
        circuit=program.circuit,
        observables=list(program.observables),
        input_params=list(program.inputs),
        weight_params=list(program.weights),
        gradient=ExactEstimatorGradient(),
        input_gradients=True,
        default_precision=0.0,
    )
    return connector_step(network, point)
