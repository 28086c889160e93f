"""Layers of gates whose noise is learned, as IBM's client divides a circuit into them, and what was learned of them."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction
from qiskit.quantum_info import PauliLindbladMap
from qiskit_ibm_runtime.executor_estimator.finalize_options import finalize_estimator_options
from qiskit_ibm_runtime.executor_estimator.utils import estimator_options_to_boxing_options
from qiskit_mitigation import PEA, PEC, find_combined_unique_layers
from samplomatic.annotations import InjectNoise
from samplomatic.utils import get_annotation

from backends.errors import BackendError
from backends.hardware_options import HardwareOptions
from backends.ibm.their_options import estimator_options

Term = tuple[str, list[int], float]
"""Paulis, the qubits they are on (counted within the layer, by ascending device qubit), and a rate."""
DIGITS = 16
"""Of the hash that names what is learned."""


@dataclass(frozen=True)
class Layer:
    """Gates at one time, on device qubits."""

    qubits: tuple[int, ...]
    """Ascending; those that are twirled, whether a gate is on them or not."""
    gates: tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Layers:
    """The different layers of a circuit."""

    known: tuple[Layer, ...]
    """In the order in which they are sent."""
    instructions: tuple[CircuitInstruction, ...]
    """The same for IBM's client."""
    uses: tuple[int, ...]
    """How often the circuit has each of them."""


def layers_of(circuit: QuantumCircuit, options: HardwareOptions) -> Layers:
    """Divide a circuit into layers as the client's estimator will; the order is the same in every process."""
    method = PEC if options.pec else PEA
    theirs = finalize_estimator_options(estimator_options(options, [], 1))
    boxing = estimator_options_to_boxing_options(
        theirs.twirling, bool(theirs.resilience.measure_mitigation), inject_noise=True, add_tags=True
    )
    found = find_combined_unique_layers([circuit], [method()], boxing, box_types="gates")
    pairs = sorted(((_layer(circuit, one), one) for one in found), key=lambda pair: (pair[0].qubits, pair[0].gates))
    boxes = [item for item in method._box_circuit(circuit, boxing) if item.operation.name == "box"]
    used = Counter(_reference(box) for box in boxes)
    return Layers(
        known=tuple(layer for layer, _ in pairs),
        instructions=tuple(one for _, one in pairs),
        uses=tuple(used[_reference(one)] for _, one in pairs),
    )


def _reference(box: CircuitInstruction) -> str | None:
    """What the client calls the layer of a box; None where no noise is injected."""
    annotation = get_annotation(box.operation, InjectNoise)
    return None if annotation is None else str(annotation.ref)


def _layer(circuit: QuantumCircuit, box: CircuitInstruction) -> Layer:
    """Read a box of the client; gates of one qubit, which are merged with the twirls, are no part of the layer."""
    where = dict(zip(box.operation.body.qubits, (circuit.find_bit(qubit).index for qubit in box.qubits), strict=True))
    gates = sorted(
        (item.operation.name, tuple(where[qubit] for qubit in item.qubits))
        for item in box.operation.body
        if len(item.qubits) > 1 and item.operation.name != "barrier"
    )
    return Layer(tuple(sorted(where.values())), tuple(gates))


def noise_key(device: str, host: str, layers: Sequence[Layer], options: HardwareOptions) -> str:
    """Name what is learned: a hash of device, service, layers and how they are learned."""
    content = {
        "device": device,
        "host": host,
        "layers": [asdict(layer) for layer in layers],
        "learning": options.learning,
        "rep_delay_us": options.rep_delay_us,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:DIGITS]


@dataclass(frozen=True)
class LayerNoise:
    """Pauli noise of layers, as it was learned in one job: exp of the sum of rate·(P ρ P − ρ) after each layer."""

    key: str
    """See :func:`noise_key`."""
    device: str
    learned: str
    """ISO time at which the job that learned it ended."""
    job_id: str
    layers: tuple[Layer, ...]
    terms: tuple[tuple[Term, ...], ...]
    """Of each layer."""

    @property
    def age_hours(self) -> float:
        """Since it was learned."""
        return (datetime.now(UTC) - datetime.fromisoformat(self.learned)).total_seconds() / 3600

    def maps(self) -> list[PauliLindbladMap]:
        """Return the noise of each layer as Qiskit has it."""
        return [
            PauliLindbladMap.from_sparse_list(list(terms), num_qubits=len(layer.qubits))
            for layer, terms in zip(self.layers, self.terms, strict=True)
        ]

    def overhead(self, uses: Sequence[int]) -> float:
        """How many times the shots it takes to cancel all of it (γ²), where layers are used so often."""
        rates = (max(rate, 0.0) * times for terms, times in zip(self.terms, uses, strict=True) for *_, rate in terms)
        return math.exp(min(4 * sum(rates), 700.0))

    def digest(self) -> str:
        """SHA-256 of all of it."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> LayerNoise:
        """Read it back; raises ``ValueError``, ``KeyError`` or ``TypeError`` where it is no such noise."""
        layers = tuple(
            Layer(tuple(layer["qubits"]), tuple((gate, tuple(qubits)) for gate, qubits in layer["gates"]))
            for layer in content["layers"]
        )
        terms = tuple(
            tuple((str(paulis), [int(q) for q in qubits], float(rate)) for paulis, qubits, rate in one)
            for one in content["terms"]
        )
        datetime.fromisoformat(content["learned"])
        noise = cls(content["key"], content["device"], content["learned"], content["job_id"], layers, terms)
        noise.check()
        return noise

    def check(self) -> None:
        """Raise ``ValueError`` where terms do not fit the layers or rates are no numbers."""
        if len(self.terms) != len(self.layers):
            raise ValueError(f"it has noise of {len(self.terms)} layers, expected {len(self.layers)}")
        for map_, layer in zip(self.maps(), self.layers, strict=True):
            if map_.num_qubits != len(layer.qubits) or not all(math.isfinite(rate) for rate in map_.rates):
                raise ValueError(f"it has no noise of the layer on qubits {list(layer.qubits)}")


def refuse_stale(noise: LayerNoise, max_age_hours: float) -> None:
    """Raise :class:`BackendError` where noise is older than it may be used."""
    if noise.age_hours > max_age_hours:
        raise BackendError(
            f"the layer noise of this evaluation was learned {noise.age_hours:,.1f} hours ago, above --noise-max-age "
            f"{max_age_hours:g}, so nothing more is sent; allow that age, or evaluate again with --repeat LABEL, which "
            f"learns the noise anew"
        )
