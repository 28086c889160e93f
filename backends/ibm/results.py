"""What a finished evaluation gave, read from the raw results on disk, one job at a time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from backends.contract import FloatArray
from backends.errors import BackendError
from backends.ibm.layers import LayerNoise
from backends.ibm.ledger import JobRow, State
from backends.ibm.tags import Origin, origin
from backends.ibm.task import Submission
from backends.ibm.tested import read_noise, read_result


@dataclass(frozen=True)
class JobRecord:
    """One job of a finished evaluation."""

    chunk: int
    job_id: str
    batch_id: str | None
    reference: bool
    """Whether it repeats the first chunk."""
    estimated_seconds: float
    charged_seconds: float | None
    timestamps: dict[str, str]
    calibrated: str | None
    """Time of the device's calibration when the job began to run."""
    learning: bool = False
    """Whether it learned the noise that the others are mitigated with."""


@dataclass(frozen=True)
class OtherJob:
    """A job of the evaluation whose result is not used: a second one of its chunk, or one that failed."""

    chunk: int
    job_id: str
    state: State
    """``surplus``, ``failed`` or ``cancelled``."""
    reason: str | None
    charged_seconds: float | None


@dataclass(frozen=True)
class Drift:
    """The first chunk and its repetition at the end, each (R, K)."""

    first: FloatArray
    repeated: FloatArray
    first_errors: FloatArray
    repeated_errors: FloatArray


@dataclass(frozen=True)
class ExecutionResult:
    """``evs`` and ``stds`` have shape (R, K): rows and observables of the task."""

    evs: FloatArray
    stds: FloatArray
    jobs: tuple[JobRecord, ...]
    others: tuple[OtherJob, ...]
    """Jobs that came to be twice, failed or were cancelled; what they are charged is spent too."""
    drift: Drift | None
    options: dict[str, Any]
    """What IBM's estimator settled on, after its defaults."""
    noise: LayerNoise | None = None
    """Noise of layers that the values are mitigated with; None without PEA and PEC, or where its job was not found."""

    @property
    def charged_seconds(self) -> float | None:
        """Quantum seconds of all jobs, the others included; None while the service has not counted all of them."""
        charged = [job.charged_seconds for job in self.jobs] + [job.charged_seconds for job in self.others]
        counted = [seconds for seconds in charged if seconds is not None]
        return sum(counted) if len(counted) == len(charged) else None

    @property
    def surplus(self) -> tuple[str, ...]:
        """Ids of jobs that came to be twice."""
        return tuple(job.job_id for job in self.others if job.state == "surplus")


class UnreadableResultError(BackendError):
    """A result on disk that cannot be read, or is not that of its chunk."""

    def __init__(self, path: Path, chunk: int, reason: str) -> None:
        super().__init__(f"the result kept in {path} cannot be read: {reason}")
        self.chunk, self.reason = chunk, reason


def parse_result(task: Submission, chunk: int, digest: str, raw: str) -> tuple[FloatArray, FloatArray, dict[str, Any]]:
    """Values and standard errors (rows, observables) of a chunk from a raw result, and the options settled on.

    Raises ``ValueError`` where the text is no result, or that of something else than this chunk of the task with this
    digest.
    """
    means, errors, options = read_result(raw)
    rows = task.chunks[chunk].stop - task.chunks[chunk].start
    expected = (rows, len(task.observables))
    if means.shape != expected or errors.shape != expected:
        raise ValueError(f"it has values of shape {means.shape}, expected {expected}")
    came_from = origin_of(task, options)
    if came_from is not None and (came_from.chunk != chunk or not came_from.is_of(digest)):
        raise ValueError("it is the result of another job")
    return means, errors, options


def parse_noise(task: Submission, raw: str, *, learned: str, job_id: str) -> LayerNoise:
    """Noise of the layers of a task from the raw result of a job that learned it and ended at ``learned`` (ISO time).

    Raises ``ValueError`` where the text is no such result, or that of other layers.
    """
    layers = task.layers.known
    noise = LayerNoise(
        task.noise_key, task.device, learned, job_id, layers, tuple(tuple(terms) for terms in read_noise(raw))
    )
    noise.check()
    return noise


def read_learned(task: Submission, row: JobRow) -> LayerNoise:
    """The noise that the first chunk learned; raises :class:`UnreadableResultError` where it cannot be read."""
    path = task.result_path(row.chunk, str(row.job_id))
    try:
        details = json.loads(task.details_path(row.chunk, str(row.job_id)).read_text(encoding="utf-8"))
        ended = datetime.fromisoformat(str(details["timestamps"].get("finished") or row.updated))
        learned = (ended if ended.tzinfo else ended.replace(tzinfo=UTC)).isoformat()
        return parse_noise(task, path.read_text(encoding="utf-8"), learned=learned, job_id=str(row.job_id))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnreadableResultError(path, row.chunk, str(error)) from None


def origin_of(task: Submission, options: dict[str, Any]) -> Origin | None:
    """What the tags in a raw result say of the job it is from; None where it is no job of this evaluation."""
    tags = (options.get("environment") or {}).get("job_tags") or []
    return origin(task.key, map(str, tags))


def read_results(task: Submission, rows: Sequence[JobRow], others: Sequence[JobRow]) -> ExecutionResult:
    """The values of all chunks from their jobs, ``rows`` in the order of the chunks; ``others`` are those not used.

    Raises :class:`UnreadableResultError` where a result cannot be read, and :class:`BackendError` where its details
    cannot.
    """
    shape = (len(task.values), len(task.observables))
    evs, stds = np.empty(shape), np.empty(shape)
    drift, options, noise = None, dict[str, Any](), task.noise
    for row in rows:
        chunk = task.chunks[row.chunk]
        if chunk.learning:
            noise = read_learned(task, row)
            continue
        means, errors, options = _read(task, row)
        where = slice(chunk.start, chunk.stop)
        if chunk.reference:
            drift = Drift(evs[where].copy(), means, stds[where].copy(), errors)
        else:
            evs[where], stds[where] = means, errors
    jobs = tuple(_job_record(task, row) for row in rows)
    return ExecutionResult(
        evs=evs,
        stds=stds,
        jobs=jobs,
        others=tuple(OtherJob(r.chunk, str(r.job_id), r.state, r.reason, r.charged_seconds) for r in others),
        drift=drift,
        options=options,
        noise=noise,
    )


def _read(task: Submission, row: JobRow) -> tuple[FloatArray, FloatArray, dict[str, Any]]:
    path = task.result_path(row.chunk, str(row.job_id))
    try:
        return parse_result(task, row.chunk, row.digest, path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnreadableResultError(path, row.chunk, str(error)) from None


def _job_record(task: Submission, row: JobRow) -> JobRecord:
    path = task.details_path(row.chunk, str(row.job_id))
    try:
        details = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BackendError(f"the details kept in {path} cannot be read: {error}") from None
    return JobRecord(
        chunk=row.chunk,
        job_id=str(row.job_id),
        batch_id=row.batch_id,
        reference=task.chunks[row.chunk].reference,
        estimated_seconds=row.estimated_seconds,
        charged_seconds=row.charged_seconds,
        timestamps=details["timestamps"],
        calibrated=details["calibrated"],
        learning=task.chunks[row.chunk].learning,
    )
