"""Backends side by side: the same samples and weights only, changes from the noiseless one, flips and ⟨Z⟩ errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hybridq.errors import UserError
from hybridq.results.comparison import compare_evaluations, write_comparison
from hybridq.results.evaluation import read_evaluation, read_evaluations
from hybridq.statistics.intervals import NO_DIFFERENCE
from hybridq.statistics.metrics import METRICS

SaveEvaluation = Callable[..., Path]


def test_the_noiseless_backend_is_the_reference_wherever_it_is_named(save_evaluation: SaveEvaluation) -> None:
    noisy = save_evaluation("fake_torino", "simulated device", shift=0.1)
    ideal = save_evaluation("aer", "noiseless")
    comparison = compare_evaluations([noisy, ideal])
    assert comparison.reference == "aer"
    assert [b.backend for b in comparison.backends] == ["aer", "fake_torino"]
    reference, other = comparison.backends
    assert reference.changes is None
    assert reference.flips is None
    assert reference.verdict("auc") == "reference"
    assert other.depth == 7


def test_errors_of_z_are_those_that_were_put_in_whatever_the_order_of_the_rows(save_evaluation: SaveEvaluation) -> None:
    ideal = save_evaluation("aer", "noiseless")
    order = np.random.default_rng(3).permutation(40)
    shifted = save_evaluation("fake_torino", "simulated device", shift=0.125, order=order)
    errors = compare_evaluations([ideal, shifted]).backends[1].z_errors
    assert errors is not None
    assert [(e.qubit, e.mean, e.rms) for e in errors] == [
        (q, pytest.approx(0.125), pytest.approx(0.125)) for q in (0, 1)
    ]


def test_flips_are_the_decisions_that_differ(save_evaluation: SaveEvaluation) -> None:
    folders = [save_evaluation("aer", "noiseless"), save_evaluation("fake_torino", "simulated device", shift=0.3)]
    first, second = (pd.read_csv(folder / "predictions.csv") for folder in folders)
    flipped = int((first["predicted"] != second["predicted"]).sum())
    backend = compare_evaluations(folders).backends[1]
    assert flipped > 0
    assert backend.flipped == flipped
    assert backend.flips is not None
    assert backend.flips["low"] < flipped / 40 == backend.flips["value"] < backend.flips["high"]


def test_changes_are_differences_of_metrics_and_are_only_named_when_shown(save_evaluation: SaveEvaluation) -> None:
    ideal = save_evaluation("aer", "noiseless")
    same = save_evaluation("aer:shots=4096", "sampled", shots=4096)
    spoiled = save_evaluation("fake_torino", "simulated device", shift=3.0)
    reference, sampled, device = compare_evaluations([ideal, same, spoiled]).backends
    assert sampled.shots == 4096
    assert all(sampled.verdict(name) == NO_DIFFERENCE for name in METRICS)
    assert device.changes is not None
    for name in METRICS:
        change = device.changes[name]["value"]
        assert change == pytest.approx(device.metrics[name]["value"] - reference.metrics[name]["value"])
    assert device.verdict("accuracy") == device.verdict("specificity") == "lower"
    assert device.verdict("sensitivity") in {"higher", NO_DIFFERENCE}


def test_different_samples_are_refused_with_their_number(save_evaluation: SaveEvaluation) -> None:
    ideal = save_evaluation("aer", "noiseless")
    other = save_evaluation("fake_torino", "simulated device", ids=[f"image-{i + 3}" for i in range(40)])
    with pytest.raises(UserError, match="differ in 6 sample ids"):
        compare_evaluations([ideal, other])


def test_different_weights_are_refused(save_evaluation: SaveEvaluation) -> None:
    ideal = save_evaluation("aer", "noiseless")
    other = save_evaluation("fake_torino", "simulated device", angle_shift=0.01)
    with pytest.raises(UserError, match="different weights"):
        compare_evaluations([ideal, other])


def test_one_backend_is_no_comparison(save_evaluation: SaveEvaluation) -> None:
    ideal = save_evaluation("aer", "noiseless")
    with pytest.raises(UserError, match="at least two"):
        compare_evaluations([ideal])
    with pytest.raises(UserError, match="both are of the backend aer"):
        compare_evaluations([ideal, ideal])


@pytest.mark.parametrize("name", ["predictions.csv", "expectations.npz", "record.json", "metrics.json"])
def test_a_missing_or_damaged_file_is_named(save_evaluation: SaveEvaluation, name: str) -> None:
    ideal = save_evaluation("aer", "noiseless")
    other = save_evaluation("fake_torino", "simulated device")
    whole = (other / name).read_bytes()
    for damaged in (b"", b"\x00 not what it was", whole[: len(whole) // 2]):
        (other / name).write_bytes(damaged)
        with pytest.raises(UserError, match=name):
            compare_evaluations([ideal, other])
    (other / name).unlink()
    with pytest.raises(UserError, match=f"{name} is missing"):
        compare_evaluations([ideal, other])


def test_saved_comparison_is_tidy_and_complete(save_evaluation: SaveEvaluation, tmp_path: Path) -> None:
    folders = [save_evaluation("aer", "noiseless"), save_evaluation("fake_torino", "simulated device", shift=0.2)]
    write_comparison(compare_evaluations(folders), tmp_path)
    table = pd.read_csv(tmp_path / "comparison.csv")
    assert not table.duplicated(["backend", "quantity"]).any()
    device = table[table["backend"] == "fake_torino"].set_index("quantity")
    assert set(METRICS) | {"flips", "z0_rms_error", "z1_mean_error", "depth", "seconds"} <= set(device.index)
    assert device.loc["z1_mean_error", "value"] == pytest.approx(0.2)
    content = json.loads((tmp_path / "comparison.json").read_text(encoding="utf-8"))
    saved = content["backends"][1]
    assert saved["changes"]["auc"]["value"] == pytest.approx(device.loc["auc", "change"])
    assert saved["changes"]["auc"]["verdict"] == device.loc["auc", "verdict"]
    assert saved["simulated"] is True


def test_evaluations_are_listed_from_ideal_to_real_and_unfinished_ones_left_out(
    save_evaluation: SaveEvaluation, tmp_path: Path
) -> None:
    save_evaluation("fake_brisbane", "simulated device")
    save_evaluation("aer:shots=64", "sampled")
    save_evaluation("ibm_torino", "hardware")
    save_evaluation("aer", "noiseless")
    (tmp_path / "evaluations" / ".half.partial").mkdir()
    listed = [evaluation.backend for evaluation in read_evaluations(tmp_path)]
    assert listed == ["aer", "aer:shots=64", "fake_brisbane", "ibm_torino"]


def test_names_are_read_as_text_and_no_group_is_no_group(save_evaluation: SaveEvaluation) -> None:
    names = ["NA", "null", "nan", "007", *(f"image-{i}" for i in range(36))]
    folder = save_evaluation("aer", "noiseless", ids=names)
    assert read_evaluation(folder).ids == tuple(names)
    assert read_evaluation(folder).groups is None
    table = pd.read_csv(folder / "predictions.csv", dtype=str, keep_default_na=False)
    table.loc[:1, "group"] = "NA"
    table.to_csv(folder / "predictions.csv", index=False)
    assert read_evaluation(folder).groups == ("NA", "NA", *[""] * 38)


def test_what_an_evaluation_is_given_to_statistics_with(save_evaluation: SaveEvaluation) -> None:
    evaluation = read_evaluation(save_evaluation("aer", "noiseless", split="validation"))
    scored = evaluation.scored(7)
    assert (scored.split, scored.seed, scored.groups) == ("validation", 7, None)
    assert np.array_equal(scored.truth, np.arange(40) % 2)
    assert np.array_equal(scored.probabilities, evaluation.probabilities)
    del evaluation.record["split"]
    assert evaluation.scored(0).split == "evaluated"
    assert evaluation.rows_of(("image-3", "image-0")).tolist() == [3, 0]
