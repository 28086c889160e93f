"""PEA and PEC on simulated devices: what they make of noise that is known to be of Paulis, and what they cost."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import quietly

from backends import open_backend
from backends.aer import SimulatedCircuit
from backends.mitigation.layer_noise import LayerNoise
from hybridq.evaluation.inference import Inference
from hybridq.quantum.circuits import CircuitSpec
from hybridq.quantum.engine import compile_program
from hybridq.quantum.joint_shots import sampled_with_signs
from hybridq.run_folder import open_run
from hybridq.studies.mitigation.device import SimulatedDevice
from hybridq.studies.mitigation.methods import LEARNED_NOISE, Method, Version, learning_circuits, methods_for
from hybridq.studies.mitigation.run import mitigate, plan_mitigation

PROGRAM = CircuitSpec(3).build()
RANDOM = np.random.default_rng(0)
WEIGHTS, ANGLES = RANDOM.normal(size=len(PROGRAM.weights)), RANDOM.normal(size=(6, 3))
PEC = Version(injected="cancelled")


def noiseless_values() -> np.ndarray:
    return compile_program(PROGRAM)(torch.from_numpy(ANGLES), torch.from_numpy(WEIGHTS)).numpy()


def compiled(backend: str) -> SimulatedCircuit:
    circuit = open_backend(backend).compile(PROGRAM)
    assert isinstance(circuit, SimulatedCircuit)
    return circuit


def device(backend: str, shots: int | None = None, methods: tuple[Method, ...] = LEARNED_NOISE) -> SimulatedDevice:
    return SimulatedDevice(
        compiled(backend),
        WEIGHTS,
        ANGLES,
        ANGLES[:2],
        [version for method in methods for version in method.versions],
        shots=shots,
        kept=lambda _, compute: compute(),
        progress=lambda done, total: None,
    )


def test_depolarizing_noise_is_cancelled_and_amplified_exactly() -> None:
    shown = device("noise:depolarizing_2q=0.03").show(np.random.default_rng(1)).evaluated
    assert np.allclose(shown[PEC], noiseless_values(), atol=1e-9)
    for factor in (1, 3):
        strength = 1 - 0.97**factor
        (scaled,) = {
            values.tobytes(): values
            for version, values in device(f"noise:depolarizing_2q={strength!r}")
            .show(np.random.default_rng(1))
            .evaluated.items()
            if version == Version(injected="amplified")
        }.values()
        assert np.allclose(shown[Version(factor=factor, injected="amplified")], scaled, atol=1e-9)


def test_the_overhead_is_that_of_the_rates() -> None:
    noise = LayerNoise(compiled("noise:depolarizing_2q=0.03"))
    gates = compiled("noise:depolarizing_2q=0.03").circuit.count_ops()["cx"]
    assert noise.overhead == pytest.approx(0.97 ** (-15 / 4 * gates))
    assert 1 <= noise.layers <= gates


def test_what_would_take_too_many_shots_is_left() -> None:
    strong = device("noise:depolarizing_2q=0.3")
    assert strong.overhead == 10
    assert strong.noise is not None
    assert strong.noise.overhead ** (1 - strong.not_cancelled) == pytest.approx(10)
    error = strong.show(np.random.default_rng(1)).evaluated[PEC] - noiseless_values()
    assert np.abs(error).max() > 0.05
    assert device("noise:depolarizing_2q=0.03").not_cancelled == 0


def test_shots_with_signs_have_the_right_mean_and_scatter() -> None:
    signed, unsigned, gamma = np.array([[0.9, 0.1]]), np.array([[0.7, 0.3]]), 1.5
    drawn = np.concatenate(
        [sampled_with_signs(signed, unsigned, gamma, 400, np.random.default_rng(seed)) for seed in range(3000)]
    )
    assert drawn.mean() == pytest.approx(0.8, abs=4 * drawn.std() / math.sqrt(3000))
    assert drawn.std() == pytest.approx(math.sqrt((gamma**2 - 0.8**2) / 400), rel=0.06)


def test_pec_with_shots_is_unbiased_at_its_cost() -> None:
    simulated = device("noise:depolarizing_2q=0.03", shots=256)
    shown = np.stack([simulated.show(np.random.default_rng(seed)).evaluated[PEC] for seed in range(400)])
    ideal = noiseless_values()
    assert np.abs(shown.mean(axis=0) - ideal).max() < 5 / math.sqrt(256 * 400)
    expected = np.sqrt((simulated.overhead - ideal**2) / round(256 * simulated.overhead))
    assert np.allclose(shown.std(axis=0), expected, rtol=0.2)


def test_of_a_devices_noise_only_that_of_its_two_qubit_gates_goes() -> None:
    """Relaxation while a gate runs is no mixture of Paulis, and idle qubits and other gates err as before."""
    simulated = device("fake_manila", methods=(*methods_for(None), *LEARNED_NOISE))
    shown = simulated.show(np.random.default_rng(1)).evaluated
    ideal = noiseless_values()
    rms = {version: np.sqrt(((values - ideal) ** 2).mean()) for version, values in shown.items()}
    assert rms[PEC] < rms[Version()]
    assert rms[Version(injected="amplified")] == pytest.approx(rms[Version(twirled=True)], rel=1e-6)
    assert simulated.overhead > 1


def test_each_has_a_name_and_a_cost_of_its_own() -> None:
    names = [method.name for method in methods_for(100, learned_noise=True)]
    assert names[-6:] == [
        *("PEA linear", "PEA exp.", "PEC"),
        *("readout + PEA linear", "readout + PEA exp.", "readout + PEC"),
    ]
    assert len(set(names)) == len(names)
    assert [method.circuits_multiplier for method in LEARNED_NOISE] == [3, 3, 1, 3, 3, 1]
    assert [method.randomizations for method in LEARNED_NOISE] == [32] * 6
    assert learning_circuits(3, 4096) == learning_circuits(3, None) == 3 * 54
    assert [method.extra_circuits(32, 162) for method in LEARNED_NOISE] == [162] * 3 + [164] * 3
    assert methods_for(100) == methods_for(100, learned_noise=True)[:-6]


def test_a_study_has_their_rows_beside_the_others_which_stay_as_they_are(tiny_run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_run, tmp_path / "tiny", ignore=shutil.ignore_patterns("checkpoints"))
    run = open_run(Path(copy))
    name = "noise:depolarizing_2q=0.05,readout=0.02,shots=512"
    usual, more = (
        plan_mitigation(Inference.of(run), name, training_images=8, learned_noise=noise) for noise in (False, True)
    )
    assert usual.folder != more.folder
    tables = [
        pd.read_csv(mitigate(plan, progress=quietly) / "mitigation.csv").set_index("method") for plan in (usual, more)
    ]
    before, after = tables
    pd.testing.assert_frame_equal(after.iloc[:-6], before, check_dtype=False)
    record = json.loads((more.folder / "record.json").read_text())
    assert after.loc["PEC", "circuits_multiplier"] == pytest.approx(record["learned_noise"]["overhead"], abs=1e-4)
    assert after.loc["PEC", "extra_circuits"] == learning_circuits(record["learned_noise"]["layers"], 512)
    assert after.loc["readout + PEC", "bias_rms"] < after.loc["readout", "bias_rms"]
    assert after.notna().all().all()
    assert "learned_noise" not in json.loads((usual.folder / "record.json").read_text())
