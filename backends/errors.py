"""The one error a user of a backend can cause; imports nothing, so that parsing a name stays instant."""

from __future__ import annotations


class BackendError(ValueError):
    """A mistake of the caller's (unknown name, too many qubits, bad shots); the message is one sentence."""
