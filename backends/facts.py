"""Facts of any Qiskit ``BackendV2``: gates, errors, times and readout from its target, or its maker's noise model."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
from qiskit.circuit import Delay, Gate, Measure, Parameter
from qiskit.providers import BackendV2
from qiskit.quantum_info import average_gate_fidelity
from qiskit.transpiler import InstructionProperties, QubitProperties, Target
from qiskit_aer.noise import NoiseModel

from backends.devices import Device, device_of
from backends.noise import Noise

WIDEST = 24
"""Qubits that are looked at of a backend that couples all of its qubits without saying how many, or more."""

_SIMULATORS = frozenset(
    {
        "qiskit_aer.backends.aerbackend.AerBackend",
        "qiskit.providers.basic_provider.basic_simulator.BasicSimulator",
        "qiskit.providers.fake_provider.generic_backend_v2.GenericBackendV2",
        "qiskit_ibm_runtime.fake_provider.fake_backend.FakeBackendV2",
        "qiskit_aqt_provider._offline_sim.resource.OfflineSimulatorResource",
        "qiskit_aqt_provider.aqt_resource.OfflineSimulatorResource",
        "iqm.qiskit_iqm.fake_backends.iqm_fake_backend.IQMFakeBackend",
        "qiskit_braket_provider.providers.braket_backend.BraketLocalBackend",
    }
)
"""Classes whose ``run`` computes on this machine. No attribute tells it: a vendor's device may call itself one."""


def is_simulator(backend: BackendV2) -> bool:
    """Whether the backend is of a class that is known to run on this machine."""
    return any(f"{kind.__module__}.{kind.__qualname__}" in _SIMULATORS for kind in type(backend).__mro__)


def is_aer(backend: BackendV2) -> bool:
    """Whether the backend is a simulator of Aer, with or without a noise model among its options."""
    return any(kind.__module__.startswith("qiskit_aer.backends.") for kind in type(backend).__mro__)


def is_ibm_hardware(backend: BackendV2) -> bool:
    """Whether the backend is a device of an IBM account."""
    return any(kind.__module__ == "qiskit_ibm_runtime.ibm_backend" for kind in type(backend).__mro__)


def own_shots(backend: BackendV2) -> int:
    """Shots that the backend runs where nobody asks for a number; 1,024 where it has none."""
    stated = getattr(backend.options, "shots", None)
    return int(stated) if isinstance(stated, int | float) and stated >= 1 else 1024


def noise_model_of(backend: BackendV2) -> NoiseModel | None:
    """The noise model that the backend carries.

    It is an attribute ``noise_model``, or an option of a simulator of Aer: of the backend itself, or of its attribute
    ``simulator``.
    """
    inside = getattr(backend, "simulator", None)
    simulator = backend if is_aer(backend) else inside
    carried = [simulator.options] if isinstance(simulator, BackendV2) and is_aer(simulator) else []
    for carrier in (backend, *carried):
        model = getattr(carrier, "noise_model", None)
        if isinstance(model, NoiseModel) and not model.is_ideal():
            return model
    return None


def facts_of(backend: BackendV2) -> Device:
    """What is known of a backend.

    IBM's devices, stored and live ones, have their ``properties()`` with two readout errors for each qubit. Of all
    others the target counts, and a noise model that the backend carries goes before it. What neither says is not
    taken as zero but listed by :meth:`backends.devices.Device.unknown`.

    Raises :class:`backends.errors.BackendError` for a noise model with a readout error of several qubits together.
    """
    origin = (f"{type(backend).__module__}.{type(backend).__qualname__}", str(backend.backend_version or ""))
    name = str(backend.name or type(backend).__name__)
    properties = None if is_aer(backend) else getattr(backend, "properties", None)
    if callable(properties) and hasattr(properties(), "qubit_property"):
        return replace(device_of(backend, name), origin=origin)
    model = noise_model_of(backend)
    target = written_out(backend.target, model)
    stated = [getattr(target["measure"].get((q,)), "error", None) for q in range(target.num_qubits)]
    readout = tuple((float(error or 0.0),) * 2 for error in stated)
    unread = frozenset(q for q, error in enumerate(stated) if error is None)
    if model is not None:
        readout, unread = Noise.from_model(model, target.num_qubits).readout, frozenset()
    return Device(name, target, readout, None, unread=unread, noise_model=model, origin=origin)


def written_out(target: Target, model: NoiseModel | None = None) -> Target:
    """The gates on one and two qubits, measurement and delays of a target, with the qubits of each.

    A gate for all qubits (trapped ions) is written out for every ordered choice of them. Errors that the target leaves
    open are the infidelities of ``model``, where it is given. Other instructions, such as control flow, gates on no
    qubit and gates on three, are left out.
    """
    size = target.num_qubits
    if size is None or (size > WIDEST and target.build_coupling_map() is None):
        size = WIDEST
    known = list(target.qubit_properties or [QubitProperties()] * size)[:size]
    result = Target(num_qubits=size, qubit_properties=known)
    for name in sorted(target.operation_names):
        operation = target.operation_from_name(name)
        if not isinstance(operation, Gate | Measure) or operation.num_qubits not in (1, 2):
            continue
        if isinstance(operation, Measure) and name != "measure":
            continue
        stated = target[name]
        if stated is None or None in stated:
            shared = None if stated is None else stated[None]
            stated = dict.fromkeys(permutations(range(size), operation.num_qubits), shared)
        errors = {where: _error(name, where, p, model) for where, p in stated.items() if max(where) < size}
        known_as = {id(error): _infidelity(error) for error in errors.values()}
        properties = {
            where: InstructionProperties(getattr(stated[where], "duration", None), known_as[id(error)])
            for where, error in errors.items()
        }
        result.add_instruction(operation, properties, name=name)
    if "measure" not in result.operation_names:
        result.add_instruction(Measure(), {(q,): None for q in range(size)})
    result.add_instruction(Delay(Parameter("t"), "s"), {(q,): None for q in range(size)}, name="delay")
    return result


def _error(name: str, where: tuple[int, ...], properties: Any, model: NoiseModel | None) -> Any:
    """The error rate that a target states (None for none), or the error of a noise model in its place (0 for none)."""
    if model is None or name == "measure":
        return getattr(properties, "error", None)
    return model._local_quantum_errors.get(name, {}).get(where) or model._default_quantum_errors.get(name, 0.0)


def _infidelity(error: Any) -> float | None:
    if error is None or isinstance(error, int | float):
        return None if error is None else float(error)
    return float(np.clip(1 - average_gate_fidelity(error), 0, 1))
