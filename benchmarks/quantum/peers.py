"""Everybody else, each in the best configuration that we found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from qiskit.primitives import BaseEstimatorV2, StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp, SuperOp
from qiskit_aer.noise import QuantumError
from qiskit_aer.primitives import EstimatorV2 as AerEstimator
from qiskit_machine_learning.neural_networks import EstimatorQNN
from torch import Tensor

from backends import open_backend
from backends.aer import SimulatedCircuit
from backends.contract import CircuitProgram
from backends.estimator import BackendEstimator
from benchmarks.quantum.candidates import Candidate, NotInstalledError
from benchmarks.quantum.cases import Point
from benchmarks.quantum.ours import TOLERANCE, connector_step
from benchmarks.quantum.steps import Step, leaves
from benchmarks.quantum.timing import seconds_of
from hybridq.quantum.layer import QuantumLayer
from hybridq.quantum.qnn import BroadcastEstimatorQNN

STOCK = "stock EstimatorQNN + TorchConnector"
STOCK_NOISY = "stock EstimatorQNN + TorchConnector, Aer density matrix"
SHIFT = "parameter shift in one PUB, Aer"
DEFAULT_QUBIT = "PennyLane default.qubit, backprop"
LIGHTNING = "PennyLane lightning.qubit, adjoint"
PENNYLANE = (DEFAULT_QUBIT, LIGHTNING)


def noiseless_peers(program: CircuitProgram) -> list[Candidate]:
    """Stock classes, Aer and PennyLane on a simulator without noise."""
    single = TOLERANCE["float32"]
    return [
        Candidate(
            STOCK,
            "float64",
            partial(_stock_step, program, StatevectorEstimator()),
            single,
            per_sample=True,
            sample_seconds=partial(_stock_seconds, program, StatevectorEstimator()),
        ),
        shift_on("aer", program),
        Candidate(DEFAULT_QUBIT, "float64", partial(_default_qubit_step, program), TOLERANCE["float64"]),
        Candidate(LIGHTNING, "float32", partial(_lightning_step, program), single, per_sample=True),
    ]


def noisy_peers(backend: str, program: CircuitProgram) -> list[Candidate]:
    """Stock classes and Aer under a stored device's noise.

    The stock classes get what they cannot make: the compiled and scheduled circuit, and the observables as the device's
    readout shows them, which Aer's estimator leaves out. Errors are written as superoperators, three times faster here.
    """
    compiled = open_backend(backend).compile(program)
    assert isinstance(compiled, SimulatedCircuit)
    assert compiled.noise is not None
    ((group, _),) = compiled.runs
    shown = tuple(group.read_as(compiled.noise.readout))
    on_device = replace(program, circuit=compiled.circuit, observables=shown)
    errors = tuple((gate, where, QuantumError(SuperOp(error))) for gate, where, error in compiled.noise.gate_errors)
    model = replace(compiled.noise, gate_errors=errors).model(with_readout=False)
    options = {"method": "density_matrix", "noise_model": model}
    estimator = AerEstimator(options={"default_precision": 0.0, "backend_options": options})
    stock = Candidate(
        STOCK_NOISY,
        "float64",
        partial(_stock_step, on_device, estimator),
        TOLERANCE["float32"],
        per_sample=True,
        sample_seconds=partial(_stock_seconds, on_device, estimator),
    )
    return [stock, shift_on(backend, program)]


def shift_on(backend: str, program: CircuitProgram) -> Candidate:
    """The project's layer without its engine: parameter shift for the whole batch, one PUB, Aer."""

    def prepare(point: Point) -> Step:
        inputs, weights, upstream = leaves(point, torch.float64)
        estimator = BackendEstimator(open_backend(backend))
        network = BroadcastEstimatorQNN.from_program(program, estimator=estimator)
        layer = QuantumLayer(network, weights, dtype=torch.float64)
        return Step(layer, inputs, layer.weight, upstream)

    return Candidate(SHIFT, "float64", prepare, TOLERANCE["float64"], per_sample=True)


def _stock_network(program: CircuitProgram, estimator: BaseEstimatorV2) -> EstimatorQNN:
    return EstimatorQNN(
        circuit=program.circuit,
        estimator=estimator,
        observables=list(program.observables),
        input_params=list(program.inputs),
        weight_params=list(program.weights),
        input_gradients=True,
        default_precision=0.0,
    )


def _stock_step(program: CircuitProgram, estimator: BaseEstimatorV2, point: Point) -> Step:
    return connector_step(_stock_network(program, estimator), point)


def _stock_seconds(program: CircuitProgram, estimator: BaseEstimatorV2, point: Point) -> float:
    """A forward pass is one circuit an observable, a backward pass two a parameter and observable."""
    network = _stock_network(program, estimator)
    arguments = point.inputs.numpy(), point.weights.numpy()
    network.forward(*arguments)
    forward = seconds_of(lambda: network.forward(*arguments))
    return forward * (1 + 2 * len(program.circuit.parameters))


def _default_qubit_step(program: CircuitProgram, point: Point) -> Step:
    """One broadcast execution; float64, since complex64 is computed in complex128 too; the cache only costs."""
    inputs, weights, upstream = leaves(point, torch.float64)
    node = _node(program, "default.qubit", {}, {"diff_method": "backprop"})
    return Step(lambda x: torch.stack(tuple(node(x, weights)), dim=-1), inputs, weights, upstream)


def _lightning_step(program: CircuitProgram, point: Point) -> Step:
    """complex64; Jacobian or vector-Jacobian product on the device, whichever is faster for one sample."""
    device = {"c_dtype": np.complex64}

    def step(point: Point, *, on_device: bool) -> Step:
        inputs, weights, upstream = leaves(point, torch.float32)
        node = _node(program, "lightning.qubit", device, {"diff_method": "adjoint", "device_vjp": on_device})
        return Step(lambda x: torch.stack(tuple(node(x, weights)), dim=-1), inputs, weights, upstream)

    def trial(on_device: bool) -> float:
        one = step(point.part(1), on_device=on_device)
        one()
        return min(seconds_of(one) for _ in range(3))

    return step(point, on_device=min((False, True), key=trial))


def _node(
    program: CircuitProgram, device: str, device_options: dict[str, Any], options: dict[str, Any]
) -> Callable[[Tensor, Tensor], Any]:
    """A QNode of the program's circuit: (inputs, weights) to one value per observable."""
    try:
        import pennylane as qml
    except ImportError:
        raise NotInstalledError("pennylane") from None
    gates = {"rx": qml.RX, "ry": qml.RY, "rz": qml.RZ, "cx": qml.CNOT, "cz": qml.CZ}
    place = {parameter: (0, i) for i, parameter in enumerate(program.inputs)}
    place |= {parameter: (1, i) for i, parameter in enumerate(program.weights)}
    instructions = [
        (
            gates[item.operation.name],
            [place[angle] for angle in item.operation.params],
            [program.circuit.find_bit(qubit).index for qubit in item.qubits],
        )
        for item in program.circuit.data
    ]
    measured = [_single_z(observable) for observable in program.observables]

    def circuit(inputs: Tensor, weights: Tensor) -> list[Any]:
        values = (inputs, weights)
        for gate, angles, wires in instructions:
            gate(*(values[kind][..., i] for kind, i in angles), wires=wires)
        return [qml.expval(qml.PauliZ(qubit)) for qubit in measured]

    try:
        opened = qml.device(device, wires=program.circuit.num_qubits, **device_options)
    except qml.exceptions.DeviceError:
        raise NotInstalledError("pennylane-lightning") from None
    node: Callable[[Tensor, Tensor], Any] = qml.QNode(circuit, opened, interface="torch", cache=False, **options)
    return node


def _single_z(observable: SparsePauliOp) -> int:
    """The qubit of an observable ⟨Z⟩."""
    ((paulis, (qubit,), _),) = observable.to_sparse_list()
    assert paulis == "Z"
    return int(qubit)
