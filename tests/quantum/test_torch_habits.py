"""Habits of torch users: saving whole models, compiling, empty batches, NumPy input, functional calls."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit_aer.noise import NoiseModel, depolarizing_error
from qiskit_machine_learning.exceptions import QiskitMachineLearningError
from torch import Tensor, nn
from torch.multiprocessing import get_context

from backends.devices import stored_device
from backends.errors import BackendError
from hybridq.errors import UserError
from hybridq.quantum.circuits import CircuitSpec, dead_weights
from hybridq.quantum.engine import compile_program
from hybridq.quantum.engine.noiseless.memory import CircuitTooLargeError, machine_memory
from hybridq.quantum.layer import QuantumLayer, quantum_layer

SPEC = CircuitSpec(2, 1)


def rates() -> NoiseModel:
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.1, 1), ["ry", "rz"])
    return model


KINDS: dict[str, dict[str, Any]] = {
    "exact": {},
    "shots": {"backend": "aer:shots=50"},
    "a device": {"backend": "fake_torino"},
    "a device with shots": {"backend": "fake_torino:shots=50"},
    "random strength": {"backend": "fake_torino", "noise_scale": (0.5, 1.5)},
    "rates": {"backend": "noise:depolarizing_1q=0.01,t1_us=50,t2_us=40"},
    "an Aer model": {"backend": rates()},
    "aer": {"engine": "aer"},
    "aer with shots": {"engine": "aer", "backend": "aer:shots=50"},
    "aer with a device": {"engine": "aer", "backend": "fake_torino"},
}


@pytest.fixture(scope="module", params=KINDS)
def layer(request: pytest.FixtureRequest) -> QuantumLayer:
    return quantum_layer(SPEC, **KINDS[request.param])


def rows() -> Tensor:
    return torch.tensor([[0.3, -0.8], [1.1, 0.4], [0.0, 2.0]])


def saved_and_loaded(layer: QuantumLayer) -> QuantumLayer:
    buffer = io.BytesIO()
    torch.save(nn.Sequential(layer), buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)[0]


@pytest.mark.parametrize(
    "remake",
    [saved_and_loaded, copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))],
    ids=["save", "deepcopy", "pickle"],
)
def test_every_layer_is_copied_and_saved_with_the_same_values_in_both_modes(layer, remake):
    layer(rows())
    copied = remake(layer)
    assert copied.note == layer.note
    for mode in (False, True):
        results = []
        for one in (layer, copied):
            torch.manual_seed(1)
            results.append(one.train(mode)(rows()))
        assert torch.equal(*results)
        assert results[0].requires_grad
    copied.weight.data.add_(1.0)
    assert not torch.equal(copied.weight, layer.weight)


def test_a_copy_holds_no_tensors_of_the_device_that_the_layer_was_used_on():
    layer = quantum_layer(CircuitSpec(6, 2), backend="aer")
    before = len(pickle.dumps(layer))
    layer(torch.zeros(2, 6)).sum().backward()
    layer.zero_grad()
    assert len(pickle.dumps(layer)) == before


def _values_there(model: nn.Module, inputs: Tensor, results: Any) -> None:
    results.put(model(inputs).detach().numpy())


@pytest.mark.slow
def test_a_noisy_model_runs_in_a_spawned_process():
    model = nn.Sequential(nn.Linear(3, 2), quantum_layer(SPEC, backend="fake_torino"))
    inputs = torch.rand(4, 3, generator=torch.Generator().manual_seed(0))
    context = get_context("spawn")
    results = context.Queue()
    process = context.Process(target=_values_there, args=(model, inputs, results))
    process.start()
    np.testing.assert_allclose(results.get(timeout=300), model(inputs).detach(), atol=1e-6)
    process.join()


@pytest.mark.parametrize("shape", [(0, 2), (3, 0, 2)])
def test_an_empty_batch_gives_empty_values_and_no_gradient(layer, shape):
    inputs = torch.zeros(shape, requires_grad=True)
    values = layer.train()(inputs)
    assert values.shape == shape
    of_inputs, of_weights = torch.autograd.grad(values.sum(), (inputs, layer.weight))
    assert of_inputs.shape == shape
    assert torch.equal(of_weights, torch.zeros_like(layer.weight))


@pytest.mark.parametrize(
    "given",
    [
        rows().double().numpy(),
        rows().numpy(),
        np.asfortranarray(rows().numpy()),
        rows().numpy()[::-1][::-1],
        rows().numpy().astype(">f4"),
        rows().tolist(),
    ],
    ids=["float64", "float32", "by columns", "turned twice", "big-endian", "lists"],
)
@pytest.mark.parametrize("engine", ["exact", "aer"])
def test_numpy_arrays_are_taken_in_their_precision(given, engine):
    layer = quantum_layer(SPEC, engine=engine)
    values = layer(given)
    assert values.dtype == (torch.float64 if np.asarray(given).dtype == np.float64 else torch.float32)
    torch.testing.assert_close(values.float(), layer(rows()), atol=1e-6, rtol=0)


def test_integers_and_booleans_from_numpy_are_angles():
    layer = quantum_layer(SPEC)
    torch.testing.assert_close(layer(np.array([[1, 0]])), layer(torch.tensor([[1.0, 0.0]])))
    torch.testing.assert_close(layer(np.array([[True, False]])), layer(torch.tensor([[1.0, 0.0]])))


@pytest.mark.parametrize(
    "given",
    [rows() + 0j, rows().numpy() + 1j, np.array([["a", "b"]]), np.array([[None, 1.0]])],
    ids=["complex tensor", "complex array", "text", "objects"],
)
@pytest.mark.parametrize("engine", ["exact", "aer"])
def test_inputs_that_are_no_real_numbers_are_refused_in_one_sentence(given, engine):
    with pytest.raises(QiskitMachineLearningError, match="angles are real numbers in radians"):
        quantum_layer(SPEC, engine=engine)(given)


def test_the_engine_itself_takes_no_complex_numbers():
    compiled = compile_program(SPEC.build())
    with pytest.raises(ValueError, match="angles are real numbers in radians"):
        compiled(rows(), torch.zeros(4) + 0j)
    with pytest.raises(ValueError, match="angles are real numbers in radians"):
        compiled.jacobian(rows() + 0j, torch.zeros(4))


class Hybrid(nn.Module):
    """A circuit between two linear layers."""

    def __init__(self, circuit: QuantumLayer) -> None:
        super().__init__()
        self.before, self.circuit, self.after = nn.Linear(3, 2), circuit, nn.Linear(2, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        angles = self.before(inputs).tanh()
        values = self.circuit(angles)
        return self.after(values)


@pytest.mark.parametrize("options", [{}, {"backend": "fake_torino"}, {"engine": "aer"}], ids=["exact", "noisy", "aer"])
def test_compiling_a_model_leaves_the_layer_out_and_changes_nothing(options):
    model = Hybrid(quantum_layer(SPEC, **options))
    inputs = torch.rand(4, 3, generator=torch.Generator().manual_seed(0))
    graphs: list[torch.fx.GraphModule] = []

    def kept(graph: torch.fx.GraphModule, example: list[Tensor]) -> Any:
        graphs.append(graph)
        return graph

    torch._dynamo.reset()
    results = []
    for one in (model, torch.compile(model, backend=kept)):
        model.zero_grad()
        values = one(inputs)
        values.square().sum().backward()
        results.append([values.detach(), *[p.grad.clone() for p in model.parameters()]])
    torch.testing.assert_close(results[1], results[0], atol=1e-6, rtol=0)
    names = [
        str(getattr(node.target, "__name__", node.target))
        for graph in graphs
        for node in graph.graph.nodes
        if node.op.startswith("call")
    ]
    assert len(graphs) == 2
    assert names == ["linear", "tanh", "linear"]


def test_functional_calls_autocasting_and_copies_in_half_precision_are_right(layer):
    layer.eval()
    torch.manual_seed(1)
    expected = layer(rows())
    other = layer.weight.detach().clone()
    torch.manual_seed(1)
    assert torch.equal(torch.func.functional_call(layer, {"weight": other}, (rows(),)), expected)
    torch.manual_seed(1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(layer(rows()), expected)


@pytest.mark.parametrize("options", [{}, {"backend": "fake_torino"}], ids=["exact", "noisy"])
def test_vmap_over_samples_and_over_weights_is_the_batch(options):
    layer = quantum_layer(SPEC, dtype=torch.float64, **options)
    inputs = rows().double()
    torch.testing.assert_close(torch.func.vmap(layer)(inputs), layer(inputs), atol=1e-12, rtol=0)
    weights = torch.stack([layer.weight.detach(), layer.weight.detach() + 1])
    ensemble = torch.func.vmap(lambda w: torch.func.functional_call(layer, {"weight": w}, (inputs,)))(weights)
    torch.testing.assert_close(ensemble[0], layer(inputs), atol=1e-12, rtol=0)


def idle(unit: str, duration: float) -> QuantumCircuit:
    x, w = ParameterVector("x", 2), ParameterVector("w", 2)
    circuit = QuantumCircuit(2)
    circuit.ry(x[0], 0)
    circuit.ry(x[1], 1)
    circuit.delay(duration, 0, unit=unit)
    circuit.cx(0, 1)
    circuit.ry(w[0], 0)
    circuit.ry(w[1], 1)
    return circuit


@pytest.mark.parametrize("engine", ["exact", "aer"])
def test_delays_in_units_of_a_device_are_its_seconds(engine):
    values = []
    unit_s = stored_device("torino").target.dt
    for unit, duration in (("dt", 5000), ("s", 5000 * unit_s), ("s", 0)):
        layer = quantum_layer(idle(unit, duration), inputs="x", weights="w", backend="fake_torino", engine=engine)
        values.append(layer(rows()).detach())
    torch.testing.assert_close(values[0], values[1], atol=1e-6, rtol=0)
    assert (values[0] - values[2]).abs().max() > 1e-3


@pytest.mark.parametrize("engine", ["exact", "aer"])
def test_delays_in_units_that_noise_does_not_define_are_refused_and_without_noise_mean_nothing(engine):
    noise = "noise:t1_us=50,t2_us=40"
    with pytest.raises(BackendError, match="a delay is counted in dt"):
        quantum_layer(idle("dt", 100), inputs="x", weights="w", backend=noise, engine=engine)(rows())
    ideal = [quantum_layer(idle("dt", d), inputs="x", weights="w", engine=engine)(rows()) for d in (100, 0)]
    torch.testing.assert_close(ideal[0], ideal[1], atol=1e-6, rtol=0)


@pytest.mark.parametrize("qubits", [30, 40])
def test_more_qubits_than_memory_are_refused_before_memory_is_taken(qubits):
    with pytest.raises(CircuitTooLargeError, match=f"exact values of {qubits} qubits need .* GB, this machine"):
        quantum_layer(CircuitSpec(qubits, 2))
    with pytest.raises(UserError, match="allowed are about"):
        compile_program(CircuitSpec(qubits, 1, entanglement="linear").build())


def test_the_sentence_names_as_many_qubits_as_fit(monkeypatch):
    monkeypatch.setattr("hybridq.quantum.engine.noiseless.memory.machine_memory", lambda: 10**6)
    with pytest.raises(CircuitTooLargeError) as refused:
        compile_program(CircuitSpec(14, 1).build())
    allowed = int(str(refused.value).split("allowed are about ")[1].split()[0])
    assert compile_program(CircuitSpec(allowed, 1).build()).num_inputs == allowed
    with pytest.raises(CircuitTooLargeError):
        compile_program(CircuitSpec(allowed + 2, 1).build())


def test_an_estimator_may_have_more_qubits_than_fit_and_the_layer_says_what_was_not_looked_for(monkeypatch):
    monkeypatch.setattr("hybridq.quantum.engine.noiseless.memory.machine_memory", lambda: 1000)
    layer = quantum_layer(CircuitSpec(4, 1), engine="aer")
    assert layer.note == "4 qubits: too many to look for weights that no observable depends on"
    assert layer(torch.zeros(1, 4)).shape == (1, 4)


def test_the_memory_of_the_machine_is_a_plausible_number():
    assert 2**28 < machine_memory() < 2**50


def test_dead_weights_are_found_from_one_point_and_from_a_program_that_is_compiled_already():
    program = CircuitSpec(4, 2, rotations=("ry", "rz")).build()
    names = ["w[12]", "w[13]", "w[14]", "w[15]"]
    assert dead_weights(program) == names
    assert dead_weights(program, compiled=compile_program(program)) == names
    with torch.no_grad():
        assert dead_weights(program) == names


@pytest.mark.parametrize("backend", ["aer", "fake_manila"])
def test_a_layer_is_built_in_inference_mode_and_trained_after_a_first_call_there(backend: str) -> None:
    with torch.inference_mode():
        built = quantum_layer(SPEC, backend=backend)
        values = built(torch.zeros(2, built.neural_network.num_inputs))
    layer = quantum_layer(SPEC, backend=backend)
    with torch.inference_mode():
        first = layer(torch.zeros(2, layer.neural_network.num_inputs))
    assert torch.equal(first, values)
    layer(torch.zeros(2, layer.neural_network.num_inputs)).sum().backward()
    assert layer.weight.grad is not None
