"""Random circuits for the property tests, and slow obvious references to check fast code against."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, ParameterExpression, ParameterVector
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.quantum_info import SparsePauliOp, Statevector, random_unitary

from backends.contract import CircuitProgram

ANGLES = st.floats(-3.0, 3.0).map(lambda value: round(value, 3))
STANDARD_GATES = {
    name: gate
    for name, gate in get_standard_gate_name_mapping().items()
    if isinstance(gate, Gate) and gate.num_qubits > 0
}


@st.composite
def programs(
    draw: st.DrawFn,
    *,
    gates: tuple[str, ...] = tuple(sorted(STANDARD_GATES)),
    max_qubits: int = 5,
    max_gates: int = 14,
    affine: bool = False,
) -> CircuitProgram:
    """Circuits with bare, repeated and combined parameters (``affine``: sums only), and one to three Pauli sums."""
    qubits = draw(st.integers(1, max_qubits))
    parameters = [*ParameterVector("x", 2), *ParameterVector("w", 3)]
    angle = _angles(parameters, affine=affine)
    fitting = [name for name in gates if STANDARD_GATES[name].num_qubits <= qubits]
    circuit = QuantumCircuit(qubits)
    for _ in range(draw(st.integers(1, max_gates))):
        gate = STANDARD_GATES[draw(st.sampled_from(fitting))]
        where = draw(st.permutations(range(qubits)))[: gate.num_qubits]
        circuit.append(gate.base_class(*[draw(angle) for _ in gate.params]), where)
        if qubits > 1 and draw(st.integers(0, 11)) == 0:
            circuit.unitary(random_unitary(4, seed=draw(st.integers(0, 99))), draw(st.permutations(range(qubits)))[:2])
    label = st.text("IXYZ", min_size=qubits, max_size=qubits)
    terms = st.dictionaries(label, st.sampled_from([-1.7, -0.3, 0.25, 1.0]), min_size=1, max_size=3)
    sums = draw(st.lists(terms.map(lambda t: SparsePauliOp.from_list(list(t.items()))), min_size=1, max_size=3))
    used = circuit.parameters
    inputs = tuple(parameter for parameter in parameters[:2] if parameter in used)
    weights = tuple(parameter for parameter in parameters[2:] if parameter in used)
    return CircuitProgram(circuit, inputs, weights, tuple(sums))


def _angles(parameters: list[ParameterExpression], *, affine: bool) -> st.SearchStrategy[ParameterExpression | float]:
    one = st.sampled_from(parameters)
    kinds = [
        one,
        one,
        ANGLES,
        st.tuples(ANGLES, one, ANGLES, one, ANGLES).map(lambda t: t[0] * t[1] + t[2] * t[3] + t[4]),
    ]
    if not affine:
        kinds.append(st.tuples(one, one).map(lambda t: t[0] * t[1]))
        kinds.append(st.tuples(one, one).map(lambda t: t[0].sin() + t[1] ** 2 - (0.3 * t[1]).exp()))
    return st.one_of(kinds)


def points(program: CircuitProgram, samples: int, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Random inputs (samples, X) and weights (W,)."""
    random = np.random.default_rng(seed)
    return random.normal(size=(samples, len(program.inputs))), random.normal(size=len(program.weights))


def reference_values(
    program: CircuitProgram, inputs: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Qiskit's own state vectors, one sample after the other: (N, K)."""
    states = [Statevector(program.circuit.assign_parameters(row)) for row in program.bind(inputs, weights)]
    return np.array([[state.expectation_value(o).real for o in program.observables] for state in states])


def reference_derivatives(
    program: CircuitProgram, inputs: NDArray[np.float64], weights: NDArray[np.float64], step: float = 2e-3
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Central differences of sixth order, good to about 1e-10 here: (N, K, X) and (N, K, W)."""
    stencil = {1: 45.0, 2: -9.0, 3: 1.0}

    def slope(inputs_step: NDArray[np.float64], weights_step: NDArray[np.float64]) -> NDArray[np.float64]:
        differences = [
            factor
            * (
                reference_values(program, inputs + k * inputs_step, weights + k * weights_step)
                - reference_values(program, inputs - k * inputs_step, weights - k * weights_step)
            )
            for k, factor in stencil.items()
        ]
        return np.sum(differences, axis=0) / (60.0 * step)

    samples, observables = len(inputs), len(program.observables)
    d_inputs = np.zeros((samples, observables, inputs.shape[1]))
    d_weights = np.zeros((samples, observables, len(weights)))
    for j in range(inputs.shape[1]):
        d_inputs[:, :, j] = slope(step * np.eye(inputs.shape[1])[j], np.zeros_like(weights))
    for j in range(len(weights)):
        d_weights[:, :, j] = slope(np.zeros(inputs.shape[1]), step * np.eye(len(weights))[j])
    return d_inputs, d_weights
