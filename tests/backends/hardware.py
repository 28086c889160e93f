"""Evaluations for the tests of hardware runs: a program from its name to its values, and small ready-made tasks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from programs import random_angles, random_program
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from backends.compile import move_observable, place
from backends.contract import CircuitProgram
from backends.devices import stored_device
from backends.hardware_options import HardwareOptions
from backends.ibm.arrangement import Collected
from backends.ibm.client import Service
from backends.ibm.execution import execute
from backends.ibm.ledger import Ledger
from backends.ibm.prepare import Prepared, collect, make_task, prepare
from backends.ibm.results import ExecutionResult
from backends.ibm.task import Chunk, Submission
from backends.ibm.waits import Waits
from backends.names import parse_name

KEY = "loopback-key-0123456789-never-shown"
"""API key; no file, message or log may show it."""

FAST = Waits(poll=0.02, backoff=0.02, cap=0.1, jitter=0.2, grace=0.4, request=20)


@dataclass(frozen=True)
class Evaluated:
    """What was planned, what was executed, and what it gave each sample."""

    prepared: Prepared
    result: ExecutionResult
    collected: Collected


def evaluate(
    name: str, program: CircuitProgram, inputs: np.ndarray, weights: np.ndarray, folder: Path, *, key: str = "0" * 16
) -> Evaluated:
    """Bring an evaluation in a folder to its end, from wherever it stands, as a new process does."""
    service = Service()
    prepared = prepare(program, parse_name(name), len(inputs), service=service)
    task = make_task(prepared, inputs, weights, key=key, folder=folder, backend=name)
    ledger = Ledger()
    try:
        result = execute(task, service=service, ledger=ledger)
    finally:
        ledger.close()
    assert isinstance(result, ExecutionResult)
    return Evaluated(prepared, result, collect(Submission.load(folder), result))


@cache
def _compiled(device: str) -> tuple[QuantumCircuit, tuple[SparsePauliOp, ...], np.ndarray]:
    program = random_program(21, 2, gates=4)
    known = stored_device(device)
    placement = place(program.circuit, known)
    circuit = QuantumCircuit(known.num_qubits).compose(placement.circuit, qubits=placement.patch)
    observables = tuple(move_observable(o, placement.physical_qubits, known.num_qubits) for o in program.observables)
    inputs, weights = random_angles(program, 5, 64)
    columns = {p: i for i, p in enumerate(program.circuit.parameters)}
    values = program.bind(inputs, weights)[:, [columns[p] for p in circuit.parameters]]
    return circuit, observables, values


def small_task(
    folder: Path,
    *,
    chunks: int = 3,
    rows: int = 2,
    reference: bool = False,
    key: str = "0123456789abcdef",
    options: HardwareOptions | None = None,
    device: str = "torino",
) -> Submission:
    """``chunks`` jobs of ``rows`` parameter sets each, the reference included; at most 64 rows.

    One more learns noise where the options need it.
    """
    circuit, observables, values = _compiled(device)
    real = chunks - reference
    asked = options or HardwareOptions(shots=64, resilience=0)
    parts = [Chunk(i * rows, (i + 1) * rows, 2.1, 60) for i in range(real)]
    if reference:
        parts.append(Chunk(0, rows, 2.1, 60, reference=True))
    return Submission(
        key=key,
        device=f"ibm_{device}",
        circuit=circuit,
        observables=observables,
        values=values[: real * rows],
        options=asked,
        chunks=(*[Chunk(0, 0, 2.1, 600, learning=True)] * asked.injects_noise, *parts),
        folder=folder,
        run="runs/tiny",
        backend=f"ibm_{device}:shots=64,resilience=0",
    )
