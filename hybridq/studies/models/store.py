"""What the cells of a study left, in three kinds of tables that can be committed and from which all else is rebuilt.

``cells.csv`` has a row a cell and backend, ``history.csv`` a row a cell and epoch, ``predictions/<data set>.parquet`` a
row a cell, backend and image, with the columns of predictions.csv, exactly.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from backends.names import parse_name
from hybridq.errors import UserError
from hybridq.files import atomic_write
from hybridq.results.evaluation import Evaluation, read_evaluations
from hybridq.run_folder import RunFolder
from hybridq.studies.models.config import Cell, Study, with_replaced_q
from hybridq.studies.models.run import check_same, failures, is_finished
from hybridq.typing import Progress

KEYS = ("cell", "model", "data", "label_fraction", "seed", "backend")


@dataclass(frozen=True)
class Results:
    """Tables of the finished cells, and which are not."""

    cells: pd.DataFrame
    """``KEYS``; what ran; costs; each metric as ``auc``, ``auc_low``, ``auc_high``; empty where unknown."""
    predictions: dict[str, pd.DataFrame] = field(default_factory=dict)
    """By data set; columns cell, backend and those of predictions.csv."""
    history: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Column cell and those of history.csv."""
    unfinished: tuple[str, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)
    """Why, by cell; none of them is in ``unfinished``."""

    def write(self, folder: Path) -> None:
        """Each file whole or not at all."""
        _csv(self.cells, folder / "cells.csv")
        _csv(self.history, folder / "history.csv")
        for data, table in self.predictions.items():
            with atomic_write(folder / "predictions" / f"{data}.parquet") as partial:
                table.to_parquet(partial, index=False, compression="zstd")

    def rounded(self, digits: int) -> Results:
        """With probabilities of so many decimals, in single precision: a fifth of the size for what is committed."""

        def shortened(table: pd.DataFrame) -> pd.DataFrame:
            columns = [str(name) for name in table if str(name).startswith("p_")]
            return table.assign(**{name: table[name].round(digits).astype(np.float32) for name in columns})

        return replace(self, predictions={data: shortened(table) for data, table in self.predictions.items()})

    def predicted(self, data: str) -> dict[tuple[str, str], pd.DataFrame]:
        """Predictions of a data set by cell and backend."""
        if data not in self.predictions:
            return {}
        groups = self.predictions[data].groupby(["cell", "backend"], observed=True, sort=False)
        return {(str(cell), str(backend)): table for (cell, backend), table in groups}


def collect(study: Study, cells: Sequence[Cell], root: Path, *, progress: Progress) -> Results:
    """Read the run folders of ``cells`` under ``root``.

    Raises :class:`UserError` where a folder holds a run with another configuration, or a damaged file.
    """
    rows: list[dict[str, Any]] = []
    predictions: dict[str, list[pd.DataFrame]] = {}
    histories: list[pd.DataFrame] = []
    missing = []
    for done, cell in enumerate(cells, 1):
        run = RunFolder(root / cell.name)
        check_same(run, cell)
        found = list(_evaluations(study, cell, run)) if is_finished(study, cell, root) else []
        kinds = {backend: evaluation.kind for _, model, backend, evaluation in found if model == cell.model}
        for name, model, backend, evaluation in found:
            identity = {"cell": name, "model": model, "backend": backend}
            rows.append(identity | _row(cell, run, evaluation) | {"kind": kinds[backend]})
            table = _predictions(evaluation)
            table.insert(0, "cell", name)
            table.insert(1, "backend", backend)
            predictions.setdefault(cell.data, []).append(table)
        if found:
            history = pd.read_csv(run.history)
            history.insert(0, "cell", cell.name)
            histories.append(history)
        else:
            missing.append(cell.name)
        progress("reading cells", done, len(cells))
    reasons = failures(root)
    failed = {name: reasons[name] for name in missing if name in reasons}
    return Results(
        pd.DataFrame(rows, columns=None if rows else list(KEYS)),
        {data: _compact(pd.concat(tables, ignore_index=True)) for data, tables in predictions.items()},
        pd.concat(histories, ignore_index=True) if histories else pd.DataFrame({"cell": []}),
        tuple(name for name in missing if name not in failed),
        failed,
    )


def read_results(study: Study, cells: Sequence[Cell], file: Path) -> Results:
    """Tables that :meth:`Results.write` left, from ``cells.csv`` and what lies beside it.

    Without predictions nothing can be tested. Raises :class:`UserError` for a file that is missing, damaged or of
    another study.
    """
    wanted = {name for cell in cells for name in _names(study, cell)}
    try:
        table = pd.read_csv(file, dtype=dict.fromkeys(("cell", "model", "data", "backend"), str))
        lacking = sorted({*KEYS, "auc"} - set(table.columns)) if len(table) else []
        predictions = {
            path.stem: pd.read_parquet(path) for path in sorted((file.parent / "predictions").glob("*.parquet"))
        }
        history = file.with_name("history.csv")
        curves = pd.read_csv(history) if history.is_file() else pd.DataFrame({"cell": []})
    except OSError as error:
        raise UserError(f"{file}: {(error.strerror or 'cannot be read').lower()}") from None
    except ValueError as error:
        raise UserError(f"{file}: is damaged ({' '.join(str(error).split())})") from None
    if lacking:
        raise UserError(f"{file}: has no column {', '.join(lacking)}; hybridq study table writes this file")
    strange = sorted(set(table["cell"]) - wanted)
    if strange:
        raise UserError(f"{file}: {strange[0]} is no cell of study {study.name}")
    finished = set(table["cell"])
    return Results(table, predictions, curves, tuple(cell.name for cell in cells if cell.name not in finished))


def _names(study: Study, cell: Cell) -> list[str]:
    replaced = study.interventions if cell.model == study.reference else ()
    return [cell.name, *(with_replaced_q(cell.name, by) for by in replaced)]


def _evaluations(study: Study, cell: Cell, run: RunFolder) -> Iterator[tuple[str, str, str, Evaluation]]:
    """Cell, model and backend of each evaluation of all images of the study's split; of several the newest.

    One with q replaced is a model of its own. With q at its training mean nothing depends on the backend: it stands
    beside each of them.
    """
    wanted = [parse_name(name).canonical for name in study.backends]
    newest: dict[tuple[str, str | None], Evaluation] = {}
    for evaluation in read_evaluations(run.folder):
        record, by, name = evaluation.record, None, evaluation.backend
        if evaluation.intervention is not None:
            by, name = evaluation.intervention["replace_q"], evaluation.intervention["backend"]
        if record["split"] != study.split or record["selection"] != "all" or evaluation.source is not None:
            continue
        key = (parse_name(name).canonical, by)
        if key not in newest or record["finished"] >= newest[key].record["finished"]:
            newest[key] = evaluation
    for (backend, by), evaluation in newest.items():
        if by is None:
            if backend in wanted:
                yield cell.name, cell.model, backend, evaluation
        elif by in study.interventions and cell.model == study.reference:
            for beside in wanted if by == "mean" else [name for name in wanted if name == backend]:
                yield with_replaced_q(cell.name, by), with_replaced_q(cell.model, by), beside, evaluation


def _row(cell: Cell, run: RunFolder, evaluation: Evaluation) -> dict[str, Any]:
    model, training, metrics = run.read_json("model.json"), run.read_json("training.json"), evaluation.metrics
    history = pd.read_csv(run.history)
    row = {
        "data": cell.data,
        "label_fraction": cell.label_fraction,
        "seed": cell.seed,
        "kind": evaluation.kind,
        "task": run.task,
        "classes": json.dumps(run.classes),
        "split": evaluation.record["split"],
        "images": metrics["n"],
        "groups": metrics["groups"],
        "circuit": (run.folder / "circuit.json").is_file(),
        "parameters": model["parameters"],
        "multiply_adds": model.get("multiply_adds"),
        "training_seconds": sum(training["seconds"].values()),
        "seconds_per_epoch": history.loc[history["stage"] == "finetune", "seconds"].mean(),
        "quantum_layer_share": training.get("quantum_layer", {}).get("share_of_step"),
        "epochs": training["epochs"],
    }
    for name, interval in metrics["metrics"].items():
        row |= {name: interval["value"], f"{name}_low": interval["low"], f"{name}_high": interval["high"]}
    return row


def _predictions(evaluation: Evaluation) -> pd.DataFrame:
    file = evaluation.folder / "predictions.csv"
    return pd.read_csv(file, dtype={"id": str, "group": str}, keep_default_na=False, float_precision="round_trip")


def _compact(table: pd.DataFrame) -> pd.DataFrame:
    """Names that repeat are kept once."""
    return table.astype(dict.fromkeys(("cell", "backend", "id", "group"), "category"))


def _csv(table: pd.DataFrame, path: Path) -> None:
    with atomic_write(path) as partial:
        table.to_csv(partial, index=False)
