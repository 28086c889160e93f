"""Programs from what a user has at hand: a circuit with named roles, and observables in any of Qiskit's forms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.parametervector import ParameterVectorElement
from qiskit.exceptions import QiskitError
from qiskit.quantum_info import Pauli, PauliList, SparseObservable, SparsePauliOp
from qiskit.quantum_info.operators.base_operator import BaseOperator

from backends.contract import CircuitProgram
from hybridq.errors import UserError
from hybridq.quantum.circuits import CircuitSpec
from hybridq.quantum.engine.observables import real_coefficients

Observable: TypeAlias = str | BaseOperator | SparseObservable | Mapping[str, float]
"""A label such as ``"ZIII"`` (qubit 0 on the right), a ``Pauli``, ``SparsePauliOp``, ``SparseObservable`` or other
operator, or coefficients by label."""
Role: TypeAlias = str | Parameter | ParameterVector | Iterable[str | Parameter | ParameterVector]
"""Parameters in order: each itself or its name; a vector or its name stands for all its elements."""

_SHOWN = 8


def program_of(
    circuit: CircuitSpec | CircuitProgram | QuantumCircuit,
    *,
    inputs: Role | None = None,
    weights: Role | None = None,
    observables: Observable | Iterable[Observable] | None = None,
) -> CircuitProgram:
    """A program of the circuit, in which every parameter has a role.

    >>> program_of(circuit, inputs="x", weights="w", observables=["ZI", "IZ"])  # doctest: +SKIP

    Args:
        circuit: a specification or a program, which know the roles, or any circuit.
        inputs, weights: of a circuit alone; together all its parameters, each once.
        observables: one or several; default: those that the circuit comes with, ⟨Z⟩ of each qubit of a plain one.

    Raises:
        UserError: naming a parameter without a role, with two, or that is not in the circuit, or an observable of
            another width, without real coefficients, or of an unknown form.
    """
    if isinstance(circuit, QuantumCircuit):
        roles = _roles(circuit, inputs, weights)
        sums = _z_of_each(circuit.num_qubits) if observables is None else pauli_sums(observables, circuit.num_qubits)
        return CircuitProgram(circuit, *roles, sums)
    if not isinstance(circuit, CircuitSpec | CircuitProgram):
        raise UserError(
            f"circuit is a {type(circuit).__name__}; allowed are a CircuitSpec, a QuantumCircuit and a CircuitProgram"
        )
    if inputs is not None or weights is not None:
        raise UserError(f"inputs and weights are for a plain QuantumCircuit; a {type(circuit).__name__} names its own")
    program = circuit.build() if isinstance(circuit, CircuitSpec) else circuit
    given: Observable | Iterable[Observable] = program.observables if observables is None else observables
    sums = pauli_sums(given, program.circuit.num_qubits)
    return program if observables is None else replace(program, observables=sums)


def pauli_sums(observables: Observable | Iterable[Observable], num_qubits: int) -> tuple[SparsePauliOp, ...]:
    """Hermitian Pauli sums on so many qubits, from one or several observables in any form.

    Raises:
        UserError: naming the observable that has another width, a coefficient that is no real number, or an unknown
            form; and where there are none.
    """
    one = isinstance(observables, str | Mapping | SparseObservable) or (
        isinstance(observables, BaseOperator) and not isinstance(observables, PauliList)
    )
    try:
        each: list[Any] = [observables] if one else list(observables)
    except TypeError:
        raise UserError(f"observables is a {type(observables).__name__}; {_FORMS}") from None
    if not each:
        raise UserError("observables is empty; a circuit needs at least one")
    sums = []
    for k, observable in enumerate(each):
        try:
            found = as_pauli_sum(observable)
        except (QiskitError, TypeError, ValueError, AttributeError):
            shown = repr(observable) if isinstance(observable, str) else f"a {type(observable).__name__}"
            raise UserError(f"observables[{k}] is {shown}; {_FORMS}") from None
        if found.num_qubits != num_qubits:
            raise UserError(
                f"observables[{k}] acts on {found.num_qubits} qubit{'s' * (found.num_qubits != 1)}, "
                f"the circuit has {num_qubits}"
            )
        sums.append(found)
    real_coefficients(sums)
    return tuple(sums)


_FORMS = "allowed are labels of I, X, Y and Z, Pauli, SparsePauliOp, SparseObservable and other operators"


def as_pauli_sum(observable: Observable) -> SparsePauliOp:
    """One observable as a Pauli sum; raises Qiskit's or Python's exceptions where it is none."""
    if isinstance(observable, SparsePauliOp):
        return observable
    if isinstance(observable, str):
        return SparsePauliOp(Pauli(observable))
    if isinstance(observable, Mapping):
        return SparsePauliOp.from_list(list(observable.items()))
    if isinstance(observable, SparseObservable):
        return SparsePauliOp.from_sparse_observable(observable)
    try:
        return SparsePauliOp(observable)
    except (TypeError, ValueError, QiskitError):
        return SparsePauliOp.from_operator(observable)


def _z_of_each(num_qubits: int) -> tuple[SparsePauliOp, ...]:
    if not num_qubits:
        raise UserError("circuit: it has no qubits; at least 1")
    return tuple(
        SparsePauliOp.from_sparse_list([("Z", [qubit], 1.0)], num_qubits=num_qubits) for qubit in range(num_qubits)
    )


def _roles(
    circuit: QuantumCircuit, inputs: Role | None, weights: Role | None
) -> tuple[tuple[Parameter, ...], tuple[Parameter, ...]]:
    known = list(circuit.parameters)
    taken: set[Parameter] = set()
    roles = []
    for name, given in (("inputs", inputs), ("weights", weights)):
        found = _parameters(name, given, known)
        for parameter in found:
            if parameter not in known:
                raise UserError(f"{name}: {parameter.name} is not in the circuit; its parameters are {_listed(known)}")
            if parameter in taken:
                raise UserError(f"{name}: {parameter.name} is named twice; every parameter has one role")
            taken.add(parameter)
        roles.append(tuple(found))
    missing = [parameter for parameter in known if parameter not in taken]
    if missing:
        raise UserError(
            f"circuit: the parameters {_listed(missing)} have no role; name each in inputs= or weights=, in a list of "
            "parameters or by the name of its ParameterVector"
        )
    return roles[0], roles[1]


def _parameters(role: str, given: Role | None, known: Sequence[Parameter]) -> list[Parameter]:
    if given is None:
        return []
    if isinstance(given, Parameter):
        return [given]
    if isinstance(given, ParameterVector):
        return list(given)
    if isinstance(given, str):
        for parameter in known:
            if parameter.name == given:
                return [parameter]
            if isinstance(parameter, ParameterVectorElement) and parameter.vector.name == given:
                return list(parameter.vector)
        raise UserError(f"{role}: {given!r} is not in the circuit; its parameters are {_listed(known)}")
    if not isinstance(given, Iterable):
        raise UserError(f"{role} holds {given!r}; allowed are parameters, names, and lists of these")
    return [parameter for one in given for parameter in _parameters(role, one, known)]


def _listed(parameters: Sequence[Parameter]) -> str:
    names = [parameter.name for parameter in parameters]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more if names else "none"
