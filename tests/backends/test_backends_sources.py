"""One source of noise at a time: parts of a calibration that together are the whole, and an over-rotation of the same
fidelity."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from programs import random_angles, random_program, statevector_values
from qiskit.circuit.library import CXGate, CZGate, ECRGate, RXGate, SXGate, XGate
from qiskit.quantum_info import Operator, SuperOp, average_gate_fidelity
from qiskit_aer.noise import depolarizing_error

from backends import BackendError, open_backend
from backends.aer import SimulatedCircuit
from backends.compile import place
from backends.devices import stored_device
from backends.names import NoiseRates
from backends.noise import Noise, parametric_noise, parametric_target
from backends.noise_sources import one_source

GATES = ("one_qubit", "two_qubit", "relaxation", "coherent")
SOURCES = (*GATES, "idle", "readout")
DEVICE = "fake_brisbane"  # ECR gates: two directions, not symmetric


def compiled(name: str, seed: int = 5, qubits: int = 3) -> SimulatedCircuit:
    result = open_backend(name).compile(random_program(seed, qubits))
    assert isinstance(result, SimulatedCircuit)
    return result


def noise_of(name: str) -> Noise:
    noise = compiled(name).noise
    assert noise is not None
    return noise


def channels(noise: Noise) -> dict[tuple[str, tuple[int, ...]], np.ndarray]:
    return {(name, qubits): SuperOp(error).data for name, qubits, error in noise.gate_errors}


def test_the_parts_of_a_calibrated_gate_error_one_after_the_other_are_the_whole() -> None:
    whole = channels(noise_of(DEVICE))
    parts = [channels(noise_of(f"{DEVICE}:source={source}")) for source in ("one_qubit", "two_qubit", "relaxation")]
    assert {len(qubits) for _, qubits in whole} == {1, 2}
    for gate, error in whole.items():
        together = np.eye(len(error))
        for part in parts:
            together = part.get(gate, np.eye(len(error))) @ together
        np.testing.assert_allclose(together, error, atol=1e-10)


def test_a_source_touches_nothing_but_its_own() -> None:
    for source in SOURCES:
        noise = noise_of(f"{DEVICE}:source={source}")
        assert bool(noise.gate_errors) == (source in GATES)
        assert np.isfinite(noise.relaxation).any() == (source == "idle")
        assert (np.max(noise.readout) > 0) == (source == "readout")
    assert {len(q) for _, q, _ in noise_of(f"{DEVICE}:source=one_qubit").gate_errors} == {1}
    assert {len(q) for _, q, _ in noise_of(f"{DEVICE}:source=two_qubit").gate_errors} == {2}
    assert noise_of(f"{DEVICE}:source=idle").relaxation == noise_of(DEVICE).relaxation
    assert noise_of(f"{DEVICE}:source=readout").readout == noise_of(DEVICE).readout


@pytest.mark.parametrize(
    ("source", "left"),
    [
        ("one_qubit", NoiseRates(depolarizing_1q=0.01)),
        ("two_qubit", NoiseRates(depolarizing_2q=0.05)),
        ("readout", NoiseRates(meas1_prep0=0.02, meas0_prep1=0.2)),
    ],
)
def test_given_rates_are_found_again_under_relaxation(source: str, left: NoiseRates) -> None:
    rates = NoiseRates(0.01, 0.05, 0.02, 0.2, 20.0, 10.0)
    found = one_source(parametric_noise(2, rates), source, parametric_target(2, rates))
    expected = parametric_noise(2, left)
    assert found.readout == expected.readout
    assert found.relaxation == expected.relaxation
    assert channels(found).keys() == channels(expected).keys()
    for gate, error in channels(expected).items():
        np.testing.assert_allclose(channels(found)[gate], error, atol=1e-10)


@pytest.mark.parametrize(("gate", "by"), [(SXGate(), 0.01), (XGate(), 0.01), (CXGate(), 0.03), (ECRGate(), 0.03)])
def test_an_over_rotation_turns_about_the_gates_own_axis_and_is_as_faithful_as_the_calibration_says(gate, by) -> None:
    """A gate that is turned too far by η, n times, is n + nη gates: 1/η more gates of it are one gate more."""
    size = gate.num_qubits
    target = parametric_target(size, NoiseRates())
    if gate.name not in target.operation_names:
        target.add_instruction(gate, {tuple(range(size)): None})
    lossy = Noise(
        gate_errors=((gate.name, tuple(range(size)), depolarizing_error(by, size)),),
        relaxation=((np.inf, np.inf),) * size,
        readout=((0.0, 0.0),) * size,
        basis_gates=(gate.name,),
    )
    ((_, _, error),) = one_source(lossy, "coherent", target).gate_errors
    assert average_gate_fidelity(error) == pytest.approx(average_gate_fidelity(depolarizing_error(by, size)))
    turned, exact = SuperOp(error), SuperOp(Operator(gate))
    np.testing.assert_allclose(turned.compose(exact).data, exact.compose(turned).data, atol=1e-10)
    if gate.name == "sx":
        angle = 2 * np.arcsin(np.sqrt(1.5 * (1 - average_gate_fidelity(error))))
        np.testing.assert_allclose(turned.data, SuperOp(RXGate(angle)).data, atol=1e-9)


@pytest.mark.parametrize(
    ("gate", "by", "cosine"),
    [
        (XGate(), 0.02, lambda kept: 3 * kept - 2),  # fidelity (|1 + e^iφ|² + 2) / 6
        (CXGate(), 0.04, lambda kept: (20 * kept - 14) / 6),  # (|3 + e^iφ|² + 4) / 20
        (ECRGate(), 0.04, lambda kept: (20 * kept - 12) / 8),  # (|2 + 2 e^iφ|² + 4) / 20
    ],
)
def test_a_gate_that_undoes_itself_is_turned_on_in_its_lower_half_alone(gate, by, cosine) -> None:
    """U = P₊ − P₋ to a power is P₊ + e^iφ P₋, whichever sign rounding gives the phase of −1."""
    size = gate.num_qubits
    target = parametric_target(size, NoiseRates())
    if gate.name not in target.operation_names:
        target.add_instruction(gate, {tuple(range(size)): None})
    error = depolarizing_error(by, size)
    lossy = Noise(((gate.name, tuple(range(size)), error),), ((np.inf, np.inf),) * size, ((0, 0),) * size, (gate.name,))
    ((_, _, found),) = one_source(lossy, "coherent", target).gate_errors
    kept = 1 - by * (1 - 2**-size)
    unitary, one = Operator(gate).data, np.eye(2**size)
    turned = (one + unitary) / 2 + np.exp(1j * np.arccos(cosine(kept))) * (one - unitary) / 2
    np.testing.assert_allclose(SuperOp(found).data, SuperOp(Operator(turned)).data, atol=1e-6)


def test_an_over_rotation_at_twice_the_strength_turns_twice_as_far() -> None:
    once = noise_of("fake_torino:source=coherent")
    twice = channels(noise_of("fake_torino:source=coherent,scale=2"))
    half = channels(noise_of("fake_torino:source=coherent,scale=0.5"))
    for gate, error in channels(once).items():
        np.testing.assert_allclose(twice[gate], error @ error, atol=1e-9)
        np.testing.assert_allclose(half[gate] @ half[gate], error, atol=1e-7)
    assert CZGate().name in {name for name, _ in twice}


def test_gates_with_angles_are_not_over_rotated_and_the_sentence_says_so() -> None:
    with pytest.raises(BackendError, match=r"source = coherent: the gate u[23] takes angles"):
        compiled("fake_almaden:source=coherent")


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_errs_and_leaves_circuit_and_qubits_as_they_are(source: str) -> None:
    program = random_program(5, 3)
    inputs, weights = random_angles(program, 2, 2)
    backend = open_backend(f"{DEVICE}:source={source}")
    alone, whole = backend.compile(program), open_backend(DEVICE).compile(program)
    assert alone.circuit == whole.circuit
    assert alone.physical_qubits == whole.physical_qubits
    assert alone.record["source"] == source
    error = np.abs(backend.run(alone, inputs, weights).values - statevector_values(program, inputs, weights)).max()
    assert 1e-5 < error < 0.2


def test_better_qubits_are_better_and_a_given_seed_is_the_one_used() -> None:
    program = random_program(4, 4)
    for name in ("torino", "cairo"):
        device = stored_device(name)
        best, median, worst = (place(program.circuit, device, layout=rank) for rank in ("best", "median", "worst"))
        assert best.score > median.score > worst.score
        assert len({best.patch, median.patch, worst.patch}) == 3
    for seed in (3, 11):
        record = compiled(f"fake_torino:seed_transpiler={seed}").record
        assert record["seed_transpiler"] == seed
    assert compiled("fake_torino:layout=worst").record["layout_rank"] == "worst"


def test_one_source_of_a_model_without_it_is_no_noise() -> None:
    rates = NoiseRates(depolarizing_2q=0.05)
    noise = parametric_noise(2, rates)
    assert one_source(noise, "one_qubit", parametric_target(2, rates)).gate_errors == ()
    assert one_source(noise, "idle", parametric_target(2, rates)) == replace(noise, gate_errors=())
