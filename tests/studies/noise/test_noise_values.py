"""Values under noise: exact as Aer's density matrix, sampled as Aer's shots."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit.quantum_info import Statevector

from backends import open_backend
from hybridq.errors import UserError
from hybridq.quantum.circuits import CircuitSpec
from hybridq.quantum.joint_shots import bit_probabilities, products_of, sampled
from hybridq.studies.noise.cells import Cell
from hybridq.studies.noise.config import SOURCES
from hybridq.studies.noise.values import NoisyValues

SPEC = CircuitSpec(qubits=3, layers=2)


def angles(samples: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(4)
    return random.normal(0, 0.8, (samples, SPEC.qubits)), random.uniform(-2, 2, SPEC.num_weights)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("device", ["fake_torino", "fake_cairo"])
def test_every_source_gives_what_aers_density_matrix_gives(device: str, source: str) -> None:
    inputs, weights = angles(3)
    cell = Cell(device, source, 2.0)
    program = SPEC.build()
    backend = open_backend(cell.backend)
    expected = backend.run(backend.compile(program), inputs, weights).values
    got, record = NoisyValues(program, inputs, weights, 0).of(cell)
    np.testing.assert_allclose(got, expected, atol=1e-7)
    assert record["source"] == (None if source == "all" else source)
    noiseless, _ = NoisyValues(program, inputs, weights, 0).of(Cell())
    assert np.abs(got - noiseless).max() > 1e-4


def test_products_of_z_give_the_probabilities_of_bit_strings() -> None:
    inputs, weights = angles(4)
    program = SPEC.build()
    parameters = (*program.inputs, *program.weights)
    states = [
        Statevector(program.circuit.assign_parameters(dict(zip(parameters, (*x, *weights), strict=True))))
        for x in inputs
    ]
    products = [
        [state.expectation_value(operator).real for operator in products_of(program.observables)] for state in states
    ]
    expected = [state.probabilities() for state in states]
    np.testing.assert_allclose(bit_probabilities(np.array(products)), expected, atol=1e-12)


def test_sampled_values_are_means_of_the_bits_that_were_drawn() -> None:
    """A certain bit string 011: qubits 0 and 1 read 1, qubit 2 reads 0; and a fair coin on qubit 1."""
    certain = np.zeros((1, 8))
    certain[0, 0b011] = 1
    np.testing.assert_array_equal(sampled(certain, 10, np.random.default_rng(0)), [[-1, -1, 1]])
    coin = np.zeros((2000, 4))
    coin[:, [0b00, 0b10]] = 0.5
    drawn = sampled(coin, 64, np.random.default_rng(0))
    assert (drawn[:, 0] == 1).all()
    assert drawn[:, 1].std() == pytest.approx(1 / 8, rel=0.1)


def test_shots_scatter_as_aers_shots_do_qubits_together() -> None:
    inputs, weights = np.repeat(angles(1)[0], 600, axis=0), angles(1)[1]
    program, shots = SPEC.build(), 32
    got, _ = NoisyValues(program, inputs, weights, 7).of(Cell("fake_torino", "all", 1.0, shots, 0))
    backend = open_backend(f"fake_torino:shots={shots}")
    # Aer draws the same shots for the same angles in one call; angles of all samples differ in the last digits.
    jittered = inputs + 1e-9 * np.arange(600)[:, None]
    theirs = backend.run(backend.compile(program), jittered, weights).values
    exact, _ = NoisyValues(program, inputs[:1], weights, 0).of(Cell("fake_torino", "all", 1.0))
    deviation = np.sqrt((1 - exact[0] ** 2) / shots / 600)
    assert (np.abs(got.mean(axis=0) - exact[0]) < 4.5 * deviation).all()
    np.testing.assert_allclose(np.cov(got.T), np.cov(theirs.T), atol=0.3 / shots)
    assert np.abs(np.cov(got.T)[~np.eye(3, dtype=bool)]).max() > 0.05 / shots  # qubits are correlated at all


def test_draws_differ_and_each_is_the_same_every_time() -> None:
    inputs, weights = angles(5)
    cells = [Cell("aer", "none", 0.0, 64, draw) for draw in (0, 1)]
    first, second = (NoisyValues(SPEC.build(), inputs, weights, 0).of(cell)[0] for cell in cells)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, NoisyValues(SPEC.build(), inputs, weights, 0).of(cells[0])[0])


def test_more_qubits_than_the_exact_engine_takes_are_refused() -> None:
    program = CircuitSpec(qubits=9).build()
    with pytest.raises(UserError, match="the circuit has 9 qubits; a noise study takes at most 8"):
        NoisyValues(program, np.zeros((1, 9)), np.zeros(18), 0)
