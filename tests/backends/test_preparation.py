"""The simulated price of a short repetition delay, against a density matrix of our own making and its own promises."""

from __future__ import annotations

import math

import numpy as np
import pytest
from programs import random_angles, random_program
from qiskit.quantum_info import DensityMatrix, SparsePauliOp
from qiskit_aer import AerSimulator

from backends import BackendError, open_backend, parse_name
from backends.contract import CircuitProgram
from backends.devices import stored_device
from backends.ibm.repetition import stored_rep_delay
from backends.preparation import residual_excitation

PROGRAM = random_program(12, 3, gates=8, observables=(SparsePauliOp("IIZ"), SparsePauliOp(["ZXZ"], [0.5])))
ANGLES = random_angles(PROGRAM, 2, 3)


def values(name: str, program: CircuitProgram = PROGRAM) -> np.ndarray:
    backend = open_backend(name)
    return backend.run(backend.compile(program), *random_angles(program, 2, 3)).values


def test_what_is_left_excited_is_half_of_what_is_misread_and_relaxes_with_t1() -> None:
    assert residual_excitation(0, 1e-4, 0.02) == pytest.approx(0.01)
    assert residual_excitation(1e-4, 1e-4, 0.02) == pytest.approx(0.01 / math.e)
    assert residual_excitation(250e-6, math.inf, 0.02) == residual_excitation(0, math.inf, 0.02)


def test_the_record_has_the_excess_of_every_qubit_over_the_default() -> None:
    backend = open_backend("fake_kingston:rep_delay=50")
    record = backend.compile(PROGRAM).record
    device = stored_device("kingston")
    expected = [
        0.5 * device.readout[q][1] * (math.exp(-50e-6 / t1) - math.exp(-250e-6 / t1))
        for q in record["active_qubits"]
        for t1 in [device.target.qubit_properties[q].t1]
    ]
    assert min(expected) > 0
    assert record["excess_excitation"] == pytest.approx(expected, rel=1e-5)
    assert (record["rep_delay_us"], record["default_rep_delay_us"]) == (50, 250)


def test_the_values_are_those_of_the_circuit_that_begins_in_the_mixed_state() -> None:
    """Aer's values at 0 µs, from its values at the default for every state that the qubits may begin in."""
    backend = open_backend("fake_kingston:rep_delay=0")
    compiled = backend.compile(PROGRAM)
    excesses = np.asarray(compiled.record["excess_excitation"])
    plain = open_backend("fake_kingston")
    usual = plain.compile(PROGRAM)
    assert usual.record["layout"] == compiled.record["layout"]
    _, circuit = usual.runs[0]
    assert usual.aer_noise is not None
    simulator = AerSimulator(method="density_matrix", max_parallel_threads=1)
    binds = dict(zip(PROGRAM.circuit.parameters, PROGRAM.bind(*ANGLES)[0], strict=True))
    expected = 0.0
    for start in range(2**3):
        bits = [(start >> q) & 1 for q in range(3)]
        weight = np.prod([p if bit else 1 - p for bit, p in zip(bits, excesses, strict=True)])
        state = DensityMatrix.from_label("".join(str(bit) for bit in reversed(bits)))
        ready = circuit.copy_empty_like()
        ready.set_density_matrix(state)
        ready.compose(circuit.assign_parameters({p: binds[p] for p in circuit.parameters}), inplace=True)
        data = simulator.run(ready, noise_model=usual.aer_noise).result().data(0)
        expected += weight * data["0"]
    assert backend.run(compiled, *ANGLES).values[0, 0] == pytest.approx(expected, abs=1e-9)
    assert abs(plain.run(usual, *ANGLES).values[0, 0] - expected) > 1e-4


def test_at_the_default_delay_and_above_nothing_is_added() -> None:
    usual = values("fake_kingston")
    np.testing.assert_allclose(values("fake_kingston:rep_delay=250"), usual, atol=1e-12)
    np.testing.assert_allclose(values("fake_kingston:rep_delay=2000"), usual, atol=1e-12)
    assert np.abs(values("fake_kingston:rep_delay=0") - usual).max() > 1e-4


def test_shots_suffer_it_too() -> None:
    exact, sampled = values("fake_kingston:rep_delay=0"), values("fake_kingston:rep_delay=0,shots=20000")
    assert np.abs(exact - sampled).max() < 5 / math.sqrt(20000)


def test_a_delay_out_of_range_is_refused_with_the_device_s_own_range() -> None:
    assert stored_rep_delay("miami").default == pytest.approx(4e-3)
    with pytest.raises(BackendError, match="rep_delay = 50 µs: miami takes 1000 to 4000 µs"):
        open_backend("fake_miami:rep_delay=50")
    with pytest.raises(BackendError, match="which rep_delay is not; give one of them"):
        parse_name("fake_kingston:rep_delay=50,source=readout")
    with pytest.raises(BackendError, match="no option 'rep_delay'"):
        parse_name("aer:rep_delay=50")
    assert parse_name("fake_kingston:rep_delay=50us").canonical == "fake_kingston:rep_delay=50"
    assert parse_name("ibm_kingston@noise:rep_delay=50").rep_delay_us == 50
