"""Which figures a study has, and what is drawn in each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pandas as pd
from matplotlib.figure import Figure

from hybridq.figures import models as figures
from hybridq.figures.models import Look
from hybridq.statistics.metrics import confusion_matrix
from hybridq.statistics.tasks import Task, task_named
from hybridq.studies.models.config import Study
from hybridq.studies.models.paired_tests import Setting, cells_in
from hybridq.studies.models.store import Results
from hybridq.studies.models.tables import SettingTable, frame
from hybridq.typing import IntArray


def study_figures(study: Study, results: Results, tables: Sequence[SettingTable]) -> Iterator[tuple[str, Figure]]:
    """Name and figure: of every setting bars, radar, ROC, confusion matrices; learning and label-fraction curves.

    Left out is what there is nothing to draw for: confusion matrices where images have several labels, curves without
    history, label-fraction curves of one fraction, and what needs predictions where they are missing.
    """
    look = Look(list(study.compared))
    predicted = {data: results.predicted(data) for data in study.data}
    for table in tables:
        setting, rows = table.setting, frame([table])
        cells = cells_in(results, setting)
        task = task_named(str(cells["task"].iloc[0]))
        classes = json.loads(str(cells["classes"].iloc[0]))
        name, title, rates = _slug(setting), str(setting), task.rates_of(classes)
        shares = [metric for metric in table.metrics if metric in task.shares]
        yield f"{name}-bars", figures.metric_bars(rows, shares, look, title, rates)
        yield f"{name}-radar", figures.radar(rows, shares, look, title, rates)
        yield from _of_predictions(results, setting, task, predicted[setting.data], look)
    everything = frame(tables)
    for setting in dict.fromkeys(
        replace(table.setting, backend="training", kind="validation images") for table in tables
    ):
        same = (results.cells["data"] == setting.data) & (results.cells["label_fraction"] == setting.label_fraction)
        cells = results.cells[same]
        history = results.history.merge(cells[["cell", "model", "seed"]].drop_duplicates(), on="cell")
        if len(history):
            curves = figures.learning_curves(history[history["stage"] == "finetune"], look, str(setting))
            yield f"{_slug(setting, backend=False)}-learning", curves
    if len(study.label_fractions) > 1:
        for (data, backend, kind), rows in everything.groupby(["data", "backend", "kind"], sort=False):
            setting = Setting(str(data), 1.0, str(backend), str(kind))
            if rows["label_fraction"].nunique() > 1:
                yield f"{_slug(setting)}-labels", figures.label_fraction_curves(rows, look, str(setting))


def _of_predictions(
    results: Results, setting: Setting, task: Task, predicted: dict[tuple[str, str], pd.DataFrame], look: Look
) -> Iterator[tuple[str, Figure]]:
    cells = cells_in(results, setting)
    curves: dict[str, list] = {}
    counts: dict[str, IntArray] = {}
    classes = json.loads(str(cells["classes"].iloc[0]))
    for model in look.models:
        for row in cells[cells["model"] == model].to_dict("records"):
            table = predicted.get((row["cell"], row["backend"]))
            if table is None:
                continue
            truth, decided, probabilities = task.read(table)
            curves.setdefault(model, []).append(figures.roc_of(task.against_rest(truth, probabilities)))
            if truth.ndim == 1:
                counts[model] = counts.get(model, 0) + confusion_matrix(truth, decided, len(classes))
    if curves:
        yield f"{_slug(setting)}-roc", figures.roc(curves, look, str(setting), task.rates_of(classes))
    if counts:
        yield f"{_slug(setting)}-confusion", figures.confusions(counts, classes, look, str(setting))


def _slug(setting: Setting, *, backend: bool = True) -> str:
    share = [] if setting.label_fraction == 1 else [f"{setting.label_fraction:g}"]
    where = ["".join(c if c.isalnum() else "-" for c in setting.backend)] if backend else []
    return "-".join([setting.data, *share, *where])
