"""Every job ever submitted from this machine: one SQLite database per user, all of its SQL here.

A row is written before its job is submitted (state ``intended``, a tag that no other job has) and follows the job from
then on. A job that is found at the service or on disk without a row is given one (:meth:`Ledger.adopt`). Rows are never
deleted. The database is in WAL mode, so it belongs on a local disk; several processes may use
it at once, but only one at a time works on one evaluation (:meth:`Ledger.lock`).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import platformdirs

from backends.errors import BackendError
from backends.ibm.tags import attempt_tag

VARIABLE = "HYBRIDQ_LEDGER"
VERSION = 3
NOT_WRITABLE = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY)
LOCKED_SECONDS = 60
"""How long another process's write is waited for."""

State = Literal["intended", "submitted", "queued", "running", "done", "failed", "cancelled", "surplus"]
PENDING: tuple[State, ...] = ("submitted", "queued", "running")
"""At the service, and not final."""
ENDED: tuple[State, ...] = ("done", "failed", "cancelled", "surplus")
"""Of no more use to wait for; they may have been charged."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS ledger (id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS evaluations (
    key TEXT PRIMARY KEY, run TEXT NOT NULL, backend TEXT NOT NULL, device TEXT NOT NULL, folder TEXT NOT NULL,
    chunks INTEGER NOT NULL, batch_id TEXT, holder TEXT, created TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS jobs (
    id INTEGER PRIMARY KEY, tag TEXT NOT NULL, key TEXT NOT NULL REFERENCES evaluations(key), digest TEXT NOT NULL,
    run TEXT NOT NULL, backend TEXT NOT NULL, chunk INTEGER NOT NULL, attempt INTEGER NOT NULL, state TEXT NOT NULL,
    job_id TEXT UNIQUE, batch_id TEXT, instance TEXT, estimated_seconds REAL NOT NULL, charged_seconds REAL,
    result TEXT, reason TEXT, created TEXT NOT NULL, updated TEXT NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS one_job_a_tag ON jobs (tag) WHERE state != 'surplus';
CREATE INDEX IF NOT EXISTS jobs_of_a_key ON jobs (key, chunk, attempt);
"""
_MIGRATIONS = {
    1: _SCHEMA,
    # Until then an evaluation was noted when it was submitted, which had been agreed to.
    2: "ALTER TABLE evaluations ADD COLUMN agreed TEXT; UPDATE evaluations SET agreed = created",
    3: """CREATE TABLE dry_runs (
    tag TEXT PRIMARY KEY, key TEXT NOT NULL, run TEXT NOT NULL, backend TEXT NOT NULL, device TEXT NOT NULL,
    instance TEXT NOT NULL, state TEXT NOT NULL, job_id TEXT, estimated_seconds REAL NOT NULL, service_seconds REAL,
    reason TEXT, created TEXT NOT NULL, updated TEXT NOT NULL
)""",
}
"""What makes the database of a version from that of the version before."""


@dataclass(frozen=True)
class EvaluationRow:
    """An evaluation with jobs in the ledger."""

    key: str
    run: str
    backend: str
    device: str
    folder: str
    """Where its task and its raw results are."""
    chunks: int
    batch_id: str | None
    """Batch that may still be open at the service."""
    holder: str | None
    """Process that worked on it last."""
    created: str
    agreed: str | None
    """When it was agreed on this machine that its jobs be sent; None where that was never asked here."""


@dataclass(frozen=True)
class JobRow:
    """One job, or the intent to submit one."""

    tag: str
    key: str
    digest: str
    """SHA-256 of what is sent: circuit, layout, angles, options."""
    run: str
    backend: str
    chunk: int
    attempt: int
    state: State
    job_id: str | None
    batch_id: str | None
    instance: str | None
    """CRN of the IBM instance it was sent to."""
    estimated_seconds: float
    charged_seconds: float | None
    """Quantum seconds; None while the service has not counted them."""
    result: str | None
    """Path of the raw result."""
    reason: str | None
    """Why it failed, in the service's words."""
    created: str
    updated: str
    """ISO times, UTC."""


@dataclass(frozen=True)
class DryRunRow:
    """A job that was posted to a mock device, or the intent to post it; it is in no sum and no budget."""

    tag: str
    key: str
    """Evaluation whose first job was checked."""
    run: str
    backend: str
    device: str
    """The mock device."""
    instance: str
    state: str
    job_id: str | None
    estimated_seconds: float
    service_seconds: float | None
    """Quantum seconds that the service estimates."""
    reason: str | None
    created: str
    updated: str


_COLUMNS = ", ".join(field.name for field in fields(JobRow))
_EVALUATION_COLUMNS = ", ".join(field.name for field in fields(EvaluationRow))
_DRY_RUN_COLUMNS = ", ".join(field.name for field in fields(DryRunRow))


def default_path() -> Path:
    """``HYBRIDQ_LEDGER`` where it is set, else ``ledger.sqlite`` in the user's data directory."""
    set_path = os.environ.get(VARIABLE)
    return Path(set_path) if set_path else Path(platformdirs.user_data_dir("hybridq")) / "ledger.sqlite"


class _Database(sqlite3.Connection):
    """The database of a ledger; that it cannot be written now is one sentence."""

    def __init__(self, path: Path, *arguments: Any, **options: Any) -> None:
        super().__init__(path, *arguments, **options)
        self.path = path

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        try:
            return super().execute(*arguments)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in NOT_WRITABLE:
                raise
            raise BackendError(
                f"the ledger {self.path} ({VARIABLE}) cannot be written: {error}; what it holds is kept, and the same "
                "command continues once there is room"
            ) from None


class Ledger:
    """The ledger at ``path``, made if it is not there; raises :class:`BackendError` where it cannot be opened."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = (path or default_path()).absolute()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, LOCKED_SECONDS, isolation_level=None, factory=_Database)
            self._log_ahead()
            self._db.execute("PRAGMA synchronous = FULL")
            self.id = self._prepare()
        except (OSError, sqlite3.Error) as error:
            raise BackendError(f"the ledger {self.path} cannot be opened: {error}") from None

    def _log_ahead(self) -> None:
        """Switch to WAL, which unlike all else does not wait by itself while another process holds a new database."""
        deadline = time.monotonic() + LOCKED_SECONDS
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def _prepare(self) -> str:
        with self._transaction():
            version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
            if version > VERSION:
                raise BackendError(f"the ledger {self.path} was written by a newer version of this program")
            for newer in range(version + 1, VERSION + 1):
                for statement in filter(None, map(str.strip, _MIGRATIONS[newer].split(";"))):
                    self._db.execute(statement)
            if version < 1:
                self._db.execute("INSERT INTO ledger VALUES (?)", (uuid.uuid4().hex[:8],))
            self._db.execute(f"PRAGMA user_version = {VERSION}")
            return str(self._db.execute("SELECT id FROM ledger").fetchone()[0])

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:  # a full disk ends it
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    @contextlib.contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Work on an evaluation alone; raises :class:`BackendError` while another process does.

        The lock is SQLite's own on a small file, so it is the operating system's, on every platform, and gone with the
        process that held it, however that ended.
        """
        folder = self.path.with_name(f"{self.path.name}.locks")
        folder.mkdir(exist_ok=True)
        lock = sqlite3.connect(folder / key, isolation_level=None, timeout=0)
        try:
            try:
                lock.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise BackendError(f"{folder / key} cannot be used as a lock: {error}") from None
                row = self.evaluation(key)
                holder = f" ({row.holder})" if row is not None and row.holder else ""
                raise BackendError(
                    f"another process{holder} is at work on this evaluation: wait for it or stop it, then run the "
                    f"same command again"
                ) from None
            self._db.execute("UPDATE evaluations SET holder = ? WHERE key = ?", (f"process {os.getpid()}", key))
            yield
        finally:
            lock.close()

    def add_evaluation(
        self, key: str, *, run: str, backend: str, device: str, folder: Path, chunks: int, agreed: bool = False
    ) -> None:
        """Note an evaluation; one that is there keeps its row, with run and folder as they are now.

        With ``agreed`` note too that its jobs may be sent from here.
        """
        self._db.execute(
            f"INSERT INTO evaluations ({_EVALUATION_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, NULL, ?, ?, NULL) "
            "ON CONFLICT (key) DO UPDATE SET run = excluded.run, folder = excluded.folder",
            (key, run, backend, device, str(folder.absolute()), chunks, f"process {os.getpid()}", _now()),
        )
        if agreed:
            self._db.execute("UPDATE evaluations SET agreed = ? WHERE key = ? AND agreed IS NULL", (_now(), key))

    def evaluation(self, key: str) -> EvaluationRow | None:
        """An evaluation, or None."""
        rows = self._db.execute(f"SELECT {_EVALUATION_COLUMNS} FROM evaluations WHERE key = ?", (key,)).fetchall()
        return EvaluationRow(*rows[0]) if rows else None

    def evaluations(self) -> list[EvaluationRow]:
        """All evaluations, oldest first."""
        rows = self._db.execute(f"SELECT {_EVALUATION_COLUMNS} FROM evaluations ORDER BY created, key").fetchall()
        return [EvaluationRow(*row) for row in rows]

    def set_batch(self, key: str, batch_id: str | None) -> None:
        """Note the batch that is open for an evaluation, or that none is."""
        self._db.execute("UPDATE evaluations SET batch_id = ? WHERE key = ?", (batch_id, key))

    def intend(self, key: str, chunk: int, *, digest: str, estimated_seconds: float) -> JobRow:
        """Write down that a chunk is about to be submitted, as its next attempt."""
        with self._transaction():
            evaluation = self.evaluation(key)
            if evaluation is None:
                raise ValueError(f"the ledger has no evaluation {key}")
            (attempt,) = self._db.execute(
                "SELECT COALESCE(MAX(attempt), 0) + 1 FROM jobs WHERE key = ? AND chunk = ?", (key, chunk)
            ).fetchone()
            tag = attempt_tag(key, self.id, chunk, attempt)
            self._insert(
                tag=tag,
                key=key,
                digest=digest,
                run=evaluation.run,
                backend=evaluation.backend,
                chunk=chunk,
                attempt=attempt,
                state="intended",
                estimated_seconds=estimated_seconds,
            )
        return self.job(tag)

    def adopt(self, tag: str, key: str, chunk: int, **values: Any) -> JobRow:
        """Give a row to a job that was found without one, as its chunk's next attempt; ``values`` are its columns.

        ``tag`` is that of its submission.
        """
        with self._transaction():
            evaluation = self.evaluation(key)
            if evaluation is None:
                raise ValueError(f"the ledger has no evaluation {key}")
            (attempt,) = self._db.execute(
                "SELECT COALESCE(MAX(attempt), 0) + 1 FROM jobs WHERE key = ? AND chunk = ?", (key, chunk)
            ).fetchone()
            # An emptied ledger has its id still: an attempt that was its own keeps its number.
            number = int(tag.rpartition("-")[2])
            about = {"run": evaluation.run, "backend": evaluation.backend, "chunk": chunk}
            self._insert(tag=tag, key=key, attempt=max(attempt, number), **about, **values)
        return self.job(tag)

    def add_surplus(self, of: JobRow, job_id: str, reason: str) -> None:
        """Note a second job of the chunk of ``of``, once."""
        self._insert(
            tag=of.tag,
            key=of.key,
            digest=of.digest,
            run=of.run,
            backend=of.backend,
            chunk=of.chunk,
            attempt=of.attempt,
            state="surplus",
            job_id=job_id,
            estimated_seconds=of.estimated_seconds,
            reason=reason,
        )

    def charge(self, job_id: str, seconds: float) -> None:
        """Note what a job was charged, whatever became of it."""
        self._db.execute("UPDATE jobs SET charged_seconds = ? WHERE job_id = ?", (seconds, job_id))

    def _insert(self, **values: Any) -> None:
        values |= {"created": _now(), "updated": _now()}
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        self._db.execute(f"INSERT INTO jobs ({names}) VALUES ({marks})", tuple(values.values()))

    def update(self, tag: str, **values: Any) -> JobRow:
        """Set columns of a job (not of a surplus one); returns the row as it is then."""
        values["updated"] = _now()
        columns = ", ".join(f"{name} = ?" for name in values)
        self._db.execute(f"UPDATE jobs SET {columns} WHERE tag = ? AND state != 'surplus'", (*values.values(), tag))
        return self.job(tag)

    def job(self, tag: str) -> JobRow:
        """The job with a tag."""
        (row,) = self._db.execute(f"SELECT {_COLUMNS} FROM jobs WHERE tag = ? AND state != 'surplus'", (tag,))
        return JobRow(*row)

    def jobs(self, key: str | None = None) -> list[JobRow]:
        """All jobs, or those of one evaluation, oldest first."""
        where, values = ("WHERE key = ?", (key,)) if key is not None else ("", ())
        rows = self._db.execute(f"SELECT {_COLUMNS} FROM jobs {where} ORDER BY id", values).fetchall()
        return [JobRow(*row) for row in rows]

    def charges(self, instance: str) -> tuple[int, float, float]:
        """Jobs of an instance (CRN) that ended with a charge: how many, seconds estimated, seconds charged.

        Those of evaluations with PEC are left out: they are noted with the most that was allowed, which is no estimate.
        """
        (row,) = self._db.execute(
            "SELECT COUNT(*), TOTAL(estimated_seconds), TOTAL(charged_seconds) FROM jobs "
            "WHERE instance = ? AND state = 'done' AND charged_seconds > 0 AND backend NOT LIKE '%pec=on%'",
            (instance,),
        )
        return int(row[0]), float(row[1]), float(row[2])

    def intend_dry_run(self, **values: Any) -> str:
        """Write down that a job is about to be posted to a mock device; returns its tag.

        ``values`` are columns of :class:`DryRunRow`.
        """
        tag = f"hybridq-dry-run-{values['key'][:16]}-{uuid.uuid4().hex[:8]}"
        values |= {"tag": tag, "state": "intended", "created": _now(), "updated": _now()}
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        self._db.execute(f"INSERT INTO dry_runs ({names}) VALUES ({marks})", tuple(values.values()))
        return tag

    def update_dry_run(self, tag: str, **values: Any) -> None:
        """Set columns of a dry run."""
        values["updated"] = _now()
        columns = ", ".join(f"{name} = ?" for name in values)
        self._db.execute(f"UPDATE dry_runs SET {columns} WHERE tag = ?", (*values.values(), tag))

    def dry_runs(self) -> list[DryRunRow]:
        """All dry runs at the service, oldest first."""
        rows = self._db.execute(f"SELECT {_DRY_RUN_COLUMNS} FROM dry_runs ORDER BY created, tag").fetchall()
        return [DryRunRow(*row) for row in rows]

    def latest(self, key: str) -> dict[int, JobRow]:
        """For each chunk of an evaluation its last attempt."""
        return {row.chunk: row for row in self.jobs(key) if row.state != "surplus"}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
