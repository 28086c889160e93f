"""Layers of plain circuits: roles of parameters, observables in every form, and sentences for what does not fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.quantum_info import Operator, Pauli, PauliList, SparseObservable, SparsePauliOp
from quantum_programs import reference_values

from backends.contract import CircuitProgram
from hybridq.errors import UserError
from hybridq.quantum.circuits import CircuitSpec
from hybridq.quantum.layer import quantum_layer
from hybridq.quantum.programs import program_of

X, W = ParameterVector("x", 2), ParameterVector("w", 2)
SHIFT = Parameter("shift")


def plain() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.ry(X[0], 0)
    circuit.rx(X[1], 1)
    circuit.cx(0, 1)
    circuit.ry(W[0], 0)
    circuit.rz(W[1], 1)
    circuit.rx(W[1], 1)
    return circuit


ROWS = torch.tensor([[0.3, -0.8], [1.1, 0.4]], dtype=torch.float64)

ROLES = {
    "vectors": (X, W),
    "names of vectors": ("x", "w"),
    "lists of parameters": (list(X), list(W)),
    "tuples": (tuple(X), tuple(W)),
    "an array of parameters": (np.array(list(X)), list(W)),
    "names of parameters": (["x[0]", "x[1]"], ["w[0]", "w[1]"]),
    "a mixture": ([X[0], "x[1]"], ["w"]),
    "a generator": ((p for p in X), "w"),
}


@pytest.mark.parametrize("name", ROLES)
def test_roles_have_many_forms_and_the_order_in_which_they_are_given(name):
    inputs, weights = ROLES[name]
    layer = quantum_layer(plain(), inputs=inputs, weights=weights, dtype=torch.float64)
    expected = reference_values(
        CircuitProgram(plain(), tuple(X), tuple(W), (SparsePauliOp("IZ"), SparsePauliOp("ZI"))),
        ROWS.numpy(),
        layer.weight.detach().numpy(),
    )
    np.testing.assert_allclose(layer(ROWS).detach(), expected, atol=1e-12)


def test_another_order_of_inputs_exchanges_their_columns():
    straight = quantum_layer(plain(), inputs=[X[0], X[1]], weights="w", dtype=torch.float64)
    turned = quantum_layer(plain(), inputs=[X[1], X[0]], weights="w", dtype=torch.float64)
    torch.testing.assert_close(turned(ROWS.flip(1)), straight(ROWS), atol=1e-12, rtol=0)


def test_a_vector_of_more_than_ten_elements_keeps_its_order():
    long = ParameterVector("v", 12)
    circuit = QuantumCircuit(1)
    for element in reversed(list(long)):
        circuit.rx(element, 0)
    assert program_of(circuit, inputs="v").inputs == tuple(long)


def test_inputs_or_weights_may_be_missing_and_a_circuit_without_parameters_has_neither():
    assert quantum_layer(plain(), weights=[*X, *W])().shape == (2,)
    assert quantum_layer(plain(), inputs=[*X, *W])(torch.zeros(3, 4)).shape == (3, 2)
    assert program_of(QuantumCircuit(2)).inputs == ()


@pytest.mark.parametrize("options", [{"engine": "aer"}, {"backend": "aer:shots=50"}, {"backend": "fake_torino"}])
def test_a_plain_circuit_goes_to_every_engine(options):
    assert quantum_layer(plain(), inputs="x", weights="w", **options)(ROWS).shape == (2, 2)


WRONG_ROLES = {
    "no roles": ({}, r"the parameters w\[0\], w\[1\], x\[0\], x\[1\] have no role; name each in inputs= or weights="),
    "no weights": ({"inputs": "x"}, r"the parameters w\[0\], w\[1\] have no role"),
    "one left over": ({"inputs": "x", "weights": [W[0]]}, r"the parameters w\[1\] have no role"),
    "an unknown name": (
        {"inputs": "y", "weights": "w"},
        r"inputs: 'y' is not in the circuit; its parameters are w\[0\]",
    ),
    "a foreign one": ({"inputs": [*X, Parameter("z")], "weights": W}, "inputs: z is not in the circuit"),
    "of the same name": ({"inputs": ParameterVector("x", 2), "weights": W}, r"inputs: x\[0\] is not in the circuit"),
    "one twice": ({"inputs": [X[0], X[0]], "weights": W}, r"inputs: x\[0\] is named twice"),
    "in both roles": ({"inputs": X, "weights": [*W, X[1]]}, r"weights: x\[1\] is named twice"),
    "a number": ({"inputs": 2, "weights": W}, "inputs holds 2; allowed are parameters, names"),
    "numbers": ({"inputs": [0, 1], "weights": W}, "inputs holds 0; allowed are parameters, names"),
}


@pytest.mark.parametrize("name", WRONG_ROLES)
def test_roles_that_do_not_fit_are_named_in_one_sentence(name):
    roles, sentence = WRONG_ROLES[name]
    with pytest.raises(UserError, match=sentence):
        quantum_layer(plain(), **roles)


def test_an_element_that_the_circuit_does_not_use_is_named():
    longer = ParameterVector("u", 3)
    circuit = QuantumCircuit(1)
    circuit.rx(longer[0], 0)
    circuit.rx(longer[1], 0)
    for inputs in (longer, "u"):
        with pytest.raises(UserError, match=r"inputs: u\[2\] is not in the circuit; its parameters are u\[0\], u\[1\]"):
            program_of(circuit, inputs=inputs)


def test_of_many_parameters_the_first_are_named():
    circuit = QuantumCircuit(1)
    for element in ParameterVector("v", 11):
        circuit.rx(element, 0)
    with pytest.raises(UserError, match=r"v\[7\] and 3 more have no role"):
        program_of(circuit)


def test_roles_beside_a_specification_or_a_program_are_refused_and_so_is_what_is_no_circuit():
    for given in (CircuitSpec(2), CircuitSpec(2).build()):
        with pytest.raises(UserError, match="inputs and weights are for a plain QuantumCircuit"):
            quantum_layer(given, inputs="x")
    with pytest.raises(UserError, match="circuit is a str; allowed are"):
        quantum_layer("circuit.qasm")  # type: ignore[arg-type]


OBSERVABLES = {
    "a label": ("ZI", ["ZI"]),
    "a label with a sign": (["-ZI"], [SparsePauliOp("ZI", -1)]),
    "a Pauli": (Pauli("XZ"), ["XZ"]),
    "a Pauli with a sign": (Pauli("-XZ"), [SparsePauliOp("XZ", -1)]),
    "a list of Paulis": (PauliList(["XZ", "YI"]), ["XZ", "YI"]),
    "a sum": (SparsePauliOp(["ZI", "IZ"], [0.5, 2]), [SparsePauliOp(["ZI", "IZ"], [0.5, 2])]),
    "a sparse observable": (SparseObservable.from_list([("ZX", 0.25)]), [SparsePauliOp("ZX", 0.25)]),
    "a projector": (SparseObservable("I0"), [SparsePauliOp(["II", "IZ"], [0.5, 0.5])]),
    "an operator": (Operator.from_label("ZX"), ["ZX"]),
    "coefficients by label": ({"ZI": 0.5, "IX": -1}, [SparsePauliOp(["ZI", "IX"], [0.5, -1])]),
    "a mixture": (
        ["ZI", Pauli("IX"), SparsePauliOp("YY"), SparseObservable("XX"), {"ZZ": 2}],
        ["ZI", "IX", "YY", "XX", SparsePauliOp("ZZ", 2)],
    ),
}


@pytest.mark.parametrize("name", OBSERVABLES)
def test_observables_have_many_forms(name):
    given, expected = OBSERVABLES[name]
    found = program_of(plain(), inputs="x", weights="w", observables=given).observables
    assert [observable.simplify() for observable in found] == [SparsePauliOp(one).simplify() for one in expected]
    assert quantum_layer(plain(), inputs="x", weights="w", observables=given)(ROWS).shape == (2, len(expected))


def test_observables_of_a_specification_or_a_program_may_be_replaced():
    for circuit in (CircuitSpec(2), CircuitSpec(2).build()):
        assert program_of(circuit, observables="XX").observables == (SparsePauliOp("XX"),)
        assert len(program_of(circuit).observables) == 2


WRONG_OBSERVABLES = {
    "none": ([], "observables is empty"),
    "too wide": (["ZI", "ZII"], r"observables\[1\] acts on 3 qubits, the circuit has 2"),
    "too narrow": (Pauli("Z"), r"observables\[0\] acts on 1 qubit, the circuit has 2"),
    "other letters": (["ZI", "ZQ"], r"observables\[1\] is 'ZQ'; allowed are labels of I, X, Y and Z"),
    "a number": ([1.0], r"observables\[0\] is a float; allowed are"),
    "one number": (3, "observables is a int; allowed are"),
    "an imaginary Pauli": (Pauli("iZZ"), "observable 0: the coefficient .*1.* of ZZ must be a real number"),
    "a complex coefficient": (SparsePauliOp("ZZ", 1 + 2j), r"observable 0: the coefficient \(1\+2j\) of ZZ must be"),
    "no number": (SparsePauliOp("ZZ", np.nan), "observable 0: the coefficient .*nan.* of ZZ must be"),
    "a symbol": (["ZI", SparsePauliOp(["ZZ"], [SHIFT])], "observable 1: the coefficient shift of ZZ is symbolic"),
}


@pytest.mark.parametrize("name", WRONG_OBSERVABLES)
@pytest.mark.parametrize("options", [{}, {"engine": "aer"}, {"backend": "fake_torino"}], ids=["exact", "aer", "noisy"])
def test_observables_that_do_not_fit_are_named_in_one_sentence(name, options):
    given, sentence = WRONG_OBSERVABLES[name]
    with pytest.raises(UserError, match=sentence):
        quantum_layer(plain(), inputs="x", weights="w", observables=given, **options)


@pytest.mark.parametrize("backend", ["aer", "fake_torino"])
def test_a_program_with_a_symbolic_coefficient_is_refused_in_one_sentence(backend):
    program = CircuitProgram(plain(), tuple(X), tuple(W), (SparsePauliOp(["ZZ"], [SHIFT]),))
    with pytest.raises(UserError, match="the coefficient shift of ZZ is symbolic"):
        quantum_layer(program, backend=backend)
    bound = CircuitProgram(plain(), tuple(X), tuple(W), (SparsePauliOp(["ZZ"], [SHIFT]).assign_parameters([2.0]),))
    assert quantum_layer(bound, backend=backend)(ROWS).shape == (2, 1)
