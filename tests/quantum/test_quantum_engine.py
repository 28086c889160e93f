"""The exact engine against Qiskit's Statevector, on any circuit."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from qiskit import QuantumCircuit
from qiskit.circuit import AnnotatedOperation, Gate, InverseModifier, Parameter, ParameterVector, PowerModifier
from qiskit.circuit.library import (
    GlobalPhaseGate,
    MCXGate,
    PauliEvolutionGate,
    QFTGate,
    RXXGate,
    RYGate,
    UGate,
    XGate,
    zz_feature_map,
)
from qiskit.quantum_info import SparsePauliOp, random_clifford, random_unitary
from qiskit.synthesis import MatrixExponential, SuzukiTrotter
from quantum_programs import (
    PREFIXES,
    STANDARD_GATES,
    cosine_chain,
    cosine_chain_answers,
    points,
    programs,
    reference_derivatives,
    reference_values,
)
from torch.utils._python_dispatch import TorchDispatchMode

from backends.contract import CircuitProgram
from backends.errors import BackendError
from hybridq.errors import UserError
from hybridq.quantum.circuits import CircuitSpec
from hybridq.quantum.engine import compile_program

W, V = Parameter("w"), Parameter("v")
EXACT = {"atol": 1e-9, "rtol": 0}
SLOW_REFERENCE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def as_program(circuit: QuantumCircuit, *inputs: Parameter) -> CircuitProgram:
    weights = tuple(parameter for parameter in circuit.parameters if parameter not in inputs)
    qubits = circuit.num_qubits
    z = [SparsePauliOp.from_sparse_list([("Z", [q], 1.0)], num_qubits=qubits) for q in range(qubits)]
    return CircuitProgram(circuit, inputs, weights, tuple(z))


def tensors(program: CircuitProgram, samples: int, *, own_weights: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Random inputs (N, X) and weights (W,), or (N, W)."""
    inputs, weights = points(program, samples)
    if own_weights:
        weights = weights + 0.3 * np.random.default_rng(1).normal(size=(samples, weights.size))
    return torch.tensor(inputs), torch.tensor(weights)


def swept(compiled, x: torch.Tensor, w: torch.Tensor, outer: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of the sum of ``outer`` times the values, in one backward sweep."""
    x, w = x.clone().requires_grad_(), w.clone().requires_grad_()
    # a circuit may use neither argument; then there is no graph but this
    ((compiled(x, w) * outer).sum() + 0.0 * (x.sum() + w.sum())).backward()
    return x.grad, w.grad


def assert_values(program: CircuitProgram, samples: int = 2, *, own_weights: bool = False) -> None:
    x, w = tensors(program, samples, own_weights=own_weights)
    values = compile_program(program)(x, w)
    assert values.shape == (samples, len(program.observables))
    np.testing.assert_allclose(values, reference_values(program, x.numpy(), w.numpy()), **EXACT)


def assert_derivatives(program: CircuitProgram, samples: int = 2) -> None:
    assert_values(program, samples)
    x, w = tensors(program, samples)
    ours, reference = compile_program(program).jacobian(x, w), reference_derivatives(program, x.numpy(), w.numpy())
    for mine, theirs in zip(ours, reference, strict=True):
        np.testing.assert_allclose(mine, theirs, **EXACT)


def assert_sweep_is_jacobian(program: CircuitProgram, samples: int, own_weights: bool) -> None:
    x, w = tensors(program, samples, own_weights=own_weights)
    compiled = compile_program(program)
    by_inputs, by_weights = compiled.jacobian(x, w)
    assert by_inputs.shape == (samples, len(program.observables), len(program.inputs))
    assert by_weights.shape == (samples, len(program.observables), len(program.weights))
    generator = torch.Generator().manual_seed(0)
    outer = torch.randn(samples, len(program.observables), dtype=torch.float64, generator=generator)
    to_inputs, to_weights = swept(compiled, x, w, outer)
    torch.testing.assert_close(to_inputs, torch.einsum("nk,nkx->nx", outer, by_inputs), atol=1e-10, rtol=0)
    summed = "nk,nkw->nw" if own_weights else "nk,nkw->w"
    torch.testing.assert_close(to_weights, torch.einsum(summed, outer, by_weights), atol=1e-10, rtol=0)


def assert_roles_do_not_matter(circuit: QuantumCircuit) -> None:
    """The same values and derivatives, whichever parameters are inputs."""
    parameters = list(circuit.parameters)
    at = dict(zip(parameters, np.linspace(0.4, -1.3, len(parameters)), strict=True))
    found = []
    for inputs in ([], parameters[:1], parameters[1:], parameters):
        compiled = compile_program(as_program(circuit, *inputs))
        weights = compiled.program.weights
        x = torch.tensor([[at[p] for p in inputs]] * 2, dtype=torch.float64)
        w = torch.tensor([at[p] for p in weights], dtype=torch.float64)
        slopes = torch.cat(compiled.jacobian(x, w), dim=2)
        columns = [(*inputs, *weights).index(p) for p in parameters]
        found.append(torch.cat([compiled(x, w)[:, :, None], slopes[:, :, columns]], dim=2))
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], atol=1e-12, rtol=0)


def assert_single_precision(program: CircuitProgram) -> None:
    """1e-5 of the largest value and derivative that the observables and the angles' slopes allow."""
    x, w = (values.float() for values in tensors(program, 3))
    compiled = compile_program(program)
    single = [compiled(x, w), *compiled.jacobian(x, w)]
    double = [compiled(x.double(), w.double()), *compiled.jacobian(x.double(), w.double())]
    norm = max(1.0, *(float(np.abs(observable.coeffs).sum()) for observable in program.observables))
    for mine, exact in zip(single, double, strict=True):
        assert mine.dtype == torch.float32
        slope = max(1.0, float(exact.abs().amax()) if exact.numel() else 0.0)
        torch.testing.assert_close(mine.double(), exact, atol=1e-5 * norm * slope, rtol=0)


# Random circuits


@settings(SLOW_REFERENCE, max_examples=30)
@given(programs())
def test_values_of_any_circuit_equal_those_of_qiskits_statevector(program):
    assert_values(program)


@settings(SLOW_REFERENCE, max_examples=15)
@given(programs(max_qubits=4, max_gates=8))
def test_derivatives_of_any_circuit_equal_central_differences(program):
    assert_derivatives(program)


@pytest.mark.parametrize(("samples", "own_weights"), [(3, False), (3, True), (1, False), (1, True)])
@settings(SLOW_REFERENCE, max_examples=8)
@given(program=programs())
def test_one_backward_sweep_gives_what_the_whole_jacobian_gives(samples, own_weights, program):
    assert_sweep_is_jacobian(program, samples, own_weights)


@settings(SLOW_REFERENCE, max_examples=10)
@given(programs(max_qubits=4))
def test_weights_of_their_own_give_every_sample_its_own_values(program):
    assert_values(program, 3, own_weights=True)


@settings(SLOW_REFERENCE, max_examples=12)
@given(programs())
def test_float32_agrees_with_float64_to_its_precision(program):
    assert_single_precision(program)


def assert_torch_confirms(program: CircuitProgram) -> None:
    assume(program.inputs or program.weights)
    x, w = (values.requires_grad_(values.numel() > 0) for values in tensors(program, 2))
    compiled = compile_program(program)
    assert torch.autograd.gradcheck(compiled, (x, w), fast_mode=True)
    if compiled(x, w).requires_grad:
        assert torch.autograd.gradgradcheck(compiled, (x, w), fast_mode=True)


@settings(SLOW_REFERENCE, max_examples=6)
@given(programs(max_qubits=3, max_gates=6))
def test_torch_confirms_first_and_second_derivatives_of_any_circuit(program):
    assert_torch_confirms(program)


@pytest.mark.slow
@settings(SLOW_REFERENCE, max_examples=300)
@given(programs(max_qubits=6, max_gates=20))
def test_values_and_sweeps_of_many_circuits_of_up_to_six_qubits(program):
    assert_values(program, 3)
    assert_values(program, 2, own_weights=True)
    assert_sweep_is_jacobian(program, 3, own_weights=False)
    assert_sweep_is_jacobian(program, 2, own_weights=True)
    assert_single_precision(program)


@pytest.mark.slow
@settings(SLOW_REFERENCE, max_examples=80)
@given(programs(max_qubits=6, max_gates=16))
def test_derivatives_of_many_circuits_of_up_to_six_qubits(program):
    assert_derivatives(program)


@pytest.mark.slow
@settings(SLOW_REFERENCE, max_examples=80)
@given(programs(max_qubits=4, max_gates=12))
def test_torch_confirms_first_and_second_derivatives_of_many_circuits(program):
    assert_torch_confirms(program)


# Gates and angles one by one


@pytest.mark.parametrize("name", sorted(STANDARD_GATES))
def test_every_standard_gate_is_understood(name):
    gate = STANDARD_GATES[name]
    circuit = QuantumCircuit(gate.num_qubits)
    for qubit in range(gate.num_qubits):
        circuit.u(0.4 + qubit, 0.3, 1.1 - qubit, qubit)
    circuit.ry(V, gate.num_qubits - 1)  # its derivative goes back through the gate
    circuit.append(gate.base_class(*ParameterVector("w", len(gate.params))), range(gate.num_qubits))
    for qubit in range(gate.num_qubits):
        circuit.ry(0.7 - 0.4 * qubit, qubit)
    assert_derivatives(as_program(circuit), samples=1)


@pytest.mark.parametrize(("controls", "state"), [(1, 0), (2, 2)])
def test_every_standard_gate_is_understood_with_open_and_closed_controls(controls, state):
    for gate in STANDARD_GATES.values():
        if gate.num_qubits > 3 - controls:
            continue
        size = controls + gate.num_qubits
        circuit = QuantumCircuit(size)
        for qubit in range(size):
            circuit.u(0.4 + qubit, 0.3, 1.1 - qubit, qubit)
        angles = [2 * angle for angle in ParameterVector("w", len(gate.params))]
        controlled = gate.base_class(*angles).control(controls, ctrl_state=state, annotated=False)
        circuit.append(controlled, reversed(range(size)))
        for qubit in range(size):
            circuit.ry(0.7 - 0.4 * qubit, qubit)
        assert_values(as_program(circuit), samples=1)


@pytest.mark.parametrize(
    "angle",
    [
        -W,
        W / 3 + 0.2,
        np.pi * (W - 2 * V),
        W - W,
        0 * W,
        W * V,
        W / (1 + V**2),
        2 / (2 + W**2),
        W**3 - V**2,
        (1 + W**2) ** 0.5,
        (1 + W**2) ** V,
        W.sin() * V.cos(),
        (0.3 * W).tan(),
        (0.3 * W.sin()).arcsin(),
        (0.3 * W.sin()).arccos(),
        W.arctan(),
        (0.3 * W).exp(),
        (1 + W**2).log(),
        abs(W),
        W.sign() * V,
        W.conjugate(),
        (W + V) ** 2 - W**2 - 2 * W * V,
    ],
    ids=str,
)
def test_angles_may_be_any_differentiable_expression_of_inputs_and_weights(angle):
    circuit = QuantumCircuit(2)
    circuit.h([0, 1])
    circuit.ry(angle, 0)
    circuit.cx(0, 1)
    circuit.rzz(angle, 0, 1)
    circuit.rx(V, 1)
    circuit.rx(0.3, 0)
    circuit.u(W, 0.4, V, 0)
    assert_derivatives(as_program(circuit), samples=1)
    assert_roles_do_not_matter(circuit)


@pytest.mark.parametrize("name", ["I", "E", "pi", "lambda", "x[0]", "θ", "a-b", "sin", "oo"])
def test_a_parameter_may_have_any_name(name):
    parameter = Parameter(name)
    circuit = QuantumCircuit(1)
    circuit.ry(parameter**2 + parameter.sin(), 0)
    assert_derivatives(as_program(circuit))


def controlled_open() -> QuantumCircuit:
    circuit = QuantumCircuit(3)
    circuit.h([0, 1])
    circuit.append(RYGate(2 * W).control(2, ctrl_state="01"), [0, 1, 2])
    return circuit


def annotated() -> QuantumCircuit:
    circuit = QuantumCircuit(3)
    circuit.h([0, 1, 2])
    circuit.append(RXXGate(W).control(1, annotated=True), [2, 0, 1])
    circuit.append(AnnotatedOperation(RYGate(W), [InverseModifier(), PowerModifier(2)]), [2])
    circuit.rx(0.4, 1)
    return circuit


def custom_gate() -> QuantumCircuit:
    part = QuantumCircuit(2, name="part", global_phase=V)
    part.append(UGate(W, 0.3, V), [1])
    part.cx(1, 0)
    circuit = QuantumCircuit(3)
    circuit.h(1)
    circuit.append(part.to_gate(), [2, 0])
    circuit.append(part.to_gate().control(1), [1, 0, 2])
    circuit.append(part.to_gate().inverse(), [1, 2])
    circuit.append(part.to_instruction(), [0, 1])
    circuit.ry(0.4, 1)
    return circuit


def nested_gates() -> QuantumCircuit:
    inner = QuantumCircuit(2, name="inner")
    inner.crx(W * V, 1, 0)
    outer = QuantumCircuit(3, name="outer")
    outer.append(inner.to_gate(), [2, 0])
    outer.ry(V, 2)
    circuit = QuantumCircuit(3)
    circuit.h([0, 1, 2])
    circuit.append(outer.repeat(2).to_gate(), [1, 2, 0])
    circuit.rx(0.3, 0)
    return circuit


def evolution() -> QuantumCircuit:
    circuit = QuantumCircuit(3)
    circuit.ry(0.4, 0)
    circuit.ry(0.9, 1)
    hamiltonian = SparsePauliOp(["ZX", "XZ", "YI"], [0.5, 0.2, 0.3])
    circuit.append(PauliEvolutionGate(hamiltonian, time=W), [0, 2])
    circuit.append(PauliEvolutionGate(hamiltonian, time=0.4, synthesis=SuzukiTrotter(order=2, reps=2)), [1, 0])
    circuit.append(PauliEvolutionGate(hamiltonian, time=V * W, synthesis=SuzukiTrotter(order=2, reps=2)), [2, 1])
    return circuit


def phases_and_pauses() -> QuantumCircuit:
    circuit = QuantumCircuit(2, global_phase=W)
    circuit.ry(W, 0)
    circuit.h(1)
    circuit.append(GlobalPhaseGate(V), [])
    circuit.append(GlobalPhaseGate(V).control(1), [1])
    circuit.barrier()
    circuit.delay(100, 0)
    circuit.h(1)
    circuit.cx(0, 1)
    return circuit


def wide_fixed_gates() -> QuantumCircuit:
    circuit = QuantumCircuit(6)
    for qubit in range(6):
        circuit.ry(0.5 + 0.3 * qubit, qubit)
    circuit.append(XGate().control(5), [5, 0, 1, 3, 2, 4])
    circuit.ry(W, 4)
    circuit.append(QFTGate(5), [4, 2, 0, 1, 3])
    circuit.append(MCXGate(5), [0, 5, 4, 3, 2, 1])
    circuit.prepare_state([0.5, 0.5j, -0.5, 0.5], [2, 5])
    circuit.ry(V, 4)
    return circuit


def stock_feature_map() -> QuantumCircuit:
    return zz_feature_map(3, reps=1)


@pytest.mark.parametrize(
    "build",
    [
        controlled_open,
        annotated,
        custom_gate,
        nested_gates,
        evolution,
        phases_and_pauses,
        wide_fixed_gates,
        stock_feature_map,
    ],
)
@pytest.mark.filterwarnings("ignore:.*CSC.*")
def test_composed_instructions_are_understood(build):
    circuit = build()
    assert_derivatives(as_program(circuit), samples=1)
    assert_roles_do_not_matter(circuit)


def annotated_beside_other_gates() -> QuantumCircuit:
    circuit = QuantumCircuit(3)
    circuit.u(0.4, 0.3, 1.1, 0)
    circuit.x(1)
    circuit.ecr(0, 1)
    circuit.unitary(random_unitary(4, seed=1), [1, 2])
    circuit.append(RXXGate(W).control(1, annotated=True), [2, 0, 1])
    return circuit


def clifford() -> QuantumCircuit:
    circuit = QuantumCircuit(3)
    circuit.ry(W, 0)
    circuit.append(random_clifford(3, seed=1), [2, 0, 1])
    return circuit


@pytest.mark.parametrize("build", [annotated_beside_other_gates, clifford])
def test_operations_that_have_to_be_synthesized_are_understood(build):
    assert_derivatives(as_program(build()), samples=1)


# No qubit can be taken for another


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("qubits", [3, 6])
def test_values_and_derivatives_belong_to_their_own_qubit_on_every_way_through_the_engine(qubits, prefix):
    program = cosine_chain(qubits, prefix)
    inputs = np.array([[0.3, 1.2, 0.3, 0.5, 0.9, 0.6], [0.2, -0.3, 2.2, 0.2, -0.6, 0.7]])[:, :qubits]
    weights = np.array([0.1, -0.2, 0.15, 0.2, -0.1, 0.1])[:qubits]
    compiled = compile_program(program)
    x, w = torch.from_numpy(inputs), torch.from_numpy(weights)
    values, by_inputs, by_weights = cosine_chain_answers(inputs, weights)
    assert np.diff(np.sort(values, axis=1)).min() > 0.05
    np.testing.assert_allclose(compiled(x, w), values, atol=1e-12)
    np.testing.assert_allclose(compiled.jacobian(x, w)[0], by_inputs, atol=1e-12)
    np.testing.assert_allclose(compiled.jacobian(x, w)[1], by_weights, atol=1e-12)
    outer = torch.arange(1.0, 2 * qubits + 1, dtype=torch.float64).reshape(2, qubits)
    to_inputs, to_weights = swept(compiled, x, w, outer)
    np.testing.assert_allclose(to_inputs, np.einsum("nk,nkx->nx", outer, by_inputs), atol=1e-11)
    np.testing.assert_allclose(to_weights, np.einsum("nk,nkw->w", outer, by_weights), atol=1e-11)


@pytest.mark.parametrize("entangled", [False, True])
def test_every_pauli_string_of_a_product_state_is_the_product_of_bloch_components(entangled):
    theta, phi = np.array([0.4, 1.2, 2.3]), np.array([0.3, -0.9, 1.7])
    bloch = {"I": np.ones(3), "X": np.sin(theta) * np.cos(phi), "Y": np.sin(theta) * np.sin(phi), "Z": np.cos(theta)}
    circuit = QuantumCircuit(3)
    if entangled:
        circuit.unitary(cosine_chain(2, "matrix").circuit.data[0].operation.to_matrix(), [2, 0])
    angles = ParameterVector("w", 6)
    for q in range(3):
        circuit.ry(angles[q], q)
        circuit.rz(angles[3 + q], q)
    labels = ["".join(letters) for letters in product("IXYZ", repeat=3)]
    program = CircuitProgram(circuit, (), tuple(angles), tuple(SparsePauliOp(label) for label in labels))
    weights = torch.from_numpy(np.concatenate([theta, phi]))
    values = compile_program(program)(torch.zeros(1, 0), weights)[0]
    expected = [np.prod([bloch[letter][q] for q, letter in enumerate(reversed(label))]) for label in labels]
    np.testing.assert_allclose(values, expected, atol=1e-12)


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


def test_a_matrix_on_three_qubits_in_any_order_is_taken_as_qiskit_takes_it():
    for order in ([2, 0, 1], [1, 3, 2]):
        circuit = QuantumCircuit(4)
        for qubit, angle in enumerate(ParameterVector("w", 4)):
            circuit.ry(angle + 0.4 * qubit, qubit)
        circuit.append(CircuitSpec(3, 1).build().circuit.assign_parameters(np.arange(9) / 3).to_gate(), order)
        assert_derivatives(as_program(circuit), samples=1)


@pytest.mark.parametrize("qubits", [5, 8, 9, 10])
@pytest.mark.parametrize("reuploading", [False, True])
def test_circuits_of_several_qubit_blocks_are_right(qubits, reuploading):
    program = CircuitSpec(qubits, 2, reuploading=reuploading).build()
    assert_values(program)
    assert_sweep_is_jacobian(program, 2, own_weights=False)
    x, w = tensors(program, 1)
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(len(w), dtype=torch.float64, generator=generator)
    step = 1e-3
    ahead, behind, further, back = (
        torch.from_numpy(reference_values(program, x.numpy(), (w + k * step * direction).numpy()))
        for k in (1, -1, 2, -2)
    )
    slope = (8 * (ahead - behind) - (further - back)) / (12 * step)
    along = compile_program(program).jacobian(x, w)[1] @ direction
    torch.testing.assert_close(along, slope, atol=1e-7, rtol=0)


# As torch calls it


def spec_tensors(samples: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    return tensors(CircuitSpec(3, 2).build(), samples)


def compiled_spec(reuploading: bool = False):
    return compile_program(CircuitSpec(3, 2, reuploading=reuploading).build())


@pytest.mark.parametrize("reuploading", [False, True])
@pytest.mark.parametrize("own_weights", [False, True])
def test_torch_confirms_first_and_second_derivatives(reuploading, own_weights):
    program = CircuitSpec(2, 2, reuploading=reuploading).build()
    x, w = (values.requires_grad_() for values in tensors(program, 2, own_weights=own_weights))
    compiled = compile_program(program)
    assert torch.autograd.gradcheck(compiled, (x, w))
    assert torch.autograd.gradgradcheck(compiled, (x, w))


@pytest.mark.parametrize("rotations", [("rz",), ("rx", "rz"), ("rz", "ry")])
def test_torch_confirms_derivatives_where_angles_are_exactly_zero(rotations):
    compiled = compile_program(CircuitSpec(2, 2, rotations=rotations, reuploading=True).build())
    x = torch.zeros(2, 2, dtype=torch.float64, requires_grad=True)
    w = torch.zeros(compiled.num_weights, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(compiled, (x, w))
    assert torch.autograd.gradgradcheck(compiled, (x, w), fast_mode=True)


@pytest.mark.parametrize("angle", [0 * W, W - W - 1, W**0], ids=str)
def test_a_weight_that_cancels_out_has_zero_derivatives(angle):
    circuit = QuantumCircuit(1, global_phase=W)
    circuit.ry(angle, 0)
    compiled = compile_program(as_program(circuit))
    x, w = torch.zeros(2, 0, dtype=torch.float64), torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
    assert not compiled.jacobian(x, w)[1].any()
    assert not swept(compiled, x, w.detach(), torch.ones(2, 1))[1].any()


def test_a_weight_that_cancels_out_has_a_zero_gradient_that_can_be_differentiated():
    circuit = QuantumCircuit(1, global_phase=W)
    compiled = compile_program(as_program(circuit))
    w = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
    loss = compiled(torch.zeros(2, 0, dtype=torch.float64), w).sum()
    assert not torch.autograd.grad(loss, w, create_graph=True)[0].any()


def test_the_layout_of_the_arguments_in_memory_does_not_matter():
    compiled = compiled_spec()
    x, w = spec_tensors()
    plain = [compiled(x, w), *swept(compiled, x, w, torch.ones(4, 3))]
    spread_x = torch.stack([x, -x], dim=2)[:, :, 0].T.contiguous().T
    spread_w = torch.stack([w, -w], dim=1)[:, 0]
    assert not spread_x.is_contiguous()
    assert not spread_w.is_contiguous()
    for mine, expected in zip(
        [compiled(spread_x, spread_w), *swept(compiled, spread_x, spread_w, torch.ones(1, 1).expand(4, 3))],
        plain,
        strict=True,
    ):
        torch.testing.assert_close(mine, expected, atol=1e-14, rtol=0)


@pytest.mark.parametrize("wanted", ["inputs", "weights"])
def test_only_one_of_the_arguments_may_need_a_gradient(wanted):
    compiled = compiled_spec(reuploading=True)
    x, w = spec_tensors()
    both = swept(compiled, x, w, torch.ones(4, 3))
    x.requires_grad_(wanted == "inputs")
    w.requires_grad_(wanted == "weights")
    compiled(x, w).sum().backward()
    expected = {"inputs": (both[0], None), "weights": (None, both[1])}[wanted]
    for mine, theirs in zip((x.grad, w.grad), expected, strict=True):
        assert (mine is None) == (theirs is None)
        if mine is not None:
            torch.testing.assert_close(mine, theirs, atol=1e-14, rtol=0)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients_the_values_are_the_same_and_carry_no_graph(mode):
    compiled = compiled_spec()
    x, w = spec_tensors()
    values = compiled(x, w.requires_grad_())
    assert values.requires_grad
    with mode():
        quiet = compiled(x, w)
    assert not quiet.requires_grad
    torch.testing.assert_close(quiet.clone(), values.detach(), atol=0, rtol=0)


def test_a_first_call_in_inference_mode_does_not_spoil_training():
    compiled = compiled_spec()
    x, w = spec_tensors()
    with torch.inference_mode():
        compiled(x, w)
    compiled(x, w.requires_grad_()).sum().backward()
    assert w.grad is not None


def test_a_graph_may_be_walked_twice_and_gradients_add_up():
    compiled = compiled_spec()
    x, w = spec_tensors()
    once = swept(compiled, x, w, torch.ones(4, 3))[1]
    w.requires_grad_()
    loss = compiled(x, w).sum()
    loss.backward(retain_graph=True)
    loss.backward()
    torch.testing.assert_close(w.grad, 2 * once, atol=1e-14, rtol=0)
    (compiled(x[:2], w).sum() + compiled(x[2:], w).sum()).backward()
    torch.testing.assert_close(w.grad, 3 * once, atol=1e-13, rtol=0)


def test_weights_changed_between_the_passes_never_give_a_wrong_gradient():
    compiled = compiled_spec()
    x, w = spec_tensors()
    right = swept(compiled, x, w, torch.ones(4, 3))[1]
    w.requires_grad_()
    loss = compiled(x, w).sum()
    with torch.no_grad():
        w.add_(1.0)
    refusal = ""
    try:
        loss.backward()
    except RuntimeError as error:
        refusal = str(error)
    if w.grad is None:
        assert "modified by an inplace operation" in refusal
    else:
        torch.testing.assert_close(w.grad, right, atol=1e-14, rtol=0)


def test_mixed_precision_training_does_not_round_the_circuit():
    compiled = compile_program(CircuitSpec(4, 2).build())
    x, w = torch.randn(8, 4), torch.randn(16, requires_grad=True)
    gradients = []
    for enabled in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            values = compiled(x, w)
        gradients.append((values.detach(), *torch.autograd.grad(values.sum(), w)))
    for mixed, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(mixed, plain, atol=0, rtol=0)


@pytest.mark.parametrize(
    ("inputs", "weights", "result"),
    [
        (torch.float32, torch.float32, torch.float32),
        (torch.float32, torch.float64, torch.float64),
        (torch.float64, torch.float32, torch.float64),
        (torch.bfloat16, torch.float16, torch.float32),
        (torch.int64, torch.float32, torch.float32),
    ],
)
def test_the_wider_precision_decides_and_gradients_keep_that_of_their_argument(inputs, weights, result):
    compiled = compiled_spec()
    x, w = spec_tensors()
    x, w = x.to(inputs), w.to(weights).requires_grad_()
    values = compiled(x, w)
    values.sum().backward()
    assert (values.dtype, w.grad.dtype) == (result, weights)


# What the arguments may be


@pytest.mark.parametrize("samples", [0, 1, 2, 37])
def test_any_batch_gives_what_its_samples_give_alone(samples):
    compiled = compiled_spec(reuploading=True)
    x, w = spec_tensors(samples)
    values, (by_inputs, by_weights) = compiled(x, w), compiled.jacobian(x, w)
    assert (values.shape, by_inputs.shape, by_weights.shape) == ((samples, 3), (samples, 3, 3), (samples, 3, 12))
    for n in range(samples):
        torch.testing.assert_close(values[n], compiled(x[n : n + 1], w)[0], atol=1e-13, rtol=0)
        for whole, alone in zip((by_inputs, by_weights), compiled.jacobian(x[n : n + 1], w), strict=True):
            torch.testing.assert_close(whole[n], alone[0], atol=1e-13, rtol=0)
    to_inputs, to_weights = swept(compiled, x, w, torch.ones(samples, 3))
    torch.testing.assert_close(to_inputs, by_inputs.sum(1), atol=1e-13, rtol=0)
    torch.testing.assert_close(to_weights, by_weights.sum((0, 1)), atol=1e-12, rtol=0)


@pytest.mark.parametrize("own_weights", [False, True])
def test_circuits_without_inputs_without_weights_and_without_both_are_evaluated(own_weights):
    x, w = ParameterVector("x", 2), ParameterVector("w", 2)
    circuit = QuantumCircuit(2)
    circuit.ry(x[0] + 0.4 * w[1], 0)
    circuit.crx(w[0] * x[1], 0, 1)
    fixed = circuit.assign_parameters(dict.fromkeys((*x, *w), 0.6))
    for program in (as_program(circuit), as_program(circuit, *x, *w), as_program(fixed)):
        for samples in (0, 1, 3):
            assert_values(program, samples, own_weights=own_weights)
            assert_sweep_is_jacobian(program, samples, own_weights)


def test_wrong_shapes_are_refused():
    compiled = compile_program(CircuitSpec(2, 1).build())
    for call in (compiled, compiled.jacobian):
        for inputs in [(5, 3), (2,), (1, 5, 2)]:
            with pytest.raises(ValueError, match=r"expected \(N, 2\)"):
                call(torch.zeros(inputs), torch.zeros(4))
        for weights in [(5,), (4, 5), (5, 3), (1, 5, 4), ()]:
            with pytest.raises(ValueError, match=r"expected \(4,\)"):
                call(torch.zeros(5, 2), torch.zeros(weights))


class LargestTensor(TorchDispatchMode):
    """The bytes of the largest tensor that an operator makes."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.largest = max(self.largest, tensor.untyped_storage().nbytes())
        return result


@pytest.mark.parametrize("own_weights", [False, True])
@pytest.mark.parametrize("reuploading", [False, True])
@pytest.mark.parametrize("memory", [1, 5_000, 20_000])
def test_a_memory_limit_changes_no_value_and_no_gradient(memory, reuploading, own_weights):
    program = CircuitSpec(4, 2, reuploading=reuploading).build()
    x, w = tensors(program, 23, own_weights=own_weights)
    outer = torch.randn(23, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    unlimited, chunked = compile_program(program), compile_program(program, memory=memory)
    torch.testing.assert_close(chunked(x, w), unlimited(x, w), atol=1e-13, rtol=0)
    for mine, expected in zip(chunked.jacobian(x, w), unlimited.jacobian(x, w), strict=True):
        torch.testing.assert_close(mine, expected, atol=1e-13, rtol=0)
    for mine, expected in zip(swept(chunked, x, w, outer), swept(unlimited, x, w, outer), strict=True):
        torch.testing.assert_close(mine, expected, atol=1e-12, rtol=0)


def test_no_tensor_is_larger_than_the_memory_limit():
    program = CircuitSpec(8, 2, reuploading=True).build()
    x, w = tensors(program, 60)
    limit = 2**17
    largest = []
    for compiled in (compile_program(program), compile_program(program, memory=limit)):
        with LargestTensor() as seen:
            swept(compiled, x, w, torch.ones(60, 8))
            compiled.jacobian(x[:5], w)
        largest.append(seen.largest)
    assert largest[1] <= limit < largest[0]


# What is refused


def measured() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    circuit.ry(W, 0)
    return circuit


def branching() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(0)
    return circuit


def looping() -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    with circuit.for_loop(range(3)):
        circuit.x(0)
    return circuit


def with_reset() -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.ry(W, 0)
    circuit.reset(0)
    return circuit


def reset_within_a_part() -> QuantumCircuit:
    part = QuantumCircuit(1, name="part")
    part.ry(W, 0)
    part.reset(0)
    circuit = QuantumCircuit(1)
    circuit.append(part.to_instruction(), [0])
    return circuit


def initialized() -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.ry(W, 0)
    circuit.initialize([0.6, 0.8])
    return circuit


def opaque() -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.append(Gate("mystery", 1, [Parameter("w")]), [0])
    return circuit


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (measured, "measure"),
        (branching, "if_else"),
        (looping, "for_loop"),
        (with_reset, "reset"),
        (reset_within_a_part, "reset"),
        (initialized, "initialize"),
        (opaque, "mystery"),
    ],
)
def test_what_has_no_exact_derivative_is_refused_by_name_at_construction(build, name):
    with pytest.raises((UserError, BackendError), match=f"'{name}'") as error:
        compile_program(as_program(build()))
    assert "\n" not in str(error.value)


def test_an_evolution_that_is_no_product_formula_is_refused_while_its_time_is_open():
    gate = PauliEvolutionGate(SparsePauliOp(["XZ", "YY"]), time=W, synthesis=MatrixExponential())
    circuit = QuantumCircuit(2)
    circuit.append(gate, [0, 1])
    with pytest.raises(UserError, match="cannot be differentiated"):
        compile_program(as_program(circuit))


@pytest.mark.parametrize("coefficient", [1j, 0.5 + 0.1j, float("nan")])
def test_an_observable_that_is_not_hermitian_is_refused(coefficient):
    circuit = QuantumCircuit(1)
    with pytest.raises(UserError, match="observable 1"):
        compile_program(CircuitProgram(circuit, (), (), (SparsePauliOp("X"), SparsePauliOp(["Z"], [coefficient]))))


def test_an_angle_that_is_not_real_is_refused():
    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("w") * 1j, 0)
    with pytest.raises(UserError, match="not real"):
        compile_program(as_program(circuit))
