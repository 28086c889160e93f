"""Exact, differentiable simulation of parameterized Qiskit circuits."""

from hybridq.quantum.engine.exact import ExactProgram
from hybridq.quantum.engine.noisy import NoisyProgram, compile_noisy
from hybridq.quantum.engine.statevector import CompiledProgram, compile_program

__all__ = ["CompiledProgram", "ExactProgram", "NoisyProgram", "compile_noisy", "compile_program"]
