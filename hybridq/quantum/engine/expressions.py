"""Angles from parameters: Qiskit's parameter expressions as differentiable torch functions."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from functools import reduce

import numpy as np
import sympy  # type: ignore[import-untyped]
import torch
from qiskit.circuit import Parameter, ParameterExpression
from torch import Tensor

from hybridq.errors import UserError
from hybridq.quantum.engine.constants import Constants
from hybridq.quantum.engine.lower import Angle

_FUNCTIONS: dict[type, Callable[[Tensor], Tensor]] = {
    sympy.sin: torch.sin,
    sympy.cos: torch.cos,
    sympy.tan: torch.tan,
    sympy.asin: torch.asin,
    sympy.acos: torch.acos,
    sympy.atan: torch.atan,
    sympy.exp: torch.exp,
    sympy.log: torch.log,
    sympy.Abs: torch.abs,
    sympy.sign: torch.sign,
    sympy.conjugate: torch.clone,  # of a real number
}


class AngleMap:
    """A row of angles as a function of inputs and weights.

    ``angles = inputs @ input_matrix + weights @ weight_matrix + constant``, plus the columns that are not affine.

    Args:
        angles: numbers or expressions of the parameters.
        inputs, weights: the parameters, in the order of the values' columns.
        factor: every angle is multiplied by it.
    """

    def __init__(
        self,
        angles: Sequence[Angle],
        inputs: Sequence[Parameter],
        weights: Sequence[Parameter],
        factor: float = 1.0,
    ) -> None:
        rows = {parameter: i for i, parameter in enumerate((*inputs, *weights))}
        coefficients = np.zeros((len(rows), len(angles)))
        constant = np.zeros(len(angles))
        self._nonlinear: list[tuple[int, sympy.Expr]] = []
        for column, angle in enumerate(angles):
            affine = affine_form(angle)
            if affine is None:
                assert isinstance(angle, ParameterExpression)
                self._nonlinear.append((column, _checked(angle)))
            else:
                slopes, constant[column] = affine
                for parameter, slope in slopes.items():
                    coefficients[rows[parameter], column] = slope
        self._names = [parameter.name for parameter in rows]
        self._factor = factor
        self._constants = Constants(
            inputs=factor * coefficients[: len(inputs)],
            weights=factor * coefficients[len(inputs) :],
            constant=factor * constant[None, :],
        )
        self._has_input_terms = bool(np.any(coefficients[: len(inputs)]))
        self._has_weight_terms = bool(np.any(coefficients[len(inputs) :]))

    def __call__(self, inputs: Tensor, weights: Tensor) -> Tensor:
        """Angles (B, T) for inputs (N, X) and weights (1 or N, W); B is 1 where no angle depends on a batched value."""
        constants = self._constants.like(weights)
        angles = constants["constant"]
        if self._has_input_terms:
            angles = torch.addmm(angles, inputs, constants["inputs"])
        if self._has_weight_terms:
            angles = angles + weights @ constants["weights"]
        if self._nonlinear:
            for column, angle in self._nonlinear_angles(inputs, weights):
                one = torch.zeros_like(constants["constant"])
                one[..., column] = 1.0
                angles = angles + angle[:, None] * one
        return angles

    def backward(self, inputs: Tensor, weights: Tensor, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Gradients (C, G, X) and (C, G, W) from that of the angles, (C, G, T); None where nothing depends on them.

        G is 1 where the angles do not depend on the sample, else N.
        """
        constants = self._constants.like(gradient)
        d_inputs = gradient @ constants["inputs"].mT if self._has_input_terms else None
        d_weights = gradient @ constants["weights"].mT if self._has_weight_terms else None
        if self._nonlinear:
            with torch.enable_grad():
                x = inputs.detach().requires_grad_()
                w = weights.detach().expand(max(len(weights), gradient.shape[1]), -1).clone().requires_grad_()
                angles = self._nonlinear_angles(x, w)
            for column, angle in angles:
                if not angle.requires_grad:  # such as x - x, which is the number 0
                    continue
                ones = torch.ones_like(angle)
                to_x, to_w = torch.autograd.grad(angle, (x, w), ones, allow_unused=True, retain_graph=True)
                of_column = gradient[..., column, None]
                if to_x is not None:
                    d_inputs = of_column * to_x if d_inputs is None else d_inputs + of_column * to_x
                if to_w is not None:
                    d_weights = of_column * to_w if d_weights is None else d_weights + of_column * to_w
        return d_inputs, d_weights

    def _nonlinear_angles(self, inputs: Tensor, weights: Tensor) -> list[tuple[int, Tensor]]:
        values = dict(zip(self._names, [*inputs.unbind(1), *weights.unbind(1)], strict=True))
        return [(column, self._factor * _evaluate(expression, values)) for column, expression in self._nonlinear]


def affine_form(angle: Angle) -> tuple[dict[Parameter, float], float] | None:
    """Slopes and constant of an affine expression; None where it is not affine."""
    if not isinstance(angle, ParameterExpression):
        return {}, float(angle)
    if isinstance(angle, Parameter):
        return {angle: 1.0}, 0.0
    slopes: dict[Parameter, float] = {}
    for parameter in angle.parameters:
        try:
            slope = angle.gradient(parameter)
        except (RuntimeError, TypeError):
            return None  # no derivative known to Qiskit, such as that of sign
        if isinstance(slope, ParameterExpression):
            if slope.parameters:
                return None
            slope = slope.numeric()
        if isinstance(slope, complex):
            raise _complex_refusal(angle)
        slopes[parameter] = float(slope)
    constant = angle.bind(dict.fromkeys(angle.parameters, 0.0)).numeric()
    if isinstance(constant, complex):
        raise _complex_refusal(angle)
    return slopes, float(constant)


def depends_on(angle: Angle, parameters: Sequence[Parameter]) -> bool:
    """Whether an angle is an expression of at least one of the parameters."""
    return isinstance(angle, ParameterExpression) and not angle.parameters.isdisjoint(parameters)


def _checked(angle: ParameterExpression) -> sympy.Expr:
    """The expression for :func:`_evaluate`; raises :class:`UserError` naming a function that it does not know."""
    expression: sympy.Expr = angle.sympify()
    for node in sympy.preorder_traversal(expression):
        if node.has(sympy.I):
            raise _complex_refusal(angle)
        known = (
            node.is_Symbol or node.is_Number or node.is_NumberSymbol or node.func in {sympy.Add, sympy.Mul, sympy.Pow}
        )
        if not known and node.func not in _FUNCTIONS:
            raise UserError(f"circuit: the function '{node.func}' in the angle '{angle}' cannot be differentiated")
    return expression


def _evaluate(expression: sympy.Expr, values: Mapping[str, Tensor]) -> Tensor:
    if expression.is_Symbol:
        return values[str(expression.name)]
    if expression.is_number:
        some = next(iter(values.values()))
        return torch.full((1,), float(expression), dtype=some.dtype, device=some.device)
    arguments = [_evaluate(argument, values) for argument in expression.args]
    if expression.is_Add:
        return reduce(operator.add, arguments)
    if expression.is_Mul:
        return reduce(operator.mul, arguments)
    if expression.is_Pow:
        exponent = expression.args[1]
        # a plain number keeps the derivative of x**2 finite at x = 0
        return torch.pow(arguments[0], float(exponent) if exponent.is_number else arguments[1])
    return _FUNCTIONS[expression.func](arguments[0])


def _complex_refusal(angle: ParameterExpression) -> UserError:
    return UserError(f"circuit: the angle '{angle}' is not real; angles must be real expressions of the parameters")
