"""Upper bounds on what a step of the quantum layer costs, counted, since times cannot be tested on a shared machine.

A bound is about 15 % above what the code needed when the bound was written.
"""

from __future__ import annotations

import pytest
import torch
from qiskit.primitives import BaseEstimatorV2, StatevectorEstimator

from backends import open_backend
from backends.estimator import BackendEstimator
from benchmarks.counts import CountingEstimator, aer_watched, operators_dispatched, peak_bytes
from benchmarks.quantum.cases import Case
from benchmarks.quantum.ours import layer_step
from benchmarks.quantum.steps import Step, leaves
from hybridq.quantum.engine_choice import exact_compiler
from hybridq.quantum.layer import QuantumLayer
from hybridq.quantum.qnn import BroadcastEstimatorQNN

DEVICE = "fake_torino"
WHAT_TO_DO = (
    "The layer needs more than it did. Run `make bench-quantum` before and after the change: raise the bound in this "
    "file only if the times show that the change is worth it, and say so in docs/performance.md."
)


def assert_at_most(bound: float, counted: float, what: str) -> None:
    assert counted <= bound, f"{counted:,.0f} {what}, at most {bound:,.0f} are expected. {WHAT_TO_DO}"


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(("qubits", "layers", "batch", "bound"), [(4, 2, 32, 205), (8, 3, 64, 400)])
def test_a_noiseless_step_dispatches_few_operators(qubits, layers, batch, bound):
    case = Case(qubits, layers, batch)
    step = layer_step(case.program(), case.point(), torch.float32)
    assert_at_most(bound, operators_dispatched(step), "operators")


@pytest.mark.parametrize(
    ("qubits", "layers", "batch", "bound"), [(4, 2, 32, 320), pytest.param(8, 3, 64, 1205, marks=pytest.mark.slow)]
)
def test_a_noisy_step_dispatches_few_operators(qubits, layers, batch, bound):
    case = Case(qubits, layers, batch)
    step = layer_step(case.program(), case.point(), torch.float32, DEVICE)
    assert_at_most(bound, operators_dispatched(step), "operators")


@pytest.mark.parametrize("backend", ["aer", DEVICE])
def test_a_larger_batch_dispatches_no_more_operators(backend):
    few, many = (
        operators_dispatched(layer_step(case.program(), case.point(), torch.float32, backend))
        for case in (Case(4, 2, 32), Case(4, 2, 256))
    )
    assert_at_most(few, many, "operators for 256 samples")


def test_memory_of_a_noiseless_step_does_not_grow_with_depth():
    shallow, deep = (
        peak_bytes(layer_step(case.program(), case.point(), torch.float32))
        for case in (Case(10, 3, 64), Case(10, 32, 64))  # two layers need less: no state is taken back to the first
    )
    assert_at_most(1.15 * shallow, deep, "bytes for 32 layers")


@pytest.mark.parametrize("backend", ["aer", DEVICE])
def test_memory_of_a_step_stops_growing_with_the_batch_at_the_limit(backend):
    """Beyond the values and the inputs' gradient, which the caller keeps."""
    limit = 2**20
    compiled = exact_compiler(open_backend(backend))(Case(6, 2, 1).program())
    compiled.memory = limit

    def working_memory(batch: int) -> int:
        inputs, weights, upstream = leaves(Case(6, 2, batch).point(), torch.float32)
        own = 2 * inputs.numel() * inputs.element_size()
        return peak_bytes(Step(lambda x: compiled(x, weights), inputs, weights, upstream)) - own

    at_the_limit = working_memory(1024)
    assert_at_most(2 * limit, at_the_limit, "bytes at a limit of 1 MiB")
    assert_at_most(1.15 * at_the_limit, working_memory(8192), "bytes for 8,192 samples")


def test_an_exact_noisy_evaluation_runs_no_circuit_on_aer():
    case = Case(4, 2, 8)
    with aer_watched() as aer:
        layer_step(case.program(), case.point(), torch.float64, DEVICE)()
    assert aer.circuits == 0


def test_an_evaluation_on_aer_runs_one_circuit_a_sample_whatever_the_observables():
    case = Case(4, 2, 8)
    backend = open_backend(DEVICE)
    compiled = backend.compile(case.program())
    with aer_watched() as aer:
        backend.run(compiled, case.point().inputs.numpy(), case.point().weights.numpy())
    assert_at_most(case.batch, aer.circuits, "circuits for 8 samples")
    assert backend.cost(compiled, case.batch).circuits == aer.circuits


def test_a_training_step_on_aer_runs_one_circuit_a_sample_and_two_for_each_of_its_angles():
    case = Case(4, 2, 8)
    estimator = BackendEstimator(open_backend("aer"))
    with aer_watched() as aer:
        shifted_step(case, estimator)()
    angles = 4 + 16
    assert_at_most(case.batch * (1 + 2 * angles), aer.circuits, "circuits for 8 samples")


def test_on_hardware_a_forward_pass_is_one_pub_and_a_backward_pass_another():
    case = Case(4, 2, 2)
    estimator = CountingEstimator(StatevectorEstimator())
    shifted_step(case, estimator)()
    assert_at_most(2, estimator.pubs, "PUBs")
    angles = 4 + 16
    assert_at_most(case.batch * (1 + 2 * angles), estimator.parameter_sets, "parameter sets for 2 samples")


def shifted_step(case: Case, estimator: BaseEstimatorV2) -> Step:
    """Forward and backward of the layer over an estimator, by parameter shift."""
    inputs, weights, upstream = leaves(case.point(), torch.float64)
    network = BroadcastEstimatorQNN.from_program(case.program(), estimator=estimator)
    layer = QuantumLayer(network, weights, dtype=torch.float64)
    return Step(layer, inputs, layer.weight, upstream)
