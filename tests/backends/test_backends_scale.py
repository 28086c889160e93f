"""The same noise at other strengths: what is worked out once, and which strengths there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import random_angles, random_program, statevector_values
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import RXGate
from qiskit.quantum_info import SparsePauliOp, SuperOp
from qiskit_aer.noise import (
    NoiseModel,
    QuantumError,
    coherent_unitary_error,
    depolarizing_error,
    pauli_error,
    reset_error,
    thermal_relaxation_error,
)

import backends.aer
import backends.compile
import backends.noise
from backends import BackendError, CircuitProgram, open_backend
from backends.aer import SimulatedCircuit
from backends.compile import place
from backends.devices import stored_device
from backends.noise import Noise, scale_error

MIXED = (SparsePauliOp(["IIZ"]), SparsePauliOp(["ZIX"]), SparsePauliOp(["IYI", "ZZZ"], [1.0, 0.5]))


class Counter:
    """Calls a function and counts it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.calls = function, 0

    def __call__(self, *args: Any, **options: Any) -> Any:
        self.calls += 1
        return self.function(*args, **options)


@pytest.fixture
def transpilations(monkeypatch: pytest.MonkeyPatch) -> Counter:
    counter = Counter(backends.compile.generate_preset_pass_manager)
    for module in (backends.compile, backends.aer):
        monkeypatch.setattr(module, "generate_preset_pass_manager", counter)
    return counter


def compiled(name: str, program: CircuitProgram) -> SimulatedCircuit:
    result = open_backend(name).compile(program)
    assert isinstance(result, SimulatedCircuit)
    return result


@pytest.mark.parametrize("base", ["fake_torino", "noise:depolarizing_2q=0.02,t1_us=40,t2_us=30"])
def test_another_scale_transpiles_nothing_and_runs_the_same_circuit_on_the_same_qubits(
    base: str, transpilations: Counter
) -> None:
    join = "," if ":" in base else ":"
    program = random_program(101, 3, observables=MIXED)
    first = compiled(base, program)
    assert transpilations.calls > 0
    transpilations.calls = 0
    for scale in (0, 0.5, 2):
        other = compiled(f"{base}{join}scale={scale}", program)
        assert other.circuit == first.circuit
        assert (other.physical_qubits, other.record["layout"]) == (first.physical_qubits, first.record["layout"])
        assert [circuit.num_parameters for _, circuit in other.runs] == [c.num_parameters for _, c in first.runs]
    compiled(f"{base}{join}shots=100", program)
    assert transpilations.calls == 0


def test_a_program_built_again_from_the_same_plan_is_not_transpiled_again(transpilations: Counter) -> None:
    first, again = random_program(102, 3), random_program(102, 3)
    assert not set(first.circuit.parameters) & set(again.circuit.parameters)
    inputs, weights = random_angles(first, 1, 2)
    backend = open_backend("fake_torino")
    values = backend.run(backend.compile(first), inputs, weights).values
    transpilations.calls = 0
    other = backend.compile(again)
    assert transpilations.calls == 0
    assert set(other.circuit.parameters) == set(again.circuit.parameters)
    np.testing.assert_array_equal(backend.run(other, inputs, weights).values, values)


def test_parameters_with_other_names_in_another_order_are_not_mistaken_for_each_other() -> None:
    """Sorted by name, the parameters of the second circuit are the other way round."""

    def program(first: str, second: str) -> CircuitProgram:
        a, b = Parameter(first), Parameter(second)
        circuit = QuantumCircuit(2)
        circuit.rx(a, 0)
        circuit.ry(2 * b, 1)
        circuit.cx(0, 1)
        return CircuitProgram(circuit, (a, b), (), (SparsePauliOp("IZ"), SparsePauliOp("ZI")))

    for names in (("a", "b"), ("b", "a"), ("#1", "#0")):
        own = program(*names)
        backend = open_backend("fake_torino:scale=0")
        x = np.array([[0.3, 1.1]])
        expected = statevector_values(own, x, np.zeros(0))
        np.testing.assert_allclose(backend.run(backend.compile(own), x, []).values, expected, atol=1e-9)


def test_a_circuit_that_was_changed_is_placed_anew_however_little_it_changed(transpilations: Counter) -> None:
    def circuit(angle: float) -> QuantumCircuit:
        result = QuantumCircuit(2)
        result.rx(angle, 0)
        result.cx(0, 1)
        inner = QuantumCircuit(1, name="inner")
        inner.ry(3 * angle, 0)
        result.append(inner.to_gate(), [1])
        return result

    device = stored_device("manila")
    original = circuit(0.5)
    before = place(original, device).circuit
    transpilations.calls = 0
    place(circuit(0.5), device)
    assert transpilations.calls == 0
    for other in (circuit(np.nextafter(0.5, 1)), circuit(0.7)):
        transpilations.calls = 0
        place(other, device)
        assert transpilations.calls > 0
    original.x(1)
    assert place(original, device).circuit != before
    handed_out = place(circuit(0.5), device).circuit
    handed_out.x(0)
    assert place(circuit(0.5), device).circuit == before


def test_a_device_with_another_calibration_is_another_device(transpilations: Counter) -> None:
    program = random_program(103, 2)
    device = stored_device("manila")
    same = replace(device, read="2030-01-01")
    readout = list(device.readout)
    worst = place(program.circuit, device).patch[0]
    readout[worst] = (0.4, 0.4)
    other = replace(device, readout=tuple(readout))
    assert same == device
    assert other != device
    transpilations.calls = 0
    place(program.circuit, same)
    assert transpilations.calls == 0
    assert worst not in place(program.circuit, other).patch


def test_logarithms_of_the_errors_are_taken_once_for_all_scales(monkeypatch: pytest.MonkeyPatch) -> None:
    counter = Counter(backends.noise.logm)
    monkeypatch.setattr(backends.noise, "logm", counter)
    program = random_program(104, 2)
    compiled("fake_osaka:scale=0.5", program)
    assert counter.calls > 0
    counter.calls = 0
    for scale in (0.7, 1.3, 2.5):
        compiled(f"fake_osaka:scale={scale}", program)
    assert counter.calls == 0


@settings(max_examples=20, deadline=None)
@given(
    a=st.floats(0.1, 3),
    b=st.floats(0.1, 3),
    p=st.floats(0.001, 0.5),
    t1=st.floats(20, 200),
    ratio=st.floats(0.1, 2),
)
def test_scales_add_up_as_exponents_do(a: float, b: float, p: float, t1: float, ratio: float) -> None:
    error = depolarizing_error(p, 1).compose(thermal_relaxation_error(t1, ratio * t1, 10.0))
    powers = [SuperOp(scale_error(error, scale)) for scale in (a, b, a + b)]
    np.testing.assert_allclose(powers[0].compose(powers[1]).data, powers[2].data, atol=1e-9)
    assert all(power.is_cptp() for power in powers)


SINGULAR = reset_error(1.0)
FLIP = pauli_error([("X", 0.8), ("I", 0.2)])
NOT_DIVISIBLE = pauli_error([("X", 0.25), ("Y", 0.25), ("I", 0.5)])


@pytest.mark.parametrize("error", [SINGULAR, reset_error(0.3, 0.7), depolarizing_error(1.0, 1), FLIP, NOT_DIVISIBLE])
def test_a_whole_scale_is_the_error_so_many_times_whatever_the_error(error: QuantumError) -> None:
    for times in (2, 3):
        expected = np.linalg.matrix_power(SuperOp(error).data, times)
        np.testing.assert_allclose(SuperOp(scale_error(error, float(times))).data, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("error", "scale"),
    [
        (SINGULAR, 0.1),
        (SINGULAR, 1.5),
        (depolarizing_error(1.0, 1), 0.3),
        (FLIP, 0.5),
        (FLIP, 2.5),
        (NOT_DIVISIBLE, 0.5),
    ],
)
def test_a_part_of_an_error_that_is_no_channel_is_refused(error: QuantumError, scale: float) -> None:
    with pytest.raises(
        BackendError, match=f"scale = {scale:g} makes this error no physical channel; take a whole number"
    ):
        scale_error(error, scale)


def test_a_rotation_by_mistake_scales_with_its_angle() -> None:
    def rotation(angle: float) -> QuantumError:
        return coherent_unitary_error(RXGate(angle).to_matrix())

    half = scale_error(rotation(0.4), 0.5)
    np.testing.assert_allclose(SuperOp(half).data, SuperOp(rotation(0.2)).data, atol=1e-9)


def test_the_gate_and_qubits_of_an_error_without_that_scale_are_named() -> None:
    model = NoiseModel()
    model.add_quantum_error(depolarizing_error(0.01, 2), "cx", [1, 0])
    model.add_quantum_error(depolarizing_error(1.0, 2), "cx", [0, 1])
    noise = Noise.from_model(model, 2)
    labels = ["qubit 17 of torino", "qubit 27 of torino"]
    said = r"scale = 0.5 makes the error of cx on qubit 17 of torino and qubit 27 of torino no physical channel"
    with pytest.raises(BackendError, match=said):
        noise.scaled(0.5, labels)
    assert noise.scaled(2.0, labels) is not None
    circuit = QuantumCircuit(2)
    circuit.cx(0, 1)
    program = CircuitProgram(circuit, (), (), (SparsePauliOp("IZ"),))
    with pytest.raises(BackendError, match="error of cx on qubit 0 and qubit 1 no physical channel"):
        open_backend("noise:depolarizing_2q=1,scale=0.5").compile(program)
