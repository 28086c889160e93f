"""Defects of the libraries underneath that a user can hit, each worked around in one place here.

For each: the stock library still does it (a failure means that a workaround can go), and this project does not.
"""

from __future__ import annotations

import math
from contextlib import suppress

import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error
from qiskit_aer.primitives import EstimatorV2 as AerEstimator
from qiskit_ibm_runtime.fake_provider import FakeManilaV2
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.exceptions import QiskitMachineLearningError
from qiskit_machine_learning.gradients import ParamShiftEstimatorGradient
from qiskit_machine_learning.neural_networks import EstimatorQNN
from quantum_programs import RecordingEstimator

from backends import BackendEstimator, CircuitProgram, open_backend
from backends.devices import stored_device
from hybridq.quantum.circuits import CircuitSpec
from hybridq.quantum.gradients import BroadcastParameterShift, ExactEstimatorGradient
from hybridq.quantum.layer import quantum_layer
from hybridq.quantum.qnn import BroadcastEstimatorQNN, ExactEstimatorQNN

PROGRAM = CircuitSpec(2, 1, rotations=("ry",)).build()
ROWS, WEIGHTS = [[0.1, 0.2], [0.5, -0.4], [1.0, 0.3]], [0.3, 0.4]


def defect_remains(defect: bool, what: str, workaround: str) -> None:
    assert defect, f"upstream has mended {what}; remove the workaround in {workaround}"


def stock(**options) -> EstimatorQNN:
    return EstimatorQNN(
        circuit=PROGRAM.circuit,
        observables=list(PROGRAM.observables),
        input_params=PROGRAM.inputs,
        weight_params=PROGRAM.weights,
        input_gradients=True,
        **{"estimator": StatevectorEstimator(), "default_precision": 0.0, **options},
    )


def ours(**options) -> BroadcastEstimatorQNN:
    return BroadcastEstimatorQNN.from_program(PROGRAM, **options)


def one_qubit(gate: str) -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    getattr(circuit, gate)(0)
    return circuit


def under_aer(model: NoiseModel, circuit: QuantumCircuit, observable: str) -> float:
    options = {"noise_model": model, "method": "density_matrix"}
    estimator = AerEstimator(options={"backend_options": options})
    return float(estimator.run([(circuit, observable)]).result()[0].data.evs)


def under_ours(noise: str, circuit: QuantumCircuit, observable: str) -> float:
    backend = open_backend(noise)
    program = CircuitProgram(circuit, (), (), (SparsePauliOp(observable),))
    return float(backend.run(backend.compile(program), [[]], []).values[0, 0])


# qiskit-machine-learning


def test_the_stock_network_asks_for_one_precision_forwards_and_for_another_backwards():
    estimator = RecordingEstimator()
    network = stock(estimator=estimator, default_precision=0.25)
    network.forward(ROWS, WEIGHTS)
    network.backward(ROWS, WEIGHTS)
    asked = {precision for _, precision in estimator.requests}
    defect_remains(asked == {0.25, None}, "the precision of gradients", "hybridq/quantum/qnn.py:BroadcastEstimatorQNN")


@pytest.mark.parametrize("precision", [None, 0.25])
def test_our_network_asks_for_the_same_precision_in_both_passes(precision):
    estimator = RecordingEstimator()
    network = ours(estimator=estimator, default_precision=precision)
    network.forward(ROWS, WEIGHTS)
    network.backward(ROWS, WEIGHTS)
    assert [asked for _, asked in estimator.requests] == [precision, precision]


def test_the_stock_network_sends_a_pub_for_every_observable():
    estimator = RecordingEstimator()
    stock(estimator=estimator).forward(ROWS, WEIGHTS)
    sent = len(estimator.requests[0][0])
    defect_remains(sent == 2, "one PUB an observable", "hybridq/quantum/qnn.py:BroadcastEstimatorQNN._forward")


def test_our_network_sends_one_pub_for_a_batch_forwards_and_one_backwards():
    estimator = RecordingEstimator()
    network = ours(estimator=estimator)
    network.forward(ROWS, WEIGHTS)
    network.backward(ROWS, WEIGHTS)
    assert [len(pubs) for pubs, _ in estimator.requests] == [1, 1]


def test_a_stock_gradient_over_aers_estimator_cannot_tell_its_options():
    options = None
    with suppress(AttributeError):
        options = ParamShiftEstimatorGradient(AerEstimator()).options
    defect_remains(options is None, "gradient options", "hybridq/quantum/gradients.py:JacobianGradient.options")


@pytest.mark.parametrize("gradient", [BroadcastParameterShift, ExactEstimatorGradient])
def test_our_gradients_over_aers_estimator_tell_their_options(gradient):
    made = gradient(AerEstimator())
    made.update_default_options(seed=7)
    assert made.options.seed == 7


def test_the_stock_connector_stores_its_weights_twice():
    names = list(TorchConnector(stock()).state_dict())
    defect_remains(
        names == ["weight", "_weights"],
        "the second weight entry (qiskit-machine-learning issue 785)",
        "hybridq/quantum/layer.py:QuantumLayer.__init__",
    )


def test_our_layer_stores_its_weights_once():
    assert list(quantum_layer(PROGRAM).state_dict()) == ["weight"]


def test_the_stock_connector_rounds_double_precision_to_single():
    result = TorchConnector(stock()).double()(torch.tensor(ROWS, dtype=torch.float64)).dtype
    defect_remains(result == torch.float32, "double precision", "hybridq/quantum/layer.py:QuantumLayer.forward")


def test_our_layer_computes_in_double_precision():
    x = torch.tensor(ROWS, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(quantum_layer(PROGRAM, dtype=torch.float64), (x,))


def test_the_stock_connector_has_no_gradient_for_batches_of_batches():
    x = torch.tensor([ROWS, ROWS], requires_grad=True)
    with suppress(RuntimeError):
        TorchConnector(stock())(x).sum().backward()
    defect_remains(x.grad is None, "gradients of 3-D inputs", "hybridq/quantum/layer.py:QuantumLayer.forward")


def test_our_layer_has_gradients_for_batches_of_batches():
    layer = quantum_layer(PROGRAM)
    x = torch.tensor([ROWS, ROWS], requires_grad=True)
    layer(x).sum().backward()
    flat = torch.tensor(ROWS, requires_grad=True)
    layer(flat).sum().backward()
    torch.testing.assert_close(x.grad, torch.stack([flat.grad, flat.grad]))


X = ParameterVector("x", 2)


def with_a_global_phase() -> dict[str, object]:
    circuit = QuantumCircuit(1, global_phase=X[0])
    circuit.ry(X[1], 0)
    return {"circuit": circuit, "observables": SparsePauliOp("Z"), "weight_params": X}


def test_the_stock_gradient_fails_where_a_parameter_is_a_global_phase_alone():
    derivatives = None
    with suppress(QiskitMachineLearningError):
        network = EstimatorQNN(estimator=StatevectorEstimator(), **with_a_global_phase())
        derivatives = network.backward(None, WEIGHTS)
    defect_remains(derivatives is None, "global phases in gradients", "hybridq/quantum/gradients.py:_shift_plan")


def test_our_gradients_know_that_a_global_phase_changes_nothing():
    for network in (BroadcastEstimatorQNN, ExactEstimatorQNN):
        _, derivatives = network(**with_a_global_phase()).backward(None, WEIGHTS)
        assert derivatives.ravel().tolist() == pytest.approx([0.0, -math.sin(0.4)], abs=1e-12)


# qiskit-aer


def test_aers_estimator_ignores_readout_error():
    model = NoiseModel()
    model.add_all_qubit_readout_error(ReadoutError([[0.9, 0.1], [0.2, 0.8]]))
    value = under_aer(model, one_qubit("x"), "Z")
    defect_remains(value == pytest.approx(-1.0), "readout error", "backends/measurement.py:MeasuredGroup.read_as")


def test_our_backend_reads_out_with_error():
    value = under_ours("noise:meas1_prep0=0.1,meas0_prep1=0.2", one_qubit("x"), "Z")
    assert value == pytest.approx(-1 + 2 * 0.2)


def test_aers_estimator_runs_gates_that_the_noise_model_does_not_name_without_noise():
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.1, 1), ["sx", "x"])
    value = under_aer(model, one_qubit("y"), "Z")
    defect_remains(value == pytest.approx(-1.0), "translation to the noisy gates", "backends/compile.py:place")


def test_our_backend_translates_to_the_gates_that_err():
    assert under_ours("noise:depolarizing_1q=0.1", one_qubit("y"), "Z") == pytest.approx(-0.9)


def test_aers_estimator_blurs_exact_values_when_asked_for_a_precision():
    job = AerEstimator(options={"run_options": {"seed_simulator": 1}}).run([(one_qubit("x"), "Z")], precision=0.1)
    value = float(job.result()[0].data.evs)
    defect_remains(abs(value + 1) > 1e-3, "precision as blur", "backends/estimator.py:BackendEstimator.run")


def test_our_estimator_keeps_exact_values_exact():
    job = BackendEstimator(open_backend("aer")).run([(one_qubit("x"), "Z")], precision=0.1)
    assert float(job.result()[0].data.evs) == pytest.approx(-1.0, abs=1e-12)


def test_aers_noise_model_of_a_device_reads_both_states_equally_wrong():
    model = NoiseModel.from_backend(FakeManilaV2()).to_dict()
    tables = [error["probabilities"] for error in model["errors"] if error["type"] == "roerror"]
    assert len(tables) == 5
    defect_remains(
        all(zero[1] == pytest.approx(one[0]) for zero, one in tables),
        "readout asymmetry",
        "backends/devices.py:_readout",
    )


def test_our_device_knows_how_often_each_state_is_read_wrong():
    properties = FakeManilaV2().properties()
    readout = stored_device("manila").readout
    for qubit, (wrong_zero, wrong_one) in enumerate(readout):
        known = properties.qubit_property(qubit)
        assert wrong_zero == known["prob_meas1_prep0"][0]
        assert wrong_one == known["prob_meas0_prep1"][0]
    assert max(abs(wrong_one - wrong_zero) for wrong_zero, wrong_one in readout) > 0.01
