"""What was sent and paid for is decided by the weights and inputs that it was sent with, or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import shapes  # noqa: F401  also a source of these runs
from safetensors.torch import load_file, save_file

from backends.errors import BackendError
from backends.ibm.execution import take_over
from backends.ibm.ledger import Ledger
from hybridq.errors import UserError
from hybridq.evaluation.hardware import finish, load_submission, status_of
from hybridq.evaluation.hardware_plan import HardwarePlan, plan, plan_of
from hybridq.results.selection import ImageChoice
from hybridq.run_folder import open_run

KEPT = Path(__file__).parents[1] / "pinned"
SENT = "ibm_torino:shots=256,resilience=0,copies=1"


@pytest.fixture
def evaluation(tmp_path: Path) -> HardwarePlan:
    """An evaluation whose results came back, in a copy that a test may write into; it is to be decided again."""
    run = Path(shutil.copytree(KEPT / "runs" / "ssl_quantum", tmp_path / "runs" / "ssl_quantum"))
    found = plan(open_run(run), SENT, ImageChoice(limit=6, stratified=True))
    shutil.rmtree(found.folder)
    return found


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(Path(shutil.copy(KEPT / "ledger.sqlite", tmp_path / "ledger.sqlite")))
    yield ledger
    ledger.close()


def test_other_weights_do_not_decide_what_these_were_sent_with(evaluation: HardwarePlan) -> None:
    task = load_submission(evaluation)
    assert plan_of(task).key == evaluation.key
    weights = load_file(evaluation.run.weights)
    weights["circuit.weight"] += 0.1
    save_file(weights, evaluation.run.weights)
    with pytest.raises(UserError, match=r"were changed since ibm_torino:\S+ was submitted; its raw results are in"):
        plan_of(task)


@pytest.mark.parametrize("name", ["task.json", "values.npz", "circuit.qpy"])
def test_a_submission_that_was_damaged_is_one_sentence(evaluation: HardwarePlan, name: str) -> None:
    path = evaluation.task_folder / name
    whole = path.read_bytes()
    for damaged in (b"", b"PK\x03\x04 not what it was", whole[: len(whole) // 2], bytes(len(whole))):
        path.write_bytes(damaged)
        with pytest.raises(BackendError, match=r"the evaluation kept in .* cannot be read"):
            load_submission(evaluation)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not what it was", None])
def test_inputs_that_cannot_be_read_decide_nothing(
    evaluation: HardwarePlan, ledger: Ledger, content: bytes | None
) -> None:
    result = take_over(load_submission(evaluation), service=None, ledger=ledger)
    assert result is not None
    inputs = evaluation.task_folder / "inputs.npz"
    if content is None:
        inputs.unlink()
    else:
        inputs.write_bytes(content)
    with pytest.raises(UserError, match=r"inputs\.npz: cannot be read"):
        finish(evaluation, result)
    assert not evaluation.folder.exists()


def test_what_was_spent_and_is_unsent_adds_up_from_charges_and_estimates(
    evaluation: HardwarePlan, ledger: Ledger
) -> None:
    task = load_submission(evaluation)
    (row,) = ledger.jobs(task.key)
    ledger.charge(str(row.job_id), 3.5)
    found = status_of(task, ledger)
    assert (found.chunks, found.finished, found.pending, found.unsent) == (1, 1, 0, 0)
    assert (found.spent_seconds, found.unsent_seconds) == (3.5, 0.0)
    ledger.update(row.tag, state="failed", charged_seconds=None)
    found = status_of(task, ledger)
    assert (found.chunks, found.finished, found.pending, found.unsent) == (1, 0, 0, 1)
    assert (found.spent_seconds, found.unsent_seconds) == (row.estimated_seconds, task.chunks[0].estimated_seconds)
    ledger.update(row.tag, state="queued")
    assert (status_of(task, ledger).pending, status_of(task, ledger).unsent) == (1, 0)
