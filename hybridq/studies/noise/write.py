"""The files of a noise study: tables, record and figures, each whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from backends.record import versions
from hybridq.figures.style import as_png
from hybridq.files import atomic_write, write_json
from hybridq.statistics.tasks import task_named
from hybridq.studies.noise.config import NoiseStudy
from hybridq.studies.noise.figures import noise_figures
from hybridq.studies.noise.run import StudiedRun
from hybridq.studies.noise.tables import Tables, tables_of


def write_results(
    studied: Sequence[StudiedRun],
    study: NoiseStudy,
    folder: Path,
    *,
    seconds: float,
    progress: Callable[[str, int, int], None],
) -> Tables:
    """noise.csv, qubits.csv, thresholds.csv, record.json and figures/ of these runs together.

    ``seconds`` is how long this call of the study took; a continued one counts its own time alone.
    """
    tables = tables_of(studied)
    for name, table in (("noise", tables.noise), ("qubits", tables.qubits), ("thresholds", tables.thresholds)):
        with atomic_write(folder / f"{name}.csv") as partial:
            table.to_csv(partial, index=False)
    drawn = 0
    for name, figure in noise_figures(studied, tables.noise, study):
        with atomic_write(folder / "figures" / f"{name}.png") as partial:
            partial.write_bytes(as_png(figure))
        drawn += 1
        progress("figures", drawn, drawn + 1)
    progress("figures", drawn, drawn)
    write_json(
        folder / "record.json",
        {
            "study": study.model_dump(mode="json"),
            "runs": [one.run.folder.name for one in studied],
            "cells": len(tables.noise),
            "simulated": True,
            "engine": "exact noisy engine; shots are drawn from its exact distribution of bit strings",
            "layouts": "best, median and worst of the patches grown from every working qubit of the device",
            "depth": "layers are those of the runs: a study over depth is a study of several runs",
            "left_out": {one.run.folder.name: one.left_out for one in studied if one.left_out},
            "rates": {one.run.folder.name: task_named(one.run.task).rates_of(one.run.classes) for one in studied},
            "versions": dict(versions()),
            "seconds": round(seconds, 1),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )
    return tables
