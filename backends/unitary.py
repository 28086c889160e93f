"""The unitary circuit that stands for a circuit as people write it, decided once for every way of running it.

An estimator asks for expectation values of the state that a circuit leaves. Classical bits say nothing about it, a
reset of |0⟩ changes nothing, ``initialize`` on |0⟩ is a state preparation. A final measurement that nobody reads
dephases its qubit: Qiskit's estimators give 0 for X and Y of it and leave Z as it was, whatever bit it writes to. All
else that is not unitary is refused by its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain

from qiskit import QuantumCircuit
from qiskit.circuit import (
    AnnotatedOperation,
    Barrier,
    ControlFlowOp,
    Delay,
    Gate,
    Instruction,
    Measure,
    Operation,
    Qubit,
    Reset,
)
from qiskit.circuit.library import Initialize, Isometry, get_standard_gate_name_mapping
from qiskit.quantum_info import SparsePauliOp

from backends.errors import BackendError

_OF_SIMULATORS = """
    barrier break_loop continue_loop cu2 diagonal for_loop if_else initialize kraus mcp mcphase mcr mcrx mcry mcrz
    mcswap mcsx mcu mcu1 mcu2 mcu3 mcx mcx_gray mcy mcz multiplexer pauli permutation qerror_loc quantum_channel
    roerror save_amplitudes save_amplitudes_sq save_clifford save_density_matrix save_expval save_expval_var
    save_matrix_product_state save_probabilities save_probabilities_dict save_stabilizer save_state save_statevector
    save_statevector_dict save_superop save_unitary set_density_matrix set_matrix_product_state set_stabilizer
    set_statevector set_superop set_unitary store superop switch_case unitary while_loop
"""
"""Names beside those of Qiskit's standard gates by which Aer and the transpiler recognise an instruction."""
_FROM_ZERO = Reset | Initialize


def unitary_circuit(circuit: QuantumCircuit) -> tuple[QuantumCircuit, frozenset[int]]:
    """The unitary circuit without classical bits that prepares the same state, and the qubits measured at its end.

    The very same object if nothing had to be changed. A gate of the user's own that bears the name of another one is
    replaced by its definition, since simulators and the transpiler go by names.

    Raises:
        BackendError: naming an instruction that is not unitary and not one of the above, or a classical variable.
    """
    if circuit.num_identifiers:
        name = next(chain(circuit.iter_vars(), circuit.iter_stretches())).name
        raise BackendError(f"circuit: the variable '{name}' has no value here; write its value into the circuit")
    if not circuit.num_clbits and all(_is_plain(item.operation) for item in circuit.data):
        return circuit, frozenset()
    result = QuantumCircuit(circuit.qubits, name=circuit.name, metadata=circuit.metadata)
    result.add_register(*circuit.qregs)
    kept, measured = _without_final_measurements(list(_written_out(circuit, circuit.qubits, result)))
    touched = set[Qubit]()
    for operation, qubits in kept:
        if isinstance(operation, Measure) or (isinstance(operation, _FROM_ZERO) and touched.intersection(qubits)):
            raise _refusal(operation)
        if isinstance(operation, Reset):
            continue
        if not isinstance(operation, Barrier | Delay):
            touched.update(qubits)
        ready = operation.definition.data[-1].operation if isinstance(operation, Initialize) else operation
        result.append(ready, qubits, copy=False)
    return result, frozenset(result.find_bit(qubit).index for qubit in measured)


def of_measured_qubits(observable: SparsePauliOp, measured: frozenset[int]) -> SparsePauliOp:
    """The observable without the terms that a measurement of these qubits makes zero: those with X or Y on them."""
    vanishes = observable.paulis.x[:, sorted(measured)].any(axis=1)
    if vanishes.all():
        return SparsePauliOp("I" * observable.num_qubits, 0.0)
    return observable[~vanishes]


def _is_plain(operation: Operation) -> bool:
    """Whether an instruction is unitary as it stands and bears no other's name."""
    if isinstance(operation, AnnotatedOperation):
        return _is_plain(operation.base_op)
    if not isinstance(operation, Instruction) or isinstance(operation, Barrier | Delay | Isometry):
        return True  # a Clifford and other operations, which the transpiler synthesizes
    if operation.base_class.__module__.startswith("qiskit.circuit.library."):
        return isinstance(operation, Gate)
    if operation.num_clbits or isinstance(operation, Measure | Reset | ControlFlowOp):
        return False
    if operation.definition is None:
        return isinstance(operation, Gate)
    return operation.name not in _reserved_names() and all(_is_plain(i.operation) for i in operation.definition.data)


def _written_out(
    circuit: QuantumCircuit, qubits: Sequence[Qubit], result: QuantumCircuit
) -> Iterator[tuple[Operation, tuple[Qubit, ...]]]:
    """Operations and their qubits, in order, those replaced that are not plain; phases are added to ``result``."""
    result.global_phase += circuit.global_phase
    for item in circuit.data:
        operation = item.operation
        where = tuple(qubits[circuit.find_bit(qubit).index] for qubit in item.qubits)
        if isinstance(operation, Measure | Reset | Initialize) or _is_plain(operation):
            yield operation, where
        elif isinstance(operation, AnnotatedOperation):
            raise _refusal(operation.base_op)
        elif (
            isinstance(operation, ControlFlowOp)
            or operation.definition is None
            or operation.base_class.__module__.startswith("qiskit.circuit.library.")
        ):
            raise _refusal(operation)
        else:
            yield from _written_out(operation.definition, where, result)


def _without_final_measurements(
    items: list[tuple[Operation, tuple[Qubit, ...]]],
) -> tuple[list[tuple[Operation, tuple[Qubit, ...]]], set[Qubit]]:
    """The items before any measurement after which nothing happens to its qubit, and the qubits so measured.

    Barriers at the end go with the measurements.
    """
    kept, later, measured = [], set[Qubit](), set[Qubit]()
    for operation, qubits in reversed(items):
        if later.isdisjoint(qubits):
            if isinstance(operation, Measure):
                measured.update(qubits)
                continue
            if isinstance(operation, Barrier) and measured:
                continue
        if not isinstance(operation, Barrier):
            later.update(qubits)
        kept.append((operation, qubits))
    return kept[::-1], measured


@cache
def _reserved_names() -> frozenset[str]:
    return frozenset(get_standard_gate_name_mapping()) | frozenset(_OF_SIMULATORS.split())


def _refusal(operation: Operation) -> BackendError:
    return BackendError(
        f"circuit: the instruction '{operation.name}' is not unitary here; allowed are gates, barriers, delays, "
        "initialize and reset on qubits still in |0⟩, and measurements at the end"
    )
