"""Gates that a noise model names, and a circuit in these gates.

Aer binds an error to the name of a gate: a model of errors on sx and cz does nothing to a circuit of ry and cx, and
says nothing. Here the gates that an error meets are counted, and a circuit that a model does not meet is translated to
the model's gates, every qubit where it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import Delay, Gate, Measure, Parameter, Reset
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.exceptions import QiskitError
from qiskit.transpiler import Target
from qiskit_aer import AerSimulator

from backends.compile import translate_in_place
from backends.errors import BackendError
from backends.noise import Noise

_NO_GATES = frozenset({"barrier", "delay", "measure", "reset"})
_DIAGONAL = frozenset({"id", "p", "rz", "s", "sdg", "t", "tdg", "u1", "z"})
"""One-qubit gates that many devices do as a change of frame, without an error; others without one would hide noise."""
_AER_GATES = frozenset(AerSimulator().operation_names)

_Place = tuple[str, tuple[int, ...]]


@dataclass(frozen=True)
class Meeting:
    """The gates of a circuit and the errors of a noise model on them."""

    gates: tuple[_Place, ...]
    """Name (or label, which Aer prefers) and qubits of every gate."""
    errors: frozenset[_Place]
    """Name and qubits of every gate with an error."""
    elsewhere: frozenset[str]
    """Gates with errors on qubits outside the circuit alone."""

    @classmethod
    def of(cls, circuit: QuantumCircuit, noise: Noise) -> Meeting:
        """Look up every gate of ``circuit``; delays, resets and measurements are no gates."""
        errors = ((name, qubits) for name, qubits, _ in noise.gate_errors if name not in _NO_GATES)
        return cls(tuple(_gates(circuit)), frozenset(errors), frozenset(noise.elsewhere) - _NO_GATES)

    @cached_property
    def met(self) -> Counter[str]:
        """Number of gates with an error, by name."""
        return Counter(name for name, qubits in self.gates if (name, qubits) in self.errors)

    @cached_property
    def sizes_met(self) -> frozenset[int]:
        """Numbers of qubits for which some gate has an error."""
        return frozenset(len(qubits) for name, qubits in self.gates if (name, qubits) in self.errors)

    @cached_property
    def sizes_missed(self) -> frozenset[int]:
        """Numbers of qubits for which the model has errors and the circuit has gates, and the two never meet."""
        return _sizes(self.errors) & _sizes(self.gates) - self.sizes_met

    def record(self) -> dict[str, Any]:
        """Gates with an error and all gates by name, and a ``note``: ``{"errors_met": {"cz": [12, 16], …}, …}``.

        Without what there is nothing to say about.
        """
        counts = {name: [self.met[name], count] for name, count in self._counts.items()}
        note = self.sentence()
        return {**({"errors_met": counts} if self.errors else {}), **({"note": note} if note else {})}

    def sentence(self) -> str | None:
        """The same in words; None where every gate has an error, or the model has none on gates."""
        if not self.errors and self.elsewhere:
            return f"the noise model has errors on {_listed(self.elsewhere)} of qubits outside the circuit alone"
        if not self.errors or self.met.total() == len(self.gates):
            return None
        parts = ", ".join(f"{name} {self.met[name]} of {count}" for name, count in self._counts.items())
        said = f"the noise model has errors on {self.met.total()} of {len(self.gates)} gates ({parts})"
        named = {name for name, _ in self.errors}
        without = dict.fromkeys(p for p in self.gates if len(p[1]) > 1 and p[0] in named and p not in self.errors)
        if without:
            places = "; ".join(f"{name} of qubits {', '.join(map(str, qubits))}" for name, qubits in without)
            said += f", none on {places}"
        if missed := self.elsewhere & set(self._counts):
            said += f"; its errors on {_listed(missed)} are on qubits outside the circuit alone"
        if not _sizes(self.errors) & _sizes(self.gates):
            said += f"; its own are on {_listed(named)}"
        return said

    @cached_property
    def _counts(self) -> dict[str, int]:
        return dict(sorted(Counter(name for name, _ in self.gates).items()))


@dataclass(frozen=True)
class NamedCircuit:
    """A circuit as it runs under a noise model."""

    circuit: QuantumCircuit
    target: Target | None
    """Gates to which it was translated; None where it is as it was."""
    meeting: Meeting

    def record(self) -> dict[str, Any]:
        """JSON-ready: ``translated_to`` (where it was), ``errors_met``, and a ``note`` in words."""
        names = sorted({name for name, _ in self.meeting.gates})
        translated = None if self.target is None else f"translated to {', '.join(names)}, the gates of the noise model"
        note = "; ".join(filter(None, (translated, self.meeting.sentence())))
        return {
            **({} if self.target is None else {"translated_to": names}),
            **self.meeting.record(),
            **({"note": note} if note else {}),
        }


def in_gates_of(noise: Noise, circuit: QuantumCircuit) -> NamedCircuit:
    """The circuit itself where the errors of ``noise`` meet it, else the circuit translated to the gates that it names.

    They meet it where, of the one-qubit gates and of the two-qubit gates, at least one has an error, if ``noise`` has
    errors on gates of so many qubits. A gate without an error is used in a translation only where those with one do not
    suffice (a change of frame such as rz apart): Aer puts an error-free cx into the basis of every model. Of the two
    directions of a pair the one with an error is taken. Nothing is routed: a gate of two qubits on which ``noise`` has
    no error stays there, without one.

    Raises :class:`BackendError` where no gate meets an error in any translation, naming the gates of both.
    """
    own = Meeting.of(circuit, noise)
    best = NamedCircuit(circuit, None, own)
    if not own.sizes_missed:
        return best
    for target in _targets(circuit, noise, own):
        try:
            translated = translate_in_place(circuit, target)
        except QiskitError:  # these gates do not suffice
            continue
        found = NamedCircuit(translated, target, Meeting.of(translated, noise))
        if found.meeting.sizes_met > best.meeting.sizes_met:
            best = found
        if not found.meeting.sizes_missed:
            break
    if not best.meeting.sizes_met:
        raise BackendError(
            f"{_both(own)}: none of them meet, in a translation to {_listed(noise.basis_gates)} neither; add errors on "
            f"the circuit's gates, or transpile it to the model's"
        )
    return best


def met_by(noise: Noise, circuit: QuantumCircuit) -> Meeting:
    """The gates with an error of a circuit that was translated already.

    Raises :class:`BackendError` where no gate has one, naming the gates of both.
    """
    meeting = Meeting.of(circuit, noise)
    if meeting.sizes_missed and not meeting.sizes_met:
        raise BackendError(f"{_both(meeting)}: none of them meet")
    return meeting


def _gates(circuit: QuantumCircuit) -> Iterator[_Place]:
    for item in circuit.data:
        operation = item.operation
        if operation.name not in _NO_GATES and item.qubits:
            name = getattr(operation, "label", None) or operation.name
            yield name, tuple(circuit.find_bit(qubit).index for qubit in item.qubits)


def _targets(circuit: QuantumCircuit, noise: Noise, own: Meeting) -> Iterator[Target]:
    """Gates to translate to, those first of which the fewest are without an error."""
    noisy: dict[int, set[str]] = {}
    for name, qubits in own.errors:
        noisy.setdefault(len(qubits), set()).add(name)
    standard = get_standard_gate_name_mapping()
    known = {name: standard[name] for name in _AER_GATES & set(standard) if isinstance(standard[name], Gate)}
    plain = {name for name in noise.basis_gates if name in known and known[name].num_qubits == 1}
    mine = {name for name, qubits in own.gates if name in known and len(qubits) == known[name].num_qubits}
    ones = noisy.get(1, set())
    if ones:
        choices = [ones, ones | plain & _DIAGONAL, ones | plain][0 if ones & _DIAGONAL else 1 :]
    else:
        choices = [plain | {name for name in mine if known[name].num_qubits == 1} or {"rz", "sx"}]
    larger = {size: names for size, names in noisy.items() if size > 1}
    if 2 not in larger:
        larger[2] = {name for name in mine if known[name].num_qubits == 2}
    for one_qubit in choices:
        for directed in (True, False):
            target = Target(num_qubits=circuit.num_qubits)
            for operation in (Measure(), Reset(), Delay(Parameter("t"), "s")):
                target.add_instruction(operation, {(q,): None for q in range(circuit.num_qubits)})
            for name in sorted(one_qubit & set(known)):
                target.add_instruction(known[name], {(q,): None for q in range(circuit.num_qubits)})
            for size, names in larger.items():
                places = _places(sorted(names & set(known)), size, circuit.num_qubits, own.errors, directed=directed)
                for name, where in places.items():
                    target.add_instruction(known[name], dict.fromkeys(where))
            yield target


def _places(
    names: list[str], size: int, num_qubits: int, errors: frozenset[_Place], *, directed: bool
) -> dict[str, list[tuple[int, ...]]]:
    """Qubits on which each gate may be used: where there are errors on a set of qubits, only gates that have one."""
    found: dict[str, list[tuple[int, ...]]] = {}
    noisy = {(name, frozenset(qubits)) for name, qubits in errors}
    for where in permutations(range(num_qubits), size):
        here = [name for name in names if (name, frozenset(where)) in noisy]
        for name in here or names:
            if not here or not directed or (name, where) in errors:
                found.setdefault(name, []).append(where)
    return found


def _both(meeting: Meeting) -> str:
    errors, gates = (_listed(name for name, _ in places) for places in (meeting.errors, meeting.gates))
    return f"the noise model has errors on {errors} and the circuit has the gates {gates}"


def _sizes(places: Iterable[_Place]) -> frozenset[int]:
    return frozenset(len(qubits) for _, qubits in places)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(set(names))) or "no gates"
