"""What the finished cells of a study say together, and that all of it is rebuilt from committed files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny import quietly

from hybridq.errors import UserError
from hybridq.statistics.metrics import compute_metrics
from hybridq.statistics.tasks import task_named
from hybridq.studies.models import paired_tests as comparisons
from hybridq.studies.models.config import load_study
from hybridq.studies.models.documents import latex, markdown, write_tables
from hybridq.studies.models.paired_tests import PairedTest, compare_models, settings_of
from hybridq.studies.models.store import Results, collect, read_results
from hybridq.studies.models.tables import SettingTable, frame, study_tables

MakeStudy = Callable[..., Path]
WriteCells = Callable[..., list]

POSITIVE = "The positive class is class 1: sensitivity is of it, specificity of class 0."


def collected(file: Path) -> Results:
    study, cells = load_study(file)
    return collect(study, cells, file.parent / "runs" / study.name, progress=quietly)


def told(file: Path, results: Results | None = None) -> tuple[list[SettingTable], list[PairedTest]]:
    """Tables and tests of a study whose cells are written."""
    study, _ = load_study(file)
    found = results or collected(file)
    tests = compare_models(study, found, progress=quietly)
    return study_tables(study, found, tests), tests


def test_a_row_a_cell_and_backend_holds_what_the_run_holds(make_study: MakeStudy, write_cells: WriteCells) -> None:
    file = make_study("backends: [aer, fake_torino]")
    write_cells(file)
    cells = collected(file).cells.set_index(["cell", "backend"])
    assert len(cells) == 3 * 2 + 3  # the control has no circuit, and runs on the first backend alone
    row = cells.loc[("hybrid-data-s1", "fake_torino")]
    assert (row["model"], row["seed"], row["kind"], row["groups"]) == ("hybrid", 1, "simulated device", 20)
    assert (row["parameters"], row["multiply_adds"], row["training_seconds"]) == (1001, 2_000_000, 30.0)
    predictions = pd.read_csv(file.parent / "runs/controls/hybrid-data-s1/evaluations/aer/predictions.csv")
    values = compute_metrics(predictions["label"], predictions[["p_0", "p_1"]])
    assert {name: row[name] for name in values} == pytest.approx(values)


def test_everything_is_rebuilt_from_the_collected_files_alone(make_study: MakeStudy, write_cells: WriteCells) -> None:
    file = make_study("backends: [aer, fake_torino]\nequivalence_margin: 0.05")
    write_cells(file, worse={"mlp": 0.3})
    study, cells = load_study(file)
    results, (first, again) = collected(file), (file.parent / "first", file.parent / "again")
    tables, tests = told(file, results)
    results.write(first)
    write_tables(tables, tests, study.name, first)
    shutil.rmtree(file.parent / "runs")
    tables, tests = told(file, read_results(study, cells, first / "cells.csv"))
    write_tables(tables, tests, study.name, again)
    for name in ("table.csv", "table.md", "table.tex", "single_seeds.csv"):
        assert (again / name).read_bytes() == (first / name).read_bytes()


def test_a_worse_model_is_called_lower_and_an_equal_one_is_not(make_study: MakeStudy, write_cells: WriteCells) -> None:
    models = "{hybrid: {}, mlp: {model.branch: mlp}, linear: {model.branch: linear}}"
    file = make_study(f"models: {models}\nequivalence_margin: 0.1")
    write_cells(file, worse={"linear": 1.2})
    [table], tests = told(file)
    assert [test.verdict for test in tests] == ["equivalent within ±0.1", "lower"]
    assert [test.seeds for test in tests] == [3, 3]
    equal, lower = tests
    assert lower.p == pytest.approx(2 * lower.difference.p)  # Holm: the smaller of two
    expected = (
        "data, aer (noiseless): AUC equivalent to that of hybrid within ±0.1 for mlp (TOST p "
        f"{comparable(equal.p_equivalence)}); AUC lower than that of hybrid for linear "
        f"(by {-lower.difference.value:.3f}, p {comparable(lower.p)}); n = 3 seeds."
    )
    assert table.conclusion == expected


def comparable(p: float | None) -> str:
    assert p is not None
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def test_without_a_margin_an_equal_model_is_not_called_equal(make_study: MakeStudy, write_cells: WriteCells) -> None:
    file = make_study()
    write_cells(file)
    [table], [test] = told(file)
    assert test.verdict == "no difference shown"
    assert test.p > 0.1
    sentence = f"data, aer (noiseless): no difference from hybrid shown for mlp (p = {test.p:.2f}, n = 3 seeds)."
    assert table.conclusion == sentence


def test_means_are_over_seeds_and_costs_stand_beside_the_main_model_s(
    make_study: MakeStudy, write_cells: WriteCells
) -> None:
    file = make_study()
    write_cells(file)
    results = collected(file)
    tables, _ = told(file, results)
    rows = frame(tables).set_index("model")
    aucs = results.cells.loc[results.cells["model"] == "mlp", "auc"]
    assert rows.loc["mlp", "auc"] == pytest.approx(aucs.mean())
    reach = 4.302653 * aucs.std() / np.sqrt(3)  # Student's t, two degrees of freedom
    assert rows.loc["mlp", "auc_high"] - rows.loc["mlp", "auc"] == pytest.approx(reach, rel=1e-5)
    assert rows.loc["mlp", "training_ratio"] == pytest.approx(1 / 3)
    assert rows.loc["mlp", "paired_seeds"] == 3


def test_one_seed_has_the_interval_over_images_and_says_so(make_study: MakeStudy, write_cells: WriteCells) -> None:
    file = make_study("seeds: [4]")
    write_cells(file)
    results = collected(file)
    [table], _ = told(file, results)
    first = results.cells.iloc[0]
    assert (table.rows[0]["auc_low"], table.rows[0]["auc_high"]) == (first["auc_low"], first["auc_high"])
    assert table.notes == (
        POSITIVE,
        "One seed only (hybrid, mlp): its interval is over images, and says nothing of other trainings.",
    )
    assert table.conclusion.endswith("n = 1 seed); this holds for one training each, and other seeds may differ.")


def test_unfinished_and_failed_cells_are_listed_and_missed(make_study: MakeStudy, write_cells: WriteCells) -> None:
    file = make_study()
    write_cells(file, skip=("mlp-data-s0", "hybrid-data-s2"))
    failures = file.parent / "runs" / "controls" / "failures"
    failures.mkdir()
    (failures / "mlp-data-s0.txt").write_text("Traceback\nMemoryError: too much\n")
    results = collected(file)
    assert results.unfinished == ("hybrid-data-s2",)
    assert results.failed == {"mlp-data-s0": "MemoryError: too much"}
    [table], [test] = told(file, results)
    assert [single.seed for single in test.singles] == [1]  # the one seed that both have
    assert table.notes == (
        POSITIVE,
        "Seeds that are missing: hybrid (1 of 3), mlp (1 of 3).",
    )


@pytest.mark.parametrize(
    ("skipped", "reason"),
    [
        ("hybrid", "nothing is tested, since hybrid, against which models are tested, has no finished cell."),
        ("mlp", "nothing is tested, since no model beside hybrid has a finished cell."),
    ],
)
def test_without_anything_to_compare_that_is_said(
    skipped: str, reason: str, make_study: MakeStudy, write_cells: WriteCells
) -> None:
    file = make_study("seeds: [0]")
    write_cells(file, skip=(f"{skipped}-data-s0",))
    [table], tests = told(file)
    assert tests == []
    assert table.conclusion == f"data, aer (noiseless): {reason}"


def test_without_predictions_nothing_is_tested(make_study: MakeStudy, write_cells: WriteCells) -> None:
    file = make_study()
    write_cells(file)
    study, cells = load_study(file)
    collected(file).write(file.parent / "out")
    shutil.rmtree(file.parent / "out" / "predictions")
    [table], tests = told(file, read_results(study, cells, file.parent / "out" / "cells.csv"))
    assert not tests
    assert "nothing is tested, for want of predictions" in table.conclusion


def test_images_of_one_patient_test_nothing(make_study: MakeStudy, write_cells: WriteCells) -> None:
    file = make_study("seeds: [0]")
    write_cells(file, patients=1)
    [table], tests = told(file)
    assert not tests
    assert table.conclusion.endswith("with one seed and two groups.")


def test_images_are_paired_by_their_ids(make_study: MakeStudy, write_cells: WriteCells) -> None:
    file = make_study()
    write_cells(file)
    _, [sorted_rows] = told(file)
    shutil.rmtree(file.parent / "runs")
    write_cells(file, shuffled=True)
    _, [shuffled_rows] = told(file)
    assert shuffled_rows.difference.value == pytest.approx(sorted_rows.difference.value)
    assert shuffled_rows.singles == sorted_rows.singles


def test_cells_of_other_images_are_not_paired(make_study: MakeStudy, write_cells: WriteCells) -> None:
    file = make_study("seeds: [0]")
    write_cells(file, skip=("mlp-data-s0",))
    write_cells(file, skip=("hybrid-data-s0",), first=7)
    with pytest.raises(UserError, match=r"mlp and hybrid, data, aer .* seed 0: evaluated on different images"):
        told(file)


def test_a_model_without_a_circuit_stands_beside_the_others_on_every_backend(
    make_study: MakeStudy, write_cells: WriteCells
) -> None:
    file = make_study("backends: [aer, fake_torino]")
    write_cells(file)
    tables, tests = told(file)
    assert [str(table.setting) for table in tables] == ["data, aer (noiseless)", "data, fake_torino (simulated device)"]
    assert [test.seeds for test in tests] == [3, 3]
    assert tables[1].notes == (
        POSITIVE,
        "No circuit, and so the same on every backend: mlp.",
    )


@pytest.mark.parametrize(("task", "classes"), [("multi-class", 4), ("ordinal", 4), ("multi-label", 5)])
def test_other_tasks_have_their_own_metrics_and_the_same_tests(
    task: str, classes: int, make_study: MakeStudy, write_cells: WriteCells
) -> None:
    file = make_study()
    write_cells(file, task=task, classes=classes, worse={"mlp": 1.5})
    [table], [test] = told(file)
    assert table.metrics == task_named(task).metrics
    assert test.verdict == "lower"
    assert all(single.p_delong is None for single in test.singles)


def test_resampled_aucs_are_those_of_the_repeated_images(make_study: MakeStudy, write_cells: WriteCells) -> None:
    file = make_study()
    write_cells(file)
    table = next(iter(collected(file).predicted("data").values()))
    images = comparisons.ResampledImages(task_named("binary"), [table])
    found = images.aucs(table)
    weights = np.concatenate(list(images.weights()))
    assert len(found) == 1 + comparisons.RESAMPLES
    labels, probabilities = table["label"].to_numpy(), table[["p_0", "p_1"]].to_numpy()
    for row in range(0, comparisons.RESAMPLES, 200):
        times = weights[row].astype(int)
        patients = pd.Series(times).groupby(table["group"].astype(str).to_numpy()).nunique()
        assert (patients == 1).all()  # whole patients are drawn
        slow = compute_metrics(np.repeat(labels, times), np.repeat(probabilities, times, axis=0))["auc"]
        assert found[1 + row] == pytest.approx(slow)


def test_documents_hold_every_model_and_end_with_the_conclusion(make_study: MakeStudy, write_cells: WriteCells) -> None:
    file = make_study("models: {hybrid: {}, matched_mlp: {model.branch: mlp}}\nlabel_fractions: [0.5, 1]")
    write_cells(file)
    tables, _ = told(file)
    assert len(tables) == 2
    text = markdown(tables, "controls")
    for table in tables:
        assert f"**{table.conclusion}**" in text
    tex = latex(tables, "controls")
    assert r"matched\_mlp" in tex
    assert tex.count(r"\begin{tabular}") == tex.count(r"\end{tabular}") == 6
    bodies = [line for line in tex.splitlines() if line.endswith(r"\\")]
    assert all("_" not in line.replace(r"\_", "") and "±" not in line for line in bodies)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cells.csv: no such file or directory"),
        ("cell,model\nhybrid-data-s0,hybrid\n", "cells.csv: has no column auc, backend, data, label_fraction, seed"),
        (
            "cell,model,data,label_fraction,seed,backend,auc\nx-data-s0,x,data,1,0,aer,0.5\n",
            "cells.csv: x-data-s0 is no cell of study controls",
        ),
    ],
)
def test_a_file_that_is_not_this_study_s_is_named(content: str | None, sentence: str, make_study: MakeStudy) -> None:
    study, cells = load_study(make_study())
    file = make_study().parent / "cells.csv"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UserError, match=sentence):
        read_results(study, cells, file)


def test_a_run_of_an_older_study_file_is_not_counted(make_study: MakeStudy, write_cells: WriteCells) -> None:
    file = make_study()
    write_cells(file)
    file = make_study("set: {train.epochs: 77}")
    with pytest.raises(UserError, match="holds a run with another configuration"):
        collected(file)


def test_settings_stand_in_the_order_of_the_study(make_study: MakeStudy, write_cells: WriteCells) -> None:
    file = make_study("data: {b: {}, a: {}}\nlabel_fractions: [1, 0.25]\nseeds: [0]")
    write_cells(file, images=40)
    study, _ = load_study(file)
    found = [(setting.data, setting.label_fraction) for setting in settings_of(study, collected(file))]
    assert found == [("b", 1), ("b", 0.25), ("a", 1), ("a", 0.25)]


@pytest.mark.slow
def test_equal_models_are_told_apart_in_about_one_study_of_twenty() -> None:
    """AUC of clustered images, five trainings of each of two models that differ by chance alone."""
    random = np.random.default_rng(11)
    task, images, patients, seeds, tries = task_named("binary"), 120, 30, 5, 300
    names, hits = np.arange(images).astype(str), 0
    for _ in range(tries):
        labels = random.integers(0, 2, images)
        patient = np.arange(images) % patients
        shared = random.normal(size=images) + 0.7 * random.normal(size=patients)[patient]
        tables = {}
        for model in range(2):
            favours = 0.4 * random.normal(size=patients)[patient]
            for seed in range(seeds):
                skill = 1.2 + 0.15 * random.normal()
                positive = 1 / (1 + np.exp(-(skill * labels + shared + favours + 0.5 * random.normal(size=images))))
                probabilities = np.column_stack([1 - positive, positive])
                rows = pd.DataFrame({"id": names, "group": patient.astype(str), "label": labels})
                tables[model, seed] = task.predictions(rows, probabilities)
        drawn = comparisons.ResampledImages(task, list(tables.values()))
        changes = np.stack([drawn.aucs(tables[0, s]) - drawn.aucs(tables[1, s]) for s in range(seeds)], axis=1)
        hits += comparisons.two_level(changes[0], changes[1:], drawn.units, drawn.limit).p < 0.05
    assert 0.01 < hits / tries < 0.09  # three standard errors around 5 %
