"""What ``import hybridq as hq`` promises."""

from __future__ import annotations

import pkgutil
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from loopback import Loopback
from sklearn.metrics import accuracy_score, roc_auc_score
from tiny import TINY, quietly

import hybridq as hq
from backends.ibm.task import Submission as Task
from hybridq.evaluation.hardware import place


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> hq.Run:
    """A copy of the trained run that a test may write into."""
    return hq.load(shutil.copytree(tiny_run, tmp_path / "tiny", ignore=shutil.ignore_patterns("checkpoints")))


def test_every_public_name_is_there_and_in_order() -> None:
    assert hq.__all__ == sorted(hq.__all__, key=lambda name: (not name[0].isupper(), name))
    for name in hq.__all__:
        assert getattr(hq, name) is not None
        assert name in dir(hq)
    with pytest.raises(AttributeError, match="no attribute 'tran'"):
        _ = hq.tran


def test_public_things_have_docstrings() -> None:
    for name in set(hq.__all__) - {"__version__"}:
        thing = getattr(hq, name)
        assert thing.__doc__, name
        for inside, member in vars(thing).items() if isinstance(thing, type) else ():
            if callable(member) and not inside.startswith("_") and type(member).__name__ == "function":
                assert member.__doc__, f"{name}.{inside}"


def test_no_module_bears_the_name_of_a_public_function() -> None:
    """Importing it would put the module in the function's place."""
    assert not {module.name for module in pkgutil.iter_modules(hq.__path__)} & set(hq.__all__)


def test_importing_loads_nothing_heavy() -> None:
    program = (
        "import sys, hybridq as hq\n"
        "hq.__all__, dir(hq), hq.__version__, hq.UserError, hq.BackendError, hq.list_backends\n"
        "print(sorted({'torch', 'qiskit', 'qiskit_aer', 'pandas', 'numpy', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_names_that_can_be_chosen_are_listed() -> None:
    assert {"ssl_quantum", "hqcnn", "lean_hybrid", "baseline"} <= set(hq.list_models())
    assert {"mobilenet_v2", "resnet18", "vgg16"} <= set(hq.list_backbones())
    assert {"synthetic", "folder", "dicom", "padsd"} <= set(hq.list_sources())
    assert {"aer", "fake_kingston", "fake_torino"} <= set(hq.list_backends())


def test_a_run_is_trained_from_a_file_and_found_again(tmp_path: Path) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY)
    overrides = {"pretrain.epochs": 0, "train.epochs": 1, "model.backbone": "simple_cnn", "name": "from-python"}
    run = hq.train(file, overrides=overrides, runs=tmp_path / "runs", progress=quietly)
    assert run.folder == tmp_path / "runs" / "from-python"
    assert (run.config.train.epochs, run.config.model.backbone) == (1, "simple_cnn")
    assert len(run.history) == 1
    assert (run.task, len(run.classes)) == ("binary", 2)
    assert run.circuit is not None
    assert run.circuit.num_qubits == 4
    again = hq.load(run.folder)
    assert repr(again).startswith("Run(")
    assert not again.model.training
    with pytest.raises(hq.UserError, match="no such folder"):
        hq.load(tmp_path / "nothing")
    with pytest.raises(hq.UserError, match=r"train\.epochs = 0"):
        hq.load_config(file, {"train.epochs": 0})


def test_evaluations_compare_predict_and_report(run: hq.Run, tmp_path: Path) -> None:
    told: list[str] = []
    found = run.evaluate("fake_manila", progress=lambda what, *_: told.append(what))
    assert told
    assert list(found.table().columns)[:3] == ["value", "low", "high"]
    assert len(found.predictions) == len(found.ids)
    comparison = run.compare(["aer", "fake_manila"])
    assert [b.backend for b in comparison.backends] == ["aer", "fake_manila"]
    assert {e.backend for e in run.evaluations()} == {"aer", "fake_manila"}
    image = tmp_path / "image.png"
    from PIL import Image

    Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32), dtype=np.uint8)).save(image)
    predicted = run.predict(image)
    assert predicted.shape[0] == 1
    assert predicted[list(run.classes)].to_numpy().sum() == pytest.approx(1)
    assert run.report().is_file()
    assert {e.record["split"] for e in run.evaluations()} == {"test", "validation"}


def test_a_finished_evaluation_is_read_and_not_computed_again(run: hq.Run) -> None:
    first = run.evaluate("aer", limit=8, stratified=True)

    def nothing(*_: object) -> None:
        raise AssertionError

    again = hq.load(run.folder).evaluate("aer", limit=8, stratified=True, progress=nothing)
    assert again.folder == first.folder


def test_the_mitigation_study_is_a_table(run: hq.Run) -> None:
    table = run.mitigation_study("fake_manila", limit=8, stratified=True)
    assert {"method", "bias_rms", "sd", "flips", "auc_change"} <= set(table.columns)


def test_hardware_is_never_a_side_effect(run: hq.Run) -> None:
    with pytest.raises(hq.UserError, match=r"run\.plan\('ibm_torino'\) shows what would be sent"):
        run.evaluate("ibm_torino")
    with pytest.raises(hq.UserError, match="hardware"):
        run.compare(["aer", "ibm_torino"])


def test_hardware_is_planned_submitted_once_and_read(
    run: hq.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Loopback("torino", key="api-key", execution="counterfeit") as service:
        waits = {"HYBRIDQ_WAITS": "poll=0.05,backoff=0.05,cap=0.2,grace=0.5,request=30"}
        ledger = {"HYBRIDQ_LEDGER": str(tmp_path / "ledger.sqlite")}
        for name, value in (service.environment | waits | ledger).items():
            monkeypatch.setenv(name, value)
        plan = run.plan("ibm_torino:shots=64", limit=4, stratified=True)
        assert service.jobs == {}
        assert plan.quantum_seconds > 2
        assert "quantum seconds" in plan.describe()
        assert plan.patches
        assert place(plan.evaluation, plan.service, price_per_second=1.5).plan.price_per_second == 1.5
        with pytest.raises(hq.BackendError, match="quantum seconds"):
            plan.submit(max_quantum_seconds=0.5)
        assert service.jobs == {}
        submission = plan.submit(max_quantum_seconds=60)
        found = submission.result()
        assert Task.load(plan.evaluation.task_folder).run == str(run.folder.absolute())
        assert submission.status().unsent == 0
        assert len(service.jobs) == 1
        again = run.plan("ibm_torino:shots=64", limit=4, stratified=True)
        assert "submitted already" in again.describe()
        assert again.submit(max_quantum_seconds=60).result(timeout=1).folder == found.folder
        assert len(service.jobs) == 1
        assert run.evaluate("ibm_torino:shots=64", limit=4, stratified=True).folder == found.folder


def test_a_model_of_ones_own_loop_is_scored(run: hq.Run) -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, 80)
    said = np.clip(0.3 + 0.3 * truth + 0.2 * random.normal(size=80), 0.01, 0.99)
    patients = [f"p{number // 4}" for number in range(80)]
    table = hq.score(truth, said, groups=patients)
    assert table.loc["auc", "value"] == pytest.approx(roc_auc_score(truth, said))
    assert table.loc["accuracy", "value"] == pytest.approx(accuracy_score(truth, said >= 0.5))
    assert (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()
    alone = hq.score(truth, np.stack([1 - said, said], axis=1))
    assert alone.loc["auc", "value"] == table.loc["auc", "value"]
    several = hq.score(np.stack([truth, 1 - truth], axis=1), np.stack([said, 1 - said], axis=1))
    assert several.loc["auc", "value"] == pytest.approx(roc_auc_score(truth, said))


def test_evaluations_from_arrays_are_compared_with_those_of_a_run(run: hq.Run) -> None:
    from hybridq.results.comparison import compare

    ours = run.evaluate("aer")
    theirs = hq.Evaluation.from_arrays(
        "a network trained elsewhere", ours.labels, 0.5 * ours.probabilities + 0.25, ids=ours.ids, groups=ours.groups
    )
    comparison = compare([ours, theirs])
    changes = comparison.backends[1].changes
    assert changes is not None
    assert changes["auc"]["value"] == pytest.approx(0)
    assert theirs.table().loc["auc", "value"] == pytest.approx(ours.table().loc["auc", "value"])
    pd.testing.assert_series_equal(theirs.predictions["label"], ours.predictions["label"])


@pytest.mark.parametrize(
    ("truth", "said", "options", "sentence"),
    [
        ([0, 1], [0.2], {}, "truth has shape"),
        ([0, 1], [0.2, 1.4], {}, "between 0 and 1"),
        ([0, 1], [[0.2, 0.2], [0.5, 0.5]], {}, "must add up to 1"),
        ([0, 2], [0.2, 0.4], {}, "whole numbers from 0 to 1"),
        ([0, 1], [0.2, 0.4], {"groups": ["a"]}, "groups: 1 for 2 images"),
        ([0, 1], [0.2, 0.4], {"classes": ["a"]}, "classes: 1 names for 2 columns"),
        ([0, 1], [0.2, 0.4], {"task": "multi-label"}, "task = 'multi-label'"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_in_one_sentence(
    truth: list, said: list, options: dict, sentence: str
) -> None:
    with pytest.raises(hq.UserError, match=sentence):
        hq.score(truth, said, **options)
