"""A study's figures are drawn for every task, fit a phone's width, and say what they show."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from tiny import quietly

from hybridq.figures.models import Look
from hybridq.figures.style import WIDTH, as_png
from hybridq.studies.models.config import load_study
from hybridq.studies.models.figures import study_figures
from hybridq.studies.models.store import collect, read_results
from hybridq.studies.models.tables import study_tables

RATES = {"binary": "Sensitivity is of class 1, specificity of class 0.", "multi-label": "means over labels"}
MakeStudy = Callable[..., Path]
WriteCells = Callable[..., list]


def drawn(file: Path) -> dict[str, Figure]:
    study, cells = load_study(file)
    results = collect(study, cells, file.parent / "runs" / study.name, progress=quietly)
    return dict(study_figures(study, results, study_tables(study, results, [])))


def words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text) if text.get_visible())


@pytest.mark.parametrize(("task", "classes"), [("binary", 2), ("multi-class", 6), ("ordinal", 4), ("multi-label", 9)])
def test_every_setting_has_its_figures(task: str, classes: int, make_study: MakeStudy, write_cells: WriteCells) -> None:
    file = make_study("seeds: [0, 1]")
    write_cells(file, task=task, classes=classes)
    figures = drawn(file)
    expected = {"data-aer-bars", "data-aer-radar", "data-aer-roc", "data-aer-confusion", "data-learning"}
    assert set(figures) == expected - ({"data-aer-confusion"} if task == "multi-label" else set())
    for kind in ("bars", "radar", "roc"):
        assert RATES.get(task, "means over classes") in words(figures[f"data-aer-{kind}"])
    for name, figure in figures.items():
        assert figure.get_size_inches()[0] <= WIDTH
        assert "hybrid" in words(figure), name
        assert "mlp" in words(figure), name
        assert Image.open(io.BytesIO(as_png(figure, dpi=40))).width > 100


def test_no_word_leaves_its_figure(make_study: MakeStudy, write_cells: WriteCells) -> None:
    file = make_study("label_fractions: [0.25, 1]\nseeds: [0, 1]")
    write_cells(file)
    for name, figure in drawn(file).items():
        FigureCanvasAgg(figure).draw()
        drawn_box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        assert min(drawn_box.x0, drawn_box.y0) >= -0.01, name
        assert drawn_box.x1 <= width + 0.01, name
        assert drawn_box.y1 <= height + 0.01, name


def test_curves_over_shares_of_labels_are_drawn_where_there_are_several(
    make_study: MakeStudy, write_cells: WriteCells
) -> None:
    file = make_study("label_fractions: [0.25, 1]\nbackends: [aer, fake_torino]\nseeds: [0, 1]")
    write_cells(file)
    figures = drawn(file)
    assert {"data-aer-labels", "data-fake-torino-labels", "data-0.25-fake-torino-roc"} <= set(figures)
    assert "0.25" in words(figures["data-aer-labels"])
    assert "simulated device" in words(figures["data-fake-torino-labels"])


def test_what_was_not_kept_is_not_drawn(make_study: MakeStudy, write_cells: WriteCells) -> None:
    file = make_study("seeds: [0]")
    write_cells(file)
    study, cells = load_study(file)
    results = collect(study, cells, file.parent / "runs" / study.name, progress=quietly)
    results.cells.to_csv(file.parent / "cells.csv", index=False)
    kept = read_results(study, cells, file.parent / "cells.csv")
    names = {name for name, _ in study_figures(study, kept, study_tables(study, kept, []))}
    assert names == {"data-aer-bars", "data-aer-radar"}


def test_twelve_models_look_different() -> None:
    models = [f"model{index}" for index in range(12)]
    look = Look(models)
    assert len({tuple(map(str, look.line(model).values())) for model in models}) == 12
