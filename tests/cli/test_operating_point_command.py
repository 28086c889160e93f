"""The operating point from the command line: validation images are evaluated where they are needed, once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hardware_cli import Command


def splits(run: Path) -> list[str]:
    """Of the run's evaluations."""
    return sorted(json.loads(path.read_text())["split"] for path in run.glob("evaluations/*/record.json"))


def test_a_report_evaluates_the_validation_images_once_and_chooses_on_them(run: Path, hybridq: Command) -> None:
    assert hybridq("evaluate", run).code == 0
    assert hybridq("report", run).code == 0
    assert splits(run) == ["test", "validation"]
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "the largest sum of sensitivity and specificity (Youden), chosen on" in page
    assert "Results on the validation split" not in page
    assert hybridq("report", run, "--threshold", "sensitivity=0.9").code == 0
    assert splits(run) == ["test", "validation"]
    assert "sensitivity of 0.9 or more" in (run / "report.html").read_text(encoding="utf-8")


def test_backends_are_compared_at_the_threshold(run: Path, hybridq: Command) -> None:
    answer = hybridq("compare", run, "--backend", "aer", "--backend", "fake_manila", "--threshold", "cost=5:1")
    assert answer.code == 0, answer.error
    assert "called positive (narrowing) from" in answer.out
    found = json.loads((run / "operating_point.json").read_text())
    assert found["rule"] == "cost=5:1"
    assert [point["backend"] for point in found["points"]] == ["aer", "fake_manila"]
    assert {point["threshold"]["value"] for point in found["points"]} == {found["threshold"]["value"]}
    assert found["threshold"]["backend"] == "aer"


def test_without_its_images_a_run_is_reported_without_a_threshold_unless_one_is_asked_for(
    run: Path, hybridq: Command
) -> None:
    assert hybridq("evaluate", run).code == 0
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("synthetic:patients=12,patches=4", "folder:path=gone"))
    answer = hybridq("report", run)
    assert answer.code == 0, answer.error
    assert "no operating point: " in answer.out
    assert "No threshold was chosen" in (run / "report.html").read_text(encoding="utf-8")
    asked = hybridq("report", run, "--threshold", "youden")
    assert asked.code == 2
    assert "gone" in asked.error


@pytest.mark.parametrize("command", [("report",), ("compare", "--backend", "aer", "--backend", "fake_manila")])
def test_an_unknown_rule_is_refused_before_anything_runs(run: Path, hybridq: Command, command: tuple[str, ...]) -> None:
    answer = hybridq(command[0], run, *command[1:], "--threshold", "best")
    assert answer.code == 2
    assert answer.error.startswith("hybridq: --threshold best: allowed are youden, sensitivity=S")
    assert not (run / "evaluations").exists()


def test_the_images_that_chose_do_not_judge(run: Path, hybridq: Command) -> None:
    given = ("--backend", "aer", "--backend", "fake_manila", "--split", "validation", "--threshold", "youden")
    answer = hybridq("compare", run, *given)
    assert answer.code == 2
    assert "compare another --split" in answer.error
