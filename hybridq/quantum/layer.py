"""The quantum layer as a torch module: a ``TorchConnector`` that keeps precision and device and trains fast."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from qiskit import QuantumCircuit
from qiskit.primitives import BaseEstimatorV2
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.connectors.torch_connector import _TorchNNFunction
from qiskit_machine_learning.exceptions import QiskitMachineLearningError
from qiskit_machine_learning.neural_networks import NeuralNetwork
from torch import Tensor, nn

from backends import BackendEstimator
from backends.contract import Backend, CircuitProgram
from hybridq.errors import UserError
from hybridq.quantum.circuits import CircuitSpec, dead_weights
from hybridq.quantum.engine import CompiledProgram
from hybridq.quantum.engine.noiseless.memory import CircuitTooLargeError
from hybridq.quantum.engine_choice import AnyBackend, aer_fallback_reason, as_backend, exact_compiler, simulated_circuit
from hybridq.quantum.programs import Observable, Role, program_of
from hybridq.quantum.qnn import BroadcastEstimatorQNN, ExactEstimatorQNN, refuse_second_derivative
from hybridq.quantum.training_noise import RandomStrength, check_outcomes, sampled

INITIAL_RANGE = math.pi / 2
"""Initial weights of :func:`quantum_layer` are uniform in ±INITIAL_RANGE radians.

Every weight has a gradient from step one. The mean derivative of ⟨Z⟩ is the same from ±1 to ±π (0.09 at 4 qubits and 2
layers, 0.02 at 8 and 3); the smallest over the weights is three times larger at ±π/2 than at ±1.
"""


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
        neural_network: the circuit and how it is computed. Any other network of the library, a ``SamplerQNN`` or a
            stock ``EstimatorQNN``, runs as in the stock class, and refuses a second derivative.
        initial_weights: (W,) radians; default: as in the stock class, uniform in ±1 from torch's global generator.
        sparse: as in the stock class; True is refused where the network is dense, as every ``EstimatorQNN`` is.
        dtype: of the weights, float32 or float64.
        in_double: compute in float64 whatever the dtypes, as the stock class does; else in the wider dtype of weights
            and inputs, as :func:`quantum_layer` does.

    Raises:
        QiskitMachineLearningError: the wrong number of initial weights, or ``sparse=True``.
    """

    def __init__(
        self,
        neural_network: NeuralNetwork,
        initial_weights: ArrayLike | Tensor | None = None,
        sparse: bool | None = None,
        *,
        dtype: torch.dtype = torch.float32,
        in_double: bool = True,
    ) -> None:
        super().__init__(neural_network, np.zeros(neural_network.num_weights), sparse)
        del self._parameters["_weights"]
        if initial_weights is None:
            initial = torch.empty(neural_network.num_weights).uniform_(-1, 1)
        else:
            initial = torch.as_tensor(initial_weights).detach().clone().flatten()
            if len(initial) != neural_network.num_weights:
                raise QiskitMachineLearningError(
                    f"{len(initial)} initial weights were given; the circuit has {neural_network.num_weights}"
                )
        self.register_parameter("weight", nn.Parameter(initial.to(dtype)))
        self.in_double = in_double
        """Whether the circuit is computed in float64."""
        self.note: str | None = None
        """What somebody who reads the results has to know about how they were computed."""
        self.shots: int | None = None
        """Drawn about the network's values, in training mode alone."""
        self.strengths: RandomStrength | None = None
        """In training mode, whose values are taken instead of the network's."""

    @property
    def weight(self) -> Tensor:
        """The weights (W,) in radians, a trainable parameter."""
        weight = nn.Module.__getattr__(self, "weight")  # the registered parameter, not the stock class's second name
        assert isinstance(weight, Tensor)
        return weight

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *options: Any) -> None:
        state_dict.pop(f"{prefix}_weights", None)  # the second name under which a stock connector saves its weights
        super()._load_from_state_dict(state_dict, prefix, *options)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self, input_data: Tensor | NDArray[Any] | None = None) -> Tensor:
        """Values (..., K) for inputs (..., X), a tensor or a NumPy array; without inputs those of one run.

        ``torch.compile`` leaves the layer out of its graph: its operators are fused already.

        Raises:
            QiskitMachineLearningError: the last dimension is not the number of inputs, or the inputs are not real
                numbers.
        """
        weight = self.weight
        network = self.neural_network
        if input_data is None:
            input_data = weight.new_zeros(0)
        elif not isinstance(input_data, Tensor):
            input_data = _as_tensor(input_data).to(weight.device)
        if input_data.is_complex():
            raise QiskitMachineLearningError("inputs are complex numbers; angles are real numbers in radians")
        if not isinstance(network, BroadcastEstimatorQNN):
            values: Tensor = _StockValues.apply(input_data, weight, network, self.sparse)
            return values
        if input_data.shape[-1:] != (network.num_inputs,):
            raise QiskitMachineLearningError(
                f"inputs have shape {tuple(input_data.shape)}, expected (..., {network.num_inputs})"
            )
        if not network.input_gradients:
            input_data = input_data.detach()
        leading = input_data.shape[:-1]
        values = self._values(network, input_data.reshape(math.prod(leading), network.num_inputs), weight)
        dtype = input_data.dtype if input_data.dtype in {torch.float32, torch.float64} else torch.float32
        return values.to(dtype).reshape(*leading, values.shape[-1])

    def _values(self, network: BroadcastEstimatorQNN, inputs: Tensor, weight: Tensor) -> Tensor:
        """(N, K) of inputs (N, X)."""
        if self.in_double:
            inputs, weight = inputs.double(), weight.double()
        if not self.training:
            return network.expectations(inputs, weight)
        compute = network.expectations if self.strengths is None else self.strengths.draw()
        values = compute(inputs, weight)
        return values if self.shots is None else sampled(values, self.shots)


class _StockValues(_TorchNNFunction):
    """Values and slopes of any network of the library, as the stock connector takes them."""

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        refuse_second_derivative()
        return _TorchNNFunction.backward(ctx, grad_output)


def quantum_layer(
    circuit: CircuitSpec | CircuitProgram | QuantumCircuit,
    *,
    inputs: Role | None = None,
    weights: Role | None = None,
    observables: Observable | Iterable[Observable] | None = None,
    backend: AnyBackend = "aer",
    engine: Literal["exact", "aer"] = "exact",
    estimator: BaseEstimatorV2 | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    noise_scale: tuple[float, float] | None = None,
) -> QuantumLayer:
    """The layer for a circuit; warns of weights that no observable depends on, by name.

    >>> quantum_layer(CircuitSpec(qubits=4, layers=2), backend="fake_torino")  # doctest: +SKIP
    >>> quantum_layer(circuit, inputs="x", weights="w", observables=["ZI", "IZ"])  # doctest: +SKIP

    Args:
        circuit: a specification, or any circuit or program of unitary gates.
        inputs, weights: the roles of a plain circuit's parameters: a list of parameters or of names, or a
            ``ParameterVector`` or its name.
        observables: labels, ``Pauli``, ``SparsePauliOp`` and their like; default: those of the specification or
            program, ⟨Z⟩ of each qubit of a plain circuit (:func:`hybridq.quantum.programs.program_of`).
        backend: whose expectation values: a simulated backend or its name; an Aer noise model, in whose gates the
            circuit is written if none of its own has an error; or any Qiskit ``BackendV2``: its noise, as its target or
            its own noise model states it (``exact``), or the counts of its own ``run`` if it is a simulator (``aer``).
            ``note`` of the layer, and a warning, say what was translated, is without an error, or is not known.
        engine: ``exact`` computes the backend's exact values and gradients in torch, under noise up to
            ``engine.noisy.MAX_QUBITS`` qubits (above, Aer takes over and ``note`` of the layer says so); where the
            backend has shots they are drawn about these values in training mode, with torch's generator
            (:func:`hybridq.quantum.training_noise.sampled`), and left out in evaluation mode. ``aer`` runs the
            backend's own estimator, with or without shots, and parameter shift.
        estimator: any other estimator for engine ``aer``, in place of the backend's.
        seed: of the initial weights, and of the shots of the backend's estimator.
        dtype: of the weights, float32 or float64; the circuit is computed in the wider of it and the inputs' dtype.
        noise_scale: in training mode the noise is λ times the backend's, λ drawn from this range in every call
            (:class:`hybridq.quantum.training_noise.RandomStrength`); in evaluation mode λ is 1.

    Raises:
        UserError: an unknown engine, an engine and a backend that do not go together, an instruction that cannot be
            differentiated, a parameter without a role, an observable that does not fit, more qubits than memory,
            ``noise_scale`` where the exact engine computes no noise, a ``BackendV2`` whose noise is not known, or that
            is hardware or may be.
        BackendError: a backend that does not exist, or an end of ``noise_scale`` at which an error is none.
    """
    if engine not in {"exact", "aer"}:
        raise UserError(f"engine = {engine!r}; allowed are exact, aer")
    program = program_of(circuit, inputs=inputs, weights=weights, observables=observables)
    where = as_backend(backend, seed=seed, engine=engine)
    network, note = _network(program, where, engine, estimator)
    if note and not isinstance(backend, str):
        warnings.warn(f"backend: {note}", stacklevel=2)
    try:
        noiseless = isinstance(network, ExactEstimatorQNN) and isinstance(network.compiled, CompiledProgram)
        dead = dead_weights(program, compiled=network.compiled if noiseless else None)
    except CircuitTooLargeError:
        dead = []
        unsearched = f"{program.circuit.num_qubits} qubits: too many to look for weights that no observable depends on"
        note = unsearched if note is None else f"{note}; {unsearched}"
    if dead:
        warnings.warn(
            f"circuit: no observable depends on the weights {', '.join(dead)}; they will not be trained", stacklevel=2
        )
    fractions = torch.rand(network.num_weights, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    layer = QuantumLayer(network, INITIAL_RANGE * (2 * fractions - 1), dtype=dtype, in_double=False)
    layer.note = note
    if not isinstance(network, ExactEstimatorQNN):
        if noise_scale is not None:
            raise UserError("noise_scale needs engine = 'exact', and a circuit that is not too large for it")
        return layer
    exact = network.compiled.program
    if where.shots is not None:
        check_outcomes(exact.observables)
        layer.shots = where.shots
    if noise_scale is not None:
        layer.strengths = RandomStrength(simulated_circuit(where, exact), *noise_scale)
    return layer


def _network(
    program: CircuitProgram, where: Backend, engine: str, estimator: BaseEstimatorV2 | None
) -> tuple[BroadcastEstimatorQNN, str | None]:
    if estimator is not None:
        if engine == "exact":
            raise UserError("engine = 'exact' runs no estimator; leave it out, or choose engine = 'aer'")
        return BroadcastEstimatorQNN.from_program(program, estimator=estimator), None
    if not where.simulated:
        raise UserError(f"{where.name} is hardware; a layer is trained on simulated backends only")
    note = None
    if engine == "exact":
        compiler = exact_compiler(where, ignore_shots=True)
        note = aer_fallback_reason(where, program.circuit.num_qubits)
        if note is None:
            exact = ExactEstimatorQNN.from_program(program, compiler=compiler)
            return exact, exact.compiled.note
    notes = (note, where.compile(program).record.get("note"))
    network = BroadcastEstimatorQNN.from_program(program, estimator=BackendEstimator(where))
    return network, "; ".join(filter(None, notes)) or None


def _as_tensor(values: NDArray[Any]) -> Tensor:
    """Angles as a tensor of their own precision, float32 where they are no floating-point numbers."""
    array = np.asarray(values)
    if array.dtype.kind not in "bfiu":
        raise QiskitMachineLearningError(f"inputs have dtype {array.dtype}; angles are real numbers in radians")
    return torch.from_numpy(array.astype(np.float64 if array.dtype == np.float64 else np.float32, order="C"))
