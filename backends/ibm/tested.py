"""Whether IBM's client is one that this was tested with, checked before it is used to send anything.

Some of what is used here is no public part of the client: how a result is decoded, what it does when IBM's token
service fails, that it warns of a used-up quota. A client that does these in another way would send the API key as it
is, or jobs whose results cannot be read. Each is tried here, offline, and a client that has changed refuses instead of
paying.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from functools import partial, reduce
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from qiskit_ibm_runtime import QiskitRuntimeService
from qiskit_ibm_runtime.api.auth import CloudAuth
from qiskit_ibm_runtime.decoders.defaults import DEFAULT_DECODERS
from qiskit_ibm_runtime.version import __version__ as client_version

from backends.contract import FloatArray
from backends.errors import BackendError
from backends.ibm.failures import refuse_raw_key

TESTED = "0.51"
"""Version this was tested with, in all its patches; pyproject.toml asks for the same."""
KNOWN = Path(__file__).with_name("known_result.json")
"""A result of two parameter sets and two observables with readout mitigation, and what it says; then learned noise."""


def read_result(raw: str) -> tuple[FloatArray, FloatArray, dict[str, Any]]:
    """Values and standard errors (rows, observables) of a job with one PUB, and the options IBM's estimator settled on.

    Raises ``ValueError`` where the text is no such result.
    """
    try:
        decoders = DEFAULT_DECODERS["executor"]
        result: Any = reduce(lambda r, d: d.decode(r) if d.is_applicable(r) else r, decoders, raw)
        data = result[0].data
        evs, stds = np.asarray(data.evs, dtype=np.float64).T, np.asarray(data.stds, dtype=np.float64).T
        options = dict(result.metadata["options"])
    except Exception as error:
        raise ValueError(str(error) or type(error).__name__) from None
    return evs, stds, options


def read_noise(raw: str) -> list[list[tuple[str, list[int], float]]]:
    """Terms of the Pauli noise of each layer (Paulis, qubits, rate) from the result of a job that learned it.

    Raises ``ValueError`` where the text is no such result.
    """
    try:
        decoders = DEFAULT_DECODERS["noise-learner"]
        result: Any = reduce(lambda r, d: d.decode(r) if d.is_applicable(r) else r, decoders, raw)
        return [[(p, list(q), float(r)) for p, q, r in m.to_sparse_list()] for m in result.to_pauli_lindblad_maps()]
    except Exception as error:
        raise ValueError(str(error) or type(error).__name__) from None


def refuse_changed_client() -> None:
    """Raise :class:`BackendError` where the client is of another version or cannot read a known result any more."""
    refuse_raw_key()
    if client_version.split(".")[:2] != TESTED.split("."):
        raise _changed(f"this program was tested with {TESTED}")
    known = json.loads(KNOWN.read_text(encoding="utf-8"))
    try:
        evs, stds, _ = read_result(json.dumps(known["result"]))
        right = np.allclose(evs, known["evs"], atol=1e-9) and np.allclose(stds, known["stds"], atol=1e-9)
    except ValueError as error:
        raise _changed(f"it cannot read a result that it could read: {error}") from None
    if not right:
        raise _changed("it reads other values from a result than it did")
    try:
        if read_noise(json.dumps(known["learned"])) != [[(p, q, r) for p, q, r in terms] for terms in known["noise"]]:
            raise _changed("it reads other noise from a result than it did")
    except ValueError as error:
        raise _changed(f"it cannot read learned noise that it could read: {error}") from None
    refuse_leaking_client(CloudAuth("none", "crn:v1:bluemix:public:quantum-computing:us-east:a/0:0::"))
    for usage in ({"usage_limit_seconds": 1, "usage_remaining_seconds": 0}, {}):
        reached = {"usage_limit_reached": True, **usage}
        instance = SimpleNamespace(usage=lambda told=reached: told, active_instance=lambda: "none")
        if not _stopped(partial(QiskitRuntimeService._check_instance_usage, instance)):
            raise _changed("it does not say in the known words that the quota is used up")


def refuse_leaking_client(auth: Any) -> None:
    """Raise :class:`BackendError` where ``auth`` of a session would send the API key as it is, without a token.

    Tried on a copy with another key and without a token service.
    """
    refuse_raw_key()
    try:
        tried = copy.deepcopy(auth)
        tried.api_key, tried.tm = "none", None
        call = tried.get_headers
    except AttributeError as error:
        raise _changed(f"its login is another one: {error}") from None
    if not _stopped(call):
        raise _changed("it would send the API key itself where IBM's token service fails")


def _stopped(call: Callable[[], Any]) -> bool:
    """Whether one of the warnings that are made errors ends a call."""
    try:
        call()
    except UserWarning:
        return True
    except Exception:
        return False
    return False


def _changed(how: str) -> BackendError:
    return BackendError(
        f"IBM's client qiskit-ibm-runtime {client_version} is not as this program knows it, so nothing is sent: {how}; "
        f"install qiskit-ibm-runtime~={TESTED}.0"
    )
