"""What a backend's name may say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from qiskit_ibm_runtime import fake_provider

from backends.errors import BackendError
from backends.names import NOT_CALIBRATED, NoiseRates, parse_name, stored_devices


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("aer", "aer"),
        ("aer:shots=4096", "aer:shots=4096"),
        (" aer , seed=3, shots=10", "aer:shots=10,seed=3"),
        ("fake_torino", "fake_torino"),
        ("fake_brisbane,scale=2", "fake_brisbane:scale=2"),
        ("fake_brisbane:scale=1.0", "fake_brisbane"),
        ("fake_torino:seed=5,scale=0.5,shots=1024", "fake_torino:shots=1024,scale=0.5,seed=5"),
        ("noise:readout=0.02,depolarizing_2q=1e-2", "noise:depolarizing_2q=0.01,readout=0.02"),
        ("noise:t1_us=100,t2_us=80,shots=5", "noise:t1_us=100,t2_us=80,shots=5"),
        ("ibm_torino", "ibm_torino"),
        ("ibm_torino@noise", "ibm_torino@noise"),
        ("ibm_torino@noise,scale=2,shots=100", "ibm_torino@noise:shots=100,scale=2"),
        ("ibm_torino@noise:scale=1,seed=3", "ibm_torino@noise:seed=3"),
        ("ibm_torino:resilience=0,shots=100", "ibm_torino:shots=100,resilience=0"),
    ],
)
def test_a_name_has_one_canonical_form_that_names_the_same_backend(name: str, canonical: str) -> None:
    parsed = parse_name(name)
    assert parsed.canonical == canonical
    assert parse_name(canonical) == parsed


def test_options_arrive_as_numbers() -> None:
    parsed = parse_name(
        "noise:depolarizing_1q=0.001,meas1_prep0=0.01,meas0_prep1=0.03,t1_us=50,t2_us=100,scale=2,shots=7"
    )
    assert parsed.rates == NoiseRates(0.001, 0.0, 0.01, 0.03, 50.0, 100.0)
    assert (parsed.scale, parsed.shots, parsed.seed) == (2.0, 7, None)
    assert parse_name("noise:readout=0.2").rates == NoiseRates(meas1_prep0=0.2, meas0_prep1=0.2)
    hardware = parse_name("ibm_fez:shots=64,resilience=2").options
    assert hardware is not None
    assert (hardware.shots, hardware.resilience) == (64, 2)
    live = parse_name("ibm_fez@noise:scale=0.5")
    assert (live.kind, live.device, live.scale, live.options) == ("live", "ibm_fez", 0.5, None)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("fake_torno", "did you mean fake_torino"),
        ("fake_torno", "fake_brisbane"),
        ("qasm_simulator", "there are aer, aer:shots=N, noise:RATE=…, ibm_<device>, ibm_<device>@noise, fake_aachen"),
        ("", "there is no backend ''"),
        ("aer:shots=0", "shots = 0; at least 1"),
        ("aer:shots=-5", "shots = -5; at least 1"),
        ("aer:shots=many", "shots = 'many' is not a whole number"),
        ("aer:shots=1.5", "is not a whole number"),
        ("aer:shot=5", "no option 'shot' (did you mean shots?)"),
        ("aer:scale=2", "aer has no option 'scale'"),
        ("aer:shots=5,shots=6", "shots is given twice"),
        ("aer:4096", "'4096' is not option=value"),
        ("fake_torino:scale=-0.1", "scale = -0.1; at least 0"),
        ("fake_torino:scale=nan", "not a finite number"),
        ("noise:readout=1.2", "readout = 1.2 is not a probability; between 0 and 1"),
        ("noise:depolarizing_1q=-1", "between 0 and 1"),
        ("noise:t1_us=10,t2_us=21", "at most 2·t1_us = 20"),
        ("noise:t1_us=0,t2_us=1", "above 0 microseconds"),
        ("noise:t1_us=10", "given together"),
        ("noise:readout=0.1,meas1_prep0=0.1", "give it or them"),
        ("noise", "needs at least one of depolarizing_1q"),
        ("noise:shots=100", "needs at least one of depolarizing_1q"),
        ("ibm_torino:resilience=3", "resilience = 3; 0, 1 or 2"),
        ("ibm_torino:shots=100", "a multiple of 32, such as 96"),
        ("fake_torino@noise", "did you mean ibm_torino@noise?"),
        ("torino@noise", "did you mean ibm_torino@noise?"),
        ("ibm_torino@nois:scale=2", "@noise follows the name of an IBM device and nothing else"),
        ("ibm_torino@", "did you mean ibm_torino@noise?"),
        ("aer@noise:shots=5", "@noise follows the name of an IBM device"),
        ("@noise", "@noise follows the name of an IBM device"),
        ("ibm_torino@noise:resilience=1", "no option 'resilience'; it has shots, scale, seed"),
        ("ibm_torino:scale=2", "ibm_torino has no option 'scale'"),
        ("ibm_torino@noise:scale=-1", "scale = -1; at least 0"),
    ],
)
def test_a_wrong_name_gets_one_sentence_that_says_what_is_allowed(name: str, said: str) -> None:
    with pytest.raises(BackendError) as caught:
        parse_name(name)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_stored_devices_are_real_ones() -> None:
    assert {"fake_torino", "fake_fez", "fake_marrakesh", "fake_brisbane", "fake_sherbrooke"} <= set(stored_devices())


def test_every_stored_device_of_the_client_is_listed_or_left_out_for_a_stated_reason() -> None:
    classes = (member for member in vars(fake_provider).values() if isinstance(member, type))
    offered = {name for member in classes if (name := getattr(member, "backend_name", None))}
    stored = Path(fake_provider.__file__).parent.glob("backends/*/conf_*.json")
    folders = {f"fake_{path.parent.name}" for path in stored}
    assert folders == offered
    assert set(stored_devices()) | set(NOT_CALIBRATED) == offered
    assert not set(stored_devices()) & set(NOT_CALIBRATED)


@pytest.mark.parametrize("name", sorted(NOT_CALIBRATED))
def test_a_stored_device_with_made_up_rates_is_refused_with_that_reason(name: str) -> None:
    with pytest.raises(BackendError, match="error rates are made up") as caught:
        parse_name(f"{name}:shots=100")
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_is_refused_without_loading_qiskit_or_torch(tmp_path: Path) -> None:
    code = (
        "import sys, backends\n"
        "try:\n    backends.parse_name('fake_torno')\n"
        "except backends.BackendError:\n    pass\n"
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'qiskit', 'qiskit_aer', 'torch', 'numpy'}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, cwd=tmp_path
    )
    assert done.stdout.strip() == "[]"
