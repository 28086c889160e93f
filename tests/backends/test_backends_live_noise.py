"""``ibm_<device>@noise`` with the unmodified client: the calibration that the service has at this moment, on Aer."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import pytest
from loopback import Loopback
from programs import random_angles, random_program
from qiskit.quantum_info import SparsePauliOp

from backends import BackendError, open_backend
from backends.contract import BackendResult

KEY = "loopback-key-9876543210-never-shown"
MIXED = (SparsePauliOp(["IIZ"]), SparsePauliOp(["ZIX"]), SparsePauliOp(["IYI", "ZZZ"], [1.0, 0.5]))
PROGRAM = random_program(31, 3, observables=MIXED)
ANGLES = random_angles(PROGRAM, 4, 3)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """A service with the Torino calibration, found through the environment alone."""
    with Loopback("torino", key=KEY) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


def run(name: str) -> BackendResult:
    backend = open_backend(name, seed=7)
    return backend.run(backend.compile(PROGRAM), *ANGLES)


@pytest.mark.parametrize("options", [":scale=2", ":shots=200,seed=3"])
def test_it_gives_what_the_stored_device_gives_when_the_service_has_the_same_calibration(
    service: Loopback, options: str
) -> None:
    live, stored = run(f"ibm_torino@noise{options}"), run(f"fake_torino{options}")
    assert live.record["layout"] == stored.record["layout"]
    np.testing.assert_allclose(live.values, stored.values, atol=1e-12)
    np.testing.assert_allclose(live.standard_errors, stored.standard_errors, atol=1e-12)
    assert not service.jobs


def test_the_record_says_which_device_simulated_when_calibrated_and_when_read(service: Loopback) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    record = run("ibm_torino@noise:scale=2").record
    assert record["backend"] == "ibm_torino@noise:scale=2"
    assert (record["kind"], record["simulated"], record["device"]) == ("simulated device", True, "ibm_torino")
    assert record["calibrated"].startswith("2025-02-26")
    assert before <= datetime.fromisoformat(record["calibration_read"]) <= datetime.now(UTC)
    assert (record["scale"], record["method"], record["shots"]) == (2.0, "density matrix", None)
    assert "calibration_read" not in run("fake_torino").record


def test_the_calibration_is_read_once_by_a_backend_and_anew_by_the_next(service: Loopback) -> None:
    def reads() -> int:
        return sum(path.endswith("/properties") for _, _, path, _ in service.requests)

    backend = open_backend("ibm_torino@noise")
    once = reads()
    first = backend.run(backend.compile(PROGRAM), *ANGLES)
    assert once > 0
    for qubit in service.calibrations["ibm_torino"]["qubits"]:
        for entry in qubit:
            if entry["name"] in {"prob_meas1_prep0", "prob_meas0_prep1"}:
                entry["value"] = min(0.3, 3 * entry["value"] + 0.01)
    again = backend.run(backend.compile(PROGRAM), *ANGLES)
    assert reads() == once
    np.testing.assert_array_equal(again.values, first.values)
    assert np.abs(run("ibm_torino@noise").values - first.values).max() > 0.01
    assert reads() == 2 * once


def test_a_service_without_a_calibration_is_refused(service: Loopback) -> None:
    service.calibrations["ibm_torino"] = {}
    with pytest.raises(BackendError, match="the service has no calibration of ibm_torino at this moment"):
        open_backend("ibm_torino@noise")


def test_a_device_not_in_the_account_and_a_refused_key_end_in_one_sentence_without_the_key(
    service: Loopback, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(BackendError, match="this IBM account has no device ibm_fez; it has ibm_torino"):
        open_backend("ibm_fez@noise")
    monkeypatch.setenv("QISKIT_IBM_TOKEN", "a-wrong-key-that-must-not-show")
    with pytest.raises(BackendError, match="IBM did not accept the API key") as caught:
        open_backend("ibm_torino@noise")
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert "a-wrong-key-that-must-not-show" not in shown
    assert KEY not in shown
    assert "\n" not in str(caught.value)


def test_a_circuit_larger_than_trajectories_take_is_refused(service: Loopback) -> None:
    with pytest.raises(BackendError, match="the circuit has 21 qubits; ibm_torino@noise simulates at most 20"):
        open_backend("ibm_torino@noise").compile(random_program(0, 21))
