"""The exact engines behind simulated backends: which circuits they reach, and how a backend's values come from them."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

import numpy as np
import torch
from qiskit.providers import BackendV2
from qiskit_aer.noise import NoiseModel

from backends import BackendError, open_backend
from backends.aer import SimulatedCircuit
from backends.contract import Backend, BackendResult, CircuitProgram, CompiledCircuit, FloatArray
from backends.facts import own_shots
from backends.record import run_record
from hybridq.errors import UserError
from hybridq.quantum.engine import ExactProgram, compile_noisy, compile_program
from hybridq.quantum.engine.noisy.program import MAX_QUBITS

Compiler: TypeAlias = Callable[[CircuitProgram], ExactProgram]
AnyBackend: TypeAlias = str | Backend | BackendV2 | NoiseModel
"""A backend, its name, or a Qiskit or Aer object in its place."""

EXACT_KINDS: Final = ("noiseless", "sampled")
"""Kinds of backends without noise, exact and with shots."""


def as_backend(where: AnyBackend, *, seed: int = 0, engine: str = "exact") -> Backend:
    """The backend that a name or an object stands for; see :func:`backends.open_backend`.

    Of a Qiskit ``BackendV2`` the engine ``exact`` takes the noise, and ``aer`` the counts of its own ``run``, as many
    shots as are its default.

    Raises:
        UserError: a ``BackendV2`` whose noise is not known (``exact``), or that is not known to be a simulator.
        BackendError: a name that does not exist, or an object that is no backend.
    """
    if isinstance(where, BackendV2):
        try:
            return open_backend(where, seed=seed, shots=None if engine == "exact" else own_shots(where))
        except BackendError as error:
            raise UserError(str(error)) from None
    return where if isinstance(where, Backend) else open_backend(where, seed=seed)


def exact_compiler(where: AnyBackend, *, ignore_shots: bool = False) -> Compiler:
    """How programs are compiled for the exact engine under the noise of a simulated backend, or of an Aer noise model.

    A backend translates and places the circuit first; a noise model acts on the circuit as
    :func:`backends.aer.simulated_under` says. With ``ignore_shots`` a backend that draws shots is taken too: the
    values that it scatters about.

    Raises:
        UserError: hardware, or a backend that draws shots; on compiling, more than ``MAX_QUBITS`` noisy qubits, and
            counts of a Qiskit backend.
    """
    backend = as_backend(where)
    if not backend.simulated:
        raise UserError(f"{backend.name} is hardware; the exact engine computes simulated backends")
    if backend.shots is not None and not ignore_shots:
        raise UserError(f"{backend.name} draws shots; the exact engine computes exact values: leave shots out")
    if backend.kind in EXACT_KINDS:
        return compile_program
    return partial(_compiled_under, backend)  # a layer keeps it, and is pickled with it


def _compiled_under(backend: Backend, program: CircuitProgram) -> ExactProgram:
    return compile_noisy(simulated_circuit(backend, program))


def simulated_circuit(where: AnyBackend, program: CircuitProgram) -> SimulatedCircuit:
    """A program with its physics on a simulated backend, or under an Aer noise model.

    Raises:
        UserError: the backend has counts of a Qiskit backend's own run, which have no exact values.
    """
    backend = as_backend(where)
    compiled = backend.compile(program)
    if not isinstance(compiled, SimulatedCircuit):
        raise UserError(
            f"{backend.name} runs circuits for their counts; choose engine = 'aer', or open it without shots for its "
            f"noise"
        )
    return compiled


def aer_fallback_reason(where: Backend, num_qubits: int) -> str | None:
    """Why Aer computes a circuit of this size in place of the exact engine; None where it does not."""
    if where.kind in EXACT_KINDS or num_qubits <= MAX_QUBITS:
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
    assert isinstance(compiled, SimulatedCircuit)
    exact = compile_noisy(compiled)
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
