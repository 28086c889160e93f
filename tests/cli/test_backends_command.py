"""``hybridq backends``: what there is, where a circuit would sit, and what images would cost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hardware_cli import Command
from loopback import Loopback


def test_devices_of_the_account_are_listed_with_queue_and_errors(server: Loopback, hybridq: Command) -> None:
    server.others_in_queue = 3
    shown = hybridq("backends", "list")
    assert shown.code == 0
    assert "ibm_torino" in shown.out
    listed = json.loads(hybridq("backends", "list", "--json").out)
    (device,) = listed["devices"]
    assert (device["name"], device["qubits"], device["operational"]) == ("ibm_torino", 133, True)
    assert 0 < device["two_qubit_error"] < device["readout_error"] < 0.1
    assert "fake_torino" in listed["stored_calibrations"]
    assert server.jobs == {}


def test_without_an_account_simulated_backends_are_listed_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hybridq: Command
) -> None:
    for name in ("QISKIT_IBM_TOKEN", "QISKIT_IBM_CHANNEL", "QISKIT_IBM_INSTANCE", "QISKIT_IBM_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    shown = hybridq("backends", "list")
    assert shown.code == 0
    assert "aer:shots=N" in shown.out
    assert "Left out: fake_nighthawk: its error rates are made up" in shown.out
    assert "torino" in shown.out
    assert "save_account" in shown.out


def test_a_device_shows_where_the_circuit_would_sit_and_what_it_would_cost(
    run: Path, server: Loopback, hybridq: Command
) -> None:
    about = ("backends", "show", "ibm_torino:shots=1024,resilience=0,copies=1", "--run", run, "--images", 50)
    shown = hybridq(*about)
    assert shown.code == 0
    for part in ("133 qubits", "jobs in the queue", "50 at 1,024 shots", "estimated", "600 s (10.0 min)"):
        assert part in shown.out
    known = json.loads(hybridq(*about, "--json").out)
    (patch,) = known["patches"]
    assert len(patch["qubits"]) == 4
    assert known["plan"]["executions"] == 50 * 1024
    assert server.jobs == {}
    stored = json.loads(hybridq("backends", "show", "fake_torino", "--json").out)
    assert (stored["qubits"], stored["queue"]) == (133, None)
    assert "is no device" in hybridq.refused("backends", "show", "aer")
