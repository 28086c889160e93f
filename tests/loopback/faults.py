"""Misbehaviour on demand: which requests, when, and what happens to them."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import asdict, dataclass, field, fields
from typing import Any

STATUSES = ("400", "401", "403", "404", "409", "429", "500", "502", "503", "504")
TRANSPORT = ("drop_before", "drop_after", "delay", "delay_after", "truncate", "garbage", "quota")
BODIES = ("error_json", "empty", "half")
PROMISE = "made_but_503"
FATES = ("job_fails", "job_hangs", "job_cancelled", "job_time_limit")
KINDS = (*STATUSES, *TRANSPORT, *BODIES, PROMISE, *FATES)
"""A status answers with it and does nothing else; ``drop_before`` and ``drop_after`` close the connection without an
answer, before or after the request was carried out; ``delay`` and ``delay_after`` wait before or after carrying it out;
``truncate`` sends half of the answer, ``garbage`` an answer that is no JSON; ``quota`` is the refusal of an instance
whose time is used up. ``error_json``, ``empty`` and ``half`` are answers with status 200 that are none: an error as
JSON, nothing, the first half of it sent as if it were all. ``made_but_503`` carries the request out and says that it
did not, which IBM promises not to do. The fates belong to ``POST /jobs``: the job is accepted, and then fails, runs for
ever, is cancelled by somebody else, or reaches its time limit."""

_MESSAGES = {
    "400": (1208, "Request validation of body failed.", "Check the request."),
    "401": (1200, "You are not authorized to perform this action.", "You may need to regenerate your token."),
    "403": (1201, "Invalid credentials.", "Check your credentials and try again."),
    "404": (1291, "The requested resource was not found.", "Check the id and try again."),
    "409": (1229, "The job is in a final state.", "Check the state of the job."),
    "429": (1202, "Too many requests received.", "Lower your request rate and try again."),
    "500": (1000, "API internal error.", "Try again."),
    "502": (1000, "Bad gateway.", "Try again."),
    "503": (1000, "Service unavailable.", "Try again."),
    "504": (1000, "Gateway timeout.", "Try again."),
    "quota": (4317, "This instance has met its usage limit.", "Wait until time is made available."),
}


def error_body(kind: str, message: str | None = None, code: int | None = None) -> dict[str, Any]:
    """An error as the service words it, for a status (``"503"``) or for ``"quota"``."""
    known = _MESSAGES.get(kind, _MESSAGES["400"])
    code = known[0] if code is None else code
    return {
        "errors": [
            {
                "code": code,
                "message": message or known[1],
                "solution": known[2],
                "more_info": f"https://quantum.cloud.ibm.com/docs/errors#{code}",
            }
        ],
        "trace": "loopback",
    }


class RefusedError(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, message: str, code: int, *, kind: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.body = error_body(kind or str(status), message, code)


@dataclass
class Fault:
    """What goes wrong with some requests."""

    where: str
    """Method and path below the API's root: ``POST /jobs``, ``GET /jobs/*/results``, ``POST /identity/token``.

    ``*`` is one segment or any method, ``**`` any rest: ``* /**`` is every request.
    """
    kind: str
    nth: int = 1
    """The first matching request that it meets, counted from when it was added."""
    count: int | None = 1
    """How many from there on; None is all."""
    until: float | None = None
    """Unix time from which it no longer happens."""
    seconds: float = 1.0
    """How long ``delay`` and ``delay_after`` wait."""
    retry_after: int | None = None
    """Seconds in the header ``Retry-After`` of a status."""
    message: str | None = None
    """Text of the error, or the reason why the job failed."""
    code: int | None = None
    """IBM's number of the error."""
    seen: int = 0
    """Requests that matched so far."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"there is no fault {self.kind!r}; there are {', '.join(KINDS)}")
        if self.kind in FATES and self.where != "POST /jobs":
            raise ValueError(f"{self.kind} happens to POST /jobs, not to {self.where}")
        if self.nth < 1:
            raise ValueError(f"nth counts from 1, not {self.nth}")

    def meets(self, method: str, path: str) -> bool:
        """Whether a request is one of those; counts it."""
        wanted, _, pattern = self.where.partition(" ")
        literal = re.escape(pattern).replace(r"\*\*", ".*").replace(r"\*", "[^/]+")
        if wanted not in ("*", method) or not re.fullmatch(literal, path):
            return False
        self.seen += 1
        soon_enough = self.until is None or time.time() < self.until
        return soon_enough and self.seen >= self.nth and (self.count is None or self.seen < self.nth + self.count)


@dataclass
class Faults:
    """The faults in force, oldest first; a request meets one at most."""

    active: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, where: str, kind: str, **options: Any) -> Fault:
        """Put a fault in force, with the options of :class:`Fault`. Raises ``ValueError`` for an unknown kind."""
        unknown = set(options) - {f.name for f in fields(Fault)}
        if unknown:
            raise ValueError(f"a fault has no {', '.join(sorted(unknown))}")
        fault = Fault(where, kind, **options)
        with self._lock:
            self.active.append(fault)
        return fault

    def clear(self) -> None:
        """End all faults."""
        with self._lock:
            self.active.clear()

    def meet(self, method: str, path: str) -> Fault | None:
        """The fault that a request meets, after counting it for all of them."""
        with self._lock:
            met = [fault for fault in self.active if fault.meets(method, path)]
        return met[0] if met else None

    def listing(self) -> list[dict[str, Any]]:
        """The faults as JSON."""
        with self._lock:
            return [asdict(fault) for fault in self.active]
