"""The exact noisy engine against Aer's density matrix, with any noise on any circuit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from noise_models import (
    ONE_QUBIT_ERRORS,
    TWO_QUBIT_ERRORS,
    aer_derivatives,
    aer_values,
    as_simulated,
    noisy_programs,
)
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Parameter, ParameterVector
from qiskit.circuit.library import RXGate, UnitaryGate
from qiskit.quantum_info import DensityMatrix, SparsePauliOp, SuperOp
from qiskit_aer.noise import NoiseModel, QuantumError, amplitude_damping_error, depolarizing_error, pauli_error
from quantum_programs import points

from backends import open_backend
from backends.aer import SimulatedCircuit
from backends.contract import CircuitProgram
from backends.estimator import BackendEstimator
from backends.noise import Noise
from hybridq.errors import UserError
from hybridq.quantum.circuits import CircuitSpec
from hybridq.quantum.engine.noisy.program import MAX_QUBITS, NoisyProgram, compile_noisy
from hybridq.quantum.gradients import BroadcastParameterShift

SLOW_REFERENCE = settings(deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
NOISY = "noise:depolarizing_1q=0.002,depolarizing_2q=0.02,t1_us=40,t2_us=30,meas1_prep0=0.02,meas0_prep1=0.1"


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def z(*qubits: int, of: int) -> SparsePauliOp:
    return SparsePauliOp.from_sparse_list([("Z" * len(qubits), list(qubits), 1.0)], num_qubits=of)


def quiet(num_qubits: int, **errs: object) -> Noise:
    """No noise but what is named."""
    nothing = {
        "gate_errors": (),
        "relaxation": ((np.inf, np.inf),) * num_qubits,
        "readout": ((0.0, 0.0),) * num_qubits,
        "basis_gates": ("rz", "sx", "x", "cx"),
    }
    return Noise(**(nothing | errs))


def simulated(circuit: QuantumCircuit, noise: Noise | None, *inputs: Parameter) -> SimulatedCircuit:
    """⟨Z⟩ of every qubit; the parameters that are no inputs are weights."""
    weights = tuple(parameter for parameter in circuit.parameters if parameter not in inputs)
    qubits = circuit.num_qubits
    return as_simulated(CircuitProgram(circuit, inputs, weights, tuple(z(q, of=qubits) for q in range(qubits))), noise)


def layer(spec: CircuitSpec) -> SimulatedCircuit:
    """The project's own circuit with errors on its rotations, its CX and its readout."""
    program = spec.build()
    errors: list[tuple[str, tuple[int, ...], QuantumError]] = []
    for q in range(spec.qubits):
        errors.append(("ry", (q,), amplitude_damping_error(0.02 * (q + 1))))
        errors.append(("cx", (q, (q + 1) % spec.qubits), TWO_QUBIT_ERRORS["composed"](0.03, 0)))
    return as_simulated(program, quiet(spec.qubits, gate_errors=tuple(errors), readout=((0.02, 0.1),) * spec.qubits))


def prepared(name: str, program: CircuitProgram) -> SimulatedCircuit:
    compiled = open_backend(name).compile(program)
    assert isinstance(compiled, SimulatedCircuit)
    return compiled


def tensors(program: CircuitProgram, samples: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    inputs, weights = points(program, samples, seed)
    return torch.from_numpy(inputs).requires_grad_(), torch.from_numpy(weights).requires_grad_()


def derivatives(noisy: NoisyProgram, x: torch.Tensor, w: torch.Tensor) -> list[np.ndarray]:
    """Through the way training takes, observable by observable: (N, K, X) and, for weights for all, (K, W)."""
    values = noisy(x, w)
    history = 0.0 * (x.sum() + w.sum())
    slopes = [
        torch.autograd.grad(values[:, k].sum() + history, (x, w), retain_graph=True) for k in range(values.shape[1])
    ]
    return [np.stack([np.asarray(slope[0]) for slope in slopes], axis=1), np.stack([np.asarray(s[1]) for s in slopes])]


def assert_equals_aer(compiled: SimulatedCircuit, samples: int = 2, *, slopes: bool = False) -> None:
    inputs, weights = points(compiled.program, samples)
    noisy = compile_noisy(compiled)
    x, w = torch.from_numpy(inputs).requires_grad_(), torch.from_numpy(weights).requires_grad_()
    np.testing.assert_allclose(noisy(x, w).detach().numpy(), aer_values(compiled, inputs, weights), atol=1e-9, rtol=0)
    if slopes:
        d_inputs, d_weights = aer_derivatives(compiled, inputs, weights)
        ours = noisy.jacobian(x, w)
        np.testing.assert_allclose(ours[0].numpy(), d_inputs, atol=1e-9, rtol=1e-9)
        np.testing.assert_allclose(ours[1].numpy(), d_weights, atol=1e-9, rtol=1e-9)
        backward = derivatives(noisy, x, w)
        np.testing.assert_allclose(backward[0], d_inputs, atol=1e-9, rtol=1e-9)
        np.testing.assert_allclose(backward[1], d_weights.sum(axis=0), atol=1e-9, rtol=1e-9)


@settings(SLOW_REFERENCE, max_examples=30)
@given(noisy_programs())
def test_values_of_any_circuit_under_any_noise_equal_aers_density_matrix(compiled):
    assert_equals_aer(compiled)


@settings(SLOW_REFERENCE, max_examples=12)
@given(noisy_programs(max_qubits=3, max_gates=8))
def test_derivatives_of_any_circuit_under_any_noise_equal_differences_of_aers_values(compiled):
    assert_equals_aer(compiled, slopes=True)


@settings(SLOW_REFERENCE, max_examples=10)
@given(noisy_programs())
def test_float32_agrees_with_aer_to_its_precision(compiled):
    inputs, weights = points(compiled.program, 2)
    single = compile_noisy(compiled)(torch.from_numpy(inputs).float(), torch.from_numpy(weights).float())
    assert single.dtype == torch.float32
    rounded = aer_values(compiled, inputs.astype(np.float32), weights.astype(np.float32))
    scale = max(float(np.abs(observable.coeffs).sum()) for observable in compiled.observables)
    np.testing.assert_allclose(single.numpy(), rounded, atol=1e-5 * max(1.0, scale), rtol=0)


@pytest.mark.slow
@settings(SLOW_REFERENCE, max_examples=400)
@given(noisy_programs(max_gates=16))
def test_values_of_many_circuits_equal_aers(compiled):
    assert_equals_aer(compiled)


@pytest.mark.slow
@settings(SLOW_REFERENCE, max_examples=100)
@given(noisy_programs(max_gates=12))
def test_derivatives_of_many_circuits_equal_differences_of_aers_values(compiled):
    assert_equals_aer(compiled, slopes=True)


@pytest.mark.slow
@settings(SLOW_REFERENCE, max_examples=40)
@given(noisy_programs(max_qubits=6, max_gates=20))
def test_circuits_of_up_to_six_qubits_equal_aers_density_matrix(compiled):
    assert_equals_aer(compiled)


def entangled(qubits: int = 2) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits)
    x = ParameterVector("x", qubits)
    for q in range(qubits):
        circuit.ry(x[q] + 0.4 * q, q)
        circuit.rx(0.3 + q, q)
    for q in range(qubits - 1):
        circuit.cx(q + 1, q)
    for q in range(qubits):
        circuit.u(Parameter(f"w{q}"), 0.3, 0.8 - q, q)
    return circuit


@pytest.mark.parametrize("kind", sorted(ONE_QUBIT_ERRORS))
def test_every_kind_of_error_of_one_qubit_is_aers(kind):
    error = ONE_QUBIT_ERRORS[kind](0.15, 3)
    noise = quiet(2, gate_errors=(("ry", (1,), error), ("u", (0,), error)))
    assert_equals_aer(simulated(entangled(), noise))


@pytest.mark.parametrize("kind", sorted(TWO_QUBIT_ERRORS))
def test_every_kind_of_error_of_two_qubits_is_aers_on_the_right_qubits(kind):
    noise = quiet(2, gate_errors=(("cx", (1, 0), TWO_QUBIT_ERRORS[kind](0.15, 3)),))
    assert_equals_aer(simulated(entangled(), noise))


def test_an_error_belongs_to_one_order_of_the_qubits():
    swapped = quiet(2, gate_errors=(("cx", (0, 1), depolarizing_error(0.3, 2)),))
    compiled = simulated(entangled(), swapped)
    x, w = tensors(compiled.program, 2)
    ideal = compile_noisy(simulated(entangled(), None))
    torch.testing.assert_close(compile_noisy(compiled)(x, w), ideal(x, w), atol=1e-14, rtol=0)
    assert_equals_aer(compiled)


@pytest.mark.parametrize("named", ["mine", "rx", "unitary"])
def test_an_error_binds_to_the_label_of_a_gate_as_in_aer(named):
    circuit = QuantumCircuit(1)
    circuit.append(RXGate(Parameter("w"), label="mine"), [0])
    circuit.append(UnitaryGate([[0, 1], [1, 0]], label="mine"), [0])
    circuit.rx(0.4, 0)
    assert_equals_aer(simulated(circuit, quiet(1, gate_errors=((named, (0,), amplitude_damping_error(0.2)),))))


def test_errors_of_the_same_gate_follow_each_other():
    errors = tuple(
        ("ry", (0,), error) for error in (amplitude_damping_error(0.3), pauli_error([("X", 0.2), ("I", 0.8)]))
    )
    assert_equals_aer(simulated(entangled(), quiet(2, gate_errors=errors)))


def test_a_gate_that_is_taken_apart_errs_once_after_the_whole_gate():
    """Aer's density matrix has no CRX, so Qiskit's own channels are the reference."""
    error = pauli_error([("XI", 0.1), ("IY", 0.2), ("II", 0.7)])
    circuit = QuantumCircuit(2)
    circuit.ry(0.6, 0)
    circuit.rx(0.9, 1)
    circuit.crx(Parameter("w"), 1, 0)
    compiled = simulated(circuit, quiet(2, gate_errors=(("crx", (1, 0), error),)))
    angle = torch.tensor([1.3], dtype=torch.float64)
    state = DensityMatrix.from_label("00").evolve(circuit.assign_parameters([1.3])).evolve(SuperOp(error), [1, 0])
    expected = [state.expectation_value(z(q, of=2)).real for q in range(2)]
    assert compile_noisy(compiled)(torch.zeros(1, 0), angle)[0].tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", ["rxx", "ryy", "rzz", "rzx", "cp"])
@pytest.mark.parametrize("by_input", [False, True])
def test_two_qubits_may_be_turned_together_by_a_weight_or_an_input(name, by_input):
    x, w, both = Parameter("x"), Parameter("w"), Parameter("both")
    circuit = QuantumCircuit(2)
    circuit.ry(x + 1.1, 0)
    circuit.u(1.4, 0.6, 0.0, 1)
    getattr(circuit, name)(both, 1, 0)
    circuit.rx(w, 0)
    circuit.u(0.9, 0.0, 0.7, 1)
    noise = quiet(2, gate_errors=((name, (1, 0), TWO_QUBIT_ERRORS["pauli"](0.1, 0)),))
    compiled = simulated(circuit, noise, *([x, both] if by_input else [x]))
    slopes = torch.cat(compile_noisy(compiled).jacobian(*tensors(compiled.program, 3)), dim=2)
    assert slopes.abs().amax(dim=(0, 1)).min() > 0.02
    assert_equals_aer(compiled, slopes=True)


def test_idle_qubits_relax_by_their_own_times_in_every_unit():
    circuit = entangled(3)
    for q, (duration, unit) in enumerate([(200, "dt"), (3, "us"), (5e-6, "s")]):
        circuit.delay(duration, q, unit)
    circuit.cx(0, 2)
    noise = quiet(3, relaxation=((20e-6, 30e-6), (40e-6, 10e-6), (np.inf, np.inf)), dt=1e-9)
    assert_equals_aer(simulated(circuit, noise))


def test_readout_error_is_asymmetric_and_applies_to_every_basis():
    circuit = QuantumCircuit(2)
    circuit.ry(Parameter("w"), 0)
    circuit.cx(0, 1)
    sums = (SparsePauliOp(["XX", "ZI"], [0.5, 1.0]), SparsePauliOp(["II", "YY"], [0.3, -1.0]), z(0, 1, of=2))
    program = CircuitProgram(circuit, (), tuple(circuit.parameters), sums)
    assert_equals_aer(as_simulated(program, quiet(2, readout=((0.02, 0.3), (0.1, 0.05)))), slopes=True)


def test_an_asymmetric_circuit_has_distinct_values_on_all_qubits_equal_to_aers():
    x, w = ParameterVector("x", 4), ParameterVector("w", 3)
    circuit = QuantumCircuit(4)
    for q in range(4):
        circuit.ry(x[q], q)
    circuit.cx(0, 2)
    circuit.rz(w[0], 2)
    circuit.rx(w[1], 1)
    circuit.rzz(w[2], 3, 0)
    circuit.cx(3, 1)
    noise = quiet(
        4,
        gate_errors=(
            ("cx", (0, 2), TWO_QUBIT_ERRORS["composed"](0.1, 0)),
            ("cx", (3, 1), TWO_QUBIT_ERRORS["reset"](0.2, 0)),
            ("rzz", (3, 0), TWO_QUBIT_ERRORS["pauli"](0.1, 0)),
        ),
        readout=((0.01, 0.1), (0.0, 0.2), (0.05, 0.0), (0.02, 0.03)),
    )
    compiled = simulated(circuit, noise, *x)
    inputs, weights = np.array([[0.2, 0.9, 1.4, 2.1]]), np.array([0.5, -0.8, 1.3])
    values = compile_noisy(compiled)(torch.from_numpy(inputs), torch.from_numpy(weights)).numpy()
    np.testing.assert_allclose(values, aer_values(compiled, inputs, weights), atol=1e-12, rtol=0)
    assert np.diff(np.sort(values[0])).min() > 0.05


DEVICES = {"fake_torino": "cz", "fake_brisbane": "ecr", "fake_auckland": "cx"}


@pytest.mark.parametrize(("name", "entangler"), DEVICES.items())
def test_a_device_s_values_and_derivatives_are_those_of_its_simulator(name, entangler):
    """A ring on a device without rings: routed with SWAPs, its idle qubits waiting. Derivatives by parameter shift."""
    program = CircuitSpec(4, 1).build()
    backend = open_backend(name)
    compiled = backend.compile(program)
    counts = compiled.circuit.count_ops()
    assert counts["delay"] > 0
    assert counts[entangler] > len(CircuitSpec(4, 1).pairs())
    inputs, weights = points(program, 2)
    x, w = torch.from_numpy(inputs), torch.from_numpy(weights)
    noisy = compile_noisy(compiled)
    np.testing.assert_allclose(noisy(x, w).numpy(), backend.run(compiled, inputs, weights).values, atol=1e-9, rtol=0)
    shift = BroadcastParameterShift(BackendEstimator(backend))
    parameters = [*program.inputs, *program.weights]
    circuit = program.circuit
    expected = shift.jacobian(circuit, program.observables, program.bind(inputs, weights), parameters)
    ours = torch.cat(noisy.jacobian(x, w), dim=2).numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-9, rtol=0)
    backward = derivatives(noisy, x.requires_grad_(), w.requires_grad_())
    np.testing.assert_allclose(backward[0], expected[:, :, :4], atol=1e-9, rtol=0)
    np.testing.assert_allclose(backward[1], expected[:, :, 4:].sum(axis=0), atol=1e-9, rtol=0)


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("fake_torino", CircuitSpec(3, 2, reuploading=True)),
        ("fake_torino:scale=2", CircuitSpec(3, 1)),
        ("fake_torino:scale=0", CircuitSpec(3, 1)),
        ("fake_kingston:rep_delay=0", CircuitSpec(3, 1)),
        (NOISY, CircuitSpec(5, 2, reuploading=True)),
        pytest.param("fake_brisbane", CircuitSpec(5, 1), marks=pytest.mark.slow),
        (NOISY, CircuitSpec(1, 2)),
        pytest.param("fake_torino", CircuitSpec(6, 2), marks=pytest.mark.slow),
        pytest.param("fake_brisbane", CircuitSpec(6, 2, reuploading=True), marks=pytest.mark.slow),
        pytest.param("fake_torino", CircuitSpec(8, 1), marks=pytest.mark.slow),
    ],
)
def test_values_are_those_of_the_backend(name, spec):
    program = spec.build()
    backend = open_backend(name)
    compiled = backend.compile(program)
    inputs, weights = points(program, 2)
    values = compile_noisy(compiled)(torch.from_numpy(inputs), torch.from_numpy(weights)).numpy()
    np.testing.assert_allclose(values, backend.run(compiled, inputs, weights).values, atol=1e-9, rtol=0)


@pytest.mark.parametrize("name", ["fake_torino", NOISY])
def test_the_change_to_another_basis_is_as_noisy_as_on_the_backend(name):
    spec = CircuitSpec(3, 1).build()
    sums = (SparsePauliOp(["IXX", "ZII"], [1.0, 0.5]), SparsePauliOp(["YIZ", "III"], [-1.0, 0.2]), z(0, of=3))
    program = CircuitProgram(spec.circuit, spec.inputs, spec.weights, sums)
    backend = open_backend(name)
    compiled = backend.compile(program)
    assert len(compiled.runs) > 1
    inputs, weights = points(program, 2)
    x, w = torch.from_numpy(inputs).requires_grad_(), torch.from_numpy(weights).requires_grad_()
    noisy = compile_noisy(compiled)
    values = noisy(x, w)
    np.testing.assert_allclose(values.detach(), backend.run(compiled, inputs, weights).values, atol=1e-9, rtol=0)
    assert torch.autograd.gradcheck(noisy, (x, w))


@pytest.mark.parametrize(
    ("name", "shots"),
    [
        ("fake_torino", 100_000),
        *(pytest.param(name, 1_000_000, marks=pytest.mark.slow) for name in [*DEVICES, NOISY]),
    ],
)
def test_sampled_shots_agree_within_four_standard_errors(name, shots):
    program = CircuitSpec(4, 1).build()
    inputs, weights = points(program, 1)
    sampler = open_backend(f"{name}{',' if ':' in name else ':'}shots={shots}", seed=5)
    compiled = sampler.compile(program)
    sampled = sampler.run(compiled, inputs, weights)
    exact = compile_noisy(compiled)(torch.from_numpy(inputs), torch.from_numpy(weights)).numpy()
    assert np.abs((sampled.values - exact) / sampled.standard_errors).max() < 4


def test_a_noise_model_of_aer_itself_can_be_used():
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.05, 1), ["ry", "u"])
    model.add_quantum_error(TWO_QUBIT_ERRORS["reset"](0.1, 0), "cx", [1, 0])
    model.add_readout_error([[0.9, 0.1], [0.3, 0.7]], [1])
    compiled = simulated(entangled(), Noise.from_model(model, 2))
    assert_equals_aer(compiled, slopes=True)


def test_at_scale_zero_nothing_errs():
    program = CircuitSpec(3, 1).build()
    x, w = tensors(program, 3)
    ideal = compile_noisy(as_simulated(program, None))
    torch.testing.assert_close(
        compile_noisy(prepared("fake_torino:scale=0", program))(x, w), ideal(x, w), atol=1e-9, rtol=0
    )


@pytest.mark.parametrize("reuploading", [False, True])
def test_torch_confirms_first_and_second_derivatives(reuploading):
    noisy = compile_noisy(layer(CircuitSpec(2, 2, reuploading=reuploading)))
    x, w = tensors(noisy.program, 2)
    assert torch.autograd.gradcheck(noisy, (x, w))
    assert torch.autograd.gradgradcheck(noisy, (x, w))


@pytest.mark.parametrize("reuploading", [False, True])
def test_a_batch_in_chunks_is_the_same_batch(reuploading):
    compiled = layer(CircuitSpec(3, 2, reuploading=reuploading))
    x, w = tensors(compiled.program, 7)
    results = []
    for memory in (2**29, 1, 100_000):
        noisy = compile_noisy(compiled, memory=memory)
        values = noisy(x, w)
        slopes = torch.autograd.grad(values.square().sum(), (x, w))
        with torch.no_grad():
            torch.testing.assert_close(noisy(x, w), values, atol=1e-14, rtol=0)
        results.append([values, *slopes, *noisy.jacobian(x, w)])
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], atol=1e-12, rtol=0)


@pytest.mark.parametrize("memory", [2**29, 1])
@pytest.mark.parametrize("reuploading", [False, True])
def test_weights_may_differ_from_sample_to_sample(reuploading, memory):
    noisy = compile_noisy(layer(CircuitSpec(3, 2, reuploading=reuploading)), memory=memory)
    x, w = tensors(noisy.program, 3)
    same = noisy(x, w.expand(3, -1))
    torch.testing.assert_close(same, noisy(x, w), atol=1e-12, rtol=0)
    (slope,) = torch.autograd.grad(same.square().sum(), w)
    torch.testing.assert_close(slope, torch.autograd.grad(noisy(x, w).square().sum(), w)[0], atol=1e-12, rtol=0)
    own = torch.randn(3, len(w), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    each = torch.cat([noisy(x[i : i + 1], own[i]) for i in range(3)])
    torch.testing.assert_close(noisy(x, own), each, atol=1e-12, rtol=0)


@pytest.mark.parametrize("reuploading", [False, True])
def test_memory_does_not_grow_with_the_batch(reuploading):
    """A batch whose intermediate results take 200 MB stays close to a limit of 4 MB, gradients included."""
    noisy = compile_noisy(layer(CircuitSpec(4, 2, reuploading=reuploading)), memory=4_000_000)
    x, w = tensors(noisy.program, 6_000 if reuploading else 40_000)
    noisy(x[:100], w).sum().backward()
    before = reset_peak_memory()
    noisy(x, w).sum().backward()
    assert peak_memory() - before < 50_000_000


def reset_peak_memory() -> int:
    Path("/proc/self/clear_refs").write_text("5")
    return peak_memory()


def peak_memory() -> int:
    """The largest resident size of this process in bytes since the last reset."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


@pytest.mark.parametrize("num_inputs", [0, 2])
@pytest.mark.parametrize("num_weights", [0, 2])
def test_inputs_or_weights_may_be_missing_and_a_batch_may_be_empty(num_inputs, num_weights):
    x, w = ParameterVector("x", num_inputs), ParameterVector("w", num_weights)
    circuit = QuantumCircuit(2)
    for q, angle in enumerate(x):
        circuit.ry(angle, q)
    circuit.h(0)
    circuit.cx(0, 1)
    for q, angle in enumerate(w):
        circuit.rx(angle, q)
    noise = quiet(2, gate_errors=(("cx", (0, 1), depolarizing_error(0.1, 2)),))
    compiled = simulated(circuit, noise, *x)
    assert_equals_aer(compiled, samples=3, slopes=bool(num_inputs + num_weights))
    noisy = compile_noisy(compiled)
    assert noisy(torch.zeros(0, num_inputs), torch.zeros(num_weights)).shape == (0, 2)
    d_inputs, d_weights = noisy.jacobian(torch.zeros(4, num_inputs), torch.zeros(num_weights))
    assert (d_inputs.shape, d_weights.shape) == ((4, 2, num_inputs), (4, 2, num_weights))
    assert noisy.jacobian(torch.zeros(0, num_inputs), torch.zeros(num_weights))[1].shape == (0, 2, num_weights)


def test_wrong_shapes_are_refused():
    noisy = compile_noisy(as_simulated(CircuitSpec(2, 1).build(), None))
    assert (noisy.num_inputs, noisy.num_weights, noisy.num_observables) == (2, 4, 2)
    with pytest.raises(ValueError, match=r"expected \(N, 2\)"):
        noisy(torch.zeros(5, 3), torch.zeros(4))
    with pytest.raises(ValueError, match=r"expected \(4,\)"):
        noisy.jacobian(torch.zeros(5, 2), torch.zeros(5))


def test_mixed_precision_training_does_not_round_the_circuit():
    """The backward pass of a batch in chunks computes them again, and must not do so in half precision either."""
    noisy = compile_noisy(layer(CircuitSpec(3, 2, reuploading=True)), memory=1)
    x, w = torch.randn(4, 3), torch.randn(noisy.num_weights, requires_grad=True)
    plain = noisy(x, w)
    (expected,) = torch.autograd.grad(plain.sum(), w)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = noisy(x, w)
        (slope,) = torch.autograd.grad(mixed.sum(), w)
    torch.testing.assert_close([mixed, slope], [plain, expected], atol=0, rtol=0)
    assert noisy(x.half(), w.half()).dtype == torch.float32


def test_a_first_call_in_inference_mode_does_not_spoil_training():
    noisy = compile_noisy(as_simulated(CircuitSpec(4, 2).build(), None))
    x, w = torch.randn(2, 4), torch.randn(16, requires_grad=True)
    with torch.inference_mode():
        noisy(x, w)
    noisy(x, w).sum().backward()
    assert w.grad is not None


def test_a_circuit_with_too_many_qubits_is_refused_with_their_number():
    with pytest.raises(UserError, match=f"9 qubits; the exact noisy engine takes at most {MAX_QUBITS}"):
        compile_noisy(as_simulated(CircuitSpec(9, 1).build(), None))


def with_custom_gate() -> QuantumCircuit:
    part = QuantumCircuit(1, name="part")
    part.x(0)
    circuit = QuantumCircuit(1)
    circuit.append(part.to_gate(), [0])
    return circuit


def with_opaque_gate() -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.append(Gate("mystery", 1, [Parameter("w")]), [0])
    return circuit


@pytest.mark.parametrize(("build", "name"), [(with_custom_gate, "part"), (with_opaque_gate, "mystery")])
def test_an_instruction_that_could_escape_the_noise_is_refused_by_name(build, name):
    with pytest.raises(UserError, match=f"'{name}'"):
        compile_noisy(simulated(build(), None))


def test_an_observable_that_is_not_hermitian_is_refused():
    program = CircuitProgram(QuantumCircuit(1), (), (), (SparsePauliOp(["Z"], [1j]),))
    with pytest.raises(UserError, match="observable 0"):
        compile_noisy(as_simulated(program, None))
