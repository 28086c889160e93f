"""Derivatives of derivatives, as a gradient penalty takes them: right, or refused when the graph is asked for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from qiskit.primitives import StatevectorEstimator
from torch import Tensor

from backends import open_backend
from hybridq.quantum.circuits import CircuitSpec
from hybridq.quantum.engine import compile_noisy, compile_program
from hybridq.quantum.engine.program import ExactProgram
from hybridq.quantum.engine_choice import simulated_circuit
from hybridq.quantum.layer import QuantumLayer, quantum_layer

Values = Callable[[Tensor, Tensor], Tensor]


def compiled(noise: str | None, *, reuploading: bool, memory: int) -> ExactProgram:
    program = CircuitSpec(2, 2, reuploading=reuploading).build()
    if noise is None:
        return compile_program(program, memory=memory)
    return compile_noisy(simulated_circuit(open_backend(noise), program), memory=memory)


def arguments(own_weights: bool = False) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand(3, 2, dtype=torch.float64, generator=generator)
    return inputs, torch.rand(*[3] * own_weights, 8, dtype=torch.float64, generator=generator)


def penalty(values: Values, inputs: Tensor, weights: Tensor) -> Tensor:
    """The squared slopes with respect to the inputs, beside a term whose history could hide that they have none."""
    x = inputs.clone().requires_grad_()
    (slopes,) = torch.autograd.grad(values(x, weights).square().sum(), x, create_graph=True)
    return slopes.square().sum() + 1e-3 * weights.square().sum()


def of_weights(values: Values, inputs: Tensor, weights: Tensor) -> Tensor:
    w = weights.clone().requires_grad_()
    return torch.autograd.grad(penalty(values, inputs, w), w)[0]


def difference(values: Values, inputs: Tensor, weights: Tensor, place: int, step: float = 1e-4) -> Tensor:
    shift = torch.zeros_like(weights)
    shift[place] = step
    ends = [penalty(values, inputs, (weights + s * shift).requires_grad_()) for s in (1, -1)]
    return ((ends[0] - ends[1]) / (2 * step)).detach()


@pytest.mark.parametrize("noise", [None, "fake_torino"])
@pytest.mark.parametrize("reuploading", [False, True])
def test_a_gradient_penalty_has_the_derivative_of_its_differences(noise, reuploading):
    values = compiled(noise, reuploading=reuploading, memory=1)
    slopes = of_weights(values, *arguments())
    for place in (1, 4):
        torch.testing.assert_close(slopes[place], difference(values, *arguments(), place), atol=1e-6, rtol=0)


@pytest.mark.parametrize("noise", [None, "fake_torino"])
@pytest.mark.parametrize("reuploading", [False, True])
@pytest.mark.parametrize("own_weights", [False, True])
def test_in_chunks_derivatives_up_to_the_third_are_those_of_the_whole_batch(noise, reuploading, own_weights):
    results = []
    for memory in (2**29, 1):
        values = compiled(noise, reuploading=reuploading, memory=memory)
        x, w = (argument.requires_grad_() for argument in arguments(own_weights))
        total, found = values(x, w).square().sum(), []
        for order in range(3):
            slopes = torch.autograd.grad(total, (x, w), create_graph=order < 2)
            total = sum(slope.pow(3).sum() for slope in slopes)
            found += slopes
        results.append(found)
    torch.testing.assert_close(results[1], results[0], atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("wanted", [(True, False), (False, True)])
def test_in_chunks_only_one_argument_may_be_derived_at_a_time(wanted):
    results = []
    for memory in (2**29, 1):
        values = compiled("fake_torino", reuploading=True, memory=memory)
        pair = [a.requires_grad_(need) for a, need in zip(arguments(), wanted, strict=True)]
        only = next(a for a in pair if a.requires_grad)
        (slope,) = torch.autograd.grad(values(*pair).square().sum(), only, create_graph=True)
        results.append(torch.autograd.grad(slope.square().sum(), only))
    torch.testing.assert_close(results[1], results[0], atol=1e-12, rtol=0)


def test_a_mixed_derivative_in_chunks_is_that_of_the_whole_batch():
    results = []
    for memory in (2**29, 1):
        values = compiled("fake_torino", reuploading=True, memory=memory)
        results.append(of_weights(values, *arguments()))
    torch.testing.assert_close(results[1], results[0], atol=1e-12, rtol=0)


def test_in_chunks_transforms_of_torch_func_give_those_of_the_whole_batch():
    results = []
    for memory in (2**29, 1):
        values = compiled("fake_torino", reuploading=False, memory=memory)
        x, w = arguments()
        hessian = torch.func.hessian(lambda v, f=values, x=x: f(x, v).square().sum())(w)
        batched = torch.autograd.functional.jacobian(lambda v, f=values, x=x: f(x, v), w, vectorize=True)
        results.append([hessian, torch.func.jacrev(values)(x, w), batched])
    torch.testing.assert_close(results[1], results[0], atol=1e-12, rtol=0)


def layer_values(layer: QuantumLayer) -> Values:
    return lambda x, w: torch.func.functional_call(layer, {"weight": w}, (x,))


@pytest.mark.parametrize("backend", ["aer", "aer:shots=100", "fake_torino", "fake_torino:shots=100"])
def test_an_estimators_values_refuse_the_first_backward_pass_that_makes_a_graph(backend):
    layer = quantum_layer(CircuitSpec(2, 2), engine="aer", backend=backend)
    with pytest.raises(RuntimeError, match="create_graph=True needs the exact engine"):
        of_weights(layer_values(layer), *arguments())
    slopes = torch.autograd.grad(layer(arguments()[0]).sum(), layer.weight)[0]
    assert slopes.isfinite().all()


def test_any_other_estimator_refuses_it_too_even_where_the_slopes_alone_are_asked_for():
    layer = quantum_layer(CircuitSpec(2, 2), engine="aer", estimator=StatevectorEstimator())
    with pytest.raises(RuntimeError, match="create_graph=True needs the exact engine"):
        layer(arguments()[0]).sum().backward(create_graph=True)


def test_an_estimator_refuses_transforms_of_torch_func_and_batched_gradients_in_one_sentence():
    values = layer_values(quantum_layer(CircuitSpec(2, 2), engine="aer", estimator=StatevectorEstimator()))
    x, w = arguments()
    with pytest.raises(RuntimeError, match="runs outside torch"):
        torch.func.grad(lambda v: values(x, v).sum())(w)
    with pytest.raises(RuntimeError, match="runs outside torch"):
        torch.autograd.functional.jacobian(lambda v: values(x, v), w, vectorize=True)


def test_shots_and_a_random_strength_leave_the_second_derivatives_of_the_exact_values():
    spec = CircuitSpec(2, 2)
    layer = quantum_layer(spec, backend="fake_torino:shots=100", noise_scale=(0.5, 1.5), dtype=torch.float64)
    assert layer.strengths is not None
    inputs, weights = arguments()
    # of the values themselves, not of their squares: the scatter of the shots would weigh those
    slopes = []
    for values in (layer_values(layer), None):
        torch.manual_seed(3)
        compute = layer.strengths.draw() if values is None else values
        x, w = inputs.clone().requires_grad_(), weights.clone().requires_grad_()
        (of_inputs,) = torch.autograd.grad(compute(x, w).sum(), x, create_graph=True)
        slopes.append(torch.autograd.grad(of_inputs.square().sum(), w)[0])
    torch.testing.assert_close(slopes[0], slopes[1], atol=1e-12, rtol=0)
    assert slopes[0].abs().max() > 1e-3


@pytest.mark.parametrize("transform", [torch.func.grad, torch.func.hessian])
@pytest.mark.parametrize("noise", [None, "fake_torino"])
def test_a_first_call_under_torch_func_does_not_spoil_later_ones(transform, noise):
    values = compiled(noise, reuploading=False, memory=2**29)
    x, w = arguments()
    transform(lambda v: values(x, v).square().sum())(w)
    plain = compiled(noise, reuploading=False, memory=2**29)
    torch.testing.assert_close(of_weights(values, x, w), of_weights(plain, x, w), atol=1e-12, rtol=0)
