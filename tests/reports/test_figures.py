"""Figures draw every kind of result, fit their page and say what they show."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from studied import noise_rows

from hybridq.figures import evaluations as figures
from hybridq.figures.decisions import reliability, risk_by_coverage
from hybridq.figures.labels import label_metric
from hybridq.figures.noise_curves import metrics_figure
from hybridq.figures.noise_run import auc_by_strength, auc_change_map
from hybridq.figures.style import DARK, INK, MUTED, SERIES, SURFACE, WIDTH, as_png, as_svg, inline_svg
from hybridq.reports.sections.noise import SOURCE_TITLES
from hybridq.reports.sections.tasks import view_of
from hybridq.results.evaluation import Evaluation, read_evaluations
from hybridq.statistics.calibration import calibration
from hybridq.statistics.risk_coverage import confidence_of, risk_coverage
from hybridq.statistics.tasks import task_named

MakeRun = Callable[..., Path]
BINARY = ("normal", "stenosis")
SIX = ("abdomen CT", "breast MRI", "chest X-ray", "CXR", "hand", "head CT")
CASES: dict[str, dict[str, Any]] = {
    "binary": {"classes": BINARY},
    "six classes": {"classes": SIX, "samples": 180, "patients": None, "qubits": 6},
    "grades": {"classes": SIX[:4], "samples": 80, "task": "ordinal"},
    "labels": {"classes": tuple(f"label {i}" for i in range(14)), "samples": 140, "task": "multi-label"},
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, make_run: MakeRun) -> tuple[tuple[str, ...], Path, list[Evaluation]]:
    options = CASES[request.param]
    run = make_run(**options)
    return options["classes"], run, read_evaluations(run)


def decision_drawn(evaluations: list[Evaluation]) -> list[Figure]:
    """Calibration and risk by coverage, where an image is of one class."""
    if evaluations[0].labels.ndim != 1:
        return []
    calibrations = [calibration(e.scored(0)) for e in evaluations]
    curves = [risk_coverage(e.scored(0), e.predicted != e.labels, confidence_of(e.probabilities)) for e in evaluations]
    places = range(len(evaluations))
    return [
        reliability(evaluations, calibrations, "the class decided", places),
        risk_by_coverage(evaluations, curves, places),
    ]


def words(figure: Figure) -> set[str]:
    return {text.get_text() for text in figure.findobj(Text) if text.get_visible()}


def test_every_figure_is_drawn_within_a_phone_s_width(
    case: tuple[tuple[str, ...], Path, list[Evaluation]],
) -> None:
    classes, run, evaluations = case
    history = pd.read_csv(run / "history.csv")
    drawn = [
        figures.metric_bars(evaluations),
        figures.radar(evaluations),
        figures.roc(evaluations),
        figures.training_curves(history, 9),
        figures.z_scatter(evaluations[0], evaluations[-1], 3),
        *(
            detail.figure
            for detail in view_of(str(evaluations[0].record.get("task")), classes).details(evaluations, classes)
        ),
        *decision_drawn(evaluations),
    ]
    for figure in drawn:
        assert figure.get_figwidth() <= WIDTH + 1e-9
        ElementTree.fromstring(as_svg(figure))
        pixels = np.asarray(Image.open(io.BytesIO(as_png(figure, dpi=100))).convert("L"))
        assert pixels.std() > 5
        border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert border.min() > 200, "something is cut off at the edge"


def test_figures_of_a_noise_study_are_drawn_within_a_phone_s_width() -> None:
    table = pd.DataFrame(noise_rows())
    exact = table[table["shots"].isna() & (table["layout"] == "best") & table["seed_transpiler"].isna()]
    change_map = auc_change_map(exact[exact["device"] == "fake_torino"], SOURCE_TITLES)
    assert {"−0.080", "readout", "4×"} <= words(change_map)
    for figure in (auc_by_strength(exact), change_map):
        assert figure.get_figwidth() <= WIDTH + 1e-9
        pixels = np.asarray(Image.open(io.BytesIO(as_png(figure, dpi=100))).convert("L"))
        border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert border.min() > 200, "something is cut off at the edge"


@pytest.mark.parametrize("names", [("benign", "malignant"), (30 * "W", " ".join(12 * ["carcinoma"]))])
def test_a_noise_study_s_figure_says_of_which_class_sensitivity_is(names: tuple[str, str]) -> None:
    columns = ["auc", "accuracy", "sensitivity_at_validation_threshold", "specificity_at_validation_threshold"]
    rates = task_named("binary").rates_of(names)
    for shown in (columns, columns[:2]):
        table = pd.DataFrame(noise_rows()).assign(run="demo").drop(columns=columns, errors="ignore")
        table = table.assign(**dict.fromkeys(shown, 0.8))
        figure = metrics_figure(table, "fake_torino", "All sources of fake_torino (simulated)", rates)
        assert (rates in " ".join(words(figure)).replace("\n", " ")) is (shown == columns)
        pixels = np.asarray(Image.open(io.BytesIO(as_png(figure, dpi=100))).convert("L"))
        border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert border.min() > 200, "something is cut off at the edge"


def test_simulated_devices_are_called_simulated(make_run: MakeRun) -> None:
    evaluations = read_evaluations(make_run())
    for figure in (figures.metric_bars(evaluations), figures.radar(evaluations)):
        assert "fake_torino (simulated device)" in words(figure)
    assert "fake_torino (simulated device)" in words(figures.z_scatter(evaluations[0], evaluations[3], 3))


def test_bars_print_the_values_they_draw(make_run: MakeRun) -> None:
    evaluations = read_evaluations(make_run())
    values = {f"{m['value']:.3f}" for e in evaluations for m in e.metrics["metrics"].values()}
    assert values <= words(figures.metric_bars(evaluations))


def test_confusion_matrix_prints_counts_and_shares_of_the_true_class(make_run: MakeRun) -> None:
    evaluation = read_evaluations(make_run())[0]
    evaluation.metrics["confusion"] = [[30, 10], [5, 15]]
    assert {"30", "75.0%", "10", "25.0%", "5", "15"} <= words(figures.confusion(evaluation, BINARY))


def test_a_label_without_positive_images_says_so_in_its_row(make_run: MakeRun) -> None:
    evaluations = read_evaluations(make_run(classes=("heart", "lung", "rare"), task="multi-label", backends=("aer",)))
    assert {"label 0", "label 2", "no positive image"} <= words(label_metric(evaluations, "auc"))


def test_training_curves_show_alpha_and_leave_out_a_stage_that_did_not_run(make_run: MakeRun) -> None:
    history = pd.read_csv(make_run() / "history.csv")
    both = words(figures.training_curves(history, 9))
    assert {"α of eq. 13", "Quantum share", "Stage 1: contrastive loss", "best, epoch 9"} <= both
    second = words(figures.training_curves(history[history["stage"] == "finetune"], 9))
    assert "Stage 1: contrastive loss" not in second


def test_long_backend_names_are_shortened_but_keep_both_ends(make_run: MakeRun) -> None:
    name = "noise:depolarizing_1q=0.001,depolarizing_2q=0.01,scale=2"
    label = figures.backend_label(read_evaluations(make_run(backends=(name,)))[0])
    assert len(label) < 45
    assert label.startswith("noise:depol")
    assert label.endswith("scale=2 (noise model)")


def test_inline_figures_share_a_page_and_follow_its_colours(make_run: MakeRun) -> None:
    evaluations = read_evaluations(make_run())
    first = inline_svg(figures.roc(evaluations), "first", 'what "it" <shows>')
    second = inline_svg(figures.roc(evaluations), "second", "the same")
    identifiers = [
        {element.get("id") for element in ElementTree.fromstring(svg).iter() if element.get("id")}
        for svg in (first, second)
    ]
    assert identifiers[0]
    assert not identifiers[0] & identifiers[1]
    assert ElementTree.fromstring(first).get("aria-label") == 'what "it" <shows>'
    assert SERIES[0] not in first
    assert "var(--c" in first


def test_drawing_leaves_the_caller_s_matplotlib_settings_alone(make_run: MakeRun) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    figures.metric_bars(read_evaluations(make_run()))
    assert dict(matplotlib.rcParams) == before


def luminance(value: str) -> float:
    channels = np.array([int(value[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("light", [INK, MUTED, *SERIES])
def test_colours_have_the_contrast_of_text_on_light_and_dark_pages(light: str) -> None:
    assert (luminance(SURFACE) + 0.05) / (luminance(light) + 0.05) >= 4.5
    assert (luminance(DARK[light]) + 0.05) / (luminance(DARK[SURFACE]) + 0.05) >= 4.5
