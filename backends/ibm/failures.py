"""What the client raises, sorted into what waiting helps and what it does not, each in one sentence without the key."""

from __future__ import annotations

import contextlib
import json
import os
import re
import traceback
import warnings
from collections.abc import Iterator
from typing import Any

from qiskit.exceptions import QiskitError
from qiskit.providers.exceptions import QiskitBackendNotFoundError
from qiskit_ibm_runtime import QiskitRuntimeService
from qiskit_ibm_runtime.accounts import AccountNotFoundError, InvalidAccountError
from qiskit_ibm_runtime.api.exceptions import RequestsApiError
from qiskit_ibm_runtime.exceptions import IBMInputValueError, IBMNotAuthorizedError, RuntimeJobNotFound
from requests.exceptions import ChunkedEncodingError, RequestException
from requests.exceptions import ConnectionError as RequestsConnectionError
from requests.exceptions import Timeout as RequestsTimeout

from backends.errors import BackendError

NO_ACCOUNT = (
    "there is no IBM Quantum account on this machine: create a free API key at https://quantum.cloud.ibm.com and set "
    "it in the environment variable QISKIT_IBM_TOKEN, or store it once with QiskitRuntimeService.save_account(token=…)"
)
BAD_KEY = (
    "IBM did not accept the API key: check QISKIT_IBM_TOKEN or the stored account against "
    "https://quantum.cloud.ibm.com, and store a new key with QiskitRuntimeService.save_account(token=…, overwrite=True)"
)
BAD_ACCOUNT = "the stored IBM Quantum account is not valid; store it again with QiskitRuntimeService.save_account(…)"
NO_QUOTA = (
    "the quantum time of this IBM instance is used up, so nothing more was sent; what is submitted stands, and the "
    "same command goes on when there is time again (https://quantum.cloud.ibm.com/instances)"
)
_RAW_KEY = "Unable to retrieve IBM Cloud access token"
_QUOTA = r"This instance has met its usage limit|There is currently no more time available"
_TOO_MANY_PENDING = "3458"
"""IBM's error code for too many pending jobs: there is room again when one has run."""
_QUOTA_CODE = "4317"


class UnavailableError(BackendError):
    """The service did not answer, or asked to wait: the same request may work later."""

    def __init__(self, message: str, *, retry_after: float | None = None, maybe_done: bool = False) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds the service asked to wait."""
        self.maybe_done = maybe_done
        """Whether the service may have done what was asked, and only its answer was lost."""


class NoTokenError(UnavailableError):
    """IBM's token service gave no access token."""


class RefusedError(BackendError):
    """The service refused, and will refuse again."""


class AccountError(RefusedError):
    """The account is the reason: its key, its instance, its quota."""


class UnauthorizedError(AccountError):
    """The service did not accept the access token; a new login may help."""


class NotFoundError(RefusedError):
    """The service knows nothing of what was asked for."""


CLIENT_ERRORS = (QiskitError, RequestException, json.JSONDecodeError, UserWarning, TimeoutError)
"""All that the client raises, on purpose, for reasons outside this program."""
_READS_ANSWERS = re.compile(
    r"qiskit_ibm_runtime[\\/](api|utils|qiskit_runtime_service|runtime_job_v2|session|batch|ibm_)"
)
"""Parts of the client that take an answer of the service apart."""


def from_the_client(error: Exception) -> bool:
    """Whether the client raised an error for a reason outside this program, on purpose or over an answer it got."""
    if isinstance(error, (*CLIENT_ERRORS, BackendError)):
        return not isinstance(error, BackendError)
    files = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    theirs = [file for file in files if "qiskit_ibm_runtime" in file]
    return bool(theirs) and _READS_ANSWERS.search(theirs[-1]) is not None


def refuse_raw_key() -> None:
    """Make two of the client's warnings errors, in this process, from now on.

    The client sends the raw API key in a header when IBM's token service fails, after a warning: as an error it ends
    the request before anything is sent. A used-up quota is only a warning too, and the job would be sent.
    """
    warnings.filterwarnings("error", message=_RAW_KEY, category=UserWarning)
    warnings.filterwarnings("error", message=_QUOTA, category=UserWarning)


def understood(error: Exception, what: str) -> BackendError:
    """What an error of the client means for ``what`` was being done."""
    if not isinstance(error, CLIENT_ERRORS):
        return UnavailableError(f"{what} failed: the answer was not what IBM's client expects", maybe_done=True)
    status, retry_after = _status(error), _retry_after(error)
    match error:
        case AccountNotFoundError():
            return AccountError(NO_ACCOUNT)
        case UserWarning() if re.match(_QUOTA, str(error)):
            return AccountError(NO_QUOTA)
        case UserWarning() if status in {400, 401, 403}:
            return AccountError(BAD_KEY)
        case UserWarning():
            return NoTokenError(f"{what} failed: IBM's token service gave no access token", retry_after=retry_after)
        case InvalidAccountError() if status in {400, 401, 403}:
            return AccountError(BAD_KEY)
        case InvalidAccountError() if error.__cause__ is None:
            return AccountError(BAD_ACCOUNT)
        case IBMNotAuthorizedError():
            return UnauthorizedError(BAD_KEY)
        case RuntimeJobNotFound():
            return NotFoundError(f"{what} failed: {_reason(error)}")
        case QiskitBackendNotFoundError():
            return RefusedError(f"{what} failed: the account lists no such device now")
        case IBMInputValueError():
            return RefusedError(f"{what} was refused: {_reason(error)}")
        case TimeoutError():
            return UnavailableError(f"{what} failed: no answer", maybe_done=True)
    # The client raises this one for its requests before a job is sent, and another one for the job itself.
    maybe_done = not isinstance(error, RequestsApiError)
    if status == 429 or _code(error) == _TOO_MANY_PENDING:
        return UnavailableError(f"{what} has to wait: {_reason(error)}", retry_after=retry_after)
    if status == 401:
        return UnauthorizedError(BAD_KEY)
    if _code(error) == _QUOTA_CODE:
        return AccountError(NO_QUOTA)
    if status == 404:
        return NotFoundError(f"{what} failed: {_reason(error)}")
    if status is not None and 400 <= status < 500 and status != 408:
        return RefusedError(f"{what} was refused: {_reason(error)}")
    if status is None and not _from_network(error):
        return RefusedError(f"{what} failed: {_reason(error)}")
    return UnavailableError(f"{what} failed: {_reason(error)}", retry_after=retry_after, maybe_done=maybe_done)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what caused it, down to the HTTP answer; the client hides some causes but does not drop them."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _from_network(error: Exception) -> bool:
    return any(
        isinstance(e, (RequestException, RequestsApiError, OSError, json.JSONDecodeError)) for e in _chain(error)
    )


def _response(error: Exception) -> Any:
    for e in _chain(error):
        for name in ("response", "http_response"):
            if getattr(e, name, None) is not None:
                return getattr(e, name)
    return None


def _status(error: Exception) -> int | None:
    response = _response(error)
    if response is not None:
        return int(response.status_code)
    known = (getattr(e, "status_code", None) for e in _chain(error))
    return next((int(status) for status in known if status is not None and status > 0), None)


def _retry_after(error: Exception) -> float | None:
    response = _response(error)
    asked = response.headers.get("Retry-After", "") if response is not None else ""
    return float(asked) if asked.isdigit() else None


def _said(error: Exception) -> dict[str, Any]:
    """The service's own words: message, code."""
    with contextlib.suppress(Exception):
        body = _response(error).json()
        said = body["errors"][0] if "errors" in body else body.get("error", body)
        return said if isinstance(said, dict) else {}
    return {}


def _code(error: Exception) -> str:
    return str(_said(error).get("code", ""))


def _reason(error: Exception) -> str:
    said = _said(error)
    if said.get("message"):
        text = str(said["message"]).rstrip(". ") + (f" (error code {said['code']})" if said.get("code") else "")
    else:
        text = _network_reason(error) or str(getattr(error, "message", None) or error)
    return plain(text) or type(error).__name__


def _network_reason(error: Exception) -> str | None:
    """In plain words what the client says in those of its layers; None for what is no trouble of the network."""
    chain = list(_chain(error))
    if repeated := re.search(r"too many (\d+) error responses", str(chain[0])):
        return f"the service kept answering {repeated[1]}"
    if any(isinstance(cause, json.JSONDecodeError) for cause in chain):
        return "the answer was not from the service"
    if any(isinstance(cause, ChunkedEncodingError) for cause in chain):
        return "the answer broke off"
    if any(isinstance(cause, RequestsTimeout) for cause in chain):
        return "no answer"
    if any(isinstance(cause, RequestsConnectionError) for cause in chain):
        return "no connection"
    return None


def plain(text: str) -> str:
    """Text of the service's, in one line, not too long, without any API key this machine knows."""
    keys = [os.environ.get("QISKIT_IBM_TOKEN", "")]
    with contextlib.suppress(Exception):
        keys += [str(account.get("token", "")) for account in QiskitRuntimeService.saved_accounts().values()]
    for key in filter(None, keys):
        text = text.replace(key, "…")
    return " ".join(text.split())[:300].rstrip(". ")
