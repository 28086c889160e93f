"""What a finished evaluation gave, read from the raw results on disk, one job at a time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backends.contract import FloatArray
from backends.errors import BackendError
from backends.ibm.client import read_result
from backends.ibm.ledger import JobRow
from backends.ibm.task import Task


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
    charged_seconds: float | None
    """Quantum seconds of all these jobs; None while the service has not counted all of them."""
    drift: Drift | None
    surplus: tuple[str, ...]
    """Ids of jobs that came to be twice."""
    options: dict[str, Any]
    """What IBM's estimator settled on, after its defaults."""


def read_results(task: Task, rows: Sequence[JobRow], surplus: Sequence[str]) -> ExecutionResult:
    """The values of all chunks from their jobs, ``rows`` in the order of the chunks.

    Raises :class:`BackendError` naming the file where one cannot be read.
    """
    shape = (len(task.values), len(task.observables))
    evs, stds = np.empty(shape), np.empty(shape)
    drift, options = None, dict[str, Any]()
    for chunk, row in zip(task.chunks, rows, strict=True):
        means, errors, options = _read(task, row)
        where = slice(chunk.start, chunk.stop)
        if chunk.reference:
            drift = Drift(evs[where].copy(), means, stds[where].copy(), errors)
        else:
            evs[where], stds[where] = means, errors
    jobs = tuple(_job_record(task, row) for row in rows)
    charged = [job.charged_seconds for job in jobs if job.charged_seconds is not None]
    return ExecutionResult(
        evs=evs,
        stds=stds,
        jobs=jobs,
        charged_seconds=sum(charged) if len(charged) == len(jobs) else None,
        drift=drift,
        surplus=tuple(surplus),
        options=options,
    )


def _read(task: Task, row: JobRow) -> tuple[FloatArray, FloatArray, dict[str, Any]]:
    path = task.result_path(row.chunk, str(row.job_id))
    chunk = task.chunks[row.chunk]
    expected = (chunk.stop - chunk.start, len(task.observables))
    try:
        means, errors, options = read_result(path.read_text(encoding="utf-8"))
        if means.shape != expected or errors.shape != expected:
            raise ValueError(f"it has values of shape {means.shape}, expected {expected}")
    except (OSError, ValueError) as error:
        raise BackendError(f"the result kept in {path} cannot be read: {error}") from None
    return means, errors, options


def _job_record(task: Task, row: JobRow) -> JobRecord:
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
    )
