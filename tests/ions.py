"""A vendor's simulator of trapped ions as a Qiskit backend: gates for all qubits, no errors stated, a strict run."""

from __future__ import annotations

from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import IfElseOp, Measure, Parameter
from qiskit.circuit.library import CHGate, GlobalPhaseGate, RGate, RXXGate, RZGate
from qiskit.providers import BackendV2, Options
from qiskit.transpiler import Target
from qiskit_aer import AerSimulator


class Ions(BackendV2):
    """R, RZ and RXX on all qubits and pairs; at most 5 circuits and 700 shots in one call, 100 shots by default.

    ``calls`` has the number of circuits and of shots of every call. ``gates`` go into the target besides.
    """

    def __init__(self, gates: tuple[Any, ...] = ()) -> None:
        super().__init__(name="ions", backend_version="1.0")
        self.calls: list[tuple[int, int]] = []
        self._target = Target(num_qubits=6)
        angle, phase = Parameter("angle"), Parameter("phase")
        for gate in (CHGate(), RGate(angle, phase), RZGate(angle), RXXGate(angle), Measure(), *gates):
            self._target.add_instruction(gate)
        self._target.add_instruction(GlobalPhaseGate(angle), {(): None})
        self._target.add_instruction(IfElseOp, name="if_else")

    @property
    def target(self) -> Target:
        return self._target

    @property
    def max_circuits(self) -> int:
        return 5

    @classmethod
    def _default_options(cls) -> Options:
        options = Options(shots=100)
        options.set_validator("shots", (1, 700))
        return options

    def run(self, run_input: list[QuantumCircuit], *, shots: int) -> Any:
        if len(run_input) > 5 or shots > 700:
            raise RuntimeError(f"{len(run_input)} circuits of {shots} shots are too many")
        for circuit in run_input:
            if not set(circuit.count_ops()) <= {"r", "rz", "rxx", "ch", "measure", "barrier"}:
                raise RuntimeError(f"unknown gates in {set(circuit.count_ops())}")
        self.calls.append((len(run_input), shots))
        return AerSimulator(max_parallel_threads=1).run(run_input, shots=shots, seed_simulator=len(self.calls))
