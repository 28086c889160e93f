"""The exact engines behind simulated backends: which circuits they reach, and how a backend's values come from them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
import torch
from qiskit_aer.noise import NoiseModel

from backends import Noise, simulated_under
from backends.aer import SimulatedCircuit
from backends.contract import Backend, BackendResult, CircuitProgram, CompiledCircuit, FloatArray
from backends.record import run_record
from hybridq.errors import UserError
from hybridq.quantum.engine import ExactProgram, compile_noisy, compile_program
from hybridq.quantum.engine.noisy import MAX_QUBITS

Compiler: TypeAlias = Callable[[CircuitProgram], ExactProgram]

NOISELESS: Final = ("noiseless", "sampled")
"""Kinds of backends without noise, exact and with shots."""


def exact_compiler(where: Backend | NoiseModel, *, limit_of_shots: bool = False) -> Compiler:
    """How programs are compiled for the exact engine under the noise of a simulated backend, or of an Aer noise model.

    A backend translates and places the circuit first; a noise model acts on the circuit as it is, bound to the names of
    its gates as in Aer. With ``limit_of_shots`` a backend that draws shots is taken too: the values that it scatters
    about.

    Raises:
        UserError: hardware, or a backend that draws shots; on compiling, more than ``MAX_QUBITS`` noisy qubits.
    """
    if not isinstance(where, NoiseModel):
        if not where.simulated:
            raise UserError(f"{where.name} is hardware; the exact engine computes simulated backends")
        if where.shots is not None and not limit_of_shots:
            raise UserError(f"{where.name} draws shots; the exact engine computes exact values: leave shots out")
        if where.kind in NOISELESS:
            return compile_program
    return lambda program: compile_noisy(simulated_circuit(where, program))


def simulated_circuit(where: Backend | NoiseModel, program: CircuitProgram) -> SimulatedCircuit:
    """A program with its physics on a simulated backend, or under an Aer noise model, which acts on it as it is."""
    if isinstance(where, NoiseModel):
        return simulated_under(program, Noise.from_model(where, program.circuit.num_qubits))
    return _simulated(where.compile(program))


def takes_over(where: Backend, num_qubits: int) -> str | None:
    """Why Aer computes a circuit of this size in place of the exact engine; None where it does not."""
    if where.kind in NOISELESS or num_qubits <= MAX_QUBITS:
        return None
    return f"{num_qubits} qubits: above {MAX_QUBITS} Aer computes {where.name} in place of the exact noisy engine"


def run_exactly(
    backend: Backend, compiled: CompiledCircuit, inputs: FloatArray, weights: FloatArray
) -> BackendResult | None:
    """What ``backend.run`` gives, from the exact noisy engine in float64; None where it does not apply.

    It applies to simulated noise without shots on up to ``MAX_QUBITS`` qubits.
    """
    noisy = isinstance(compiled, SimulatedCircuit) and compiled.noise is not None
    if not noisy or backend.shots is not None or compiled.circuit.num_qubits > MAX_QUBITS:
        return None
    started = time.perf_counter()
    exact = compile_noisy(_simulated(compiled))
    with torch.inference_mode():
        values = exact(torch.from_numpy(inputs), torch.from_numpy(weights)).numpy()
    record = run_record(
        backend,
        compiled,
        seed=None,
        samples=len(values),
        cost=backend.cost(compiled, len(values)),
        seconds=time.perf_counter() - started,
        method="exact noisy engine",
    )
    return BackendResult(values, np.zeros_like(values), record)


def _simulated(compiled: CompiledCircuit) -> SimulatedCircuit:
    assert isinstance(compiled, SimulatedCircuit)
    return compiled
