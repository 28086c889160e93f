"""Noise models of other gates than a circuit's: translated, counted or refused, never without effect in silence."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from programs import random_angles, random_program, z_observables
from qiskit import QuantumCircuit
from qiskit.circuit import Delay
from qiskit.quantum_info import Operator, SparsePauliOp
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError, RelaxationNoisePass, depolarizing_error
from qiskit_ibm_runtime.fake_provider import FakeManilaV2

from backends import BackendError, CircuitProgram, Noise, open_backend, simulated_under
from backends.aer import SimulatedCircuit

ONE, TWO = depolarizing_error(0.3, 1), depolarizing_error(0.3, 2)


def model_on(ones: Sequence[str], twos: Sequence[str] = ()) -> NoiseModel:
    model = NoiseModel()
    if ones:
        model.add_all_qubit_quantum_error(ONE, list(ones))
    if twos:
        model.add_all_qubit_quantum_error(TWO, list(twos))
    return model


def ring() -> CircuitProgram:
    """Y rotations, then CX from each of three qubits to the next and from the last to the first."""
    program = random_program(0, 3)
    circuit = QuantumCircuit(3)
    for qubit, parameter in enumerate((*program.inputs, *program.weights)[:3]):
        circuit.ry(parameter, qubit)
    for qubit in range(3):
        circuit.cx(qubit, (qubit + 1) % 3)
    return CircuitProgram(circuit, tuple(circuit.parameters), (), z_observables(3))


def under(model: NoiseModel, program: CircuitProgram | None = None) -> SimulatedCircuit:
    program = program or ring()
    return simulated_under(program, Noise.from_model(model, program.circuit.num_qubits))


def values(simulated: SimulatedCircuit, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return open_backend("aer").run(simulated, inputs, weights).values


def aer_values(circuit: QuantumCircuit, model: NoiseModel) -> np.ndarray:
    """Z of each qubit of a bound circuit from Aer's density matrix under the whole model, readout error included."""
    ready = circuit.copy()
    ready.save_density_matrix()
    simulator = AerSimulator(method="density_matrix", noise_model=model)
    state = simulator.run(ready).result().data()["density_matrix"]
    shown = []
    for qubit, z in enumerate(z_observables(circuit.num_qubits)):
        error = model._local_readout_errors.get((qubit,), model._default_readout_error)
        (_, a), (b, _) = np.eye(2) if error is None else error.probabilities
        shown.append((1 - a - b) * state.expectation_value(z).real + b - a)
    return np.array(shown)


@pytest.mark.parametrize(
    ("model", "gates", "met"),
    [
        (lambda: model_on(["sx", "x"], ["cz"]), {"rz", "sx", "cz"}, {"sx", "cz"}),
        (lambda: model_on(["r"], ["rxx"]), {"rz", "r", "rxx"}, {"r", "rxx"}),
        (lambda: model_on(["h"], ["cz"]), {"rz", "h", "cz"}, {"h", "cz"}),
        (lambda: model_on(["u1", "u2", "u3"], ["cx"]), {"u1", "u2", "u3", "cx"}, {"u1", "u2", "u3", "cx"}),
        (lambda: model_on(["rx"], ["rzx"]), {"rz", "rx", "rzx"}, {"rx", "rzx"}),
        (lambda: model_on(["sx"], ["cx"]), {"rz", "sx", "cx"}, {"sx", "cx"}),
        (lambda: NoiseModel.from_backend(FakeManilaV2()), {"rz", "sx", "x", "cx"}, {"sx", "x", "cx"}),
    ],
)
def test_a_circuit_that_a_model_does_not_name_runs_in_the_models_gates_with_aers_values(
    model: Callable[[], NoiseModel], gates: set[str], met: set[str]
) -> None:
    program, noise = ring(), model()
    inputs, weights = random_angles(program, 1, 1)
    simulated = under(noise, program)
    row = program.bind(inputs, weights)[0]
    bound = simulated.circuit.assign_parameters(dict(zip(program.circuit.parameters, row, strict=True)))
    assert Operator(bound).equiv(Operator(program.circuit.assign_parameters(row)))
    got = values(simulated, inputs, weights)[0]
    np.testing.assert_allclose(got, aer_values(bound, noise), atol=1e-10)
    plain = open_backend("aer")
    assert np.abs(got - plain.run(plain.compile(program), inputs, weights).values[0]).max() > 0.01
    record = simulated.record
    assert set(record["translated_to"]) == set(record["gate_counts"]) <= gates
    assert record["gate_counts"] == {name: count for name, (_, count) in record["errors_met"].items()}
    assert {name for name, (hits, _) in record["errors_met"].items() if hits} <= met
    assert record["note"].startswith(
        f"translated to {', '.join(record['translated_to'])}, the gates of the noise model"
    )


def test_gates_without_an_error_in_the_default_basis_do_not_take_the_place_of_those_with_one() -> None:
    model = model_on(["rx"], ["cz"])
    assert {"sx", "cx"} <= set(model.basis_gates)
    assert set(under(model).record["gate_counts"]) == {"rz", "rx", "cz"}


def test_where_some_gates_err_the_circuit_is_its_own_and_the_record_counts_them() -> None:
    model = NoiseModel()
    model.add_quantum_error(TWO, "cx", [0, 1])
    program = ring()
    simulated = under(model, program)
    assert simulated.circuit == program.circuit
    assert "translated_to" not in simulated.record
    assert simulated.record["errors_met"] == {"cx": [1, 3], "ry": [0, 3]}
    said = "errors on 1 of 6 gates (cx 1 of 3, ry 0 of 3), none on cx of qubits 1, 2; cx of qubits 2, 0"
    assert simulated.record["note"] == f"the noise model has {said}"


def test_nothing_is_said_where_every_gate_errs_or_only_the_readout_does() -> None:
    assert "note" not in under(model_on(["ry"], ["cx"])).record
    reading = NoiseModel()
    reading.add_all_qubit_readout_error(ReadoutError([[0.9, 0.1], [0.2, 0.8]]))
    record = under(reading).record
    assert not {"note", "errors_met", "translated_to"} & set(record)


def test_of_two_directions_the_one_with_an_error_is_taken() -> None:
    model = model_on(["sx"])
    for pair in ([1, 0], [2, 1], [0, 2]):
        model.add_quantum_error(TWO, "ecr", pair)
    simulated = under(model)
    assert simulated.record["errors_met"]["ecr"] == [3, 3]


def test_pairs_of_a_model_that_are_not_coupled_stay_without_error_and_are_named() -> None:
    model = model_on(["sx"])
    model.add_quantum_error(TWO, "cz", [0, 1])
    record = under(model).record
    assert record["errors_met"]["cz"] == [1, 3]
    assert "none on cz of qubits 1, 2; cz of qubits 2, 0" in record["note"]


def test_the_change_of_basis_before_a_measurement_is_in_the_models_gates_too() -> None:
    program = ring()
    observables = (SparsePauliOp("XIY"), SparsePauliOp("IZI"))
    program = CircuitProgram(program.circuit, program.inputs, program.weights, observables)
    simulated = under(model_on(["sx", "x"], ["cz"]), program)
    for _, circuit in simulated.runs:
        assert {"h", "sdg"}.isdisjoint(circuit.count_ops())


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (lambda: model_on(["x"]), "errors on x and the circuit has the gates cx, ry: none of them meet"),
        (lambda: model_on(["made_up"]), "errors on made_up and the circuit has the gates cx, ry: none of them meet"),
        (lambda: model_on([], ["iswap"]), "errors on iswap and the circuit has the gates cx, ry: none of them meet"),
    ],
)
def test_a_model_that_meets_no_gate_in_any_translation_is_refused_with_both_sets(
    model: Callable[[], NoiseModel], said: str
) -> None:
    with pytest.raises(BackendError) as caught:
        under(model())
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_model_of_errors_on_other_qubits_alone_is_said_to_be_one() -> None:
    model = NoiseModel()
    model.add_quantum_error(TWO, "cx", [3, 4])
    assert under(model).record["note"] == "the noise model has errors on cx of qubits outside the circuit alone"


def test_a_gate_whose_errors_are_all_on_other_qubits_is_said_to_be_without_one() -> None:
    """As where qubits are coupled through a resonator, on which alone the two-qubit gate errs."""
    model = model_on(["ry"])
    model.add_quantum_error(TWO, "cx", [0, 3])
    assert under(model).record["note"] == (
        "the noise model has errors on 3 of 6 gates (cx 0 of 3, ry 3 of 3); its errors on cx are on qubits outside the "
        "circuit alone"
    )


def test_a_circuit_without_gates_of_two_qubits_runs_under_errors_of_those_alone_and_says_so() -> None:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    simulated = under(model_on([], ["cx"]), CircuitProgram(circuit, (), (), z_observables(2)))
    assert simulated.record["note"] == "the noise model has errors on 0 of 1 gates (h 0 of 1); its own are on cx"


def test_a_translation_keeps_delays_and_their_relaxation() -> None:
    model = model_on(["sx"])
    model._custom_noise_passes.append(RelaxationNoisePass([5e-5] * 2, [5e-5] * 2, dt=1e-9, op_types=Delay))
    circuit = QuantumCircuit(2)
    circuit.ry(np.pi, 0)
    circuit.delay(20_000, 0, "dt")
    circuit.delay(10, 1, "us")
    circuit.cx(0, 1)
    simulated = under(model, CircuitProgram(circuit, (), (), z_observables(2)))
    assert simulated.record["translated_to"] == ["cx", "rz", "sx"]
    delays = [item.operation for item in simulated.circuit.data if item.operation.name == "delay"]
    assert sorted(delay.duration for delay in delays) == pytest.approx([1e-5, 2e-5])
    got = values(simulated, np.zeros((1, 0)), np.zeros(0))[0]
    np.testing.assert_allclose(got, aer_values(simulated.circuit, model), atol=1e-10)


def test_errors_bind_to_names_alone_where_no_translation_is_wanted() -> None:
    program = ring()
    noise = Noise.from_model(model_on(["sx"], ["cz"]), 3)
    simulated = simulated_under(program, noise, translate=False)
    assert simulated.circuit == program.circuit
    assert simulated.record["note"] == "the noise model has errors on 0 of 6 gates (cx 0 of 3, ry 0 of 3)"


def test_the_noise_of_some_qubits_of_a_model_is_numbered_anew() -> None:
    model = NoiseModel.from_backend(FakeManilaV2())
    part, whole = Noise.from_model(model, (3, 1, 2)), Noise.from_model(model, 5)
    assert part.readout == tuple(whole.readout[q] for q in (3, 1, 2))
    assert part.relaxation == tuple(whole.relaxation[q] for q in (3, 1, 2))
    found = {(name, where): error for name, where, error in whole.gate_errors}
    for name, where, error in part.gate_errors:
        assert error == found[name, tuple((3, 1, 2)[q] for q in where)]
    assert {where for name, where, _ in part.gate_errors if name == "cx"} == {(0, 2), (2, 0), (1, 2), (2, 1)}
