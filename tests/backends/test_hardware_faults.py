"""Each fault of the service × {submitting, polling, fetching}: it goes on or ends as promised, and nothing is lost."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hardware import KEY, small_task
from hardware_faults import CASES, WAITS, Case, Phase, run_case
from loopback import LoopbackProcess

from backends.ibm.client import Service
from backends.ibm.execution import Status, execute
from backends.ibm.ledger import Ledger
from backends.ibm.results import ExecutionResult


def _matrix() -> list[object]:
    return [pytest.param(case, phase, id=f"{case.name}, {phase}") for case in CASES for phase in case.phases]


@pytest.mark.slow
@pytest.mark.parametrize(("case", "phase"), _matrix())
def test_every_fault_ends_or_is_waited_out_as_promised_and_loses_nothing(
    case: Case, phase: Phase, tmp_path: Path
) -> None:
    seen = run_case(case, phase, tmp_path)
    assert seen.outcome == case.outcome, seen.said
    assert case.says in seen.said
    assert "\n" not in seen.said
    assert KEY not in seen.said
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert KEY.encode() not in written


@pytest.mark.slow
@pytest.mark.parametrize(("case", "phase"), _matrix())
def test_stopped_in_a_fault_and_without_its_ledger_it_sends_nothing_twice(
    case: Case, phase: Phase, tmp_path: Path
) -> None:
    again = 1 if case.kind.startswith("job_") or case.surplus else 0
    assert run_case(case, phase, tmp_path, ledger_missing=True).jobs in {3, 3 + again}


@pytest.mark.slow
def test_a_service_that_is_gone_for_a_while_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while the first jobs are in its queue, and started again on the same jobs some seconds later."""
    task = small_task(tmp_path / "task", device="manila")
    ledger = Ledger(tmp_path / "ledger.sqlite")
    with LoopbackProcess("manila", key=KEY, folder=tmp_path / "server", execution="counterfeit") as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        server.control("POST", "settings", {"run_seconds": 0.5})
        killed_at: float | None = None
        troubles: list[str] = []

        def watch(status: Status) -> None:
            nonlocal killed_at
            if status.phase == "waiting" and killed_at is None:
                server.kill()
                killed_at = time.monotonic()
            if status.phase == "trouble":
                assert killed_at is not None
                troubles.append(status.message)
                if time.monotonic() - killed_at > 6:
                    server.start()

        result = execute(task, service=Service(WAITS), ledger=ledger, status=watch)
        assert isinstance(result, ExecutionResult)
        assert any("no connection" in said for said in troubles)
        assert [job["executed"] for job in server.log()["jobs"]] == [1, 1, 1]
