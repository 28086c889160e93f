"""An evaluation as it is sent: circuit, angles, options, chunks, kept in a folder from the first submission on.

Whoever continues it reads it from there: the circuit is not compiled again, the angles are not computed again, and what
is sent later is, bit for bit, what was sent before.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import BadZipFile

import numpy as np
from qiskit import QiskitError, QuantumCircuit, qasm3, qpy
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.quantum_info import SparsePauliOp

from backends.contract import FloatArray
from backends.errors import BackendError
from backends.hardware_options import FIRST_OPTIONS, HardwareOptions
from backends.ibm.layers import LayerNoise, Layers, layers_of, noise_key
from backends.ibm.tags import evaluation_tag
from backends.key_content import key_content

VERSION = 1
NOISE = "layer-noise.json"
"""Noise that was learned before, beside the task."""
UNSENT = frozenset({"intended", "failed", "cancelled"})
"""States of chunks that have no job that could give a result."""
FIRST_OF_A_CHUNK = ("start", "stop", "estimated_seconds", "max_execution_seconds", "reference")
"""Fields that are in every digest of what was sent. Frozen; see :mod:`backends.key_content`."""
_DAMAGED = (EOFError, NotImplementedError, BadZipFile, zlib.error, struct.error, QiskitError)
"""What numpy and Qiskit raise, beside the usual, where a file ends early or holds something else."""


@dataclass(frozen=True)
class Chunk:
    """Rows of the angles that are one job."""

    start: int
    stop: int
    estimated_seconds: float
    max_execution_seconds: int
    reference: bool = False
    """Whether it repeats the first chunk, to show drift."""
    learning: bool = False
    """Whether it learns the noise that the others are mitigated with; it has no rows then."""


@dataclass(frozen=True)
class Submission:
    """What one evaluation sends; :meth:`save` keeps it in ``folder`` and :meth:`load` reads it there."""

    key: str
    """Names the evaluation in the ledger: the same key is the same evaluation, and is never paid twice."""
    device: str
    circuit: QuantumCircuit
    """ISA circuit on all qubits of the device."""
    observables: tuple[SparsePauliOp, ...]
    values: FloatArray
    """Angles (R, P) in the order of ``circuit.parameters``."""
    options: HardwareOptions
    chunks: tuple[Chunk, ...]
    folder: Path
    run: str = ""
    """Training run, for the ledger."""
    backend: str = ""
    """Name of the backend with its options, for the ledger."""
    record: dict[str, Any] = field(default_factory=dict)
    """Layout and all else that the caller wants to keep; JSON-ready."""
    tagged: bool = True
    """Whether all its jobs have a tag of the evaluation alone; not where it was kept before December 2026."""
    noise: LayerNoise | None = None
    """Noise learned before, for another evaluation; where none is given and some is needed, the first chunk learns."""
    noise_max_age_hours: float = 24.0
    """For how long noise that was learned is used."""

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape[1] != len(self.circuit.parameters):
            raise ValueError(f"values have shape {self.values.shape}, expected (R, {len(self.circuit.parameters)})")
        covered = [row for chunk in self.chunks if not chunk.reference for row in range(chunk.start, chunk.stop)]
        if covered != list(range(len(self.values))):
            raise ValueError("the chunks must cover all rows once, in order")
        learning = [number for number, chunk in enumerate(self.chunks) if chunk.learning]
        if learning != [0] * (self.options.injects_noise and self.noise is None):
            raise ValueError("the first chunk, and no other, learns noise where it is needed and not given")

    @cached_property
    def layers(self) -> Layers:
        """Layers of gates whose noise is learned."""
        return layers_of(self.circuit, self.options)

    @property
    def noise_key(self) -> str:
        """What is learned of them is called."""
        return noise_key(self.device, str(self.record.get("host")), self.layers.known, self.options)

    @property
    def learns(self) -> bool:
        """Whether the first chunk learns noise."""
        return any(chunk.learning for chunk in self.chunks)

    def needed(self, states: Mapping[int, str]) -> list[int]:
        """Chunks whose results are needed, by the states of those that have a job.

        Noise is not learned any more where every other chunk has a job.
        """
        chunks = range(len(self.chunks))
        unsent = {chunk for chunk in chunks if states.get(chunk, "intended") in UNSENT}
        return [chunk for chunk in chunks if not (self.learns and chunk == 0 and unsent == {0})]

    def work(self, chunk: int) -> EstimatorPub | Layers:
        """What a chunk sends: a PUB, or layers to be learned."""
        return self.layers if self.chunks[chunk].learning else self.pub(chunk)

    def pub(self, chunk: int) -> EstimatorPub:
        """One PUB for a chunk: observables (K, 1) against parameters (R,), so that commuting ones share circuits."""
        rows = self.values[self.chunks[chunk].start : self.chunks[chunk].stop]
        return EstimatorPub.coerce((self.circuit, [[o] for o in self.observables], rows))

    def digest(self) -> str:
        """SHA-256 of what is sent, as it is kept in the folder: circuit and so layout, angles, options, chunks."""
        digest = hashlib.sha256(json.dumps(self._content(), sort_keys=True).encode())
        digest.update((self.folder / "circuit.qasm").read_bytes())
        digest.update(np.ascontiguousarray(self.values).tobytes())
        return digest.hexdigest()

    def _content(self) -> dict[str, Any]:
        noise = {} if self.noise is None else {"noise": self.noise.digest()}
        return {
            "device": self.device,
            "options": key_content(self.options, FIRST_OPTIONS),
            "chunks": [key_content(chunk, FIRST_OF_A_CHUNK) for chunk in self.chunks],
            "observables": [sparse_terms(o) for o in self.observables],
            "parameters": [p.name for p in self.circuit.parameters],
            **noise,
        }

    def save(self) -> Submission:
        """Keep the task in its folder, or return the one that is kept there already.

        Raises :class:`BackendError` where the folder holds another evaluation.
        """
        if is_kept(self.folder):
            kept = Submission.load(self.folder)
            if kept.key != self.key:
                raise BackendError(f"{self.folder} holds another evaluation ({kept.key}, not {self.key})")
            return kept
        circuit = BytesIO()
        qpy.dump(self.circuit, circuit)
        # Its SHA-256 stands behind the circuit, in the same file: two processes may write it, each another one.
        signed = circuit.getvalue() + hashlib.sha256(circuit.getvalue()).digest()
        write_whole(self.folder / "circuit.qpy", lambda file: file.write(signed))
        write_whole(self.folder / "circuit.qasm", lambda file: file.write(qasm3.dumps(self.circuit).encode()))
        write_whole(self.folder / "values.npz", lambda file: np.savez_compressed(file, values=self.values))
        if self.noise is not None:
            write_json(self.folder / NOISE, self.noise.as_dict())
        injected = {"noise_max_age_hours": self.noise_max_age_hours} if self.options.injects_noise else {}
        about = {
            "version": VERSION,
            "key": self.key,
            "tag": evaluation_tag(self.key),
            "circuit_is_signed": True,
            "backend": self.backend,
            "run": self.run,
            **self._content(),
            **injected,
            "record": self.record,
        }
        write_json(self.folder / "task.json", about)
        return self

    @classmethod
    def load(cls, folder: Path) -> Submission:
        """Read a task from its folder; raises :class:`BackendError` where there is none that can be read."""
        try:
            about = json.loads((folder / "task.json").read_text(encoding="utf-8"))
            written = (folder / "circuit.qpy").read_bytes()
            if "circuit_is_signed" in about and hashlib.sha256(written[:-32]).digest() != written[-32:]:
                # Some damage would load as another circuit, and that would be sent.
                raise ValueError("circuit.qpy is not what was written")
            (circuit,) = qpy.load(BytesIO(written))
            with np.load(folder / "values.npz", allow_pickle=False) as file:
                values = file["values"]
            if about["version"] != VERSION or [p.name for p in circuit.parameters] != about["parameters"]:
                raise ValueError("it was written by another version of this program")
            noise: LayerNoise | None = None
            if "noise" in about:
                noise = LayerNoise.from_dict(json.loads((folder / NOISE).read_text(encoding="utf-8")))
            return cls(
                key=about["key"],
                device=about["device"],
                circuit=circuit,
                observables=tuple(
                    SparsePauliOp.from_sparse_list([tuple(term) for term in terms], circuit.num_qubits)
                    for terms in about["observables"]
                ),
                values=values,
                options=HardwareOptions(**about["options"]),
                chunks=tuple(Chunk(**chunk) for chunk in about["chunks"]),
                folder=folder,
                run=about["run"],
                backend=about["backend"],
                record=about["record"],
                tagged="tag" in about,
                noise=noise,
                noise_max_age_hours=float(about.get("noise_max_age_hours", 24.0)),
            )
        except (OSError, ValueError, KeyError, TypeError, *_DAMAGED) as error:
            raise BackendError(f"the evaluation kept in {folder} cannot be read: {error}") from None

    def result_path(self, chunk: int, job_id: str) -> Path:
        """Where the raw result of a job is."""
        return self.folder / "results" / f"chunk-{chunk:03d}-{job_id}.json"

    def details_path(self, chunk: int, job_id: str) -> Path:
        """Where times, cost and calibration of a job are."""
        return self.folder / "results" / f"chunk-{chunk:03d}-{job_id}.details.json"


def is_kept(folder: Path) -> bool:
    """Whether a folder holds a whole task: ``task.json`` is the last file written."""
    return (folder / "task.json").is_file()


def write_whole(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """A file that is there whole or not at all: written under a temporary name, synced, then renamed.

    Raises ``OSError`` with the file's folder as its ``filename``, which errors of writing lack.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        number = error.errno or errno.ENOSPC
        raise OSError(number, os.strerror(number), str(path.parent)) from None
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Indented JSON, whole or not at all."""
    write_whole(path, lambda file: file.write((json.dumps(content, indent=2, allow_nan=False) + "\n").encode()))


def sparse_terms(observable: SparsePauliOp) -> list[tuple[str, list[int], float]]:
    """Paulis, their qubits and the coefficient of each term, JSON-ready."""
    return [(paulis, list(qubits), float(c.real)) for paulis, qubits, c in observable.to_sparse_list()]
