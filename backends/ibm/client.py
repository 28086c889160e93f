"""The one module that talks to qiskit-ibm-runtime: account, device, choice of estimator and its options.

The service is created as the client itself is configured (its environment variables, its account store), so a proxy, a
private endpoint or a test server needs nothing of ours. Errors become one sentence, and the API key is in none of them.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from typing import Any

from qiskit.exceptions import QiskitError
from qiskit.providers.exceptions import QiskitBackendNotFoundError
from qiskit_ibm_runtime import QiskitRuntimeService
from qiskit_ibm_runtime.accounts import AccountNotFoundError, InvalidAccountError
from qiskit_ibm_runtime.exceptions import IBMInputValueError, IBMNotAuthorizedError
from qiskit_ibm_runtime.executor_estimator import Estimator
from qiskit_ibm_runtime.options_models import EstimatorOptions
from requests.exceptions import RequestException

from backends.errors import BackendError
from backends.names import TWIRLS

NO_ACCOUNT = (
    "there is no IBM Quantum account on this machine: create a free API key at https://quantum.cloud.ibm.com and set "
    "it in the environment variable QISKIT_IBM_TOKEN, or store it once with QiskitRuntimeService.save_account(token=…)"
)
BAD_KEY = (
    "IBM did not accept the API key: check QISKIT_IBM_TOKEN or the stored account against "
    "https://quantum.cloud.ibm.com, and store a new key with QiskitRuntimeService.save_account(token=…, overwrite=True)"
)


def connect(device: str) -> Any:
    """The client's backend object of a device, from the account the client itself finds.

    Raises :class:`BackendError`: no account, refused key, wrong instance, service not reached, no such device.
    """
    with one_sentence():
        service = QiskitRuntimeService()
        try:
            return service.backend(device)
        except QiskitBackendNotFoundError:
            known = ", ".join(sorted(backend.name for backend in service.backends()))
            raise BackendError(
                f"this IBM account has no device {device}; it has {known or 'none, or its key has expired'}"
            ) from None


def estimator(backend: Any, *, shots: int, resilience: int) -> Estimator:
    """IBM's current estimator for a device in job mode, sending exactly ``shots`` for every circuit and basis."""
    options = EstimatorOptions(default_shots=shots, resilience_level=resilience)
    if resilience > 0:
        options.twirling.num_randomizations = TWIRLS
        options.twirling.shots_per_randomization = shots // TWIRLS
    return Estimator(mode=backend, options=options)


def finalized_options(of: Estimator) -> dict[str, Any]:
    """All options after IBM's defaults, JSON-ready, for the record."""
    return of.finalize_options().model_dump(
        mode="json", exclude={"simulator": True, "resilience": {"layer_noise_model"}}
    )


def charged_seconds(job: Any) -> float | None:
    """Quantum seconds the service charged for a job; None while it has not counted them."""
    with contextlib.suppress(QiskitError, RequestException):
        usage = job.metrics().get("usage", {})
        if usage.get("status", "pending") != "pending":
            return float(usage["qpu_charge_time_seconds"])
    return None


@contextlib.contextmanager
def one_sentence(what: str = "the IBM service") -> Iterator[None]:
    """Turn the client's errors into :class:`BackendError`, without the key and without the client's traceback.

    The client sends the raw API key in a header when IBM's token service fails, after a warning; that warning is an
    error here, raised before anything is sent.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Unable to retrieve IBM Cloud access token")
            yield
    except AccountNotFoundError:
        raise BackendError(NO_ACCOUNT) from None
    except IBMNotAuthorizedError:
        raise BackendError(BAD_KEY) from None
    except InvalidAccountError as error:
        raise BackendError(_account_sentence(error)) from None
    except IBMInputValueError as error:
        raise BackendError(f"{what} refused the request: {_first_sentence(error)}") from None
    except QiskitBackendNotFoundError:
        # The client lists its devices again before it submits, and swallows why that failed.
        raise BackendError(
            f"{what} failed: the account lists no such device now, or its key is not valid now"
        ) from None
    except UserWarning:
        raise BackendError("IBM's token service gave no access token, so nothing was sent; try again later") from None
    except (QiskitError, RequestException) as error:
        raise BackendError(f"{what} failed: {_first_sentence(error)}") from None


def _account_sentence(error: InvalidAccountError) -> str:
    cause = error.__cause__
    if cause is None:
        return "the stored IBM Quantum account is not valid; store it again with QiskitRuntimeService.save_account(…)"
    if getattr(cause, "status_code", None) in {400, 401, 403}:
        return BAD_KEY
    return f"the IBM service could not be reached: {_first_sentence(cause)}"


def _first_sentence(error: BaseException) -> str:
    text = " ".join(str(getattr(error, "message", None) or error).split())
    for key in _keys():
        text = text.replace(key, "…")
    return text[:300].rstrip(".") or type(error).__name__


def _keys() -> list[str]:
    """API keys this machine knows, to be blotted out of messages."""
    keys = [os.environ.get("QISKIT_IBM_TOKEN", "")]
    with contextlib.suppress(Exception):
        keys += [str(account.get("token", "")) for account in QiskitRuntimeService.saved_accounts().values()]
    return [key for key in keys if key]
