"""Exact, differentiable simulation of parameterized Qiskit circuits."""

from hybridq.quantum.engine.noiseless.program import CompiledProgram, compile_program
from hybridq.quantum.engine.noisy.program import NoisyProgram, compile_noisy
from hybridq.quantum.engine.program import ExactProgram

__all__ = ["CompiledProgram", "ExactProgram", "NoisyProgram", "compile_noisy", "compile_program"]
