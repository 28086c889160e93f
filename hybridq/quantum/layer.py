"""The quantum layer as a torch module: a ``TorchConnector`` that keeps precision and device and trains fast."""

from __future__ import annotations

import math
import warnings
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from qiskit.primitives import BaseEstimatorV2
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.exceptions import QiskitMachineLearningError
from torch import Tensor, nn

from backends.contract import CircuitProgram
from hybridq.errors import UserError
from hybridq.quantum.circuits import CircuitSpec, dead_weights
from hybridq.quantum.qnn import BroadcastEstimatorQNN, ExactEstimatorQNN

INITIAL_RANGE = math.pi / 2
"""Initial weights are uniform in ±INITIAL_RANGE radians, so that every weight has a gradient from step one. The mean
derivative of ⟨Z⟩ is the same from ±1 to ±π (0.09 at 4 qubits and 2 layers, 0.02 at 8 and 3); the smallest over the
weights is three times larger at ±π/2 than at ±1."""


class QuantumLayer(TorchConnector):
    """Expectation values of a circuit as ``nn.Module``: (..., X) radians to (..., K).

    Still a ``TorchConnector`` that holds an ``EstimatorQNN``. Over an :class:`ExactEstimatorQNN` the gradient is one
    vector-Jacobian product through the engine; over an estimator it is one PUB of shifted circuits. The result has the
    input's dtype (float32 for half precision) and device. The weights are one entry ``weight`` in ``state_dict`` (the
    stock class stores them twice: qiskit-machine-learning issue 785).

    >>> layer = quantum_layer(CircuitSpec(qubits=4, layers=2))  # doctest: +SKIP
    >>> layer(torch.rand(32, 4)).shape  # doctest: +SKIP
    torch.Size([32, 4])

    Args:
        neural_network: the circuit and how it is computed.
        initial_weights: (W,) radians; default: uniform in ±:data:`INITIAL_RANGE`.
        sparse: as in the stock class; True is refused since an ``EstimatorQNN`` is dense.
        generator: for the default initial weights; default: torch's global one.
        dtype: of the weights, float32 or float64.
    """

    def __init__(
        self,
        neural_network: BroadcastEstimatorQNN,
        initial_weights: ArrayLike | Tensor | None = None,
        sparse: bool | None = None,
        *,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(neural_network, np.zeros(neural_network.num_weights), sparse)
        del self._parameters["_weights"]
        if initial_weights is None:
            fractions = torch.rand(neural_network.num_weights, generator=generator, dtype=torch.float64)
            initial = INITIAL_RANGE * (2 * fractions - 1)
        else:
            initial = torch.as_tensor(initial_weights).detach().clone().reshape(neural_network.num_weights)
        self.register_parameter("weight", nn.Parameter(initial.to(dtype)))

    @property
    def weight(self) -> Tensor:
        """The weights (W,) in radians, a trainable parameter."""
        weight = nn.Module.__getattr__(self, "weight")  # the registered parameter, not the stock class's second name
        assert isinstance(weight, Tensor)
        return weight

    def forward(self, input_data: Tensor | None = None) -> Tensor:
        """Values (..., K) for inputs (..., X); without inputs those of one run.

        Raises:
            QiskitMachineLearningError: the last dimension is not the number of inputs.
        """
        weight = self.weight
        network = self.neural_network
        if input_data is None:
            input_data = weight.new_zeros(0)
        if input_data.shape[-1:] != (network.num_inputs,):
            raise QiskitMachineLearningError(
                f"inputs have shape {tuple(input_data.shape)}, expected (..., {network.num_inputs})"
            )
        leading = input_data.shape[:-1]
        values = network.expectations(input_data.reshape(math.prod(leading), network.num_inputs), weight)
        dtype = input_data.dtype if input_data.dtype in {torch.float32, torch.float64} else torch.float32
        return values.to(dtype).reshape(*leading, values.shape[-1])


def quantum_layer(
    circuit: CircuitSpec | CircuitProgram,
    *,
    engine: Literal["exact", "aer"] = "exact",
    estimator: BaseEstimatorV2 | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> QuantumLayer:
    """The layer for a circuit; warns of weights that no observable depends on, by name.

    Args:
        circuit: a specification, or any program of unitary gates.
        engine: ``exact`` simulates without noise or shots in torch; ``aer`` runs the estimator, with parameter shift.
        estimator: where engine ``aer`` runs, such as ``BackendEstimator(open_backend("aer:shots=4096"))``.
        seed: of the initial weights.
        dtype: of the weights, float32 or float64.

    Raises:
        UserError: an unknown engine, an estimator missing or superfluous, an instruction that cannot be differentiated.
    """
    if engine not in {"exact", "aer"}:
        raise UserError(f"engine = {engine!r}; allowed are exact, aer")
    if (engine == "aer") != (estimator is not None):
        raise UserError(f"engine = {engine!r}: an estimator is needed for aer and only there")
    program = circuit.build() if isinstance(circuit, CircuitSpec) else circuit
    dead = dead_weights(program)
    if dead:
        warnings.warn(
            f"circuit: no observable depends on the weights {', '.join(dead)}; they will not be trained", stacklevel=2
        )
    network: BroadcastEstimatorQNN
    if estimator is None:
        network = ExactEstimatorQNN.from_program(program)
    else:
        network = BroadcastEstimatorQNN.from_program(program, estimator=estimator)
    return QuantumLayer(network, generator=torch.Generator().manual_seed(seed), dtype=dtype)
