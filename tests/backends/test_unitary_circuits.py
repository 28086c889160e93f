"""One unitary circuit stands for what is handed over, or one sentence names the instruction that has none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from programs import random_program, z_observables
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Instruction, Parameter
from qiskit.circuit.classical import expr, types
from qiskit.circuit.library import PauliProductMeasurement, RXGate
from qiskit.quantum_info import Kraus, Pauli, SparsePauliOp
from qiskit_aer import AerSimulator

from backends import BackendError, BackendEstimator, CircuitProgram, open_backend
from backends.devices import stored_device
from backends.ibm.copies import place_copies
from backends.unitary import _reserved_names, unitary_circuit


def measured_in_the_middle() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.measure(0, 0)
    circuit.ry(0.3, 0)
    return circuit


def measured_before_a_two_qubit_gate() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2)
    circuit.measure(0, 0)
    circuit.cx(1, 0)
    return circuit


def measured_within_a_part() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 2)
    circuit.append(measured_in_the_middle().to_instruction(), [0, 1], [1, 0])
    return circuit


def reset_later() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.cx(1, 0)
    circuit.reset(0)
    return circuit


def initialized_later() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.h(1)
    circuit.initialize([0, 0, 1, 0], [0, 1])
    return circuit


def branching() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 1)
    circuit.h(0)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(1)
    return circuit


def repeating() -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    with circuit.for_loop(range(3)):
        circuit.x(0)
    return circuit


def waiting() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    with circuit.while_loop((circuit.clbits[0], 0)):
        circuit.x(0)
    return circuit


def switching() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    with circuit.switch(circuit.clbits[0]) as case, case(0):
        circuit.x(0)
    return circuit


def boxed() -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    with circuit.box():
        circuit.x(0)
    return circuit


def storing() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    circuit.store(expr.lift(circuit.clbits[0]), expr.lift(True))
    return circuit


def with_a_variable() -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.add_input("mine", types.Bool())
    return circuit


def appended(operation: Instruction, bits: int = 0) -> Callable[[], QuantumCircuit]:
    def build() -> QuantumCircuit:
        circuit = QuantumCircuit(operation.num_qubits, bits)
        circuit.append(operation, range(operation.num_qubits), range(bits))
        return circuit

    return build


def saving() -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.save_expectation_value(Pauli("Z"), [0])
    return circuit


DAMPING = Kraus([np.diag([1, np.sqrt(0.7)]), np.array([[0, np.sqrt(0.3)], [0, 0]])])
REFUSED = [
    (measured_in_the_middle, "measure"),
    (measured_before_a_two_qubit_gate, "measure"),
    (measured_within_a_part, "measure"),
    (reset_later, "reset"),
    (initialized_later, "initialize"),
    (branching, "if_else"),
    (repeating, "for_loop"),
    (waiting, "while_loop"),
    (switching, "switch_case"),
    (boxed, "box"),
    (storing, "store"),
    (with_a_variable, "mine"),
    (saving, "save_expval"),
    (appended(DAMPING.to_instruction()), "kraus"),
    (appended(PauliProductMeasurement(Pauli("XZ")), bits=1), "pauli_product_measurement"),
    (appended(Instruction("mystery", 1, 0, [])), "mystery"),
]


@pytest.mark.parametrize(("build", "name"), REFUSED, ids=[f"{build.__name__} {name}" for build, name in REFUSED])
def test_what_is_not_unitary_is_refused_by_name_in_one_sentence(build: Callable[[], QuantumCircuit], name: str) -> None:
    circuit = build()
    with pytest.raises(BackendError, match=f"'{name}'") as error:
        CircuitProgram(circuit, (), (), z_observables(circuit.num_qubits))
    assert "\n" not in str(error.value)
    with pytest.raises(BackendError, match=f"'{name}'"):
        BackendEstimator(open_backend("aer")).run([(circuit, z_observables(circuit.num_qubits)[0])]).result()


def test_a_unitary_circuit_stays_the_very_same_object() -> None:
    part = QuantumCircuit(2, name="part")
    part.ry(Parameter("t"), 0)
    circuit = QuantumCircuit(3)
    circuit.append(part.to_gate().control(1, ctrl_state=0), [0, 1, 2])
    circuit.append(part.to_instruction(), [2, 0])
    circuit.append(Gate("mystery", 1, []), [0])
    circuit.unitary(np.eye(4), [0, 1])
    circuit.barrier()
    circuit.delay(100, 1)
    assert unitary_circuit(circuit) == (circuit, frozenset())
    assert unitary_circuit(circuit)[0] is circuit
    program = random_program(0, 4)
    assert CircuitProgram(program.circuit, program.inputs, program.weights, program.observables) == program


def test_bits_and_measurements_leave_no_trace() -> None:
    plain = random_program(1, 3).circuit
    bits = QuantumCircuit(3, 5, name=plain.name).compose(plain)
    measured = plain.copy()
    measured.measure_all()
    permuted = bits.copy()
    permuted.measure([0, 1, 2], [4, 0, 2])
    for circuit, qubits in ((bits, set()), (measured, {0, 1, 2}), (permuted, {0, 1, 2})):
        assert unitary_circuit(circuit) == (plain, qubits)


def test_a_partly_measured_circuit_says_which_qubits_are_measured_and_keeps_its_barriers() -> None:
    circuit = QuantumCircuit(3, 1)
    circuit.h([0, 1, 2])
    circuit.barrier()
    circuit.measure(1, 0)
    circuit.cx(0, 2)
    found, measured = unitary_circuit(circuit)
    assert measured == {1}
    assert dict(found.count_ops()) == {"h": 3, "barrier": 1, "cx": 1}


def test_a_measured_circuit_is_placed_on_hardware_as_the_bare_one() -> None:
    program = random_program(2, 3)
    bits = QuantumCircuit(3, 3, name=program.circuit.name).compose(program.circuit)
    bits.measure([0, 1, 2], [2, 0, 1])
    other = CircuitProgram(bits, program.inputs, program.weights, program.observables)
    device = stored_device("manila")
    one, two = (place_copies(p, device, copies=1) for p in (program, other))
    numbers = np.linspace(-1, 2, one.circuit.num_parameters)
    assert one.circuit.assign_parameters(numbers) == two.circuit.assign_parameters(numbers)
    assert one.observables == two.observables


def test_the_names_that_simulators_go_by_are_all_reserved() -> None:
    known = set(AerSimulator().target.operation_names)
    assert known <= _reserved_names()


def test_a_gate_under_the_name_of_another_is_its_definition() -> None:
    part = QuantumCircuit(1, name="h")
    part.ry(0.3, 0)
    whole = QuantumCircuit(1, name="whole")
    whole.append(part.to_gate(), [0])
    circuit = QuantumCircuit(1)
    circuit.append(whole.to_gate(), [0])
    circuit.append(part.to_gate(), [0])
    assert dict(unitary_circuit(circuit)[0].count_ops()) == {"ry": 2}


def test_a_controlled_gate_of_qiskits_keeps_its_name() -> None:
    circuit = QuantumCircuit(4)
    circuit.append(RXGate(0.3).control(3), [0, 1, 2, 3])
    circuit.mcp(0.4, [0, 1], 2)
    assert unitary_circuit(circuit)[0] is circuit


def test_x_and_y_of_measured_qubits_are_zero_and_the_rest_stays() -> None:
    circuit = QuantumCircuit(2, 1)
    circuit.measure(0, 0)
    observables = (SparsePauliOp(["XX", "ZI", "IY"], [1, 2, 3]), SparsePauliOp("IX"), SparsePauliOp("XZ"))
    program = CircuitProgram(circuit, (), (), observables)
    assert [o.simplify() for o in program.observables] == [
        SparsePauliOp("ZI", 2),
        SparsePauliOp("II", 0),
        SparsePauliOp("XZ"),
    ]
