"""The project's ``EstimatorQNN``: one PUB a batch on any estimator, or the exact engine in place of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives import BaseEstimatorV2, StatevectorEstimator
from qiskit.quantum_info.operators.base_operator import BaseOperator
from qiskit.transpiler.passmanager import BasePassManager
from qiskit_machine_learning.gradients import BaseEstimatorGradient
from qiskit_machine_learning.neural_networks import EstimatorQNN
from torch import Tensor

from backends.contract import CircuitProgram, FloatArray
from hybridq.quantum.engine import compile_program
from hybridq.quantum.engine_choice import Compiler
from hybridq.quantum.gradients import (
    BroadcastParameterShift,
    ExactEstimatorGradient,
    JacobianGradient,
    is_zero,
)
from hybridq.quantum.programs import as_pauli_sum
from hybridq.quantum.stock_arguments import warn_of_unused

_EXACT = "values and derivatives are computed exactly, without running a circuit (BroadcastEstimatorQNN runs them)"


class BroadcastEstimatorQNN(EstimatorQNN):
    """``EstimatorQNN`` that sends one PUB, observables (K, 1) against parameter sets (N,).

    The stock class sends a PUB per observable, which costs K times the executions although commuting observables can be
    measured together. Shapes and behaviour are the stock class's.

    Args:
        estimator: default: Qiskit's exact ``StatevectorEstimator``.
        gradient: default: :class:`BroadcastParameterShift` on the same estimator with the same precision. Any other
            ``BaseEstimatorGradient`` is run as the stock class does.
        default_precision: handed to the estimator, in the forward pass and by the default gradient alike; None, the
            default, is the estimator's own. (The stock class asks for 0.0156 forwards and for the estimator's own
            backwards.)

    The other arguments are those of the stock class.
    """

    def __init__(
        self,
        *,
        circuit: QuantumCircuit,
        estimator: BaseEstimatorV2 | None = None,
        observables: Sequence[BaseOperator] | BaseOperator | None = None,
        input_params: Sequence[Parameter] | None = None,
        weight_params: Sequence[Parameter] | None = None,
        gradient: BaseEstimatorGradient | None = None,
        input_gradients: bool = False,
        default_precision: float | None = None,
        pass_manager: BasePassManager | None = None,
    ) -> None:
        estimator = estimator or StatevectorEstimator()
        super().__init__(
            circuit=circuit,
            estimator=estimator,
            observables=observables,
            input_params=input_params,
            weight_params=weight_params,
            gradient=gradient
            or BroadcastParameterShift(estimator, pass_manager=pass_manager, precision=default_precision),
            input_gradients=input_gradients,
            default_precision=default_precision,
            pass_manager=pass_manager,
        )

    @classmethod
    def from_program(cls, program: CircuitProgram, **options: Any) -> Self:
        """A network over a program's circuit, parameters and observables, with input gradients."""
        return cls(
            circuit=program.circuit,
            observables=list(program.observables),
            input_params=list(program.inputs),
            weight_params=list(program.weights),
            **{"input_gradients": True, **options},
        )

    def expectations(self, inputs: Tensor, weights: Tensor) -> Tensor:
        """Values (N, K) for inputs (N, X) and weights (W,), differentiable with torch autograd once.

        Runs on the CPU in float64 and returns the dtype and device of the wider argument.

        Raises:
            RuntimeError: from a backward pass with ``create_graph=True``, and under ``torch.func``.
        """
        _refuse_transforms(inputs)
        return _EstimatorExpectations.apply(inputs, weights, self)

    def jacobian(
        self, inputs: FloatArray | None, weights: FloatArray | None, *, wrt_inputs: bool, wrt_weights: bool
    ) -> tuple[FloatArray | None, FloatArray | None]:
        """Derivatives (N, K, X) and (N, K, W), each None if it was not asked for or has no columns."""
        wanted_inputs = self.num_inputs if wrt_inputs else 0
        wanted_weights = self.num_weights if wrt_weights else 0
        if wanted_inputs + wanted_weights == 0:
            return None, None
        values, _ = self._preprocess_forward(inputs, weights)
        parameters = list(self._circuit.parameters)
        if values.shape[1] != len(parameters):
            raise ValueError(f"{values.shape[1]} values were given for the {len(parameters)} parameters of the circuit")
        wanted = parameters[self.num_inputs - wanted_inputs : self.num_inputs + wanted_weights]
        derivatives = self.gradient.jacobian(self._circuit, list(self._observables), values, wanted)
        return (
            derivatives[:, :, :wanted_inputs] if wanted_inputs else None,
            derivatives[:, :, wanted_inputs:] if wanted_weights else None,
        )

    def _forward(self, input_data: FloatArray | None, weights: FloatArray | None) -> FloatArray | None:
        values, num_samples = self._preprocess_forward(input_data, weights)
        shown = [k for k, observable in enumerate(self._observables) if not is_zero(observable)]
        evs = np.zeros((len(self._observables), num_samples))
        if shown:
            pub = (self._circuit, [[self._observables[k]] for k in shown], values)
            evs[shown] = self.estimator.run([pub], precision=self._default_precision).result()[0].data.evs
        return np.asarray(self._forward_postprocess(num_samples, [evs]))

    def _backward(
        self, input_data: FloatArray | None, weights: FloatArray | None
    ) -> tuple[FloatArray | None, FloatArray | None]:
        if not isinstance(self.gradient, JacobianGradient):
            d_inputs, d_weights = super()._backward(input_data, weights)
            return d_inputs, d_weights
        return self.jacobian(input_data, weights, wrt_inputs=self._input_gradients, wrt_weights=True)


class ExactEstimatorQNN(BroadcastEstimatorQNN):
    """``EstimatorQNN`` whose values and derivatives come from the exact engine; the estimator is never run.

    The same values as the stock class on an exact simulator, thousands of times faster; a stock ``TorchConnector``
    over it works too. Arguments as for :class:`BroadcastEstimatorQNN`.

    Args:
        estimator, gradient, default_precision: those of the stock class. A warning says that they do not apply; it does
            so too where ``estimator`` or ``gradient`` is set later.
        compiler: noiseless by default; :func:`hybridq.quantum.engine_choice.exact_compiler` makes one for a noise model
            or a simulated device.

    Raises:
        UserError: naming the first instruction that the engine cannot differentiate.
    """

    def __init__(
        self,
        *,
        circuit: QuantumCircuit,
        estimator: BaseEstimatorV2 | None = None,
        observables: Sequence[BaseOperator] | BaseOperator | None = None,
        input_params: Sequence[Parameter] | None = None,
        weight_params: Sequence[Parameter] | None = None,
        gradient: BaseEstimatorGradient | None = None,
        input_gradients: bool = False,
        default_precision: float | None = None,
        pass_manager: BasePassManager | None = None,
        compiler: Compiler = compile_program,
    ) -> None:
        super().__init__(
            circuit=circuit,
            estimator=estimator,
            observables=observables,
            input_params=input_params,
            weight_params=weight_params,
            gradient=ExactEstimatorGradient(compiler=compiler),
            input_gradients=input_gradients,
            default_precision=0.0,
            pass_manager=pass_manager,
        )
        unused = {
            "estimator": estimator is not None,
            "gradient": gradient is not None,
            "default_precision": bool(default_precision),
        }
        warn_of_unused(type(self).__name__, unused, _EXACT)
        parameters = tuple(self._circuit.parameters)
        sums = tuple(as_pauli_sum(observable) for observable in self._observables)
        self.compiled = compiler(
            CircuitProgram(self._circuit, parameters[: self.num_inputs], parameters[self.num_inputs :], sums)
        )

    def __setattr__(self, name: str, value: Any) -> None:
        if name in {"estimator", "gradient"} and "compiled" in self.__dict__:
            warn_of_unused(type(self).__name__, {name: True}, _EXACT)
        super().__setattr__(name, value)

    def expectations(self, inputs: Tensor, weights: Tensor) -> Tensor:
        """Values (N, K) for inputs (N, X) and weights (W,) or (N, W), differentiable with torch autograd.

        Stays on the device and in the precision of the arguments (the wider one, at least float32).
        """
        return self.compiled(inputs, weights)

    def jacobian(
        self, inputs: FloatArray | None, weights: FloatArray | None, *, wrt_inputs: bool, wrt_weights: bool
    ) -> tuple[FloatArray | None, FloatArray | None]:
        x, w = self._tensors(inputs, weights)
        d_inputs, d_weights = self.compiled.jacobian(x, w)
        return (
            d_inputs.numpy() if wrt_inputs and self.num_inputs else None,
            d_weights.numpy() if wrt_weights and self.num_weights else None,
        )

    def _forward(self, input_data: FloatArray | None, weights: FloatArray | None) -> FloatArray | None:
        with torch.no_grad():
            return np.asarray(self.compiled(*self._tensors(input_data, weights)).numpy())

    def _tensors(self, inputs: FloatArray | None, weights: FloatArray | None) -> tuple[Tensor, Tensor]:
        x = np.zeros((1, 0)) if inputs is None else inputs
        w = np.zeros(0) if weights is None else weights
        return torch.tensor(x, dtype=torch.float64), torch.tensor(w, dtype=torch.float64)


class _EstimatorExpectations(torch.autograd.Function):
    """Values and Jacobians from an estimator; only derivatives that are needed are run."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weights: Tensor, network: BroadcastEstimatorQNN) -> Tensor:
        ctx.network = network
        ctx.save_for_backward(inputs, weights)
        wider = torch.promote_types(inputs.dtype, weights.dtype)
        if not len(inputs):  # an estimator takes no empty batch
            return torch.zeros(0, *network.output_shape, dtype=wider, device=inputs.device)
        values = network.forward(_to_numpy(inputs), _to_numpy(weights))
        return torch.as_tensor(values, dtype=wider, device=inputs.device)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        refuse_second_derivative()
        _refuse_transforms(gradient)
        inputs, weights = ctx.saved_tensors
        if not len(inputs):
            return torch.zeros_like(inputs), torch.zeros_like(weights), None
        d_inputs, d_weights = ctx.network.jacobian(
            _to_numpy(inputs),
            _to_numpy(weights),
            wrt_inputs=ctx.needs_input_grad[0],
            wrt_weights=ctx.needs_input_grad[1],
        )
        outer = _to_numpy(gradient)
        for_inputs = None if d_inputs is None else _like(np.einsum("nk,nkx->nx", outer, d_inputs), inputs)
        for_weights = None if d_weights is None else _like(np.einsum("nk,nkw->w", outer, d_weights), weights)
        return for_inputs, for_weights, None


def refuse_second_derivative() -> None:
    """Raise ``RuntimeError`` in a backward pass that makes a graph, from which history would be missing."""
    if torch.is_grad_enabled():
        raise RuntimeError(
            "an estimator's values are differentiable once; a backward pass with create_graph=True needs the exact "
            "engine (engine = 'exact')"
        )


def _refuse_transforms(tensor: Tensor) -> None:
    if torch._C._are_functorch_transforms_active() or torch._C._functorch.is_legacy_batchedtensor(tensor):
        raise RuntimeError(
            "an estimator runs outside torch; torch.func and batched gradients need the exact engine (engine = 'exact')"
        )


def _to_numpy(tensor: Tensor) -> FloatArray:
    return np.asarray(tensor.detach().to("cpu", torch.float64).numpy())


def _like(array: FloatArray, tensor: Tensor) -> Tensor:
    return torch.as_tensor(array, dtype=tensor.dtype, device=tensor.device)
