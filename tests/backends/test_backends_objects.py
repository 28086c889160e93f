"""Any Qiskit backend and any Aer noise model in place of a backend's name."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from ions import Ions
from loopback import Loopback
from programs import random_angles, random_program, statevector_values
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import CXGate, CZGate, RXGate, RZGate
from qiskit.providers import BackendV2, Options
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import InstructionProperties, QubitProperties, Target
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error
from qiskit_ibm_runtime.fake_provider import FakeManilaV2, FakeTorino

from backends import BackendError, Noise, open_backend, simulated_under
from backends.devices import stored_device
from backends.facts import facts_of, is_simulator
from backends.ibm.client import Service
from backends.names import stored_devices

PROGRAM = random_program(2, 3, observables=(SparsePauliOp("IIZ"), SparsePauliOp(["IXY", "ZIZ"], [1.0, 0.5])))
INPUTS, WEIGHTS = random_angles(PROGRAM, 0, 7)


def values(where: object, **options: object) -> np.ndarray:
    backend = open_backend(where, **options)
    return backend.run(backend.compile(PROGRAM), INPUTS, WEIGHTS).values


def model() -> NoiseModel:
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.02, 1), ["r"])
    model.add_all_qubit_quantum_error(depolarizing_error(0.1, 2), ["rxx"])
    model.add_all_qubit_readout_error(ReadoutError([[0.95, 0.05], [0.1, 0.9]]))
    return model


class Half(BackendV2):
    """A device that states the error of CZ, and of nothing else; its run is a failure of the test."""

    def __init__(self, noise_model: NoiseModel | None = None) -> None:
        super().__init__(name="half")
        if noise_model is not None:
            self.noise_model = noise_model
        angle = Parameter("angle")
        self._target = Target(num_qubits=3, qubit_properties=[QubitProperties()] * 3)
        self._target.add_instruction(CXGate(), {(0, 1): None, (1, 0): None, (1, 2): None, (2, 1): None})
        self._target.add_instruction(CZGate(), {pair: InstructionProperties(error=0.02) for pair in ((0, 1), (1, 2))})
        for gate in (RXGate(angle), RZGate(angle)):
            self._target.add_instruction(gate)

    @property
    def target(self) -> Target:
        return self._target

    @property
    def max_circuits(self) -> None:
        return None

    @classmethod
    def _default_options(cls) -> Options:
        return Options()

    def run(self, run_input: object, **options: object) -> object:
        raise AssertionError("a job was sent")


def test_a_stored_device_as_an_object_is_the_one_of_that_name() -> None:
    assert open_backend(FakeTorino()).name == "fake_torino"
    assert open_backend(FakeManilaV2(), shots=None).name == "fake_manila"
    np.testing.assert_array_equal(values(FakeManilaV2()), values("fake_manila"))


def test_the_noise_of_a_target_is_that_of_aers_own_model_of_it() -> None:
    device = GenericBackendV2(4, seed=5)
    compiled = open_backend(device).compile(PROGRAM)
    noise, patch = NoiseModel.from_backend(device), compiled.record["active_qubits"]
    got = open_backend(device).run(compiled, INPUTS, WEIGHTS).values
    again = replace(compiled, noise=Noise.from_model(noise, patch))
    assert again.noise.readout == compiled.noise.readout
    assert again.noise.relaxation == compiled.noise.relaxation
    np.testing.assert_allclose(got, open_backend(device).run(again, INPUTS, WEIGHTS).values, atol=1e-9)
    assert "unknown" not in compiled.record
    assert np.abs(got - statevector_values(PROGRAM, INPUTS, WEIGHTS)).max() > 0.003


@pytest.mark.parametrize(
    "device", [GenericBackendV2(4, seed=5), FakeManilaV2(), BasicSimulator()], ids=["generic", "manila", "basic"]
)
def test_counts_of_a_simulators_own_run_scatter_about_the_values_of_its_noise(device: BackendV2) -> None:
    backend = open_backend(device, shots=3000, seed=1)
    result = backend.run(backend.compile(PROGRAM), INPUTS, WEIGHTS)
    exact = statevector_values(PROGRAM, INPUTS, WEIGHTS) if isinstance(device, BasicSimulator) else values(device)
    assert np.abs((result.values - exact) / result.standard_errors).max() < 4.5
    again = backend.run(backend.compile(PROGRAM), INPUTS, WEIGHTS)
    np.testing.assert_array_equal(result.values, again.values)
    assert result.record["method"] == "counts of the backend's own run"


def test_gates_for_all_qubits_run_and_what_the_target_does_not_state_is_listed() -> None:
    ions = Ions()
    backend = open_backend(ions, shots=1500, simulated=True)
    compiled = backend.compile(PROGRAM)
    result = backend.run(compiled, INPUTS, WEIGHTS)
    expected = statevector_values(PROGRAM, INPUTS, WEIGHTS)
    assert np.abs((result.values - expected) / result.standard_errors).max() < 4.5
    assert set(result.record["gate_counts"]) == {"r", "rxx"}
    unknown = ["error of r", "error of rxx", "readout error", "T1, T2", "durations of gates"]
    assert result.record["unknown"] == unknown
    assert result.record["note"].startswith("placed without, since ions does not state them: error of r, ")
    assert result.record["object"]["type"].endswith("ions.Ions")
    assert result.record["object"]["version"] == "1.0"
    groups = len(compiled.runs)
    assert ions.calls == [(size, shots) for size in (5, 2) for shots in (700, 700, 100)] * groups


def test_the_noise_of_a_target_that_states_no_error_is_refused_with_what_is_missing() -> None:
    for silent in (Ions(), GenericBackendV2(3, noise_info=False)):
        with pytest.raises(BackendError) as caught:
            open_backend(silent)
        said = str(caught.value)
        assert "does not state its noise (not known: error of" in said
        assert "T1, T2" in said
        assert "give an Aer NoiseModel" in said
        assert "\n" not in said


def test_what_a_target_states_in_part_is_computed_and_the_rest_is_listed() -> None:
    backend = open_backend(Half())
    record = backend.compile(PROGRAM).record
    assert set(record["gate_counts"]) == {"rx", "rz", "cz"}
    assert record["unknown"] == ["error of rx", "error of rz", "readout error", "T1, T2", "durations of gates"]
    assert record["note"].startswith("left out of the noise, since half does not state them: error of rx, ")


def test_a_noise_model_that_a_backend_carries_goes_before_its_target() -> None:
    noise = NoiseModel()
    noise.add_all_qubit_quantum_error(depolarizing_error(0.1, 1), ["rx"])
    noise.add_quantum_error(depolarizing_error(0.2, 2), "cx", [1, 2], warnings=False)
    noise.add_all_qubit_quantum_error(depolarizing_error(0.01, 2), "cx", warnings=False)
    noise.add_readout_error([[0.9, 0.1], [0.3, 0.7]], [0])
    device = facts_of(Half(noise))
    assert device.readout == ((0.1, 0.3), (0.0, 0.0), (0.0, 0.0))
    backend = open_backend(Half(noise))
    compiled = backend.compile(PROGRAM)
    assert "unknown" not in compiled.record
    assert compiled.noise.gate_errors
    expected = Noise.from_model(noise, compiled.record["active_qubits"])
    assert {(name, where) for name, where, _ in compiled.noise.gate_errors} == {
        (name, where) for name, where, _ in expected.gate_errors
    }


def test_a_noise_model_of_the_simulator_inside_a_backend_is_found() -> None:
    ions = Ions()
    ions.simulator = AerSimulator(noise_model=model())
    compiled = open_backend(ions).compile(PROGRAM)
    assert compiled.record["errors_met"].keys() == {"r", "rxx"}
    assert compiled.noise.readout == ((0.05, 0.1),) * 3
    assert facts_of(ions).target["rxx"][0, 1].error == pytest.approx(0.1 * 3 / 4)


def test_a_target_whose_gates_do_not_make_up_the_circuit_is_refused_in_one_sentence() -> None:
    narrow = Half()
    narrow._target = Target(num_qubits=3)
    narrow.target.add_instruction(RZGate(Parameter("angle")))
    narrow.target.add_instruction(CZGate(), {pair: InstructionProperties(error=0.02) for pair in ((0, 1), (1, 2))})
    with pytest.raises(BackendError, match=r"the circuit cannot be written in the gates of half \(cz, rz\)") as caught:
        open_backend(narrow).compile(PROGRAM)
    assert "\n" not in str(caught.value)


def test_a_noise_model_on_none_of_a_backends_gates_is_refused() -> None:
    noise = NoiseModel()
    noise.add_all_qubit_quantum_error(depolarizing_error(0.1, 1), ["sx"])
    noise.add_all_qubit_quantum_error(depolarizing_error(0.1, 2), ["ecr"])
    with pytest.raises(BackendError, match=r"errors on ecr, sx and the circuit has the gates .*: none of them meet"):
        open_backend(Half(noise)).compile(PROGRAM)


def test_simulators_of_aer_are_opened_as_what_they_simulate() -> None:
    assert open_backend(AerSimulator()).name == "aer"
    assert open_backend(AerSimulator(), shots=100).name == "aer:shots=100"
    np.testing.assert_array_equal(values(AerSimulator(noise_model=model())), values(model()))
    assert open_backend(AerSimulator(noise_model=model())).name == open_backend(model()).name
    manila = open_backend(AerSimulator.from_backend(FakeManilaV2())).compile(PROGRAM)
    assert manila.record["layout"] == open_backend("fake_manila").compile(PROGRAM).record["layout"]


def test_a_noise_model_is_a_backend_exact_or_with_shots() -> None:
    exact = open_backend(model())
    simulated = simulated_under(PROGRAM, Noise.from_model(model(), 3))
    np.testing.assert_array_equal(values(model()), open_backend("aer").run(simulated, INPUTS, WEIGHTS).values)
    assert (exact.kind, exact.shots) == ("noise model", None)
    drawn = open_backend(model(), shots=4000)
    result = drawn.run(drawn.compile(PROGRAM), INPUTS, WEIGHTS)
    assert np.abs((result.values - values(model())) / result.standard_errors).max() < 4.5
    assert result.record["translated_to"] == ["r", "rxx"]


def test_what_is_not_known_to_be_a_simulator_is_never_run() -> None:
    for device in (Half(), Ions()):
        with pytest.raises(BackendError, match="is not known to be a simulator, and jobs on a device cost"):
            open_backend(device, shots=100)
    assert not is_simulator(Half())


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    with Loopback("manila", key="a-key-of-a-test") as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


def test_a_device_of_an_ibm_account_is_refused_in_one_sentence(account: Loopback) -> None:
    device = Service()._device("ibm_manila")
    for options in ({}, {"shots": 100}, {"shots": 100, "simulated": True}):
        with pytest.raises(BackendError, match=r"ibm_manila is hardware.* ibm_manila@noise simulates it") as caught:
            open_backend(device, **options)
        assert "\n" not in str(caught.value)
    assert account.jobs == {}


class Scheduled(GenericBackendV2):
    """A simulator whose circuits have to pass through its maker's scheduling, which adds delays."""

    def get_scheduling_stage_plugin(self) -> str:
        return "alap"

    def run(self, run_input: list[QuantumCircuit], **options: object) -> object:
        if not all(circuit.count_ops().get("delay") for circuit in run_input):
            raise ValueError("not scheduled")
        return super().run(run_input, **options)


def test_bound_circuits_pass_through_the_scheduling_of_their_backend() -> None:
    device = Scheduled(4, seed=5)
    backend = open_backend(device, shots=3000, seed=1)
    result = backend.run(backend.compile(PROGRAM), INPUTS, WEIGHTS)
    assert np.abs((result.values - values(device)) / result.standard_errors).max() < 4.5


class Wrong(Ions):
    """Returns what its run is told to instead of counts of all shots and bits."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def run(self, run_input: list[QuantumCircuit], *, shots: int) -> object:
        if self.kind == "fails":
            raise RuntimeError("the queue\nis closed")
        if self.kind == "loses shots":
            shots -= 1
        if self.kind == "loses bits":
            run_input = [QuantumCircuit(1, 1) for _ in run_input]
            for circuit in run_input:
                circuit.measure(0, 0)
        if self.kind == "loses circuits":
            run_input = run_input[1:]
        return super().run(run_input, shots=shots)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("fails", "its run failed (RuntimeError: the queue is closed)"),
        ("loses shots", "other counts than 50 readings of 3 bits"),
        ("loses bits", "other counts than 50 readings of 3 bits"),
        ("loses circuits", "counts of 4 of 5 circuits"),
    ],
)
def test_a_run_that_fails_or_gives_other_counts_is_an_error(kind: str, said: str) -> None:
    backend = open_backend(Wrong(kind), shots=50, simulated=True)
    with pytest.raises(BackendError) as caught:
        backend.run(backend.compile(PROGRAM), INPUTS, WEIGHTS)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_name_of_an_object_is_the_same_for_the_same_facts_in_any_process() -> None:
    code = (
        "from qiskit.providers.fake_provider import GenericBackendV2\n"
        "from test_backends_objects import Ions, model\n"
        "from backends import open_backend\n"
        "print(open_backend(GenericBackendV2(3, seed=1)).name, open_backend(model(), shots=5).name,\n"
        "      open_backend(Ions(), shots=9, simulated=True).name)\n"
    )
    path = os.pathsep.join(sys.path)
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": path}
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    here = [
        open_backend(GenericBackendV2(3, seed=1)).name,
        open_backend(model(), shots=5).name,
        open_backend(Ions(), shots=9, simulated=True).name,
    ]
    assert there.stdout.split() == here
    assert open_backend(GenericBackendV2(3, seed=2)).name != here[0]
    other = model()
    other.add_readout_error([[0.9, 0.1], [0.1, 0.9]], [0])
    assert open_backend(other, shots=5).name != here[1]


def test_what_is_no_backend_and_shots_beside_a_name_are_refused() -> None:
    with pytest.raises(BackendError, match="a int is no backend"):
        open_backend(3)
    with pytest.raises(BackendError, match="shots belong in the name, as in aer:shots=5"):
        open_backend("fake_manila", shots=5)
    with pytest.raises(BackendError, match="shots = 0; at least 1"):
        open_backend(model(), shots=0)


@pytest.mark.slow
def test_of_every_stored_device_the_same_two_qubit_gate_is_taken_as_ever() -> None:
    for name in stored_devices():
        device = stored_device(name.removeprefix("fake_"))
        pairs = {
            gate: sum(1 for qubits in device.target[gate] or {} if qubits is not None and len(qubits) == 2)
            for gate in device.target.operation_names
        }
        most = max(sorted(pairs), key=lambda gate: pairs[gate])
        assert device.entangler == (most if pairs[most] else None)
        assert device.unread == frozenset()
