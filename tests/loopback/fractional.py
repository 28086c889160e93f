"""Gates of any angle on stored devices: rx, which their calibrations have and their stored configurations leave out."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import lru_cache
from typing import Any

from qiskit.circuit import Parameter
from qiskit.circuit.library import RXGate
from qiskit.transpiler import InstructionProperties

from backends.devices import Device


def _calibrated(calibration: dict[str, Any]) -> dict[int, tuple[float, float]]:
    """Error and duration in seconds of rx on each qubit."""
    found = {}
    for gate in calibration["gates"]:
        if gate["gate"] == "rx":
            known = {entry["name"]: entry["value"] for entry in gate["parameters"]}
            found[gate["qubits"][0]] = (float(known["gate_error"]), float(known["gate_length"]) * 1e-9)
    return found


def with_rx(configuration: dict[str, Any], calibration: dict[str, Any]) -> dict[str, Any]:
    """The configuration with rx where the calibration has it, as the service sends it."""
    qubits = sorted(_calibrated(calibration))
    if not qubits or "rx" in configuration["basis_gates"]:
        return configuration
    about = {"parameters": ["theta"], "qasm_def": "gate rx(theta) q { U(theta, -pi/2, pi/2) q; }"}
    rx = {"name": "rx", **about, "coupling_map": [[qubit] for qubit in qubits]}
    named = configuration.get("supported_instructions")
    return {
        **configuration,
        "basis_gates": [*configuration["basis_gates"], "rx"],
        "gates": [*configuration["gates"], rx],
        **({} if named is None else {"supported_instructions": [*named, "rx"]}),
    }


def device_with_rx(device: Device, calibration: dict[str, Any]) -> Device:
    """The device that runs circuits with rx as well."""
    known = tuple(sorted(_calibrated(calibration).items()))
    return device if not known or "rx" in device.target.operation_names else _extended(device, known)


@lru_cache(maxsize=8)
def _extended(device: Device, known: tuple[tuple[int, tuple[float, float]], ...]) -> Device:
    target = copy.deepcopy(device.target)
    places = {(qubit,): InstructionProperties(duration=seconds, error=error) for qubit, (error, seconds) in known}
    target.add_instruction(RXGate(Parameter("theta")), places)
    return replace(device, target=target)
