"""IBM's client as it is used here: one that has changed refuses before it pays, and a POST is sent once."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hardware import FAST, KEY, small_task
from loopback import Loopback
from qiskit_ibm_runtime import QiskitRuntimeService
from qiskit_ibm_runtime.api.auth import CloudAuth
from qiskit_ibm_runtime.decoders.defaults import DEFAULT_DECODERS

from backends.errors import BackendError
from backends.ibm import tested
from backends.ibm.client import Service
from backends.ibm.execution import execute
from backends.ibm.ledger import Ledger


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    with Loopback("manila", key=KEY, execution="counterfeit") as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


def other_version(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tested, "client_version", "0.52.0")


def one_decoder(patch: pytest.MonkeyPatch) -> None:
    """As in 0.50."""
    patch.setitem(DEFAULT_DECODERS, "executor", DEFAULT_DECODERS["executor"][0])  # type: ignore[arg-type]


def other_values(patch: pytest.MonkeyPatch) -> None:
    known = json.loads(tested.KNOWN.read_text())
    known["evs"][0][0] += 1e-6
    changed = Path("known.json").absolute()
    changed.write_text(json.dumps(known))
    patch.setattr(tested, "KNOWN", changed)


def other_words(patch: pytest.MonkeyPatch) -> None:
    def get_headers(auth: CloudAuth) -> dict[str, str]:
        warnings.warn("No token: the key is used.", stacklevel=2)
        return {"Authorization": f"apikey {auth.api_key}"}

    patch.setattr(CloudAuth, "get_headers", get_headers)


def no_warning(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(QiskitRuntimeService, "_check_instance_usage", lambda _: None)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (other_version, r"0\.52\.0 is not as this program knows it, so nothing is sent: .* tested with 0\.51"),
        (one_decoder, "cannot read a result that it could read"),
        (other_values, "reads other values from a result"),
        (other_words, "would send the API key itself"),
        (no_warning, "does not say in the known words that the quota is used up"),
    ],
)
def test_a_changed_client_is_refused_before_anything_is_asked(
    server: Loopback,
    change: Callable[[pytest.MonkeyPatch], None],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    change(monkeypatch)
    with pytest.raises(BackendError, match=says) as caught:
        Service(FAST)
    assert "install qiskit-ibm-runtime~=0.51.0" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert server.log == []


def test_a_client_that_leaks_the_key_only_later_is_refused_before_the_first_job(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    service = Service(FAST)
    other_words(monkeypatch)
    with pytest.raises(BackendError, match="would send the API key itself"):
        service.submit(
            "ibm_manila",
            small_task(tmp_path, device="manila").pub(0),
            options=small_task(tmp_path, device="manila").options,
            tags=[],
            max_execution_seconds=60,
            batch_id=None,
        )
    assert server.jobs == {}


def test_other_requests_than_a_post_are_repeated_by_the_client_as_before(server: Loopback, tmp_path: Path) -> None:
    """Looking at a job whose connection breaks behind a proxy costs no pass of its own."""
    messages = []
    server.faults.add("GET /jobs/*", "drop_before", count=2)
    execute(
        small_task(tmp_path / "task", device="manila"),
        service=Service(FAST),
        ledger=Ledger(tmp_path / "ledger.sqlite"),
        status=lambda status: messages.append(status.message),
    )
    assert set(messages) == {""}
    assert [job.executed for job in server.jobs.values()] == [1, 1, 1]


@pytest.mark.parametrize(
    ("prices", "charged"),
    [
        ({"circuit_seconds": 0.01}, 2 + 2 * 0.01 + 128 * 250e-6),
        ({"subjob_executions": 50}, 3 * 2 + 128 * 250e-6),
    ],
)
def test_what_the_service_charges_is_what_is_counted(
    server: Loopback, prices: dict[str, float], charged: float, tmp_path: Path
) -> None:
    """With a price for each circuit, and with jobs that are divided into sub-jobs."""
    server.change(**prices)
    ledger = Ledger(tmp_path / "ledger.sqlite")
    execute(small_task(tmp_path / "task", device="manila"), service=Service(FAST), ledger=ledger)
    assert [row.charged_seconds for row in ledger.jobs()] == [pytest.approx(charged)] * 3
