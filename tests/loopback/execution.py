"""Jobs of the program ``executor``, run on Aer under a stored calibration, part by part.

A circuit on a whole chip falls into parts that no gate connects; each is simulated by itself, all parts and parameter
sets in one call of Aer. A gate and its error are one superoperator, which Aer computes once for each gate and place.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from math import prod
from typing import Any, Literal

import numpy as np
from ibm_quantum_schemas.common import CompressedTensorModel
from ibm_quantum_schemas.executor.version_2_0 import (
    ChunkPart,
    ChunkSpan,
    ItemMetadataModel,
    MetadataModel,
    ParamsModel,
    QuantumProgramResultItemModel,
    QuantumProgramResultModel,
)
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Instruction
from qiskit.transpiler import Target
from qiskit_aer import AerSimulator
from qiskit_ibm_runtime.fake_provider.executor.broadcast_sample import broadcast_sample
from qiskit_ibm_runtime.quantum_program.converters.converters_2_0 import quantum_program_from_2_0
from samplomatic.quantum_program import SamplexItem

from backends.compile import restrict_target
from backends.devices import Device
from backends.noise import calibrated_noise

Execution = Literal["calibrated", "noiseless", "counterfeit"]
LARGEST_PART = 10
"""Qubits of the largest connected part that is simulated with noise (a density matrix of 4^10 numbers)."""
IDLE = frozenset({"barrier", "delay", "id"})


@dataclass(frozen=True)
class Outcome:
    """What a finished job leaves."""

    circuits: int
    executions: int
    result: str
    """JSON of a ``QuantumProgramResultModel``."""


def run_program(params: dict[str, Any], device: Device, execution: Execution, seed: int | None) -> Outcome:
    """Run the parameters of a job; ``seed`` None draws everything from what is in them.

    The content that counts is what runs: circuits, angles and shots, not the names and UUIDs of their encoding, so the
    same circuits compiled and encoded again give the same numbers.
    Raises ``ValueError`` for what the device cannot run.
    """
    started = datetime.now(UTC)
    model = ParamsModel.model_validate(params)
    program, _ = quantum_program_from_2_0(model)
    templates = [_listing(item.circuit) for item in program.items]
    shapes = [tuple(item.shape) for item in program.items]
    structure = repr((program.shots, shapes, templates)).encode()
    rng = np.random.default_rng(_digest(structure) if seed is None else seed)
    items = []
    circuits = 0
    for item in program.items:
        data: dict[str, Any] = {}
        if isinstance(item, SamplexItem):
            item.samplex.finalize()
            data = broadcast_sample(item.samplex, item.samplex_arguments, item.shape, rng)
            angles = data.pop("parameter_values")
        else:
            angles = np.asarray(item.circuit_arguments)
        shape = angles.shape[:-1]
        flat = np.ascontiguousarray(angles.reshape(prod(shape), angles.shape[-1]), dtype=np.float64)
        if seed is None:
            rng = np.random.default_rng(_digest(structure, flat.tobytes(), *(data[k].tobytes() for k in sorted(data))))
        for register, bits in _measure(item.circuit, flat, program.shots, device, execution, rng).items():
            data[register] = bits.reshape(*shape, *bits.shape[1:])
        circuits += prod(shape)
        results = {name: CompressedTensorModel.from_numpy(np.asarray(array)) for name, array in data.items()}
        items.append(QuantumProgramResultItemModel(results=results, metadata=ItemMetadataModel()))
    parts = [
        ChunkPart(idx_item=i, size=prod(shape), permutation=list(range(len(shape))), element_range=(0, prod(shape), 1))
        for i, shape in enumerate(shapes)
    ]
    result = QuantumProgramResultModel(
        data=items,
        metadata=MetadataModel(chunk_timing=[ChunkSpan(start=started, stop=datetime.now(UTC), parts=parts)]),
        passthrough_data=model.quantum_program.passthrough_data,
        semantic_role=model.quantum_program.semantic_role,
    )
    return Outcome(circuits, circuits * program.shots, result.model_dump_json())


def _digest(*parts: bytes) -> int:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return int.from_bytes(digest.digest()[:8], "big")


def _listing(circuit: QuantumCircuit) -> list[tuple[Any, ...]]:
    return [
        (
            item.operation.name,
            *(circuit.find_bit(q).index for q in item.qubits),
            *(circuit.find_bit(c).index for c in item.clbits),
            *(str(p) for p in item.operation.params),
        )
        for item in circuit.data
        if item.operation.name != "barrier"
    ]


def _measure(
    circuit: QuantumCircuit,
    angles: np.ndarray,
    shots: int,
    device: Device,
    execution: Execution,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Bits of each classical register, shape (M, shots, size), for angles (M, P)."""
    sets = len(angles)
    read: dict[int, np.ndarray] = {}
    if execution == "counterfeit":
        for qubit in range(circuit.num_qubits):
            read[qubit] = rng.random((sets, shots)) < rng.random((sets, 1))
    else:
        noisy = device if execution == "calibrated" else None
        columns = {parameter: angles[:, i] for i, parameter in enumerate(circuit.parameters)}
        groups = _connected(circuit)
        for qubit, ones in _alone(circuit, [g[0] for g in groups if len(g) == 1], columns, sets).items():
            a, b = device.readout[qubit] if noisy else (0.0, 0.0)
            read[qubit] = rng.random((sets, shots)) < (ones * (1 - b) + (1 - ones) * a)[:, None]
        parts = [group for group in groups if len(group) > 1]
        for qubits, chances in zip(parts, _probabilities(circuit, parts, columns, sets, noisy), strict=True):
            if noisy:
                chances = _misread(chances, [device.readout[q] for q in qubits])
            outcomes = _sample(chances, shots, rng)
            read |= {qubit: (outcomes >> i) & 1 == 1 for i, qubit in enumerate(qubits)}
    registers = {register.name: np.zeros((sets, shots, register.size), dtype=bool) for register in circuit.cregs}
    for item in circuit.data:
        if item.operation.name == "measure":
            register, index = circuit.find_bit(item.clbits[0]).registers[0]
            registers[register.name][:, :, index] = read[circuit.find_bit(item.qubits[0]).index]
    return registers


def _connected(circuit: QuantumCircuit) -> list[list[int]]:
    """Qubits that multi-qubit gates connect, directly or not."""
    group = {q: {q} for q in range(circuit.num_qubits)}
    for item in circuit.data:
        if item.operation.name not in {"barrier", "measure"} and len(item.qubits) > 1:
            joined = set().union(*(group[circuit.find_bit(q).index] for q in item.qubits))
            for member in joined:
                group[member] = joined
    return [sorted(members) for q, members in group.items() if q == min(members)]


def _alone(circuit: QuantumCircuit, qubits: list[int], columns: dict[Any, np.ndarray], sets: int) -> dict[int, Any]:
    """Probability of |1⟩ (M,) of each qubit that no other touches, without errors."""
    states = {q: np.tile(np.array([1, 0], dtype=complex), (sets, 1)) for q in qubits}
    for item in circuit.data:
        gate, where = item.operation, circuit.find_bit(item.qubits[0]).index
        if where not in states or len(item.qubits) > 1 or gate.name in IDLE or gate.name == "measure":
            continue
        if gate.name == "rz":
            angle = _values(gate.params[0], columns)
            states[where] *= np.exp(0.5j * np.stack(np.broadcast_arrays(-angle, angle), axis=-1))
        else:
            states[where] = states[where] @ gate.to_matrix().T
    return {q: np.abs(state[:, 1]) ** 2 for q, state in states.items()}


def _values(angle: Any, columns: dict[Any, np.ndarray]) -> np.ndarray:
    if angle in columns:
        return columns[angle]
    free: set[Any] = getattr(angle, "parameters", set())
    if not free:
        return np.asarray(float(angle))
    rows = np.stack([columns[parameter] for parameter in free], axis=1)
    return np.array([float(angle.bind(dict(zip(free, row, strict=True)))) for row in rows])


def _probabilities(
    circuit: QuantumCircuit,
    parts: list[list[int]],
    columns: dict[Any, np.ndarray],
    sets: int,
    device: Device | None,
) -> list[np.ndarray]:
    """Probability of each outcome (M, 2^n) of each part, its lowest qubit the lowest bit; exact but for readout."""
    place = {qubit: (k, i) for k, qubits in enumerate(parts) for i, qubit in enumerate(qubits)}
    ready = [QuantumCircuit(len(qubits)) for qubits in parts]
    for item in circuit.data:
        where = [circuit.find_bit(q).index for q in item.qubits]
        if item.operation.name in IDLE or item.operation.name == "measure" or where[0] not in place:
            continue
        k, local = place[where[0]][0], [place[q][1] for q in where]
        if not isinstance(item.operation, Gate):
            raise ValueError(f"{item.operation.name} is not a gate")
        if device is None:
            ready[k].append(item.operation, local)
            continue
        channel = gate_channel(device, item.operation.name, tuple(where))
        if item.operation.params:
            ready[k].append(item.operation, local)
        if channel is not None:
            ready[k].append(Instruction("superop", len(local), 0, [channel]), local)
    binds, inverses = [], []
    for part in ready:
        if device is not None and part.num_qubits > LARGEST_PART:
            raise ValueError(f"{part.num_qubits} connected qubits; noise is simulated for at most {LARGEST_PART}")
        own = list(part.parameters)
        table = np.stack([columns[p] for p in own], axis=1) if own else np.zeros((sets, 1))
        rows, inverse = np.unique(table, axis=0, return_inverse=True)
        binds.append({p: rows[:, i].tolist() for i, p in enumerate(own)})
        inverses.append(inverse.reshape(-1))
        part.save_probabilities()
    if not ready:
        return []
    simulator = AerSimulator(method="statevector" if device is None else "density_matrix", max_parallel_threads=1)
    result = simulator.run(ready, parameter_binds=binds if any(binds) else None, shots=1).result()
    if not result.success:
        raise ValueError(result.status)
    found, start = [], 0
    for bind, inverse in zip(binds, inverses, strict=True):
        count = len(next(iter(bind.values()))) if bind else 1
        exact = np.stack([result.data(start + i)["probabilities"] for i in range(count)])
        found.append(exact[inverse])
        start += count
    return found


_channels: dict[tuple[str, str, tuple[int, ...]], np.ndarray | None] = {}


def gate_channel(device: Device, name: str, qubits: tuple[int, ...]) -> np.ndarray | None:
    """Superoperator of a gate with its error, or of the error alone of a gate with an angle (which is 1 at angle 0).

    None where there is no such error. Raises ``ValueError`` where the device has no such gate.
    """
    key = (device.name, name, qubits)
    if key not in _channels:
        _channels[key] = _calibrated_channel(device, name, qubits)
    return _channels[key]


def _calibrated_channel(device: Device, name: str, qubits: tuple[int, ...]) -> np.ndarray | None:
    here = tuple(range(len(qubits)))
    known = restrict_target(device, qubits)
    if name not in known.operation_names or here not in known[name]:
        raise ValueError(f"the circuit is not in the instructions of {device.name}: {name} on {list(qubits)}")
    gate = known.operation_from_name(name)
    alone = Target(num_qubits=len(qubits), qubit_properties=known.qubit_properties)
    alone.add_instruction(gate, {here: known[name][here]})
    noise = calibrated_noise(alone, [(0.0, 0.0)] * len(qubits))
    if gate.params and not noise.gate_errors:
        return None
    circuit = QuantumCircuit(len(qubits))
    circuit.append(gate, here)
    circuit.assign_parameters([0.0] * len(circuit.parameters), inplace=True)
    circuit.save_superop()
    simulator = AerSimulator(method="superop", noise_model=noise.model(with_readout=False), max_parallel_threads=1)
    return np.asarray(simulator.run(circuit).result().data(0)["superop"])


def _misread(chances: np.ndarray, readout: list[tuple[float, float]]) -> np.ndarray:
    """The probabilities (M, 2^n) after each qubit is misread with p(1|0) and p(0|1)."""
    sets, size = len(chances), len(readout)
    tensor = chances.reshape(sets, *(2,) * size)
    for i, (a, b) in enumerate(readout):
        confusion = np.array([[1 - a, b], [a, 1 - b]])
        tensor = np.moveaxis(np.tensordot(tensor, confusion, axes=(size - i, 1)), -1, size - i)
    return tensor.reshape(sets, -1)


def _sample(chances: np.ndarray, shots: int, rng: np.random.Generator) -> np.ndarray:
    """Outcomes (M, shots) drawn from probabilities (M, K)."""
    sets, count = chances.shape
    edges = np.cumsum(np.clip(chances, 0, None), axis=1)
    edges /= edges[:, -1:]
    offset = np.arange(sets)[:, None]
    drawn = np.searchsorted((edges + offset).ravel(), (rng.random((sets, shots)) + offset).ravel(), side="right")
    outcomes: np.ndarray = np.clip(drawn.reshape(sets, shots) - count * offset, 0, count - 1)
    return outcomes
