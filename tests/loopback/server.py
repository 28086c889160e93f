"""The service behind the HTTP of :mod:`loopback`."""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import json
import threading
import time
import traceback
import uuid
from collections import Counter
from dataclasses import asdict
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import qiskit_ibm_runtime.fake_provider

from backends.devices import Device, stored_device
from loopback.execution import Execution, run_program
from loopback.faults import Fault, Faults, RefusedError
from loopback.fractional import device_with_rx, with_rx
from loopback.http import CRN, DIRECT, PREFIX, Request, handler_of
from loopback.jobs import EXECUTION_SECONDS, JOB_SECONDS, PENDING, Batch, Job, Store, timestamp
from loopback.learning import learn_noise, learning_size

TIME_LIMIT_CODE = 1305
SETTINGS = frozenset(
    {
        *("key", "queue_seconds", "run_seconds", "usage_seconds", "others_in_queue"),
        *("quota_seconds", "consumed_seconds", "plan", "over_quota", "execution", "seeded_by"),
        *("circuit_seconds", "subjob_executions"),
    }
)
"""Attributes that ``POST /__control__/settings`` may change."""
_SIGNING = b"loopback"


class Loopback:
    """The service with some devices (``torino`` is served as ``ibm_torino``); use as a context manager.

    ``folder`` keeps jobs, batches and charged seconds: a service started on it again goes on with them, and runs what
    was queued or running. ``port`` 0 takes a free one.

    ``execution``: ``calibrated`` is Aer under the stored calibration, ``noiseless`` Aer without errors, ``counterfeit``
    random bits with a bias for each qubit and parameter set, nothing simulated. ``seeded_by``: ``job`` gives every job
    its own randomness (from ``seed`` and its number), ``parameters`` makes a result depend only on what was to be run.
    Counterfeit results always do.

    A device runs one job at a time in the order of arrival: ``Queued`` for at least ``queue_seconds`` behind
    ``others_in_queue`` jobs of other people that go by meanwhile, ``Running`` for at least ``run_seconds``. Usage is
    pending for ``usage_seconds`` after that. With ``quota_seconds`` used up (``consumed_seconds`` before, and what jobs
    are charged) a new job is refused, or with ``over_quota="hold"`` accepted and left in the queue.

    A job is charged :data:`JOB_SECONDS` for each sub-job it is divided into (of ``subjob_executions`` executions at
    most; None is one), ``circuit_seconds`` for each circuit and :data:`EXECUTION_SECONDS` for each execution. ``crn``
    is the instance: two services with instances of their own are two accounts.
    """

    def __init__(
        self,
        *devices: str,
        key: str,
        seed: int = 0,
        token_seconds: int = 3600,
        folder: Path | None = None,
        port: int = 0,
        execution: Execution = "calibrated",
        seeded_by: Literal["job", "parameters"] = "job",
        queue_seconds: float = 0.0,
        others_in_queue: int = 0,
        run_seconds: float = 0.0,
        usage_seconds: float = 0.0,
        plan: Literal["open", "premium"] = "open",
        quota_seconds: float | None = 600.0,
        consumed_seconds: float = 0.0,
        over_quota: Literal["refuse", "hold"] = "refuse",
        circuit_seconds: float = 0.0,
        subjob_executions: int | None = None,
        crn: str = CRN,
    ) -> None:
        self.key, self.seed, self.token_seconds = key, seed, token_seconds
        self.execution, self.seeded_by = execution, seeded_by
        self.queue_seconds, self.others_in_queue = queue_seconds, others_in_queue
        self.run_seconds, self.usage_seconds = run_seconds, usage_seconds
        self.plan, self.quota_seconds, self.over_quota = plan, quota_seconds, over_quota
        self.consumed_seconds = consumed_seconds
        self.circuit_seconds, self.subjob_executions = circuit_seconds, subjob_executions
        self.crn = crn
        self.faults = Faults()
        self.log: list[Request] = []
        self.devices: dict[str, Device] = {f"ibm_{name}": stored_device(name) for name in devices}
        self.mocks = {f"mock_{name}": full for name, full in zip(devices, self.devices, strict=True)}
        self.name = next(iter(self.devices))
        self.device = self.devices[self.name]
        self.configurations: dict[str, dict[str, Any]] = {}
        self.calibrations: dict[str, dict[str, Any]] = {}
        for full, name in zip(self.devices, devices, strict=True):
            stored = Path(qiskit_ibm_runtime.fake_provider.__file__).parent / "backends" / name
            configuration = json.loads((stored / f"conf_{name}.json").read_text())
            self.calibrations[full] = json.loads((stored / f"props_{name}.json").read_text())
            configuration = with_rx(configuration, self.calibrations[full])
            self.configurations[full] = {**configuration, "backend_name": full}
            self.configurations[f"mock_{name}"] = {**configuration, "backend_name": f"mock_{name}"}
            self.calibrations[f"mock_{name}"] = self.calibrations[full]
        self._store = Store(folder)
        self._changed = threading.Condition()
        self._stopped = False
        self._tokens = 0
        for job in self.jobs.values():
            if job.state == "Running" and not _hangs(job):
                job.state, job.running_at = "Queued", None
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler_of(self))
        self._server.daemon_threads = True
        self._workers = [
            threading.Thread(target=self._work, args=(name,), daemon=True) for name in (*self.devices, *self.mocks)
        ]

    # What tests read.

    @property
    def jobs(self) -> dict[str, Job]:
        """All jobs ever created here, by id, oldest first."""
        return self._store.jobs

    @property
    def batches(self) -> dict[str, Batch]:
        """All batches and sessions ever created here."""
        return self._store.batches

    @property
    def requests(self) -> list[tuple[str, str, str, str]]:
        """Method, host, path and Authorization header of every request."""
        return [(r.method, r.host, r.path, r.authorization) for r in self.log]

    @property
    def charged_seconds(self) -> float:
        """Quantum seconds charged for all jobs."""
        return sum(job.charged_seconds for job in list(self.jobs.values()))

    @property
    def consumed(self) -> float:
        """Quantum seconds of the quota that are used up."""
        return self.consumed_seconds + self.charged_seconds

    @property
    def quota_reached(self) -> bool:
        """Whether nothing of the quota is left."""
        return self.quota_seconds is not None and self.consumed >= self.quota_seconds

    @property
    def url(self) -> str:
        """Address of the server, to be used as a proxy."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables of the client and of HTTP that lead here, as through a proxy."""
        return client_environment(self.url, self.key, instance=self.crn)

    def summary(self) -> dict[str, Any]:
        """What happened: requests, jobs, how often the jobs of each tag were created and executed, charged seconds."""
        jobs = list(self.jobs.values())
        created, executed, charged = Counter[str](), Counter[str](), Counter[str]()
        for job in jobs:
            for tag in job.tags:
                created[tag] += 1
                executed[tag] += job.executed
                charged[tag] += job.charged_seconds  # type: ignore[assignment]
        return {
            "requests": [asdict(request) for request in list(self.log)],
            "jobs": [job.summary() for job in jobs],
            "batches": [asdict(batch) for batch in list(self.batches.values())],
            "tags": {t: {"jobs": created[t], "executed": executed[t], "charged_seconds": charged[t]} for t in created},
            "charged_seconds": self.charged_seconds,
        }

    # Life.

    def __enter__(self) -> Loopback:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        for worker in self._workers:
            worker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for worker in self._workers:
            worker.join()
        self._store.close()

    def serve(self) -> None:
        """Answer until the process is ended."""
        with self:
            threading.Event().wait()

    def change(self, **settings: Any) -> None:
        """Change some of :data:`SETTINGS` while it runs. Raises ``ValueError`` for others."""
        if unknown := set(settings) - SETTINGS:
            raise ValueError(f"{', '.join(sorted(unknown))} cannot be changed; {', '.join(sorted(SETTINGS))} can")
        with self._changed:
            for name, value in settings.items():
                setattr(self, name, value)
            self._changed.notify_all()

    # Access tokens.

    def issue_token(self) -> dict[str, Any]:
        """A new access token, as the token service answers."""
        now = int(time.time())
        self._tokens += 1
        claims = {"iat": now, "exp": now + self.token_seconds, "id": f"{self._tokens}-{time.time_ns()}"}
        signed = ".".join(_base64(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
        token = f"{signed}.{_signature(signed)}"
        about = {"refresh_token": "none", "token_type": "Bearer", "expires_in": self.token_seconds}
        return {"access_token": token, **about, "expiration": now + self.token_seconds}

    @staticmethod
    def authorized(header: str) -> bool:
        """Whether an Authorization header carries a token that was issued here and has not expired.

        The client thinks a token good until its last second is over, so it is good for two seconds more here.
        """
        scheme, _, token = header.partition(" ")
        signed, _, signature = token.rpartition(".")
        if scheme != "Bearer" or not hmac.compare_digest(_signature(signed), signature):
            return False
        claims = signed.partition(".")[2]
        return bool(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"] + 2 > time.time())

    # Jobs.

    def submit(self, body: dict[str, Any], fate: Fault | None = None) -> Job:
        """Accept a job and put it in the queue. Raises :class:`RefusedError`."""
        with self._changed:
            if body.get("backend") not in {*self.devices, *self.mocks}:
                raise RefusedError(404, f"Backend {body.get('backend')} not found.", 1216)
            if body.get("program_id") not in {"executor", "noise-learner"}:
                raise RefusedError(404, f"Program {body.get('program_id')} not found.", 1283)
            if self.quota_reached and self.over_quota == "refuse":
                raise RefusedError(403, "This instance has met its usage limit.", 4317, kind="quota")
            batch = body.get("session_id")
            if batch is not None and batch not in self.batches:
                raise RefusedError(404, f"Session {batch} not found.", 1290)
            if batch is not None and not self.batches[batch].accepting_jobs:
                raise RefusedError(400, "The session is closed.", 1217)
            job = Job(
                uuid.uuid4().hex[:20],
                len(self.jobs),
                body["backend"],
                list(body.get("tags", [])),
                body["params"],
                program=body["program_id"],
                session_id=batch,
                limit_seconds=body.get("cost"),
                private=bool(body.get("private")),
                fate=None if fate is None else asdict(fate),
            )
            self._store.keep(job)
            self._changed.notify_all()
        return job

    def cancel(self, job: Job) -> bool:
        """Cancel a job; False when it is in a final state already."""
        with self._changed:
            if job.state not in PENDING:
                return False
            self._finish(job, "Cancelled")
            return True

    def position(self, job: Job) -> int:
        """Jobs ahead of a queued one on its device, other people's included."""
        ahead = sum(
            other.state == "Queued" and other.backend == job.backend and other.number < job.number
            for other in list(self.jobs.values())
        )
        waited = time.time() - job.created_at
        left = max(0.0, 1 - waited / self.queue_seconds) if self.queue_seconds else 0.0
        return ahead + round(self.others_in_queue * left)

    def price(self, circuits: int, executions: int) -> float:
        """Quantum seconds that a job is charged."""
        subjobs = 1 if self.subjob_executions is None else max(1, -(-executions // self.subjob_executions))
        return subjobs * JOB_SECONDS + circuits * self.circuit_seconds + executions * EXECUTION_SECONDS

    def _finish(self, job: Job, state: str, reason: str = "", code: int | None = None, charge: float = 0.0) -> None:
        job.state, job.reason, job.reason_code, job.charged_seconds = state, reason, code, charge
        job.finished_at = time.time()
        self._store.keep(job)
        self._changed.notify_all()

    def _work(self, device: str) -> None:
        while (job := self._next(device)) is not None:
            started = time.monotonic()
            fate = job.fate or {}
            kind = fate.get("kind")
            if kind == "job_hangs":
                continue
            done = copy.copy(job)
            if kind is None:
                self._execute(done, self._seed(job))
            with self._changed:
                self._changed.wait_for(
                    lambda: self._stopped or job.state != "Running",
                    timeout=max(0.0, self.run_seconds - (time.monotonic() - started)),
                )
                if self._stopped:
                    return
                if job.state != "Running":
                    continue
                if kind == "job_fails":
                    self._finish(job, "Failed", fate["message"] or "The device became unavailable.", fate["code"])
                elif kind == "job_cancelled":
                    self._finish(job, "Cancelled", fate["message"] or "")
                elif kind == "job_time_limit" or (
                    done.state == "Completed"
                    and job.limit_seconds is not None
                    and self.price(done.circuits, done.executions) > job.limit_seconds
                ):
                    reason = "The job ran longer than its maximum execution time."
                    self._finish(job, "Cancelled", reason, TIME_LIMIT_CODE, job.limit_seconds or JOB_SECONDS)
                elif done.state == "Completed":
                    job.circuits, job.executions, job.result = done.circuits, done.executions, done.result
                    job.executed += 1
                    charge = 0.0 if job.backend in self.mocks else self.price(job.circuits, job.executions)
                    self._finish(job, "Completed", charge=charge)
                else:
                    job.result = done.result
                    self._finish(job, done.state, done.reason, done.reason_code)

    def _next(self, device: str) -> Job | None:
        """The next job of a device, put to Running; None at the end."""
        with self._changed:
            while not self._stopped:
                held = self.over_quota == "hold" and self.quota_reached
                queued = [j for j in self.jobs.values() if j.backend == device and j.state == "Queued"]
                wait = None
                if queued and not held:
                    wait = queued[0].created_at + self.queue_seconds - time.time()
                    if wait <= 0:
                        queued[0].state, queued[0].running_at = "Running", time.time()
                        self._store.keep(queued[0])
                        return queued[0]
                self._changed.wait(timeout=wait)
        return None

    def _seed(self, job: Job) -> int | None:
        if self.seeded_by == "parameters" or self.execution == "counterfeit":
            return None
        return int.from_bytes(hashlib.sha256(f"{self.seed}/{job.number}".encode()).digest()[:8], "big")

    def _execute(self, job: Job, seed: int | None) -> None:
        try:
            mock = job.backend in self.mocks
            name = self.mocks.get(job.backend, job.backend)
            device = device_with_rx(self.devices[name], self.calibrations[name])
            run = learn_noise if job.program == "noise-learner" else run_program
            done = run(job.params, device, "counterfeit" if mock else self.execution, seed)
            job.circuits, job.executions, job.result = done.circuits, done.executions, done.result
            job.state = "Completed"
        except Exception as error:
            job.state, job.reason, job.result = "Failed", repr(error), traceback.format_exc()

    # Answers, as (status, JSON or text).

    def answer(
        self, method: str, parts: list[str], query: dict[str, list[str]], body: bytes, fate: Fault | None
    ) -> tuple[int, Any]:
        """What the API says. Raises :class:`RefusedError`."""
        match method, parts:
            case "GET", ["backends"]:
                return 200, {"devices": [self._listed(name) for name in (*self.devices, *self.mocks)]}
            case "GET", ["backends", name, what] if name in self.configurations:
                if what == "configuration":
                    return 200, self.configurations[name]
                if what == "properties":
                    return 200, self.calibrations[name]
                if what == "status":
                    return 200, {"state": True, "status": "active", "length_queue": self._queue_length(name)}
            case "GET", ["instances", "usage"]:
                return 200, self._usage()
            case "POST", ["jobs"]:
                job = self.submit(json.loads(body), fate)
                return 200, {"id": job.id, "backend": job.backend}
            case "GET", ["jobs"]:
                return 200, self._jobs(query)
            case _, ["jobs", key, *rest] if key in self.jobs:
                return self._job(method, self.jobs[key], rest, query, body)
            case "POST", ["sessions"]:
                return 200, self._open(json.loads(body))
            case _, ["sessions", key, *rest] if key in self.batches:
                return self._batch(method, self.batches[key], rest, body)
        raise RefusedError(404, f"{method} /{'/'.join(parts)} not found.", 1291)

    def control(self, method: str, what: str, body: bytes) -> tuple[int, Any]:
        """The control of the server itself, for other processes."""
        try:
            match method, what:
                case "GET", "log":
                    return 200, self.summary()
                case "GET", "faults":
                    return 200, self.faults.listing()
                case "DELETE", "faults":
                    self.faults.clear()
                    return 200, []
                case "POST", "faults":
                    self.faults.add(**json.loads(body))
                    return 200, self.faults.listing()
                case "POST", "settings":
                    self.change(**json.loads(body))
                    return 200, {name: getattr(self, name) for name in sorted(SETTINGS)}
        except (TypeError, ValueError) as error:
            return 400, {"error": str(error)}
        return 404, {"error": f"no control {method} {what}"}

    def _listed(self, name: str) -> dict[str, Any]:
        state = {"name": "online", "reason": "available"}
        queue = self._queue_length(name)
        device = self.devices[self.mocks.get(name, name)]
        about = {"class": "mock"} if name in self.mocks else {}
        return {"name": name, "status": state, "qubits": device.num_qubits, "queue_length": queue, **about}

    def _queue_length(self, name: str) -> int:
        return self.others_in_queue + sum(
            job.backend == name and job.state == "Queued" for job in list(self.jobs.values())
        )

    def _usage(self) -> dict[str, Any]:
        about = {"instance_id": self.crn, "plan_id": self.plan, "usage_consumed_seconds": self.consumed}
        if self.quota_seconds is not None:
            about["usage_limit_seconds"] = self.quota_seconds
        return {**about, "usage_limit_reached": self.quota_reached}

    def _jobs(self, query: dict[str, list[str]]) -> dict[str, Any]:
        found = list(self.jobs.values())
        if query.get("include_mocks", [""])[0].lower() != "true":
            found = [job for job in found if job.backend not in self.mocks]
        if "tags" in query:
            found = [job for job in found if set(query["tags"]) <= set(job.tags)]
        if "pending" in query:
            found = [job for job in found if (job.state in PENDING) == (query["pending"] == ["true"])]
        for name in ("backend", "program", "session_id"):
            if name in query:
                found = [job for job in found if getattr(job, name) == query[name][0]]
        if query.get("sort") != ["ASC"]:
            found.reverse()
        offset, limit = int(query.get("offset", ["0"])[0]), int(query.get("limit", ["200"])[0])
        page = [self._about(job) for job in found[offset : offset + limit]]
        return {"jobs": page, "count": len(found), "limit": limit, "offset": offset}

    def _about(self, job: Job) -> dict[str, Any]:
        state: dict[str, Any] = {"status": job.state}
        if job.reason:
            state["reason"] = job.reason
        if job.reason_code is not None:
            state["reason_code"] = job.reason_code
        return {
            "id": job.id,
            "backend": job.backend,
            "program": {"id": job.program},
            "created": job.created,
            "tags": job.tags,
            "state": state,
            "status": job.state,
            "session_id": job.session_id,
            "cost": job.limit_seconds,
            "private": job.private,
            "estimated_running_time_seconds": self.price(*circuits_and_executions(job.params)),
        }

    def _job(self, method: str, job: Job, rest: list[str], query: dict[str, list[str]], body: bytes) -> tuple[int, Any]:
        match method, rest:
            case "GET", []:
                hidden = query.get("exclude_params") == ["true"] or job.private
                return 200, self._about(job) | ({} if hidden else {"params": job.params})
            case "GET", ["results"]:
                if job.state in PENDING:
                    return 204, ""
                return 200, job.result if job.state == "Completed" else job.result or job.reason
            case "GET", ["metrics"]:
                return 200, self._metrics(job)
            case "GET", ["logs"]:
                return (204, "") if job.state in PENDING else (200, f"{job.state}: {job.reason}")
            case "POST", ["cancel"]:
                if not self.cancel(job):
                    raise RefusedError(409, f"Job {job.id} is in a final state.", 1229)
                return 204, ""
            case "PUT", ["tags"]:
                with self._changed:
                    job.tags = list(json.loads(body)["tags"])
                    self._store.keep(job)
                return 204, ""
        raise RefusedError(404, f"{method} /jobs/{job.id}/{'/'.join(rest)} not found.", 1291)

    def _metrics(self, job: Job) -> dict[str, Any]:
        counted = job.finished_at is not None and time.time() >= job.finished_at + self.usage_seconds
        usage = {"status": "complete", "qpu_charge_time_seconds": job.charged_seconds}
        metrics: dict[str, Any] = {
            "timestamps": {
                "created": job.created,
                "running": timestamp(job.running_at),
                "finished": timestamp(job.finished_at),
            },
            "usage": usage if counted else {"status": "pending", "qpu_charge_time_seconds": 0},
        }
        if job.state == "Queued":
            metrics["position_in_queue"] = self.position(job)
        if job.executed:
            metrics |= {"num_circuits": job.circuits, "executions": job.executions}
        return metrics

    def _open(self, body: dict[str, Any]) -> dict[str, Any]:
        mode = body.get("mode", "dedicated")
        if mode == "dedicated" and self.plan == "open":
            raise RefusedError(400, "You are not authorized to run a session when using the open plan.", 1352)
        if body.get("backend") not in self.devices:
            raise RefusedError(404, f"Backend {body.get('backend')} not found.", 1216)
        batch = Batch(str(uuid.uuid4()), body["backend"], mode, body.get("max_ttl"))
        with self._changed:
            self._store.keep(batch)
        return self._details(batch)

    def _batch(self, method: str, batch: Batch, rest: list[str], body: bytes) -> tuple[int, Any]:
        match method, rest:
            case "GET", []:
                return 200, self._details(batch)
            case "PATCH", []:
                self._close(batch, accepting=bool(json.loads(body)["accepting_jobs"]))
                return 204, ""
            case "DELETE", ["close"]:
                self._close(batch, accepting=False)
                for job in [j for j in self.jobs.values() if j.session_id == batch.id and j.state == "Queued"]:
                    self.cancel(job)
                return 204, ""
        raise RefusedError(404, f"{method} /sessions/{batch.id}/{'/'.join(rest)} not found.", 1291)

    def _close(self, batch: Batch, *, accepting: bool) -> None:
        with self._changed:
            batch.accepting_jobs = accepting
            batch.closed_at = None if accepting else batch.closed_at or time.time()
            self._store.keep(batch)

    def _details(self, batch: Batch) -> dict[str, Any]:
        jobs = [job for job in list(self.jobs.values()) if job.session_id == batch.id]
        pending = any(job.state in PENDING for job in jobs)
        if not batch.accepting_jobs and not pending:
            state = "closed"
        else:
            state = "active" if any(job.running_at is not None for job in jobs) else "open"
        return {
            "id": batch.id,
            "backend_name": batch.backend,
            "mode": batch.mode,
            "state": state,
            "accepting_jobs": batch.accepting_jobs,
            "max_ttl": batch.max_ttl,
            "started_at": timestamp(batch.created_at),
            "closed_at": timestamp(batch.closed_at),
            "last_job_started": timestamp(max((j.running_at for j in jobs if j.running_at), default=None)),
            "last_job_completed": timestamp(max((j.finished_at for j in jobs if j.finished_at), default=None)),
            "elapsed_time": sum(job.charged_seconds for job in jobs),
        }


def client_environment(
    url: str, key: str, route: Literal["proxy", "direct"] = "proxy", instance: str = CRN
) -> dict[str, str]:
    """Environment variables with which the unmodified client talks to a server at ``url``.

    ``proxy``: the client believes in ``http://*.ibm.test``, and ``http_proxy`` leads here. ``direct``: it is given this
    address, and does not ask which instances the account has.
    """
    common = {"QISKIT_IBM_TOKEN": key, "QISKIT_IBM_INSTANCE": instance}
    if route == "proxy":
        proxy = {"http_proxy": url, "no_proxy": ""}
        return {**common, "QISKIT_IBM_URL": "http://ibm.test", "IAM_URL": "http://iam.ibm.test", **proxy}
    bypass = {"QISKIT_FUNCTIONS_EXPERIMENTAL": "1", "no_proxy": "127.0.0.1"}
    return {**common, "QISKIT_IBM_URL": url + DIRECT + PREFIX, "IAM_URL": url, **bypass}


def circuits_and_executions(params: dict[str, Any]) -> tuple[int, int]:
    """Circuits and executions of a job, from its parameters alone."""
    if "instructions" in params:
        return learning_size(params)
    program = params.get("quantum_program", {})
    circuits = 0
    for item in program.get("items", []):
        size = 1
        for length in item.get("shape", []):
            size *= length
        circuits += size
    return circuits, circuits * program.get("shots", 0)


def _hangs(job: Job) -> bool:
    return (job.fate or {}).get("kind") == "job_hangs"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _signature(signed: str) -> str:
    return _base64(hmac.new(_SIGNING, signed.encode(), hashlib.sha256).digest())
