"""The exact engine against Qiskit's Statevector, on any circuit."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Parameter, ParameterVector
from qiskit.circuit.library import PauliEvolutionGate, RXXGate, RYGate, UGate, XGate
from qiskit.quantum_info import SparsePauliOp
from quantum_programs import STANDARD_GATES, points, programs, reference_derivatives, reference_values

from backends.contract import CircuitProgram
from hybridq.errors import UserError
from hybridq.quantum.circuits import CircuitSpec
from hybridq.quantum.engine import compile_program

SLOW_REFERENCE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def z(qubit: int, qubits: int) -> SparsePauliOp:
    return SparsePauliOp.from_sparse_list([("Z", [qubit], 1.0)], num_qubits=qubits)


def as_program(circuit: QuantumCircuit, *inputs: Parameter) -> CircuitProgram:
    weights = tuple(parameter for parameter in circuit.parameters if parameter not in inputs)
    qubits = circuit.num_qubits
    return CircuitProgram(circuit, inputs, weights, tuple(z(q, qubits) for q in range(qubits)))


def assert_matches_reference(program: CircuitProgram, samples: int = 2) -> None:
    inputs, weights = points(program, samples)
    compiled = compile_program(program)
    x, w = torch.from_numpy(inputs), torch.from_numpy(weights)
    np.testing.assert_allclose(compiled(x, w).numpy(), reference_values(program, inputs, weights), atol=1e-9, rtol=0)
    for ours, reference in zip(compiled.jacobian(x, w), reference_derivatives(program, inputs, weights), strict=True):
        np.testing.assert_allclose(ours.numpy(), reference, atol=1e-8, rtol=1e-8)


@settings(SLOW_REFERENCE, max_examples=60)
@given(programs())
def test_values_of_any_circuit_equal_those_of_qiskits_statevector(program):
    inputs, weights = points(program, 3)
    values = compile_program(program)(torch.from_numpy(inputs), torch.from_numpy(weights))
    assert values.shape == (3, len(program.observables))
    np.testing.assert_allclose(values.numpy(), reference_values(program, inputs, weights), atol=1e-9, rtol=0)


@settings(SLOW_REFERENCE, max_examples=25)
@given(programs(max_qubits=4, max_gates=10))
def test_derivatives_of_any_circuit_equal_central_differences(program):
    assert_matches_reference(program)


@settings(SLOW_REFERENCE, max_examples=25)
@given(programs())
def test_float32_agrees_with_float64_to_its_precision(program):
    inputs, weights = points(program, 3)
    x, w = torch.from_numpy(inputs), torch.from_numpy(weights)
    compiled = compile_program(program)
    single = compiled(x.float(), w.float())
    assert single.dtype == torch.float32
    scale = max(float(np.abs(observable.coeffs).sum()) for observable in program.observables)
    torch.testing.assert_close(single.double(), compiled(x, w), atol=1e-5 * max(1.0, scale), rtol=0)


@settings(SLOW_REFERENCE, max_examples=25)
@given(programs())
def test_one_backward_sweep_gives_what_the_whole_jacobian_gives(program):
    inputs, weights = points(program, 3)
    x = torch.from_numpy(inputs).requires_grad_()
    w = torch.from_numpy(weights).requires_grad_()
    compiled = compile_program(program)
    d_inputs, d_weights = compiled.jacobian(x, w)
    outer = torch.randn(3, len(program.observables), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    total = (compiled(x, w) * outer).sum() + 0.0 * (x.sum() + w.sum())
    total.backward()
    torch.testing.assert_close(x.grad, torch.einsum("nk,nkx->nx", outer, d_inputs), atol=1e-10, rtol=0)
    torch.testing.assert_close(w.grad, torch.einsum("nk,nkw->w", outer, d_weights), atol=1e-10, rtol=0)


@pytest.mark.parametrize("name", sorted(STANDARD_GATES))
def test_every_standard_gate_is_understood(name):
    gate = STANDARD_GATES[name]
    circuit = QuantumCircuit(gate.num_qubits)
    for qubit in range(gate.num_qubits):
        circuit.u(0.4 + qubit, 0.3, 1.1 - qubit, qubit)
    circuit.append(gate.base_class(*ParameterVector("w", len(gate.params))), range(gate.num_qubits))
    for qubit in range(gate.num_qubits):
        circuit.ry(0.7 - 0.4 * qubit, qubit)
    assert_matches_reference(as_program(circuit), samples=1)


def test_expectation_values_belong_to_their_own_qubit():
    circuit = QuantumCircuit(3)
    for qubit, angle in enumerate((0.3, 1.1, 2.0)):
        circuit.ry(angle, qubit)
    program = as_program(circuit)
    values = compile_program(program)(torch.zeros(1, 0), torch.zeros(0, dtype=torch.float64))
    assert values[0].tolist() == pytest.approx([math.cos(0.3), math.cos(1.1), math.cos(2.0)], abs=1e-12)


def test_an_asymmetric_circuit_has_distinct_values_on_all_qubits_equal_to_qiskits():
    x = ParameterVector("x", 4)
    w = ParameterVector("w", 3)
    circuit = QuantumCircuit(4)
    for qubit in range(4):
        circuit.ry(x[qubit], qubit)
    circuit.cx(0, 2)
    circuit.rz(w[0], 2)
    circuit.rx(w[1], 1)
    circuit.crx(w[2], 3, 0)
    circuit.cx(3, 1)
    program = as_program(circuit, *x)
    inputs, weights = np.array([[0.2, 0.9, 1.4, 2.1]]), np.array([0.5, -0.8, 1.3])
    values = compile_program(program)(torch.from_numpy(inputs), torch.from_numpy(weights)).numpy()
    np.testing.assert_allclose(values, reference_values(program, inputs, weights), atol=1e-12)
    assert np.diff(np.sort(values[0])).min() > 0.05


@pytest.mark.parametrize("qubits", [5, 9, 10])
def test_circuits_of_several_qubit_blocks_are_right(qubits):
    program = CircuitSpec(qubits, 2, reuploading=True).build()
    inputs, weights = points(program, 2)
    values = compile_program(program)(torch.from_numpy(inputs), torch.from_numpy(weights))
    np.testing.assert_allclose(values.numpy(), reference_values(program, inputs, weights), atol=1e-9, rtol=0)


@pytest.mark.parametrize("reuploading", [False, True])
def test_torch_confirms_first_and_second_derivatives(reuploading):
    compiled = compile_program(CircuitSpec(3, 2, reuploading=reuploading).build())
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    w = torch.randn(compiled.num_weights, dtype=torch.float64, generator=generator, requires_grad=True)
    assert torch.autograd.gradcheck(compiled, (x, w))
    assert torch.autograd.gradgradcheck(compiled, (x, w))


def controlled_open() -> QuantumCircuit:
    circuit = QuantumCircuit(3)
    circuit.h([0, 1])
    circuit.append(RYGate(2 * Parameter("w")).control(2, ctrl_state="01"), [0, 1, 2])
    return circuit


def annotated() -> QuantumCircuit:
    circuit = QuantumCircuit(3)
    circuit.h([0, 1, 2])
    circuit.append(RXXGate(Parameter("w")).control(1, annotated=True), [2, 0, 1])
    circuit.rx(0.4, 1)
    return circuit


def custom_gate() -> QuantumCircuit:
    part = QuantumCircuit(2, name="part")
    part.append(UGate(Parameter("a"), 0.3, Parameter("b")), [1])
    part.cx(1, 0)
    circuit = QuantumCircuit(3)
    circuit.append(part.to_gate(), [2, 0])
    circuit.append(part.to_gate().control(1), [1, 0, 2])
    return circuit


def evolution() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.ry(0.4, 0)
    circuit.append(PauliEvolutionGate(SparsePauliOp(["ZX", "XZ"], [0.5, 0.2]), time=Parameter("t")), [0, 1])
    return circuit


def global_phase_and_barriers() -> QuantumCircuit:
    w = Parameter("w")
    circuit = QuantumCircuit(2, global_phase=w)
    circuit.ry(w, 0)
    circuit.barrier()
    circuit.delay(100, 0)
    circuit.cx(0, 1)
    return circuit


def wide_fixed_gate() -> QuantumCircuit:
    circuit = QuantumCircuit(6)
    for qubit in range(6):
        circuit.ry(0.5 + 0.3 * qubit, qubit)
    circuit.append(XGate().control(5), [5, 0, 1, 3, 2, 4])
    circuit.ry(Parameter("w"), 4)
    return circuit


@pytest.mark.parametrize(
    "build", [controlled_open, annotated, custom_gate, evolution, global_phase_and_barriers, wide_fixed_gate]
)
def test_composed_instructions_are_understood(build):
    assert_matches_reference(as_program(build()), samples=1)


def measured() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    return circuit


def branching() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(0)
    return circuit


def with_reset() -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.reset(0)
    return circuit


def opaque() -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.append(Gate("mystery", 1, [Parameter("w")]), [0])
    return circuit


@pytest.mark.parametrize(
    ("build", "name"), [(measured, "measure"), (branching, "if_else"), (with_reset, "reset"), (opaque, "mystery")]
)
def test_what_has_no_exact_derivative_is_refused_by_name_at_construction(build, name):
    with pytest.raises(UserError, match=f"'{name}'"):
        compile_program(as_program(build()))


def test_an_observable_that_is_not_hermitian_is_refused():
    circuit = QuantumCircuit(1)
    with pytest.raises(UserError, match="observable 0"):
        compile_program(CircuitProgram(circuit, (), (), (SparsePauliOp(["Z"], [1j]),)))


def test_an_angle_that_is_not_real_is_refused():
    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("w") * 1j, 0)
    with pytest.raises(UserError, match="not real"):
        compile_program(as_program(circuit))


def test_weights_may_differ_from_sample_to_sample():
    program = CircuitSpec(4, 2).build()
    compiled = compile_program(program)
    x, w = torch.randn(3, 4, dtype=torch.float64), torch.randn(3, 16, dtype=torch.float64)
    each = torch.cat([compiled(x[i : i + 1], w[i]) for i in range(3)])
    torch.testing.assert_close(compiled(x, w), each, atol=1e-12, rtol=0)


def test_wrong_shapes_are_refused():
    compiled = compile_program(CircuitSpec(2, 1).build())
    with pytest.raises(ValueError, match=r"expected \(N, 2\)"):
        compiled(torch.zeros(5, 3), torch.zeros(4))
    with pytest.raises(ValueError, match=r"expected \(4,\)"):
        compiled(torch.zeros(5, 2), torch.zeros(5))


def test_an_empty_batch_gives_an_empty_result():
    compiled = compile_program(CircuitSpec(4, 2).build())
    assert compiled(torch.zeros(0, 4), torch.zeros(16)).shape == (0, 4)


def test_mixed_precision_training_does_not_round_the_circuit():
    compiled = compile_program(CircuitSpec(4, 2).build())
    x, w = torch.randn(8, 4), torch.randn(16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = compiled(x, w)
    torch.testing.assert_close(mixed, compiled(x, w), atol=0, rtol=0)


def test_a_first_call_in_inference_mode_does_not_spoil_training():
    compiled = compile_program(CircuitSpec(4, 2).build())
    x, w = torch.randn(2, 4), torch.randn(16, requires_grad=True)
    with torch.inference_mode():
        compiled(x, w)
    compiled(x, w).sum().backward()
    assert w.grad is not None
