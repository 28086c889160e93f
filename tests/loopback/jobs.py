"""Jobs and batches, and the database that keeps them across restarts."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

JOB_SECONDS, EXECUTION_SECONDS = 2.0, 250e-6
PENDING = ("Queued", "Running")


def timestamp(seconds: float | None) -> str | None:
    """Unix time as the service writes it."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass
class Job:
    """A job as it was sent, and what became of it."""

    id: str
    number: int
    """Jobs created before it."""
    backend: str
    tags: list[str]
    params: dict[str, Any]
    program: str = "executor"
    session_id: str | None = None
    limit_seconds: float | None = None
    """``max_execution_time``."""
    private: bool = False
    fate: dict[str, Any] | None = None
    """The fault that was put on it."""
    state: str = "Queued"
    reason: str = ""
    reason_code: int | None = None
    circuits: int = 0
    executions: int = 0
    executed: int = 0
    """How often it ran to its end."""
    charged_seconds: float = 0.0
    result: str = ""
    created_at: float = field(default_factory=time.time)
    running_at: float | None = None
    finished_at: float | None = None

    @property
    def created(self) -> str:
        """When it was created, as the service writes it."""
        return str(timestamp(self.created_at))

    def summary(self) -> dict[str, Any]:
        """All but parameters and result, as JSON."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("params", "result")}


@dataclass
class Batch:
    """A batch or a session."""

    id: str
    backend: str
    mode: str
    max_ttl: int | None = None
    accepting_jobs: bool = True
    created_at: float = field(default_factory=time.time)
    closed_at: float | None = None


class Store:
    """The jobs and batches of a service, in memory and, with a folder, in ``loopback.sqlite`` there."""

    def __init__(self, folder: Path | None) -> None:
        self.jobs: dict[str, Job] = {}
        self.batches: dict[str, Batch] = {}
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(folder / "loopback.sqlite", check_same_thread=False, isolation_level=None)
            self._database.execute("PRAGMA journal_mode = WAL")
            for table in ("jobs", "batches"):
                self._database.execute(f"CREATE TABLE IF NOT EXISTS {table} (id TEXT PRIMARY KEY, value TEXT NOT NULL)")
            jobs = [Job(**json.loads(row[0])) for row in self._database.execute("SELECT value FROM jobs")]
            self.jobs = {job.id: job for job in sorted(jobs, key=lambda job: job.number)}
            rows = self._database.execute("SELECT value FROM batches").fetchall()
            self.batches = {batch.id: batch for batch in (Batch(**json.loads(row[0])) for row in rows)}

    def keep(self, thing: Job | Batch) -> None:
        """Write a new or changed job or batch, whole."""
        table = self.jobs if isinstance(thing, Job) else self.batches
        table[thing.id] = thing  # type: ignore[assignment]
        if self._database is not None:
            name = "jobs" if isinstance(thing, Job) else "batches"
            with self._lock:
                self._database.execute(
                    f"INSERT OR REPLACE INTO {name} VALUES (?, ?)", (thing.id, json.dumps(vars(thing)))
                )

    def close(self) -> None:
        """Close the database."""
        if self._database is not None:
            with self._lock:
                self._database.close()
