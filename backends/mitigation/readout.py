"""Readout error taken back from ⟨Z⟩, qubit by qubit.

A qubit that reads 0 as 1 with probability a and 1 as 0 with b shows z' = (1 − a − b) z + b − a on average, which is
inverted exactly. Errors of qubits that depend on each other are neither in the noise models here nor corrected.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
from qiskit import QuantumCircuit

from backends.aer import SimulatedCircuit
from backends.compile import measured, schedule, translate_in_place, unmeasured
from backends.contract import CircuitProgram, FloatArray
from backends.errors import BackendError


class Readout(NamedTuple):
    """What each qubit shows on average when it is in |0⟩ and in |1⟩, (Q,) each; 1 and −1 without errors."""

    zeros: FloatArray
    ones: FloatArray

    def correct(self, shown: FloatArray) -> FloatArray:
        """⟨Z⟩ (…, Q) without readout error; sampled values may end outside [-1, 1].

        Raises :class:`BackendError` naming a qubit that shows |1⟩ no lower than |0⟩.
        """
        slope = (self.zeros - self.ones) / 2
        if (slope <= 0).any():
            qubit = int(np.argmax(slope <= 0))
            raise BackendError(
                f"readout correction: qubit {qubit} shows {self.zeros[qubit]:.3f} for |0⟩ and {self.ones[qubit]:.3f} "
                f"for |1⟩, which tells nothing of its state; take more shots"
            )
        return (shown - (self.zeros + self.ones) / 2) / slope


def calibrated(compiled: SimulatedCircuit) -> Readout:
    """From the calibration that the noise model was made of, for the qubits that the observables ⟨Z⟩ are read from."""
    size = compiled.circuit.num_qubits
    rates = compiled.noise.readout if compiled.noise is not None else ((0.0, 0.0),) * size
    places = [int(np.argmax(observable.paulis.z[0])) for observable in compiled.observables]
    reads_one, reads_zero = np.array([rates[place] for place in places]).T
    return Readout(1 - 2 * reads_one, 2 * reads_zero - 1)


def preparation(compiled: SimulatedCircuit, bit: Literal[0, 1]) -> SimulatedCircuit:
    """The circuit that shows how all qubits of ``compiled`` are read in |0…0⟩ or |1…1⟩, with the same observables.

    Errors of preparing |1⟩ are in what it shows, as on a device. Raises :class:`BackendError` where ``compiled`` was
    not translated for a device or noise model.
    """
    if compiled.target is None:
        raise BackendError("readout is measured on a device or a noise model, and the circuit was translated for none")
    circuit = QuantumCircuit(compiled.circuit.num_qubits)
    if bit:
        circuit.x(range(circuit.num_qubits))
        flipped = translate_in_place(circuit, compiled.target)
        circuit = unmeasured(schedule(measured(flipped), compiled.target))
    program = CircuitProgram(circuit, (), (), compiled.observables)
    return replace(compiled, program=program, circuit=circuit, runs=(), layout=None)
