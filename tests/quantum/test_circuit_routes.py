"""Every way of running a circuit gives the right values, or refuses it by name, for every kind of circuit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from circuit_kinds import KINDS, OBSERVABLES, PARAMETERS, TURNING, left_by, right_values, written
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, depolarizing_error
from quantum_programs import STANDARD_GATES

from backends import BackendEstimator, Noise, open_backend, simulated_under
from backends.contract import CircuitProgram
from hybridq.quantum.engine import compile_program
from hybridq.quantum.engine_choice import run_exactly
from hybridq.quantum.gradients import BroadcastParameterShift
from hybridq.quantum.layer import quantum_layer
from hybridq.quantum.qnn import ExactEstimatorQNN

SHOTS = 20_000
ANGLES = (0.7, -1.2, 2.1)
WIDTHS = np.array([np.abs(observable.coeffs).sum() for observable in OBSERVABLES])
EXACT, SLOPES = 1e-9, 1e-7
SAMPLED = 6 * WIDTHS.max() / np.sqrt(SHOTS)

Values = NDArray[np.float64]
Route = Callable[[str, int], Values]


def angles_of(program: CircuitProgram) -> tuple[list[float], list[float]]:
    at = dict(zip(PARAMETERS, ANGLES, strict=True))
    return [at[p] for p in program.inputs], [at[p] for p in program.weights]


def backend(name: str) -> Route:
    def values(kind: str, seed: int) -> Values:
        program = written(kind, seed)
        x, w = angles_of(program)
        opened = open_backend(name)
        return opened.run(opened.compile(program), [x], w).values[0]

    return values


def as_written(kind: str, seed: int) -> tuple[QuantumCircuit, list[float]]:
    """The circuit before a program was made of it, and its parameters' values."""
    circuit = KINDS[kind](np.random.default_rng(seed), PARAMETERS)
    at = dict(zip(PARAMETERS, ANGLES, strict=True))
    return circuit, [at[p] for p in circuit.parameters]


def estimator(name: str) -> Route:
    def values(kind: str, seed: int) -> Values:
        circuit, at = as_written(kind, seed)
        pub = (circuit, list(OBSERVABLES), at)
        return np.asarray(BackendEstimator(open_backend(name)).run([pub]).result()[0].data.evs)

    return values


def engine(kind: str, seed: int) -> Values:
    program = written(kind, seed)
    x, w = angles_of(program)
    return compile_program(program)(torch.tensor([x], dtype=torch.float64), torch.tensor(w, dtype=torch.float64))[
        0
    ].numpy()


def network(kind: str, seed: int) -> Values:
    circuit, at = as_written(kind, seed)
    qnn = ExactEstimatorQNN(
        circuit=circuit, observables=list(OBSERVABLES), weight_params=list(circuit.parameters), input_params=[]
    )
    return np.asarray(qnn.forward(None, at))[0]


def layer_on(**options: str) -> Route:
    def values(kind: str, seed: int) -> Values:
        program = written(kind, seed)
        x, w = angles_of(program)
        layer = quantum_layer(program, dtype=torch.float64, **options).eval()
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(w, dtype=torch.float64))
            return np.asarray(layer(torch.tensor([x], dtype=torch.float64))[0].numpy())

    return values


def slopes(kind: str, seed: int) -> Values:
    """Of the right values, by central differences of fourth order (K, P)."""
    circuit, _ = as_written(kind, seed)
    columns = [i for i, p in enumerate(PARAMETERS) if p in circuit.parameters]
    found = []
    for column in columns:
        step = np.eye(len(PARAMETERS))[column] * 1e-3
        ahead, behind = (right_values(kind, seed, np.array(ANGLES) + s * step) for s in (1, -1))
        ahead2, behind2 = (right_values(kind, seed, np.array(ANGLES) + s * step) for s in (2, -2))
        found.append((8 * (ahead - behind) - (ahead2 - behind2)) / 12e-3)
    order = [p for p in PARAMETERS if p in circuit.parameters]
    return np.stack([found[order.index(p)] for p in circuit.parameters], axis=1)


def shifted(kind: str, seed: int) -> Values:
    circuit, at = as_written(kind, seed)
    gradient = BroadcastParameterShift(BackendEstimator(open_backend("aer")))
    return gradient.jacobian(circuit, list(OBSERVABLES), np.array([at]), list(circuit.parameters))[0]


def engine_slopes(kind: str, seed: int) -> Values:
    circuit, at = as_written(kind, seed)
    compiled = compile_program(CircuitProgram(circuit, (), tuple(circuit.parameters), OBSERVABLES))
    weights = torch.tensor(at, dtype=torch.float64)
    return compiled.jacobian(torch.zeros(1, 0, dtype=torch.float64), weights)[1][0].numpy()


VALUES: dict[str, tuple[Route, float]] = {
    "exact engine": (engine, EXACT),
    "ExactEstimatorQNN": (network, EXACT),
    "layer, engine exact": (layer_on(), EXACT),
    "layer, engine aer": (layer_on(engine="aer"), EXACT),
    "aer": (backend("aer"), EXACT),
    "BackendEstimator(aer)": (estimator("aer"), EXACT),
    f"aer:shots={SHOTS}": (backend(f"aer:shots={SHOTS}"), SAMPLED),
    f"BackendEstimator(aer:shots={SHOTS})": (estimator(f"aer:shots={SHOTS}"), SAMPLED),
}
TRANSLATED: dict[str, tuple[Route, float]] = {
    "noise:depolarizing_2q=0": (backend("noise:depolarizing_2q=0"), EXACT),
    "fake_manila:scale=0": (backend("fake_manila:scale=0"), EXACT),
    "layer, fake_manila:scale=0": (layer_on(backend="fake_manila:scale=0"), EXACT),
    "BackendEstimator(fake_manila:scale=0)": (estimator("fake_manila:scale=0"), EXACT),
}
"""Routes on which the transpiler takes most of the time."""
GRADIENTS: dict[str, tuple[Route, float]] = {
    "parameter shift (aer)": (shifted, SLOPES),
    "exact engine, Jacobian": (engine_slopes, SLOPES),
}


@pytest.mark.parametrize("route", VALUES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_circuit_of_every_kind_has_the_right_values_on_every_route(kind: str, route: str) -> None:
    values, tolerance = VALUES[route]
    np.testing.assert_allclose(values(kind, 0), right_values(kind, 0, ANGLES), rtol=0, atol=tolerance)


@pytest.mark.parametrize("route", GRADIENTS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_circuit_of_every_kind_has_the_right_derivatives(kind: str, route: str) -> None:
    np.testing.assert_allclose(GRADIENTS[route][0](kind, 0), slopes(kind, 0), rtol=0, atol=SLOPES)


@pytest.mark.parametrize("kind", ["controlled, ctrl_state", "idle classical bits", "partly measured"])
def test_a_circuit_is_translated_for_a_device_with_the_right_values(kind: str) -> None:
    values, tolerance = TRANSLATED["noise:depolarizing_2q=0"]
    np.testing.assert_allclose(values(kind, 0), right_values(kind, 0, ANGLES), rtol=0, atol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fake_manila", "noise:depolarizing_1q=0.01,depolarizing_2q=0.05,readout=0.02"])
@pytest.mark.parametrize("kind", KINDS)
def test_noisy_values_of_aer_are_those_of_the_exact_noisy_engine_for_every_kind(kind: str, name: str) -> None:
    program, opened = written(kind, 1), open_backend(name)
    x, w = angles_of(program)
    compiled = opened.compile(program)
    exact = run_exactly(opened, compiled, np.array([x]), np.array(w))
    assert exact is not None
    values = opened.run(compiled, [x], w).values
    np.testing.assert_allclose(values, exact.values, rtol=0, atol=1e-9)
    assert np.abs(values[0] - right_values(kind, 1, ANGLES)).max() > 1e-3


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_table_of_routes_and_kinds_holds(capsys: pytest.CaptureFixture[str]) -> None:
    """Run with ``-s`` it prints the largest error of each route for each kind of circuit."""
    rows, wrong = [], []
    for kind in KINDS:
        for routes, seeds, right in (
            (VALUES, range(4), lambda k, s: right_values(k, s, ANGLES)),
            (TRANSLATED, range(1), lambda k, s: right_values(k, s, ANGLES)),
            (GRADIENTS, range(2), slopes),
        ):
            references = [right(kind, seed) for seed in seeds]
            for route, (values, tolerance) in routes.items():
                error = max(np.abs(values(kind, s) - r).max() for s, r in zip(seeds, references, strict=True))
                rows.append((route, kind, error, len(seeds)))
                if error > tolerance:
                    wrong.append(rows[-1])
    with capsys.disabled():
        print()
        for route in dict.fromkeys(row[0] for row in rows):
            cells = {kind: f"{error:.0e}" for r, kind, error, _ in rows if r == route}
            print(f"{route:40}" + " ".join(f"{cells[kind]:>7}" for kind in KINDS))
        print(f"{'':40}" + " ".join(f"{i:>7}" for i in range(1, len(KINDS) + 1)))
        print(", ".join(f"{i} {kind}" for i, kind in enumerate(KINDS, 1)))
    assert not wrong


CONTROLS = [(0, 0), (1, 0), (1, 1)]


def around(name: str, controls: int, state: int, *, inverse: bool, angles: list[float | Parameter]) -> QuantumCircuit:
    """One gate, controlled or inverse, between turns of every qubit."""
    gate = STANDARD_GATES[name].base_class(*angles)
    if inverse:
        gate = gate.inverse()
    if controls:
        gate = gate.control(controls, ctrl_state=state, annotated=False)
    circuit = QuantumCircuit(gate.num_qubits)
    for qubit in range(gate.num_qubits):
        circuit.u(0.4 + qubit, 0.3 * qubit + 0.1, 0.7, qubit)
    circuit.append(gate, range(gate.num_qubits))
    for qubit in range(gate.num_qubits):
        circuit.u(0.9 - qubit, 0.2 * qubit + 0.5, 0.3, qubit)
    return circuit


def check_one_gate(name: str, controls: int, state: int, *, inverse: bool, backend: str) -> None:
    count = len(STANDARD_GATES[name].params)
    at = np.linspace(-2.3, 1.9, count + 2)[1:-1] + 0.2
    parameters = [Parameter(f"t{i}") for i in range(count)]
    # every second angle is an expression of its parameter
    angles = [2 * p - 0.1 if i % 2 else p for i, p in enumerate(parameters)]
    numbers = [2 * v - 0.1 if i % 2 else v for i, v in enumerate(at.tolist())]
    circuit = around(name, controls, state, inverse=inverse, angles=angles)
    qubits = circuit.num_qubits
    observables = tuple(SparsePauliOp(label) for label in ("Z" * qubits, "X" * qubits, "Z" + "I" * (qubits - 1)))
    left = left_by(around(name, controls, state, inverse=inverse, angles=numbers))
    right = [left.expectation_value(observable).real for observable in observables]
    opened = open_backend(backend)
    program = CircuitProgram(circuit, (), tuple(parameters), observables)
    values = opened.run(opened.compile(program), [[]], at).values[0]
    atol = 6 / np.sqrt(opened.shots) if opened.shots else 1e-9
    np.testing.assert_allclose(values, right, rtol=0, atol=atol, err_msg=f"{name} {controls} {state} {inverse}")


@pytest.mark.parametrize("name", TURNING)
def test_aer_binds_every_angle_of_a_standard_gate(name: str) -> None:
    for controls, state in CONTROLS:
        check_one_gate(name, controls, state, inverse=False, backend="aer")
    check_one_gate(name, 0, 0, inverse=True, backend=f"aer:shots={SHOTS}")


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["aer", f"aer:shots={SHOTS}", "noise:depolarizing_2q=0"])
@pytest.mark.parametrize("name", TURNING)
def test_every_form_of_a_standard_gate_is_bound(name: str, backend: str) -> None:
    forms = [(0, 0), *((1, s) for s in range(2)), *((2, s) for s in range(4))]
    for controls, state in forms:
        for inverse in (False, True):
            check_one_gate(name, controls, state, inverse=inverse, backend=backend)


@settings(max_examples=25, deadline=None)
@given(kind=st.sampled_from(sorted(KINDS)), seed=st.integers(1, 10**6))
def test_aer_and_the_exact_engine_agree_with_density_matrices(kind: str, seed: int) -> None:
    right = right_values(kind, seed, ANGLES)
    np.testing.assert_allclose(engine(kind, seed), right, rtol=0, atol=1e-9)
    np.testing.assert_allclose(estimator("aer")(kind, seed), right, rtol=0, atol=1e-9)


def test_noise_on_a_controlled_gate_meets_it_with_its_angle() -> None:
    """Aer's own density matrix of the circuit in numbers is the oracle."""
    t = Parameter("t")

    def circuit(angle: Parameter | float) -> QuantumCircuit:
        built = QuantumCircuit(3)
        built.h([0, 1, 2])
        built.ry(0.4, [0, 1, 2])
        built.cp(angle, 0, 2)
        built.cp(angle / 2, 2, 1)
        built.ry(0.9, [0, 1, 2])
        return built

    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.2, 2), ["cp"])
    program = CircuitProgram(circuit(t), (), (t,), OBSERVABLES)
    values = open_backend("aer").run(simulated_under(program, Noise.from_model(model, 3)), [[]], [1.3]).values[0]
    bound = circuit(1.3)
    bound.save_density_matrix()
    result = AerSimulator(method="density_matrix", noise_model=model).run(bound).result()
    right = [result.data()["density_matrix"].expectation_value(observable).real for observable in OBSERVABLES]
    np.testing.assert_allclose(values, right, rtol=0, atol=1e-9)
    assert np.abs(values - [left_by(circuit(1.3)).expectation_value(o).real for o in OBSERVABLES]).max() > 1e-2


def test_a_measured_circuit_goes_through_parameter_shift_on_any_estimator() -> None:
    """The shifted circuits are unitary, which Qiskit's own exact estimator demands."""
    circuit, at = as_written("measured at the end", 3)
    gradient = BroadcastParameterShift(StatevectorEstimator())
    found = gradient.jacobian(circuit, list(OBSERVABLES), np.array([at]), list(circuit.parameters))[0]
    np.testing.assert_allclose(found, slopes("measured at the end", 3), rtol=0, atol=SLOPES)
