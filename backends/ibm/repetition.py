"""The repetition delay: how long a device waits between two executions, which is most of what an execution costs.

IBM states a default and a range for each device: 250 µs of 0 to 2,000 on Heron, 4,000 µs of 1,000 to 4,000 on
Nighthawk r1 (their configurations). A shorter wait costs less and leaves more qubits excited that were read as 1.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from backends.errors import BackendError
from backends.names import stored_folder

USUAL_SECONDS = 250e-6
"""Default of IBM's Heron devices, assumed where a device states none."""


@dataclass(frozen=True)
class RepDelay:
    """What a device states; seconds."""

    default: float = USUAL_SECONDS
    low: float | None = None
    """Ends of the range that may be asked for; None where the device takes its default alone."""
    high: float | None = None
    stated: bool = False
    """False: the device states no default, and :data:`USUAL_SECONDS` is assumed."""

    def takes(self, microseconds: float) -> bool:
        """Whether a delay is in the range."""
        if self.low is None or self.high is None:
            return False
        return self.low * 1e6 - 1e-6 <= microseconds <= self.high * 1e6 + 1e-6

    def chosen(self, microseconds: float | None, device: str) -> float:
        """Return the delay in seconds, the default without a wish; raises :class:`BackendError` outside the range."""
        if microseconds is None:
            return self.default
        if self.low is None or self.high is None:
            raise BackendError(
                f"rep_delay = {microseconds:g}: {device} states no range of repetition delays; leave rep_delay out"
            )
        if not self.takes(microseconds):
            raise BackendError(
                f"rep_delay = {microseconds:g} µs: {device} takes {self.low * 1e6:g} to {self.high * 1e6:g} µs "
                f"(default {self.default * 1e6:g})"
            )
        return microseconds * 1e-6

    def alternatives(self) -> tuple[float, ...]:
        """Return up to three delays in seconds, shortest first: a fifth, a half and all of the default, in range."""
        if self.low is None or self.high is None:
            return (self.default,)
        wanted = (self.default / 5, self.default / 2, self.default)
        return tuple(sorted({min(max(seconds, self.low), self.high) for seconds in wanted}))


UNSTATED = RepDelay()
"""Of a device that states nothing."""


@cache
def stored_rep_delay(name: str) -> RepDelay:
    """Return what the stored configuration of a device (``torino``) states; the usual one where it states none.

    Raises :class:`BackendError` when there is no stored device of that name.
    """
    folder = stored_folder(name)
    found = sorted(folder.glob("conf_*.json"))
    content = json.loads(found[0].read_text(encoding="utf-8")) if found else {}
    default, span = content.get("default_rep_delay"), list(content.get("rep_delay_range") or [])
    free = content.get("dynamic_reprate_enabled", False) and len(span) == 2
    return RepDelay(
        default=USUAL_SECONDS if default is None else float(default) * 1e-6,
        low=float(span[0]) * 1e-6 if free else None,
        high=float(span[1]) * 1e-6 if free else None,
        stated=default is not None,
    )


def rep_delay_of(backend: Any) -> RepDelay:
    """Return what a live backend of the IBM client states in its configuration."""
    configuration = backend.configuration()
    default = getattr(configuration, "default_rep_delay", None)
    span = list(getattr(configuration, "rep_delay_range", None) or [])
    free = getattr(configuration, "dynamic_reprate_enabled", False) and len(span) == 2
    return RepDelay(
        default=USUAL_SECONDS if default is None else float(default),
        low=float(span[0]) if free else None,
        high=float(span[1]) if free else None,
        stated=default is not None,
    )
