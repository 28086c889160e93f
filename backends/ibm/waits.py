"""How long to wait for IBM's service, and how patiently."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, fields

from backends.errors import BackendError

VARIABLE = "HYBRIDQ_WAITS"


@dataclass(frozen=True)
class Waits:
    """Times in seconds; ``HYBRIDQ_WAITS=poll=5,grace=60`` in the environment changes some of them."""

    poll: float = 30.0
    """Between two looks at the jobs."""
    backoff: float = 5.0
    """After the first failed request; doubled after each further one."""
    cap: float = 300.0
    """Longest pause between two tries during an outage."""
    jitter: float = 0.2
    """Every pause is longer by a random share up to this."""
    grace: float = 120.0
    """How long a job that may have been created is looked for before it is sent again."""
    request: float = 180.0
    """After which an unanswered request is given up; the client itself would wait for ever."""
    transfer: float = 1200.0
    """The same for sending a job and fetching a result; above the client's own limit of 900 for sending."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0 <= getattr(self, field.name) < float("inf"):
                raise BackendError(f"{VARIABLE}: {field.name} = {getattr(self, field.name)}; at least 0 seconds")

    @classmethod
    def from_environment(cls) -> Waits:
        """The defaults, changed as ``HYBRIDQ_WAITS`` says; raises :class:`BackendError` where it cannot be read."""
        given: dict[str, float] = {}
        allowed = [field.name for field in fields(cls)]
        for item in filter(None, (part.strip() for part in os.environ.get(VARIABLE, "").split(","))):
            name, _, value = (part.strip() for part in item.partition("="))
            try:
                given[name] = float(value)
            except ValueError:
                raise BackendError(f"{VARIABLE}: {item!r} is not name=seconds") from None
            if name not in allowed:
                raise BackendError(f"{VARIABLE}: there is no wait {name!r}; there are {', '.join(allowed)}")
        return cls(**given)

    def between_looks(self) -> float:
        """Pause before the next look."""
        return self._jittered(self.poll)

    def after_trouble(self, tries: int, retry_after: float | None) -> float:
        """Pause after ``tries`` failed tries in a row, at least what the service asked for."""
        grown = min(self.cap, self.backoff * 2.0 ** min(tries - 1, 30))
        return max(self._jittered(grown), retry_after or 0.0)

    def _jittered(self, seconds: float) -> float:
        return seconds * (1 + self.jitter * random.random())
