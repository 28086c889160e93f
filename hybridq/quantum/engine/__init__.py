"""Exact, differentiable simulation of parameterized Qiskit circuits."""

from hybridq.quantum.engine.statevector import CompiledProgram, compile_program

__all__ = ["CompiledProgram", "compile_program"]
