"""Noise: of a device's calibration on the qubits in use, of a few given rates, or of any Aer model, all scalable.

A noise model here is an Aer ``NoiseModel`` for gate errors and idling, and a readout confusion for each qubit, kept
apart because Aer's exact expectation values know nothing of readout.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray
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
PHYSICAL = 1e-9
"""How far a scaled error may be from a channel (completely positive, trace preserving), for rounding."""

Matrix = NDArray[np.complex128]


@dataclass(frozen=True)
class Noise:
    """What errs on a register of qubits."""

    gate_errors: tuple[tuple[str, tuple[int, ...], QuantumError], ...]
    """Gate name (Aer goes by a gate's label where it has one), qubits, error after the gate."""
    relaxation: tuple[tuple[float, float], ...]
    """T1 and T2 of each qubit in seconds, for idle time; infinite where unknown."""
    readout: tuple[tuple[float, float], ...]
    """For each qubit p(read 1 | prepared 0) and p(read 0 | prepared 1)."""
    basis_gates: tuple[str, ...]
    dt: float | None = None
    """Seconds of the time unit ``dt``, for circuits whose delays are counted in it."""
    elsewhere: tuple[str, ...] = ()
    """Gates on which an Aer model has errors of qubits outside this register alone."""

    @classmethod
    def from_model(cls, model: NoiseModel, qubits: int | Sequence[int]) -> Noise:
        """The noise of an Aer model on its qubits 0 to ``qubits`` − 1, or on those listed, which are numbered anew.

        Of every instruction what Aer makes of it. An error for all qubits is written out for every ordered choice of
        qubits without an error of its own.
        Raises :class:`BackendError` for what has no place here: an error on measurement other than a readout error, a
        readout error of several qubits together, and passes other than one relaxation of delays towards |0⟩.
        """
        # Aer's model shows its errors through these attributes alone; its dictionary form has no channels.
        register = range(qubits) if isinstance(qubits, int) else qubits
        index = {qubit: i for i, qubit in enumerate(register)}
        errors: dict[tuple[str, tuple[int, ...]], Any] = {}
        for name, error in model._default_quantum_errors.items():
            errors |= {(name, where): error for where in permutations(range(len(index)), error.num_qubits)}
        for name, local in model._local_quantum_errors.items():
            here = ((where, error) for where, error in local.items() if set(where) <= set(index))
            errors |= {(name, tuple(index[q] for q in where)): error for where, error in here}
        for name, where in errors:
            if not isinstance(name, str):
                raise BackendError(
                    "the noise model has an error on an instruction without a name, which Aer cannot run"
                )
            if name == "measure":
                raise BackendError(
                    f"the noise model has a quantum error on measure of {_qubits([register[q] for q in where])}; "
                    f"a readout error is possible"
                )
        relaxation, dt = _relaxation(model, register)
        return cls(
            gate_errors=tuple((name, where, _quantum_error(error)) for (name, where), error in errors.items()),
            relaxation=relaxation,
            readout=_readout(model, register),
            basis_gates=tuple(model.basis_gates),
            dt=dt,
            elsewhere=tuple(sorted(set(model._local_quantum_errors) - {name for name, _ in errors})),
        )

    @property
    def only_reads_wrong(self) -> bool:
        """Whether nothing errs before the measurement."""
        return not self.gate_errors and not np.isfinite(self.relaxation).any()

    def model(self, *, with_readout: bool) -> NoiseModel:
        """The Aer noise model; with readout error for sampling, without for exact values."""
        model = NoiseModel(basis_gates=list(self.basis_gates))
        for name, qubits, error in self.gate_errors:
            model.add_quantum_error(error, name, qubits, warnings=False)
        if any(np.isfinite(t).any() for t in self.relaxation):
            t1s, t2s = zip(*self.relaxation, strict=True)
            idle = RelaxationNoisePass(t1s=list(t1s), t2s=list(t2s), dt=self.dt, op_types=Delay)
            # The same hook that NoiseModel.from_backend uses; Aer has no public one for idle noise.
            model._custom_noise_passes.append(idle)
        for qubit, (a, b) in enumerate(self.readout):
            if with_readout and (a or b):
                model.add_readout_error(ReadoutError([[1 - a, a], [b, 1 - b]]), [qubit])
        return model

    def scaled(self, scale: float, labels: Sequence[str]) -> Noise | None:
        """The same noise with every rate times ``scale`` (λ); None at λ = 0.

        Gate errors become E^λ (see :func:`scale_error`), idling is λ times faster, readout I + λ(P − I). Logarithms of
        the errors are kept, so that another λ costs little.
        Raises :class:`BackendError` naming the qubits (from ``labels``) where that is no probability or no physical
        channel any more.
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
        powers: dict[str, QuantumError] = {}
        for name, qubits, error in self.gate_errors:
            if error.id not in powers:
                channel = self._channels[error.id].power(scale)
                if channel is None:
                    where = " and ".join(labels[q] for q in qubits)
                    raise _no_channel(scale, f"the error of {name} on {where}")
                powers[error.id] = QuantumError(channel)
        return replace(
            self,
            gate_errors=tuple((name, qubits, powers[error.id]) for name, qubits, error in self.gate_errors),
            relaxation=tuple((t1 / scale, t2 / scale) for t1, t2 in self.relaxation),
            readout=tuple((scale * a, scale * b) for a, b in self.readout),
        )

    @cached_property
    def _channels(self) -> dict[str, _Channel]:
        return {error.id: _Channel(error) for _, _, error in self.gate_errors}


def scale_error(error: QuantumError, scale: float) -> QuantumError:
    """The channel at λ times its strength, λ ≥ 0: its power E^λ, which is expm(λ logm E) of the superoperator.

    Raises :class:`BackendError` where that is no channel: a λ that is not whole, of a singular error (a certain reset)
    or of one that is not made up of weaker ones (a bit flip in more than half of all cases).
    """
    channel = _Channel(error).power(scale)
    if channel is None:
        raise _no_channel(scale, "this error")
    return QuantumError(channel)


class _Channel:
    """An error as a superoperator that can be raised to powers."""

    def __init__(self, error: QuantumError) -> None:
        self._matrix: Matrix = SuperOp(error).data
        self._dimension = 2**error.num_qubits

    @cached_property
    def _logarithm(self) -> Matrix | None:
        """The principal logarithm; None for a singular matrix, which has none."""
        if np.abs(np.linalg.eigvals(self._matrix)).min() < 1e-12:
            return None
        return np.asarray(logm(self._matrix), dtype=np.complex128)

    def power(self, scale: float) -> SuperOp | None:
        """The channel to the power λ; None where that is no channel."""
        if float(scale).is_integer():
            matrix = np.linalg.matrix_power(self._matrix, int(scale))
        elif self._logarithm is None:
            return None
        else:
            matrix = expm(scale * self._logarithm)
        result = SuperOp(matrix, input_dims=self._dimension, output_dims=self._dimension)
        return result if result.is_cptp(atol=PHYSICAL, rtol=0) else None


def model_digest(model: NoiseModel) -> str:
    """Hexadecimal digest of an Aer model: the same for the same errors built in the same way, in any process."""
    local = [
        (name, where, _content(error.to_dict()))
        for name, errors in model._local_quantum_errors.items()
        for where, error in errors.items()
    ]
    everywhere = [(name, _content(error.to_dict())) for name, error in model._default_quantum_errors.items()]
    read = [(where, _content(error.probabilities)) for where, error in model._local_readout_errors.items()]
    read_everywhere = model._default_readout_error
    passes = [(type(custom).__name__, _content(vars(custom))) for custom in model._custom_noise_passes]
    content = (
        sorted(model.basis_gates),
        sorted(local, key=repr),
        sorted(everywhere, key=repr),
        sorted(read, key=repr),
        None if read_everywhere is None else _content(read_everywhere.probabilities),
        passes,
    )
    return hashlib.sha256(repr(content).encode()).hexdigest()


def _content(value: Any) -> Any:
    """Numbers, names and arrays of an error, all printable to the last bit; without what differs in every process."""
    if isinstance(value, dict):
        return [(key, _content(part)) for key, part in value.items() if key != "id"]
    if isinstance(value, (list, tuple)):
        return [_content(part) for part in value]
    if isinstance(value, np.ndarray):
        return [value.shape, value.tolist()]
    if isinstance(value, np.generic):
        return value.item()
    return value if value is None or isinstance(value, (str, int, float, complex)) else type(value).__name__


def _no_channel(scale: float, what: str) -> BackendError:
    return BackendError(f"scale = {scale:g} makes {what} no physical channel; take a whole number")


def _quantum_error(error: Any) -> QuantumError:
    return error if isinstance(error, QuantumError) else error.to_quantum_error()


def _readout(model: NoiseModel, register: Sequence[int]) -> tuple[tuple[float, float], ...]:
    for where in model._local_readout_errors:
        if len(where) > 1 and set(where) & set(register):
            raise BackendError(
                f"the noise model has a joint readout error of {_qubits(where)}; only one for each qubit is possible"
            )
    known = (model._local_readout_errors.get((q,), model._default_readout_error) for q in register)
    tables = (np.eye(2) if error is None else error.probabilities for error in known)
    return tuple((float(table[0, 1]), float(table[1, 0])) for table in tables)


def _relaxation(model: NoiseModel, register: Sequence[int]) -> tuple[tuple[tuple[float, float], ...], float | None]:
    """T1 and T2 of each qubit from a model's noise pass, and its ``dt``."""
    if not model._custom_noise_passes:
        return ((np.inf, np.inf),) * len(register), None
    first, *others = model._custom_noise_passes
    if others or type(first) is not RelaxationNoisePass:
        kinds = ", ".join(type(custom).__name__ for custom in model._custom_noise_passes)
        raise BackendError(f"the noise model has custom passes ({kinds}); only one RelaxationNoisePass is possible")
    if first._ops != (Delay,):
        raise BackendError(
            "the noise model relaxes qubits after other instructions than delays; only delays are possible"
        )
    if len(first._t1s) <= max(register, default=-1):
        raise BackendError(
            f"the noise model has T1 and T2 of {len(first._t1s)} qubits; the register has {max(register) + 1}"
        )
    if any(first._p1s[q] for q in register):
        raise BackendError("the noise model relaxes qubits towards a mixed state; only a temperature of 0 is possible")
    return tuple((float(first._t1s[q]), float(first._t2s[q])) for q in register), first._dt


def _qubits(where: Sequence[int]) -> str:
    return f"qubit{'s' if len(where) > 1 else ''} {', '.join(map(str, where))}"


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


@lru_cache(maxsize=16)
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
