"""Random circuits for the property tests, and slow obvious references to check fast code against."""

from __future__ import annotations

from collections.abc import Sequence
from math import factorial
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Parameter, ParameterExpression, ParameterVector
from qiskit.circuit.library import PauliEvolutionGate, UnitaryGate, get_standard_gate_name_mapping
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp, Statevector, random_unitary

from backends.contract import CircuitProgram

Angle = ParameterExpression | float

ANGLES = st.floats(-3.0, 3.0).map(lambda value: round(value, 3))
STANDARD_GATES = {
    name: gate
    for name, gate in get_standard_gate_name_mapping().items()
    if isinstance(gate, Gate) and gate.num_qubits > 0
}

COMPOSED = ("unitary", "monomial", "controlled", "custom", "evolution", "idle", "phase")
"""Fixed matrices, with one entry a row too; open and closed controls; circuits as gates, with a phase of their own;
product formulas; barriers with delays; a global phase."""
NO_GATES = ("idle", "phase")


@st.composite
def programs(
    draw: st.DrawFn,
    *,
    gates: tuple[str, ...] = tuple(sorted(STANDARD_GATES)),
    max_qubits: int = 5,
    max_gates: int = 14,
    affine: bool = False,
    composed: tuple[str, ...] = COMPOSED,
) -> CircuitProgram:
    """Circuits with none to two inputs, none to three weights and one to three Pauli sums.

    Angles are bare, repeated and combined parameters (``affine``: sums only); the standard ``gates`` are mixed with the
    ``composed`` kinds of instructions.
    """
    qubits = draw(st.integers(1, max_qubits))
    inputs, weights = draw(st.sampled_from([(2, 3), (1, 2), (2, 1), (2, 0), (0, 3), (0, 0)]))
    x, w = ParameterVector("x", inputs), ParameterVector("w", weights)
    angle = _angles([*x, *w], affine=affine)
    circuit = QuantumCircuit(qubits)
    instructions = _standard_gates(gates, qubits, angle)
    kinds = [kind for kind in composed if kind not in NO_GATES]
    if kinds:
        instructions = st.one_of(*[instructions] * 3, _composed_gates(kinds, gates, qubits, angle))
    for _ in range(draw(st.integers(1, max_gates))):
        gate = draw(instructions)
        circuit.append(gate, draw(st.permutations(range(qubits)))[: gate.num_qubits])
    if "idle" in composed and draw(st.booleans()):
        circuit.barrier()
        circuit.delay(10, qubits - 1)
        circuit.append(draw(_standard_gates(gates, 1, angle)), [qubits - 1])
    if "phase" in composed and draw(st.booleans()):
        circuit.global_phase = draw(angle)
    label = st.text("IXYZ", min_size=qubits, max_size=qubits) | st.just("I" * qubits)
    terms = st.dictionaries(label, st.sampled_from([-1.7, -0.3, 0.25, 1.0]), min_size=1, max_size=3)
    sums = draw(st.lists(terms.map(lambda t: SparsePauliOp.from_list(list(t.items()))), min_size=1, max_size=3))
    used = circuit.parameters
    return CircuitProgram(
        circuit, tuple(p for p in x if p in used), tuple(p for p in w if p in used), observables=tuple(sums)
    )


@st.composite
def _standard_gates(draw: st.DrawFn, names: Sequence[str], qubits: int, angle: st.SearchStrategy[Angle]) -> Gate:
    fitting = [name for name in names if STANDARD_GATES[name].num_qubits <= qubits]
    turning = [name for name in fitting if STANDARD_GATES[name].params]
    gate = STANDARD_GATES[draw(st.sampled_from(turning or fitting) | st.sampled_from(fitting))]
    return gate.base_class(*[draw(angle) for _ in gate.params])


@st.composite
def _composed_gates(
    draw: st.DrawFn, kinds: Sequence[str], names: Sequence[str], qubits: int, angle: st.SearchStrategy[Angle]
) -> Gate:
    kind = draw(st.sampled_from(kinds))
    width = draw(st.integers(1, min(3, qubits)))
    if kind == "controlled" and qubits > 1:
        controls = draw(st.integers(1, min(2, qubits - 1)))
        gate = draw(_standard_gates(names, qubits - controls, angle))
        return gate.control(controls, ctrl_state=draw(st.integers(0, 2**controls - 1)), annotated=False)
    if kind == "custom":
        part = QuantumCircuit(width, name="custom", global_phase=draw(angle))
        for _ in range(draw(st.integers(1, 3))):
            gate = draw(_standard_gates(names, width, angle))
            part.append(gate, draw(st.permutations(range(width)))[: gate.num_qubits])
        whole = part.to_gate()
        return whole.control(1) if width < qubits and draw(st.booleans()) else whole
    if kind == "evolution":
        labels = draw(st.lists(st.text("IXYZ", min_size=width, max_size=width), min_size=1, max_size=3))
        return PauliEvolutionGate(SparsePauliOp(labels, np.linspace(0.3, 0.7, len(labels))), time=draw(angle))
    seed = draw(st.integers(0, 99))
    if kind == "monomial":
        random = np.random.default_rng(seed)
        phases = np.exp(2j * np.pi * random.random(2**width))
        return UnitaryGate(np.diag(phases)[random.permutation(2**width)])
    return UnitaryGate(random_unitary(2**width, seed=seed))


def _angles(parameters: list[Parameter], *, affine: bool) -> st.SearchStrategy[Angle]:
    if not parameters:
        return ANGLES
    one = st.sampled_from(parameters)
    kinds = [
        one,
        one,
        ANGLES,
        st.tuples(ANGLES, one, ANGLES, one, ANGLES).map(lambda t: t[0] * t[1] + t[2] * t[3] + t[4]),
    ]
    if not affine:
        pair = st.tuples(one, one)
        kinds += [
            pair.map(lambda t: t[0] * t[1]),
            pair.map(lambda t: t[0].sin() + t[1] ** 2 - (0.3 * t[1]).exp()),
            pair.map(lambda t: t[0].cos() / (1 + t[1] ** 2)),
        ]
    return st.one_of(kinds)


class RecordingEstimator(StatevectorEstimator):
    """Exact, and remembers the PUBs and the precision of every request."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[tuple[list[Any], float | None]] = []

    def run(self, pubs: Any, *, precision: float | None = None) -> Any:
        pubs = list(pubs)
        self.requests.append((pubs, precision))
        return super().run(pubs, precision=precision)


def points(program: CircuitProgram, samples: int, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Random inputs (samples, X) and weights (W,)."""
    random = np.random.default_rng(seed)
    return random.normal(size=(samples, len(program.inputs))), random.normal(size=len(program.weights))


def reference_values(
    program: CircuitProgram, inputs: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Qiskit's own state vectors, one sample after the other: (N, K); weights (W,) or (N, W).

    A Hamiltonian evolution is written out as its product formula, which is what a device or Aer runs;
    ``Statevector`` would take the exact exponential.
    """
    circuit = program.circuit
    if "PauliEvolution" in circuit.count_ops():
        circuit = circuit.decompose("PauliEvolution")
    states = [Statevector(circuit.assign_parameters(row)) for row in program.bind(inputs, weights)]
    values = [[state.expectation_value(o).real for o in program.observables] for state in states]
    return np.array(values).reshape(len(inputs), len(program.observables))


def reference_derivatives(
    program: CircuitProgram, inputs: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Central differences of :func:`reference_values`, right to 1e-10: (N, K, X) and (N, K, W).

    Of twelfth order, with the step made smaller until the tenth order from the same points differs by less than 1e-10.
    That difference is the truncation error of the tenth order, so it bounds the much smaller one of the twelfth. What
    remains is rounding: values right to 2e-15 give 2.5 · 2e-15 / step, at most 5e-12.
    """
    columns_of_inputs = [
        _slope(program, inputs, weights, np.eye(inputs.shape[1])[j], np.zeros_like(weights))
        for j in range(inputs.shape[1])
    ]
    columns_of_weights = [
        _slope(program, inputs, weights, np.zeros(inputs.shape[1]), np.eye(len(weights))[j])
        for j in range(len(weights))
    ]
    nothing = np.zeros((len(inputs), len(program.observables), 0))
    return (
        np.stack(columns_of_inputs, axis=-1) if columns_of_inputs else nothing,
        np.stack(columns_of_weights, axis=-1) if columns_of_weights else nothing,
    )


def _slope(
    program: CircuitProgram,
    inputs: NDArray[np.float64],
    weights: NDArray[np.float64],
    along_inputs: NDArray[np.float64],
    along_weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    for step in (0.02, 0.005, 0.001):
        differences = []
        for k in range(1, 7):
            ahead = reference_values(program, inputs + k * step * along_inputs, weights + k * step * along_weights)
            behind = reference_values(program, inputs - k * step * along_inputs, weights - k * step * along_weights)
            differences.append((ahead - behind) / step)
        twelfth, tenth = (np.tensordot(_stencil(m), differences[:m], axes=1) for m in (6, 5))
        if np.abs(twelfth - tenth).max(initial=0.0) < 1e-10:
            return np.asarray(twelfth)
    raise AssertionError("the differences do not converge: the values jump or turn too fast here")


def _stencil(order: int) -> NDArray[np.float64]:
    """Weights of f(+k) - f(-k), k = 1…order, for a first derivative of order 2·``order`` (B. Fornberg,
    doi:10.1090/S0025-5718-1988-0935077-0)."""
    m = order
    return np.array(
        [(-1) ** (k + 1) * factorial(m) ** 2 / (k * factorial(m - k) * factorial(m + k)) for k in range(1, m + 1)]
    )


PREFIXES = ("none", "permutation", "two-qubit rotation", "rotation by an input", "matrix", "between")


def cosine_chain(qubits: int, prefix: str = "none") -> CircuitProgram:
    """RY(x[q] + 2 w[q]) on every qubit, then CX(q, q + 1) in order: ⟨Z⟩ is the product of the cosines up to the qubit.

    A ``prefix`` leaves |0…0⟩ as it is, up to a phase, and so the values, but takes another way through an engine.
    """
    x, w = ParameterVector("x", qubits), ParameterVector("w", qubits)
    circuit = QuantumCircuit(qubits)
    for q in range(qubits):
        match prefix:
            case "permutation":
                circuit.cx(q, (q + 1) % qubits)
            case "two-qubit rotation":
                circuit.rzz(0.7, q, (q + 1) % qubits)
            case "rotation by an input":
                circuit.rzz(x[q], q, (q + 1) % qubits)
            case "matrix":
                matrix = np.eye(4, dtype=np.complex128)
                matrix[1:, 1:] = random_unitary(3, seed=q).data
                circuit.unitary(matrix, [q, (q + 1) % qubits])
    for q in range(qubits):
        circuit.ry(x[q], q)
    if prefix == "between":
        circuit.swap(0, 1)
        circuit.swap(0, 1)
    for q in range(qubits):
        circuit.ry(2 * w[q], q)
    for q in range(qubits - 1):
        circuit.cx(q, q + 1)
    observables = [SparsePauliOp.from_sparse_list([("Z", [q], 1.0)], num_qubits=qubits) for q in range(qubits)]
    return CircuitProgram(circuit, tuple(x), tuple(w), tuple(observables))


def cosine_chain_answers(
    inputs: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Closed forms of :func:`cosine_chain`: values (N, Q), derivatives (N, Q, Q) by inputs and by weights."""
    angles = inputs + 2 * weights
    values = np.cumprod(np.cos(angles), axis=1)
    slopes = np.tril(-values[:, :, None] * np.tan(angles)[:, None, :])
    return values, slopes, 2 * slopes
