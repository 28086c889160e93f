"""Noise: of a device's calibration on the qubits in use, or of a few given rates, both scalable.

A noise model here is an Aer ``NoiseModel`` for gate errors and idling, and a readout confusion for each qubit, kept
apart because Aer's exact expectation values know nothing of readout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from qiskit.circuit import Delay, Gate, Measure, Parameter
from qiskit.circuit.library import CXGate, RZGate, SXGate, XGate
from qiskit.quantum_info import SuperOp
from qiskit.transpiler import InstructionProperties, QubitProperties, Target
from qiskit_aer.noise import (
    NoiseModel,
    QuantumError,
    ReadoutError,
    RelaxationNoisePass,
    depolarizing_error,
    thermal_relaxation_error,
)
from qiskit_aer.noise.device import basic_device_gate_errors
from scipy.linalg import expm, logm

from backends.errors import BackendError
from backends.names import NoiseRates

ONE_QUBIT_SECONDS = 35e-9
TWO_QUBIT_SECONDS = 300e-9
READOUT_SECONDS = 1e-6
"""Durations that ``noise:`` assumes for SX and X, CX, and measurement; RZ is a change of frame and takes no time."""


@dataclass(frozen=True)
class Noise:
    """What errs on a register of qubits."""

    gate_errors: tuple[tuple[str, tuple[int, ...], QuantumError], ...]
    """Gate name, qubits, error after the gate."""
    relaxation: tuple[tuple[float, float], ...]
    """T1 and T2 of each qubit in seconds, for idle time; infinite where unknown."""
    readout: tuple[tuple[float, float], ...]
    """For each qubit p(read 1 | prepared 0) and p(read 0 | prepared 1)."""
    basis_gates: tuple[str, ...]

    def model(self, *, with_readout: bool) -> NoiseModel:
        """The Aer noise model; with readout error for sampling, without for exact values."""
        model = NoiseModel(basis_gates=list(self.basis_gates))
        for name, qubits, error in self.gate_errors:
            model.add_quantum_error(error, name, qubits, warnings=False)
        if any(np.isfinite(t).any() for t in self.relaxation):
            t1s, t2s = zip(*self.relaxation, strict=True)
            idle = RelaxationNoisePass(t1s=list(t1s), t2s=list(t2s), op_types=Delay)
            # The same hook that NoiseModel.from_backend uses; Aer has no public one for idle noise.
            model._custom_noise_passes.append(idle)
        for qubit, (a, b) in enumerate(self.readout):
            if with_readout and (a or b):
                model.add_readout_error(ReadoutError([[1 - a, a], [b, 1 - b]]), [qubit])
        return model

    def scaled(self, scale: float, labels: Sequence[str]) -> Noise | None:
        """The same noise with every rate times ``scale`` (λ); None at λ = 0.

        Gate errors become expm(λ logm E) of their superoperators, idling is λ times faster, readout I + λ(P − I).
        Raises :class:`BackendError` naming the qubit (from ``labels``) where that is no probability any more.
        """
        if scale == 0:
            return None
        if scale == 1:
            return self
        for label, (a, b) in zip(labels, self.readout, strict=True):
            if scale * max(a, b) > 1:
                raise BackendError(
                    f"scale = {scale:g} makes the readout error of {label} ({max(a, b):.3g}) more than a probability; "
                    f"at most {1 / max(a, b):.3g}"
                )
        return replace(
            self,
            gate_errors=tuple((name, qubits, scale_error(error, scale)) for name, qubits, error in self.gate_errors),
            relaxation=tuple((t1 / scale, t2 / scale) for t1, t2 in self.relaxation),
            readout=tuple((scale * a, scale * b) for a, b in self.readout),
        )


def scale_error(error: QuantumError, scale: float) -> QuantumError:
    """The channel at λ times its strength: expm(λ logm E) of the superoperator, λ ≥ 0."""
    generator = logm(SuperOp(error).data)
    dims = (2**error.num_qubits,) * 2
    return QuantumError(SuperOp(expm(scale * generator), input_dims=dims[0], output_dims=dims[1]))


def calibrated_noise(target: Target, readout: Sequence[tuple[float, float]]) -> Noise:
    """Noise of a (restricted) device target: what ``NoiseModel.from_backend`` makes of it, and asymmetric readout.

    Depolarizing and relaxation errors such that their average gate fidelity is the calibrated one.
    """
    errors = basic_device_gate_errors(target=target)
    known: list[Any] = list(target.qubit_properties or [None] * target.num_qubits)
    return Noise(
        gate_errors=tuple((name, tuple(qubits), error) for name, qubits, error in errors),
        relaxation=tuple(_times(properties) for properties in known),
        readout=tuple(readout),
        basis_gates=tuple(n for n in target.operation_names if isinstance(target.operation_from_name(n), Gate)),
    )


def _times(properties: Any) -> tuple[float, float]:
    t1 = getattr(properties, "t1", None) or np.inf
    t2 = getattr(properties, "t2", None) or np.inf
    return (float(t1), float(min(t2, 2 * t1)))


def parametric_target(num_qubits: int, rates: NoiseRates) -> Target:
    """All-to-all target in RZ, SX, X, CX with the durations that the relaxation of ``rates`` assumes."""
    t1, t2 = (None if t is None else t * 1e-6 for t in (rates.t1_us, rates.t2_us))
    target = Target(num_qubits=num_qubits, qubit_properties=[QubitProperties(t1=t1, t2=t2)] * num_qubits)
    qubits = range(num_qubits)
    for gate, seconds in (
        (RZGate(Parameter("angle")), 0.0),
        (SXGate(), ONE_QUBIT_SECONDS),
        (XGate(), ONE_QUBIT_SECONDS),
    ):
        target.add_instruction(gate, {(q,): InstructionProperties(duration=seconds) for q in qubits})
    pairs = {(p, q): InstructionProperties(duration=TWO_QUBIT_SECONDS) for p in qubits for q in qubits if p != q}
    if pairs:
        target.add_instruction(CXGate(), pairs)
    target.add_instruction(Measure(), {(q,): InstructionProperties(duration=READOUT_SECONDS) for q in qubits})
    target.add_instruction(Delay(Parameter("t"), "s"), {(q,): None for q in qubits})
    return target


def parametric_noise(num_qubits: int, rates: NoiseRates) -> Noise:
    """The same error after every SX and X, and after every CX; RZ, a change of frame, has none."""
    t1, t2 = (np.inf if t is None else t * 1e-6 for t in (rates.t1_us, rates.t2_us))
    one, two = depolarizing_error(rates.depolarizing_1q, 1), depolarizing_error(rates.depolarizing_2q, 2)
    if np.isfinite(t1):
        one = one.compose(thermal_relaxation_error(t1, t2, ONE_QUBIT_SECONDS))
        idle = thermal_relaxation_error(t1, t2, TWO_QUBIT_SECONDS)
        two = two.compose(idle.tensor(idle))
    qubits = range(num_qubits)
    errors: list[tuple[str, tuple[int, ...], Any]] = [(name, (q,), one) for name in ("sx", "x") for q in qubits]
    errors += [("cx", (p, q), two) for p in qubits for q in qubits if p != q]
    return Noise(
        gate_errors=tuple((name, where, error) for name, where, error in errors if not error.ideal()),
        relaxation=((t1, t2),) * num_qubits,
        readout=((rates.meas1_prep0, rates.meas0_prep1),) * num_qubits,
        basis_gates=("rz", "sx", "x", "cx"),
    )
