"""Jobs of the program ``noise-learner``: the noise of layers, read from the stored calibration instead of learned.

A layer is its gates after a twirl, which takes two √X on each of its qubits. Its channel is averaged over Paulis, gate
by gate, and written as the rates of Paulis that IBM's client expects. Qubits that no gate is on only have the twirl.
"""

from __future__ import annotations

import hashlib
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from ibm_quantum_schemas.common import F64TensorModel
from ibm_quantum_schemas.noise_learner_v3.version_0_3 import (
    LinbdbladResultMetadataModel,
    LinbdbladResultPostSelectionMetadataModel,
    NoiseLearnerV3ResultModel,
    NoiseLearnerV3ResultsModel,
    ParamsModel,
)
from qiskit.circuit import CircuitInstruction
from qiskit.circuit.library import CZGate, SXGate
from qiskit.quantum_info import Operator, Pauli, SuperOp
from qiskit_ibm_runtime.noise_learner_v3.converters import noise_learner_v3_inputs_from_0_3
from scipy.optimize import nnls

from backends.devices import Device
from loopback.execution import Execution, Outcome, gate_channel

BASES = 9
"""Measurement bases of each layer and depth."""
TWIRL_GATES = 2
"""√X on each qubit in a twirl."""
Rates = dict[str, float]
"""By Paulis, that of the first qubit first."""


def learning_size(params: dict[str, Any]) -> tuple[int, int]:
    """Circuits and executions of a job, from its parameters alone."""
    layers, options = _read(params)
    circuits = len(layers) * BASES * len(options.layer_pair_depths) * options.num_randomizations
    return circuits, circuits * options.shots_per_randomization


def learn_noise(params: dict[str, Any], device: Device, execution: Execution, seed: int | None) -> Outcome:
    """Run the parameters of a job. Raises ``ValueError`` for a layer that the device cannot run.

    ``noiseless`` knows no noise, and ``counterfeit`` invents some that depends on the layer alone.
    """
    layers, _ = _read(params)
    circuits, executions = learning_size(params)
    results = NoiseLearnerV3ResultsModel(data=[_result(layer, device, execution) for layer in layers])
    return Outcome(circuits, executions, results.model_dump_json())


def _read(params: dict[str, Any]) -> tuple[list[CircuitInstruction], Any]:
    model = ParamsModel.model_validate({name: value for name, value in params.items() if name != "version"})
    return noise_learner_v3_inputs_from_0_3(model)


def _result(layer: CircuitInstruction, device: Device, execution: Execution) -> NoiseLearnerV3ResultModel:
    physical = [qubit._index for qubit in layer.qubits]
    place = {index: number for number, index in enumerate(sorted(physical))}
    where = dict(zip(layer.operation.body.qubits, physical, strict=True))
    found: list[tuple[str, list[int], float]] = []
    idle = set(physical)
    for item in layer.operation.body:
        qubits = tuple(where[qubit] for qubit in item.qubits)
        if len(qubits) == 2 and item.operation.name != "barrier":
            idle -= set(qubits)
            rates = _rates(device, execution, item.operation.name, qubits)
            found += [(paulis, [place[q] for q in qubits], rate) for paulis, rate in rates.items()]
    for qubit in sorted(idle):
        found += [(pauli, [place[qubit]], r) for pauli, r in _rates(device, execution, "", (qubit,)).items()]
    terms = [([(p, q) for p, q in zip(paulis, on, strict=True) if p != "I"], rate) for paulis, on, rate in found]
    return NoiseLearnerV3ResultModel(
        generators_sparse=[[("".join(p for p, _ in term), [q for _, q in term])] for term, _ in terms],
        num_qubits=len(physical),
        rates=F64TensorModel.from_numpy(np.array([rate for _, rate in terms])),
        rates_std=F64TensorModel.from_numpy(np.zeros(len(terms))),
        metadata=LinbdbladResultMetadataModel(
            post_selection=LinbdbladResultPostSelectionMetadataModel(fraction_kept={}, success_rates={})
        ),
    )


def _rates(device: Device, execution: Execution, gate: str, qubits: tuple[int, ...]) -> Rates:
    if execution == "calibrated":
        return _calibrated_rates(device, gate, qubits)
    paulis = ["".join(letters) for letters in product("IXYZ", repeat=len(qubits))][1:]
    if execution == "noiseless":
        return dict.fromkeys(paulis, 0.0)
    digest = hashlib.sha256(repr((gate, qubits)).encode()).digest()
    return {pauli: digest[number] / 255e4 for number, pauli in enumerate(paulis)}


@cache
def _calibrated_rates(device: Device, gate: str, qubits: tuple[int, ...]) -> Rates:
    """Rates of the twirl and of a gate after it, or of the twirl alone."""
    channel = SuperOp(np.eye(4 ** len(qubits)))
    for number, qubit in enumerate(qubits):
        error = SuperOp(Operator(SXGate()).adjoint()).compose(SuperOp(_known(device, "sx", (qubit,))))
        for _ in range(TWIRL_GATES):
            channel = channel.compose(error, [number])
    if gate and gate != "cz":
        raise ValueError(f"the noise of {gate} is not known here")
    if gate:
        channel = SuperOp(Operator(CZGate()).adjoint()).compose(channel).compose(SuperOp(_known(device, gate, qubits)))
    return _pauli_rates(channel, len(qubits))


def _known(device: Device, gate: str, qubits: tuple[int, ...]) -> np.ndarray:
    """Superoperator of a gate with its error."""
    channel = gate_channel(device, gate, qubits)
    assert channel is not None  # it has no angle
    return channel


def _pauli_rates(channel: SuperOp, size: int) -> Rates:
    """Rates of Paulis that shrink each Pauli as a channel does, which is all that is left of it after a twirl."""
    labels = ["".join(letters) for letters in product("IXYZ", repeat=size)]
    paulis = [Pauli(label[::-1]) for label in labels]
    vectors = [pauli.to_matrix().ravel(order="F") for pauli in paulis]
    shrunk = np.array([np.vdot(vector, channel.data @ vector).real / 2**size for vector in vectors])
    against = np.array([[not p.commutes(q) for q in paulis[1:]] for p in paulis[1:]], dtype=float)
    rates, _ = nnls(2 * against, -np.log(shrunk[1:]))
    return dict(zip(labels[1:], map(float, rates), strict=True))
