"""hybridq export"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hybridq.cli.options import RunArgument

if TYPE_CHECKING:
    import pandas as pd

    from hybridq.export.export import Exported, Written


def export(
    run: RunArgument,
    surrogate: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The quantum layer alone, as .safetensors or .pt2; runs without Qiskit."),
    ] = None,
    onnx: Annotated[
        Path | None, typer.Option(metavar="FILE.onnx", help="The whole classifier, images to probabilities.")
    ] = None,
    torch_export: Annotated[
        Path | None, typer.Option(metavar="FILE.pt2", help="The same for torch.export.load; runs without Qiskit.")
    ] = None,
    backend: Annotated[
        str, typer.Option(help="Whose exact values: aer, fake_torino, noise:…, fake_torino:scale=2.")
    ] = "aer",
    split: Annotated[str, typer.Option(help="On which images files are checked: train, validation or test.")] = "test",
    limit: Annotated[
        int | None, typer.Option(help="Check on that many images only, drawn with the run's seed.")
    ] = None,
) -> None:
    """Write the trained weights as files that run without Qiskit, each checked on the run's images first."""
    from hybridq.cli.console import announce, bars, working
    from hybridq.run_folder import open_run

    opened = open_run(run)
    with working("loading torch and qiskit"):
        from hybridq.export.export import Targets
        from hybridq.export.export import export as write
    targets = Targets(surrogate, onnx, torch_export)
    with bars() as progress:
        exported = write(opened, targets, backend=backend, split=split, limit=limit, progress=progress)
    if exported.layer is not None:
        fitted = exported.layer.surrogate
        announce(
            f"quantum layer on {exported.layer.backend}: {fitted.qubits} qubits, degree {fitted.degree} in each angle, "
            f"{fitted.terms:,} coefficients an observable"
        )
    if exported.spectrum is not None:
        _spectrum_table(exported.spectrum)
        announce(f"spectrum: {opened.folder / 'surrogate'}")
    for file in exported.files:
        announce(_line(exported, file))


def _line(exported: Exported, file: Written) -> str:
    from rich.filesize import decimal

    layer = exported.layer
    images = f"{len(exported.selection.ids):,} {exported.selection.split} images"
    if file.of == "expectations":
        said = f"⟨Z⟩ within {file.difference:.0e} of the exact engine's at the angles of {images}"
    else:
        by = f"an evaluation on {layer.backend}" if layer is not None and layer.simulated_noise else "hybridq predict"
        said = f"probabilities within {file.difference:.0e} of {by} on {images}, {file.changed} decided differently"
    return f"written: {file.path} ({decimal(file.path.stat().st_size)}), {said}"


def _spectrum_table(spectrum: pd.DataFrame) -> None:
    from rich.table import Column, Table

    from hybridq.cli.console import console
    from hybridq.figures.spectrum import IDEAL, strength_by_order

    strengths = strength_by_order(spectrum)
    columns = [Column(str(name), justify="right", overflow="fold") for name in strengths]
    table = Table("order", *columns, title=f"Strength of the terms of ⟨Z⟩ by order, under noise also in % of {IDEAL}")
    for order, row in strengths.iterrows():
        ideal = row[IDEAL]
        left = {name: f" {value / ideal:4.0%}" if ideal > 0 else "" for name, value in row.items() if name != IDEAL}
        table.add_row(str(order), *(f"{value:.4f}{left.get(name, '')}" for name, value in row.items()))
    console.print(table)
