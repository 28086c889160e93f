"""hybridq study noise: what noise does to trained weights."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import pandas as pd

    from hybridq.studies.noise.run import StudiedRun

RunFolders = Annotated[list[Path], typer.Argument(metavar="RUN", help="Folders of finished runs, such as runs/NAME.")]
Config = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="What is varied, such as configs/studies/noise.yaml; default: what that has."),
]
Out = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Where several runs are put together; of one run by default RUN/noise."),
]


def noise(runs: RunFolders, config: Config = None, out: Out = None) -> None:
    """Sources and strengths of noise, shots, layouts, transpiler seeds and devices, on all test images, exactly.

    Writes noise.csv, qubits.csv, thresholds.csv, record.json and figures/. The same command continues a killed study.
    Everything is simulated.
    """
    from hybridq.cli.console import announce, bars, working
    from hybridq.errors import UserError
    from hybridq.files import check_folder
    from hybridq.run_folder import open_run
    from hybridq.studies.noise.config import load_noise_study

    study = load_noise_study(config)
    folders = list(dict.fromkeys(folder.resolve() for folder in runs))
    if len(folders) > 1 and out is None:
        raise UserError(f"--out is missing; name a folder for the tables and figures of {len(folders)} runs together")
    opened = [open_run(folder) for folder in folders]
    if out is not None:
        check_folder(out)
    with working("loading torch and qiskit"):
        from hybridq.studies.noise.run import study_run
        from hybridq.studies.noise.write import write_results
    studied = []
    started = time.perf_counter()
    try:
        with bars() as progress:
            for run in opened:
                one = study_run(run, study, progress=progress)
                own = out if out is not None and len(opened) == 1 else run.folder / "noise"
                seconds = time.perf_counter() - started
                tables = write_results([one], study, own, seconds=seconds, progress=progress)
                studied.append(one)
            if len(opened) > 1:
                assert out is not None
                seconds = time.perf_counter() - started
                tables = write_results(studied, study, out, seconds=seconds, progress=progress)
    except KeyboardInterrupt:
        announce("interrupted; the same command continues")
        raise
    _show(tables.noise, tables.thresholds, studied)
    announce(f"written: {out or opened[0].folder / 'noise'}")


def _show(cells: pd.DataFrame, thresholds: pd.DataFrame, studied: list[StudiedRun]) -> None:
    from rich.table import Column, Table

    from hybridq.cli.console import announce, console
    from hybridq.statistics.intervals import signed

    exact = cells[cells["shots"].isna() & cells["seed_transpiler"].isna() & (cells["layout"] == "best")]
    for run in dict.fromkeys(cells["run"]):
        own = exact[exact["run"] == run]
        auc = float(own[own["source"] == "none"]["auc"].iloc[0])
        bears = thresholds[thresholds["run"] == run]
        if not len(bears):
            continue
        title = f"{run}: AUC {auc:.3f} without noise, {int(own['images'].iloc[0]):,} images"
        table = Table(
            Column("device", no_wrap=True),
            Column("source", no_wrap=True),
            *("AUC\nat 1×", "differ\nat 1×", "AUC −0.01\nat strength", "AUC −0.05\nat strength"),
            title=title,
        )
        for (device, source), rows in bears.groupby(["device", "source"], sort=False):
            at = own[(own["device"] == device) & (own["source"] == source) & (own["scale"] == 1)].to_dict("records")
            change, flips = (signed(at[0]["auc_change"]), f"{at[0]['flip_rate']:.1%}") if at else ("–", "–")
            drops = [_strength(row) for row in rows.sort_values("drop").to_dict("records")]
            table.add_row(str(device), str(source), change, flips, *drops)
        console.print(table)
    announce(
        "Strengths are in multiples of a device's own noise, with 95 % intervals over images (or patients); "
        "above the largest one that was computed a drop is not reached."
    )
    for one in studied:
        by_device: dict[str, list[str]] = {}
        for what, why in one.left_out.items():
            by_device.setdefault(what.partition(":")[0], []).append(f"left out {what}: {why}")
        for first, *others in by_device.values():
            more = f" ({len(others)} more cells like it are in record.json)" if others else ""
            announce(f"{one.run.folder.name}: {first}{more}")


def _strength(row: dict[str, Any]) -> str:
    """``1.50 [1.20, >4]``; nothing but ``>4`` where no resample reaches the drop either."""
    value, low, high = (
        f">{row['largest_scale']:g}" if row[name] is None or math.isnan(row[name]) else f"{row[name]:.2f}"
        for name in ("strength", "low", "high")
    )
    return value if value == low == high else f"{value} [{low}, {high}]"
