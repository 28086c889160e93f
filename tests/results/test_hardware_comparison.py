"""Hardware beside its simulations: the error of ⟨Z⟩ in parts, drift, patches, cost; and what has to be said of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backends.ibm.results import Drift
from hybridq.cli.compare import companions
from hybridq.config import parse_experiment
from hybridq.evaluation.hardware_plan import complete_name
from hybridq.evaluation.hardware_record import drift_record, is_imitation
from hybridq.results.comparison import Comparison, compare_evaluations, hardware_sentences
from hybridq.results.device_error import device_sentences, signed_sqrt
from hybridq.run_folder import create_run

SaveEvaluation = Callable[..., Path]
SHOTS = 1024


def hardware(**more: Any) -> dict[str, Any]:
    """The part of a record that only evaluations sent to a device have."""
    patch = {"qubits": [0, 1], "expected_error": 0.03, "mean": 0.0, "rms": 0.02, "rms_in_errors": 1.0, "suspect": False}
    about = {"service": "quantum.cloud.ibm.com", "device": "ibm_torino", "copies": 2, "patches": [patch, patch]}
    return {"hardware": {**about, "jobs": [{}, {}], "drift": None, **more}}


def sampled(folder: Path, bias: float, seed: int = 0) -> Path:
    """Adds a bias and shot noise to the values of an evaluation, and its standard errors."""
    with np.load(folder / "expectations.npz") as arrays:
        angles, values = arrays["angles"], arrays["values"]
    errors = np.full(values.shape, 1 / np.sqrt(SHOTS))
    noise = np.random.default_rng(seed).normal(0, errors)
    np.savez(folder / "expectations.npz", angles=angles, values=values + bias + noise, standard_errors=errors)
    return folder


@pytest.fixture
def compared(save_evaluation: SaveEvaluation) -> Comparison:
    """Noise of 0.05 by the model, of 0.08 on the device."""
    return compare_evaluations(
        [
            save_evaluation("aer", "noiseless"),
            save_evaluation("fake_torino", "simulated device", shift=0.3),
            save_evaluation("ibm_torino@noise", "simulated device", shift=0.05),
            sampled(save_evaluation("ibm_torino", "hardware", quantum_seconds=8.0, **hardware()), 0.08),
        ]
    )


def test_the_model_of_a_device_has_its_repetition_delay(save_evaluation: SaveEvaluation) -> None:
    with_delay = {"options": {"rep_delay_us": 50.0}, **hardware()}
    compared = compare_evaluations(
        [
            save_evaluation("aer", "noiseless"),
            save_evaluation("ibm_torino@noise", "simulated device", shift=0.05),
            save_evaluation("ibm_torino@noise:rep_delay=50", "simulated device", shift=0.06, rep_delay_us=50.0),
            sampled(save_evaluation("ibm_torino:rep_delay=50", "hardware", quantum_seconds=8.0, **with_delay), 0.08),
        ]
    )
    parts = compared.backends[-1].error_parts
    assert parts is not None
    assert parts.model == "ibm_torino@noise:rep_delay=50"


def test_a_device_is_judged_by_simulations_of_its_own_delay(tmp_path: Path) -> None:
    run = create_run(tmp_path, parse_experiment("{name: t, data: {source: synthetic}}"))
    assert companions(run, "ibm_kingston:shots=320") == [
        "aer",
        "aer:shots=320",
        "fake_kingston",
        "ibm_kingston@noise",
    ]
    assert companions(run, "ibm_kingston:shots=320,rep_delay=50")[2:] == [
        "fake_kingston:rep_delay=50",
        "ibm_kingston@noise:rep_delay=50",
    ]
    assert companions(run, "ibm_miami:shots=320,rep_delay=50")[2:] == ["fake_miami", "ibm_miami@noise:rep_delay=50"]
    assert companions(run, "fake_kingston") == []


def test_the_error_is_split_into_shot_noise_the_model_and_the_rest(compared: Comparison) -> None:
    parts = compared.backends[-1].error_parts
    assert parts is not None
    assert parts.model == "ibm_torino@noise"
    assert parts.shot_noise == pytest.approx(1 / SHOTS)
    assert parts.predicted == pytest.approx(0.05**2)
    assert parts.predicted is not None
    assert parts.rest is not None
    assert parts.total == pytest.approx(parts.shot_noise + parts.predicted + parts.rest)
    assert parts.rest == pytest.approx(0.08**2 - 0.05**2, abs=0.0012)
    assert parts.from_model == pytest.approx(0.03**2, abs=0.0009)
    assert parts.rest_low is not None
    assert parts.rest_high is not None
    assert 0 < parts.rest_low < parts.rest < parts.rest_high


def test_a_device_that_does_what_its_model_says_leaves_no_rest(save_evaluation: SaveEvaluation) -> None:
    folders = [
        save_evaluation("aer", "noiseless"),
        save_evaluation("fake_torino", "simulated device", shift=0.05),
        sampled(save_evaluation("ibm_torino", "hardware", **hardware()), 0.05),
    ]
    parts = compare_evaluations(folders).backends[-1].error_parts
    assert parts is not None
    assert parts.model == "fake_torino"
    assert parts.rest_low is not None
    assert parts.rest_high is not None
    assert parts.rest_low < 0 < parts.rest_high
    assert parts.from_model == pytest.approx(0, abs=4e-4)


def test_without_a_noise_model_of_the_device_it_is_said_how_to_get_one(save_evaluation: SaveEvaluation) -> None:
    folders = [
        save_evaluation("aer", "noiseless"),
        save_evaluation("fake_brisbane", "simulated device", shift=0.05),
        save_evaluation("fake_torino:scale=2", "simulated device", shift=0.05),
        sampled(save_evaluation("ibm_torino", "hardware", **hardware()), 0.05),
    ]
    comparison = compare_evaluations(folders)
    parts = comparison.backends[-1].error_parts
    assert parts is not None
    assert (parts.model, parts.rest) == (None, None)
    assert any("evaluate ibm_torino@noise too" in sentence for sentence in hardware_sentences(comparison))


def test_simulators_have_no_parts_and_no_cost(compared: Comparison) -> None:
    assert [b.error_parts for b in compared.backends[:-1]] == [None, None, None]
    assert [b.quantum_seconds_per_image for b in compared.backends[:-1]] == [None, None, None]
    assert compared.backends[-1].quantum_seconds_per_image == pytest.approx(8.0 / 40)


def test_the_files_hold_parts_cost_and_drift(compared: Comparison) -> None:
    table = compared.frame().set_index(["backend", "quantity"])["value"]
    assert table["ibm_torino", "quantum_seconds_per_image"] == pytest.approx(0.2)
    assert table["ibm_torino", "z_squared_error_predicted"] == pytest.approx(0.05**2)
    content = compared.as_dict()["backends"][-1]
    assert content["error_parts"]["model"] == "ibm_torino@noise"
    assert len(content["patches"]) == 2


def test_suspect_patches_drift_and_imitations_are_named(save_evaluation: SaveEvaluation) -> None:
    patches = hardware()["hardware"]["patches"]
    drift = {"values": 100.0, "mean": 0.1, "rms": 0.1, "shot_noise": 0.03, "in_errors": 3.3}
    bad = hardware(patches=[patches[0], {**patches[1], "suspect": True}], drift=drift, service="localhost")
    comparison = compare_evaluations(
        [
            save_evaluation("aer", "noiseless"),
            sampled(save_evaluation("ibm_torino", "simulated device", **bad), 0.1),
        ]
    )
    said = " ".join(hardware_sentences(comparison))
    for part in ("suspect: 1", "crosstalk", "drift, 3.3 standard errors", "no service of IBM's"):
        assert part in said


@pytest.mark.parametrize("moved", [0.0, 0.1])
def test_drift_is_told_from_shot_noise(moved: float) -> None:
    rng = np.random.default_rng(1)
    errors = np.full((50, 8), 0.03)
    first, repeated = (rng.normal(0, errors) for _ in range(2))
    record = drift_record(Drift(first, repeated + moved, errors, errors))
    assert record["shot_noise"] == pytest.approx(0.03 * np.sqrt(2))
    assert record["in_errors"] == pytest.approx(np.sqrt(1 + (moved / (0.03 * np.sqrt(2))) ** 2), rel=0.15)


def test_a_root_keeps_its_sign() -> None:
    assert signed_sqrt(0.04) == pytest.approx(0.2)
    assert signed_sqrt(-0.04) == pytest.approx(-0.2)
    assert signed_sqrt(None) is None


def test_names_that_ask_for_the_same_are_completed_to_the_same(tmp_path: Path) -> None:
    run = create_run(tmp_path, parse_experiment("name: a\ndata: {source: synthetic}"))

    def complete(name: str) -> str:
        return complete_name(run, name).canonical

    asked = ("ibm_torino", "ibm_torino:resilience=1", "ibm_torino:shots=4096,copies=auto")
    assert {complete(complete(name)) for name in asked} == {"ibm_torino:shots=4096,resilience=1"}
    assert "shots" not in complete("ibm_torino:precision=0.05")


def test_only_hosts_that_cannot_be_ibms_are_imitations() -> None:
    assert all(map(is_imitation, ("localhost", "127.0.0.1", "ibm.test", "::1")))
    assert not any(map(is_imitation, ("quantum.cloud.ibm.com", "eu-de.quantum.cloud.ibm.com", "10.0.0.3", "gateway")))


def test_learned_noise_is_said_where_results_are_read() -> None:
    about = {"job_id": "j1", "learned": "2026-11-28T12:00:00+00:00", "reused": False, "layers": 5, "overhead": 20.0}
    plain = {"service": "x", "copies": 1, "patches": [], "drift": None}
    said = [
        " ".join(device_sentences({**plain, "layer_noise": {**about, **more}}, simulated=False))
        for more in ({"left": None}, {"left": 0.0, "reused": True}, {"left": 0.23})
    ]
    assert said[0].endswith("by job j1, for this evaluation; it was amplified and extrapolated (PEA).")
    assert said[1].endswith("for another evaluation, whose cost it is; it was cancelled (PEC), all of it.")
    assert said[2].endswith("it was cancelled (PEC), 23% of it is left, since more shots were not allowed.")
    assert device_sentences(plain, simulated=False) == []
