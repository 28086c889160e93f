"""Gradients for ``EstimatorQNN`` through its extension point ``BaseEstimatorGradient``: exact, and by parameter shift.

Both compute the whole Jacobian of a batch at once; the job interface of the base class picks from it what was asked.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Parameter, ParameterVector
from qiskit.circuit.library import (
    Initialize,
    RXGate,
    RXXGate,
    RYGate,
    RYYGate,
    RZGate,
    RZXGate,
    RZZGate,
)
from qiskit.primitives import BaseEstimatorV2, StatevectorEstimator
from qiskit.providers import Options
from qiskit.quantum_info import SparsePauliOp
from qiskit.quantum_info.operators.base_operator import BaseOperator
from qiskit.transpiler.passmanager import BasePassManager
from qiskit_machine_learning.gradients import BaseEstimatorGradient, DerivativeType, EstimatorGradientResult

from backends.contract import CircuitProgram, FloatArray
from backends.unitary import of_measured_qubits, unitary_circuit
from hybridq.quantum.engine import ExactProgram, compile_program
from hybridq.quantum.engine.expressions import AngleMap, depends_on
from hybridq.quantum.engine.lower import Rotation, lower
from hybridq.quantum.engine_choice import Compiler
from hybridq.quantum.programs import as_pauli_sum
from hybridq.quantum.stock_arguments import warn_of_unused

CACHED_CIRCUITS = 32
"""Prepared circuits kept by one gradient; the least recently used goes first."""

_OPTIONS = "options are set on the estimator itself, precision by precision="

_GATES: dict[str, type[Gate]] = {
    "x": RXGate,
    "y": RYGate,
    "z": RZGate,
    "xx": RXXGate,
    "yy": RYYGate,
    "zz": RZZGate,
    "zx": RZXGate,
}
_Prepared = TypeVar("_Prepared")


class JacobianGradient(BaseEstimatorGradient):
    """A gradient that computes all derivatives of all observables for all parameter sets of a circuit together.

    Circuits and observables are recognised by identity and must not be changed in place between calls.
    """

    @abstractmethod
    def jacobian(
        self,
        circuit: QuantumCircuit,
        observables: Sequence[BaseOperator],
        values: FloatArray,
        parameters: Sequence[Parameter],
    ) -> FloatArray:
        """Derivatives (N, K, P') of K observables with respect to P' of the circuit's P parameters.

        ``values`` (N, P) follow ``circuit.parameters``.
        """

    @property
    def options(self) -> Options:
        """The gradient's own options (the base class asks the estimator for options that many have not)."""
        return Options(**self._default_options.__dict__)

    def _run(
        self,
        circuits: Sequence[QuantumCircuit],
        observables: Sequence[BaseOperator],
        parameter_values: Sequence[Sequence[float]] | FloatArray,
        parameters: Sequence[Sequence[Parameter]],
        **options: Any,
    ) -> EstimatorGradientResult:
        unknown = options.keys() - self._default_options.__dict__.keys()
        warn_of_unused(f"{type(self).__name__}.run", dict.fromkeys(sorted(unknown), True), _OPTIONS, stacklevel=4)
        groups: dict[tuple[int, tuple[Parameter, ...]], list[int]] = defaultdict(list)
        for i, circuit in enumerate(circuits):
            groups[id(circuit), tuple(parameters[i])].append(i)
        gradients: list[FloatArray] = [np.zeros(0)] * len(circuits)
        for (_, wanted), members in groups.items():
            values = np.asarray([parameter_values[i] for i in members], dtype=np.float64)
            rows, row_of = np.unique(values, axis=0, return_inverse=True)
            distinct = {id(observables[i]): observables[i] for i in members}
            column_of = {key: k for k, key in enumerate(distinct)}
            derivatives = self.jacobian(circuits[members[0]], list(distinct.values()), rows, wanted)
            for i, row in zip(members, row_of.reshape(-1), strict=True):
                gradients[i] = derivatives[row, column_of[id(observables[i])]]
        metadata = [{"parameters": wanted} for wanted in parameters]
        return EstimatorGradientResult(gradients=gradients, metadata=metadata, options=Options(**options))


class ExactEstimatorGradient(JacobianGradient):
    """Exact derivatives from the project's engine, for any ``EstimatorQNN`` on an exact simulator.

    >>> EstimatorQNN(circuit=circuit, gradient=ExactEstimatorGradient(), ...)  # doctest: +SKIP

    Args:
        estimator, options, derivative_type, pass_manager: those of the stock gradients. A warning says that they do not
            apply: nothing is run, and the circuit is computed as it is.
        compiler: noiseless by default; see :func:`hybridq.quantum.engine_choice.exact_compiler`.

    Raises:
        UserError: from ``result()``: the circuit holds something that the engine cannot differentiate.
    """

    def __init__(
        self,
        estimator: BaseEstimatorV2 | None = None,
        options: Options | None = None,
        derivative_type: DerivativeType = DerivativeType.REAL,
        pass_manager: BasePassManager | None = None,
        *,
        compiler: Compiler = compile_program,
    ) -> None:
        super().__init__(estimator or StatevectorEstimator(), options)
        warn_of_unused(
            type(self).__name__,
            {
                "estimator": estimator is not None,
                "options": options is not None,
                "derivative_type": derivative_type is not DerivativeType.REAL,
                "pass_manager": pass_manager is not None,
            },
            "derivatives of expectation values are computed exactly, without running a circuit",
        )
        self._compiler = compiler
        self._compiled: _Kept[ExactProgram] = _Kept()

    def jacobian(
        self,
        circuit: QuantumCircuit,
        observables: Sequence[BaseOperator],
        values: FloatArray,
        parameters: Sequence[Parameter],
    ) -> FloatArray:
        def prepare() -> ExactProgram:
            sums = tuple(as_pauli_sum(observable) for observable in observables)
            return self._compiler(CircuitProgram(circuit, (), tuple(circuit.parameters), sums))

        compiled = self._compiled.get((circuit, *observables), prepare)
        weights = torch.tensor(values, dtype=torch.float64)
        _, derivatives = compiled.jacobian(weights.new_zeros(len(weights), 0), weights)
        return np.asarray(derivatives.numpy()[:, :, _columns(circuit, parameters)])


class BroadcastParameterShift(JacobianGradient):
    """The parameter-shift rule (doi:10.1103/PhysRevA.99.032331) for a whole batch in one PUB.

    Right for any estimator whose noise does not depend on the angles. The rule holds for an angle that enters one Pauli
    rotation; for repeated parameters, expressions and controlled rotations every rotation gets an angle of its own and
    the chain rule does the rest. A circuit in which each parameter is the angle of one rotation is run as it is.

    Args:
        estimator: runs the shifted circuits, two for each rotation and parameter set.
        options, derivative_type: those of the stock gradients. A warning says that they do not apply: an estimator has
            its own options, and an expectation value has a real derivative.
        pass_manager: transpiles the circuit that is shifted, once.
        precision: handed to the estimator; None is the estimator's own.

    Raises:
        BackendError: from ``result()``: an instruction is not unitary (see :func:`backends.unitary.unitary_circuit`).
        UserError: from ``result()``: an instruction has no decomposition into rotations.
    """

    def __init__(
        self,
        estimator: BaseEstimatorV2,
        options: Options | None = None,
        derivative_type: DerivativeType = DerivativeType.REAL,
        pass_manager: BasePassManager | None = None,
        *,
        precision: float | None = None,
    ) -> None:
        super().__init__(estimator, options, pass_manager=pass_manager)
        unused = {"options": options is not None, "derivative_type": derivative_type is not DerivativeType.REAL}
        warn_of_unused(type(self).__name__, unused, f"expectation values have real derivatives, and {_OPTIONS}")
        self._precision = precision
        self._plans: _Kept[_ShiftPlan] = _Kept()
        self._transpiled: _Kept[QuantumCircuit] = _Kept()

    def jacobian(
        self,
        circuit: QuantumCircuit,
        observables: Sequence[BaseOperator],
        values: FloatArray,
        parameters: Sequence[Parameter],
    ) -> FloatArray:
        plan = self._plans.get((circuit,), lambda: _shift_plan(circuit))
        if plan.measured:
            observables = [of_measured_qubits(as_pauli_sum(observable), plan.measured) for observable in observables]
        shown = [k for k, observable in enumerate(observables) if not is_zero(observable)]
        columns = _columns(circuit, parameters)
        angles, chain = plan.angles_and_chain(values)
        shifted = np.flatnonzero(plan.dependence[columns].any(axis=0))
        if shifted.size == 0 or not shown:
            return np.zeros((len(values), len(observables), len(columns)))
        steps = np.pi / 2 * np.eye(angles.shape[1])[shifted]
        points = angles[:, None, :] + np.concatenate([steps, -steps])
        pub = self._pub(plan.circuit, [observables[k] for k in shown], points)
        results = self._estimator.run([pub], precision=self._precision).result()
        plus, minus = np.split(np.asarray(results[0].data.evs), 2, axis=2)
        by_angle = np.zeros((len(observables), *angles.shape))
        by_angle[np.array(shown)[:, None], :, shifted] = np.swapaxes(plus - minus, 1, 2) / 2
        return np.asarray(chain(by_angle)[:, :, columns])

    def _pub(
        self, circuit: QuantumCircuit, observables: Sequence[BaseOperator], points: FloatArray
    ) -> tuple[QuantumCircuit, list[list[list[BaseOperator]]], FloatArray]:
        """Observables (K, 1, 1) against points (N, S, T), for the circuit or what the pass manager makes of it."""
        passes = self._pass_manager
        if passes is not None:
            given = circuit
            circuit = self._transpiled.get((given,), lambda: passes.run(given))
            place = {parameter: i for i, parameter in enumerate(given.parameters)}
            points = points[..., [place[parameter] for parameter in circuit.parameters]]
            sums = [as_pauli_sum(observable) for observable in observables]
            observables = [observable.apply_layout(circuit.layout, circuit.num_qubits) for observable in sums]
        return circuit, [[[observable]] for observable in observables], points


@dataclass(frozen=True)
class _ShiftPlan:
    circuit: QuantumCircuit
    """Each of its T parameters is the angle of one rotation."""
    angle_map: AngleMap
    """From the P parameters of the original circuit to the T angles."""
    dependence: NDArray[np.bool_]
    """(P, T): whether an angle is an expression of a parameter."""
    measured: frozenset[int]
    """Qubits that the original circuit measures at its end."""

    def angles_and_chain(self, values: FloatArray) -> tuple[FloatArray, Callable[[FloatArray], FloatArray]]:
        """Angles (N, T) at values (N, P), and the chain rule from (K, N, T) to (N, K, P)."""
        with torch.enable_grad():  # a torch module's backward pass switches it off
            points = torch.tensor(values, dtype=torch.float64, requires_grad=True)
            angles = self.angle_map(points.new_zeros(len(points), 0), points).expand(len(points), -1)

        def chain(by_angle: FloatArray) -> FloatArray:
            if not angles.requires_grad:  # the parameters cancel out
                return np.zeros((len(values), len(by_angle), values.shape[1]))
            (gradient,) = torch.autograd.grad(angles, points, torch.from_numpy(by_angle), is_grads_batched=True)
            return np.asarray(gradient.transpose(0, 1).numpy())

        return angles.detach().numpy(), chain


def _shift_plan(original: QuantumCircuit) -> _ShiftPlan:
    circuit, measured = unitary_circuit(original)
    items = lower(circuit)
    originals = list(circuit.parameters)
    angles = [item.angle for item in items if isinstance(item, Rotation) and depends_on(item.angle, originals)]
    # only bare parameters are compared: Qiskit cannot hash every expression that is a number in truth
    bare = {angle for angle in angles if isinstance(angle, Parameter)}
    if bare == set(originals) and len(angles) == len(originals):
        dependence = np.eye(len(originals), dtype=np.bool_)
        return _ShiftPlan(_as_written(circuit, original), AngleMap(originals, (), originals), dependence, measured)
    own = iter(ParameterVector("angle", len(angles)))
    shifted = QuantumCircuit(circuit.num_qubits)
    for item in items:
        if isinstance(item, Rotation):
            angle = next(own) if depends_on(item.angle, originals) else float(item.angle)
            shifted.append(_GATES[item.paulis](angle), item.qubits)
        else:
            shifted.append(item.operation, item.qubits)
    dependence = np.array(
        [[depends_on(angle, [parameter]) for angle in angles] for parameter in originals], dtype=np.bool_
    )
    dependence = dependence.reshape(len(originals), len(angles))
    return _ShiftPlan(_as_written(shifted, original), AngleMap(angles, (), originals), dependence, measured)


def _as_written(circuit: QuantumCircuit, original: QuantumCircuit) -> QuantumCircuit:
    """The circuit with state preparations as the ``initialize`` that they come from, for estimators that look at names;
    the state is the same."""
    given = [item.operation for item in original.data if isinstance(item.operation, Initialize)]
    if not given:
        return circuit
    result = circuit.copy_empty_like()
    for item in circuit.data:
        operation = item.operation
        if given and operation == given[0].definition.data[-1].operation:  # they come in the order of the original
            operation = given.pop(0)
        result.append(operation, item.qubits)
    return result


class _Kept(Generic[_Prepared]):
    """What was prepared for some objects, by identity; holding the objects keeps their identities from being reused."""

    def __init__(self) -> None:
        self._entries: OrderedDict[tuple[int, ...], tuple[tuple[object, ...], _Prepared]] = OrderedDict()

    def get(self, objects: tuple[object, ...], prepare: Callable[[], _Prepared]) -> _Prepared:
        key = tuple(map(id, objects))
        if key not in self._entries:
            self._entries[key] = (objects, prepare())
            if len(self._entries) > CACHED_CIRCUITS:
                self._entries.popitem(last=False)
        self._entries.move_to_end(key)
        return self._entries[key][1]


def is_zero(observable: BaseOperator) -> bool:
    """Whether nothing is left of a Pauli sum, which estimators refuse; its values are 0."""
    return isinstance(observable, SparsePauliOp) and not observable.coeffs.any()


def _columns(circuit: QuantumCircuit, parameters: Sequence[Parameter]) -> list[int]:
    place = {parameter: i for i, parameter in enumerate(circuit.parameters)}
    return [place[parameter] for parameter in parameters]
