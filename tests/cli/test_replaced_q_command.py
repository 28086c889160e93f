"""hybridq evaluate and compare with --replace-q."""

from __future__ import annotations

import json
from pathlib import Path

from hardware_cli import Command


def test_replaced_q_is_evaluated_once_and_compared_on_every_backend(run: Path, hybridq: Command) -> None:
    first = hybridq("evaluate", run, "--backend", "fake_manila", "--replace-q", "mean")
    assert first.code == 0
    assert "aer, q at its training mean" in first.out
    answer = hybridq("compare", run, "--backend", "aer", "--backend", "fake_manila", "--replace-q", "mean")
    assert answer.code == 0
    assert "aer, q at its training mean: on disk already" in answer.out + answer.error
    said = " ".join(answer.out.split())
    for backend in ("aer", "fake_manila"):
        assert f"{backend} with q at its training mean: " in said
    assert [r["backend"] for r in json.loads((run / "comparison.json").read_text())["q_replaced"]] == [
        "aer",
        "fake_manila",
    ]


def test_what_cannot_be_replaced_is_refused(run: Path, hybridq: Command) -> None:
    assert "allowed are mean, shuffle" in hybridq.refused("evaluate", run, "--replace-q", "zero")
    refused = hybridq.refused("evaluate", run, "--backend", "ibm_torino", "--replace-q", "mean")
    assert "--replace-q is for simulated backends; ibm_torino is hardware" in refused
    assert not (run / "evaluations").exists()
