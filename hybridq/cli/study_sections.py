"""What studies of noise and mitigation found in a run, as tables in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.table import Column, Table

from hybridq.cli.console import console

if TYPE_CHECKING:
    from hybridq.run_folder import RunFolder


def study_sections(run: RunFolder, backends: Sequence[str]) -> None:
    """On those of ``backends`` where it was studied: how much of their noise the run bears, and mitigation."""
    from hybridq.reports.sections.mitigation import mitigations
    from hybridq.reports.sections.noise import noise_results

    noise = noise_results(run)
    devices = {name.partition(":")[0] for name in backends}
    studied = [] if noise is None else [b for b in noise.borne if b.device.partition(":")[0] in devices]
    if noise is not None and studied:
        drops = [f"AUC lower by {drop:g} at" for drop in noise.drops]
        table = Table("device", "noise", *drops, title="strength of noise, times the calibration", box=box.SIMPLE_HEAD)
        for borne in studied:
            table.add_row(borne.device, borne.source, *borne.drops)
        console.print(table)
    for found in mitigations(run):
        if found.backend not in backends:
            continue
        numbers = [Column(name, justify="right") for name in ("executions", "bias", "scatter", "rms", "flips", "AUC")]
        title = f"mitigation on {found.backend}: errors of ⟨Z⟩, and decisions"
        table = Table("method", *numbers, title=title, box=box.SIMPLE_HEAD)
        for row in found.rows:
            errors = [f"{row[name]:.4f}" for name in ("bias_rms", "sd", "rms")]
            cost = f"{row['circuits_multiplier']:g}×"
            table.add_row(row["method"], cost, *errors, f"{row['flips']['value']:.1%}", f"{row['auc']['value']:.3f}")
        console.print(table)
