"""Circuits of the quantum layer: angle encoding, trainable layers, entanglement, ⟨Z⟩ of every qubit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from qiskit import QuantumCircuit, qasm3
from qiskit.circuit import Gate, ParameterVector
from qiskit.circuit.library import RXGate, RYGate, RZGate
from qiskit.quantum_info import SparsePauliOp
from torch import Tensor

from backends.contract import CircuitProgram
from hybridq.errors import UserError
from hybridq.files import atomic_write
from hybridq.quantum.engine import ExactProgram, compile_program

Encoding = Literal["ry", "rx"]
RotationAxis = Literal["rx", "ry", "rz"]
Entanglement = Literal["ring", "linear", "full", "ranged", "none"]
Entangler = Literal["cx", "cz"]
Attention = Literal["none", "fourier"]

_ROTATION_GATES: dict[str, type[Gate]] = {"rx": RXGate, "ry": RYGate, "rz": RZGate}


@dataclass(frozen=True)
class CircuitSpec:
    """A layered circuit on ``qubits`` qubits with one input angle per qubit.

    On |0…0⟩: the encoding rotation of input x[i] on qubit i; then ``layers`` times the ``rotations`` on every qubit,
    each with its own weight, and the entangling gates (the circuit of arXiv:2601.16608). Observables are ⟨Z_i⟩ of
    qubit i, in order; Qiskit counts qubits from the right of a label.

    PennyLane's ``StronglyEntanglingLayers`` (arXiv:1804.00633) are the rotations RZ, RY, RZ with ``ranged``
    entanglement; the last RZ of its last layer are dead under ⟨Z⟩.

    The default layer is [RZ, RY, CX ring]. In [RY, RZ, CX ring] the last RZ would be dead: Z commutes through it.
    An encoding with RZ is not offered since RZ leaves |0⟩ as it is.

    Args:
        qubits: at least 1.
        layers: at least 0; 0 leaves the encoding alone.
        encoding: the rotation that takes the input.
        rotations: the trainable rotations of a layer, the first one applied first; at least one.
        entanglement: pairs of the entangling gates: ``ring`` (i, i+1) and back to the first, ``linear`` (i, i+1),
            ``full`` every i < j, ``ranged`` (i, i+r) for every i, modulo the number of qubits, with r = 1, 2, … and
            again from 1 over the layers, ``none``. A ring of two qubits is the single pair (0, 1): the second gate
            would run back over the same edge, and with CZ undo the first.
        entangler: ``cx`` (the first of a pair controls) or ``cz``.
        reuploading: repeat the encoding before every layer (doi:10.22331/q-2020-02-06-226), not only before the first.
        superposition: a Hadamard gate on every qubit first.
        attention: ``fourier`` ends the circuit with the quantum Fourier transform, an RZ with its own weight on every
            qubit, and the inverse transform: as FNet (arXiv:2105.03824) does for tokens, it mixes the amplitudes with
            learned weights in Fourier space.

    Raises:
        UserError: a value that is not allowed, named.
    """

    qubits: int
    layers: int = 1
    encoding: Encoding = "ry"
    rotations: tuple[RotationAxis, ...] = ("rz", "ry")
    entanglement: Entanglement = "ring"
    entangler: Entangler = "cx"
    reuploading: bool = False
    superposition: bool = False
    attention: Attention = "none"

    def __post_init__(self) -> None:
        if self.qubits < 1:
            raise UserError(f"circuit: qubits = {self.qubits}; at least 1")
        if self.layers < 0:
            raise UserError(f"circuit: layers = {self.layers}; at least 0")
        if not self.rotations:
            raise UserError(f"circuit: rotations is empty; at least one of {_choices(RotationAxis)}")
        for rotation in self.rotations:
            _check("rotations", rotation, RotationAxis)
        _check("encoding", self.encoding, Encoding)
        _check("entanglement", self.entanglement, Entanglement)
        _check("entangler", self.entangler, Entangler)
        _check("attention", self.attention, Attention)
        if self.superposition and self.encoding == "rx":
            raise UserError("circuit: superposition = True with encoding = 'rx'; RX leaves |+⟩ as it is, choose 'ry'")

    @property
    def num_weights(self) -> int:
        """One per rotation, qubit and layer, and one per qubit for the attention."""
        return (self.layers * len(self.rotations) + (self.attention == "fourier")) * self.qubits

    def pairs(self, layer: int = 0) -> list[tuple[int, int]]:
        """The qubits of the entangling gates of a layer (counted from 0), in order."""
        if self.entanglement == "none":
            return []
        if self.entanglement == "ranged":
            distance = layer % max(1, self.qubits - 1) + 1
            return [(i, (i + distance) % self.qubits) for i in range(self.qubits)] if self.qubits > 1 else []
        if self.entanglement == "full":
            return list(combinations(range(self.qubits), 2))
        neighbours = [(i, i + 1) for i in range(self.qubits - 1)]
        closing = [(self.qubits - 1, 0)] if self.entanglement == "ring" and self.qubits > 2 else []
        return neighbours + closing

    def build(self) -> CircuitProgram:
        """The circuit with parameters x[0…qubits-1] and w[0…]; weights count by layer, then rotation, then qubit.

        Those of the attention come last.
        """
        x = ParameterVector("x", self.qubits)
        w = ParameterVector("w", self.num_weights)
        circuit = QuantumCircuit(self.qubits, name="hybrid_layer")
        weights = iter(w)
        if self.superposition:
            circuit.h(range(self.qubits))
        if self.layers == 0:
            self._encode(circuit, x)
        for layer in range(self.layers):
            if layer == 0 or self.reuploading:
                self._encode(circuit, x)
            for rotation in self.rotations:
                for qubit in range(self.qubits):
                    circuit.append(_ROTATION_GATES[rotation](next(weights)), [qubit])
            for first, second in self.pairs(layer):
                getattr(circuit, self.entangler)(first, second)
        if self.attention == "fourier":
            transform = _fourier_transform(self.qubits)
            circuit.compose(transform, inplace=True)
            for qubit in range(self.qubits):
                circuit.rz(next(weights), qubit)
            circuit.compose(transform.inverse(), inplace=True)
        observables = tuple(
            SparsePauliOp.from_sparse_list([("Z", [qubit], 1.0)], num_qubits=self.qubits)
            for qubit in range(self.qubits)
        )
        return CircuitProgram(circuit, tuple(x), tuple(w), observables)

    def _encode(self, circuit: QuantumCircuit, x: ParameterVector) -> None:
        for qubit in range(self.qubits):
            circuit.append(_ROTATION_GATES[self.encoding](x[qubit]), [qubit])


def _fourier_transform(qubits: int) -> QuantumCircuit:
    """The quantum Fourier transform, its result in reversed order of qubits (Nielsen and Chuang, section 5.1).

    The SWAPs that would restore the order cancel against those of the inverse.
    """
    circuit = QuantumCircuit(qubits)
    for target in reversed(range(qubits)):
        circuit.h(target)
        for control in range(target):
            circuit.cp(math.pi / 2 ** (target - control), control, target)
    return circuit


def dead_weights(program: CircuitProgram, *, compiled: ExactProgram | None = None, tries: int = 4) -> list[str]:
    """Names of the weights on which no observable depends.

    Found numerically: exact float64 derivatives, at up to ``tries`` random points, of a random sum of the observables;
    a weight is dead when all of them are below 1e-10, so a chance zero at one point does not count.

    Args:
        program: the circuit.
        compiled: the same program without noise, where there is one already.
        tries: points.
    """
    values = compile_program(program) if compiled is None else compiled
    generator = torch.Generator().manual_seed(0)

    def angles(*shape: int) -> Tensor:
        return torch.pi * (2 * torch.rand(*shape, generator=generator, dtype=torch.float64) - 1)

    suspects = set(range(values.num_weights))
    # A model may be loaded in inference mode, in which nothing is differentiated.
    with torch.inference_mode(False), torch.enable_grad():
        for _ in range(tries):
            if not suspects:
                break
            inputs, weights = angles(1, values.num_inputs), angles(values.num_weights).requires_grad_()
            factors = angles(1, values.num_observables)
            (slopes,) = torch.autograd.grad(values(inputs, weights), weights, factors)
            suspects &= set(torch.nonzero(slopes.abs() < 1e-10).flatten().tolist())
    return [program.weights[place].name for place in sorted(suspects)]


def describe(program: CircuitProgram) -> dict[str, Any]:
    """JSON-ready: qubits, depth, gates by name, number of two-qubit gates, inputs, weights and observables."""
    circuit = program.circuit
    return {
        "qubits": circuit.num_qubits,
        "depth": circuit.depth(),
        "gates": {name: int(count) for name, count in sorted(circuit.count_ops().items())},
        "two_qubit_gates": sum(len(instruction.qubits) == 2 for instruction in circuit.data),
        "inputs": len(program.inputs),
        "weights": len(program.weights),
        "observables": len(program.observables),
    }


def to_qasm3(program: CircuitProgram) -> str:
    """OpenQASM 3 with the parameters as ``input float`` declarations."""
    return str(qasm3.dumps(program.circuit))


def draw(program: CircuitProgram, path: Path) -> None:
    """Write a drawing; the format follows the ending of ``path`` (``.png``, ``.svg``, ``.pdf``)."""
    # A figure of our own keeps pyplot's global state, and with it a notebook's backend, untouched.
    figure = Figure(layout="constrained")
    FigureCanvasAgg(figure)
    drawer_axes = figure.subplots()
    program.circuit.draw("mpl", ax=drawer_axes, fold=30)
    columns, rows = (abs(high - low) for low, high in (drawer_axes.get_xlim(), drawer_axes.get_ylim()))
    figure.set_size_inches(max(2.0, 0.45 * columns), max(1.0, 0.45 * rows))
    with atomic_write(path) as partial:
        figure.savefig(partial, dpi=150)


def _choices(allowed: Any) -> str:
    return ", ".join(get_args(allowed))


def _check(key: str, value: str, allowed: Any) -> None:
    if value not in get_args(allowed):
        raise UserError(f"circuit: {key} = {value!r}; allowed are {_choices(allowed)}")
