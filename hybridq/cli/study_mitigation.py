"""hybridq study mitigation"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hybridq.cli.options import Limit, RunArgument, Split, Stratified
from hybridq.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from hybridq.run_folder import RunFolder


def mitigation(
    run: RunArgument,
    backend: Annotated[
        str, typer.Option(help="Noisy backend: fake_torino, fake_torino:shots=1024, noise:…, …@noise, ibm_kingston.")
    ] = "fake_torino",
    split: Split = "test",
    limit: Limit = None,
    stratified: Stratified = False,
    training_images: Annotated[
        int | None,
        typer.Option(min=8, help="Training images on which the learned correction is fitted; 32 by default."),
    ] = None,
    learned_noise: Annotated[
        bool,
        typer.Option("--learned-noise", help="Compare PEA and PEC too, which rest on learned noise of gates."),
    ] = False,
) -> None:
    """Readout correction, zero-noise extrapolation, twirling and a learned correction: what each gains and costs.

    Writes mitigation.csv, record.json and figures/ into RUN/mitigation/. The same command continues a killed one. Of
    IBM hardware, evaluations that are on disk get the learned correction: one of the images, one with --split train.
    """
    from backends.names import parse_name
    from hybridq.cli.console import announce, working
    from hybridq.run_folder import open_run

    opened = open_run(run)
    with working("loading torch and qiskit"):
        import pandas as pd

        from hybridq.studies.mitigation.tables import RECORD, TABLE
    if parse_name(backend).kind == "ibm":
        given = {"--limit": limit, "--stratified": stratified or None, "--training-images": training_images}
        given["--learned-noise"] = learned_noise or None
        for option, value in given.items():
            if value is not None:
                raise UserError(f"{option}: evaluations of {backend} that are on disk are taken with all their images")
        folder = _on_hardware(opened, backend, split)
    else:
        folder = _simulated(opened, backend, split, limit, stratified, training_images, learned_noise)
    table = pd.read_csv(folder / TABLE)
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    with working("drawing"):
        draw(table, record, folder / "figures" / "mitigation.png")
    print_table(table, record)
    announce(f"results: {folder}")


def _simulated(
    run: RunFolder,
    backend: str,
    split: str,
    limit: int | None,
    stratified: bool,
    training_images: int | None,
    learned_noise: bool,
) -> Path:
    from hybridq.cli.console import announce, bars
    from hybridq.evaluation.inference import Inference
    from hybridq.results.selection import ImageChoice
    from hybridq.studies.mitigation.run import TRAINING_IMAGES, mitigate, plan_mitigation

    inference = Inference.of(run, ImageChoice(split, limit, stratified))
    images = training_images or TRAINING_IMAGES
    plan = plan_mitigation(inference, backend, training_images=images, learned_noise=learned_noise)
    if plan.finished:
        announce(f"{plan.backend.name}: on disk already ({plan.folder})")
    with bars() as progress:
        return mitigate(plan, progress=progress)


def _on_hardware(run: RunFolder, backend: str, split: str) -> Path:
    from hybridq.cli.console import bars
    from hybridq.evaluation.hardware_plan import complete_name
    from hybridq.studies.mitigation.correct_saved import mitigate_saved

    with bars() as progress:
        return mitigate_saved(run, complete_name(run, backend).canonical, split=split, progress=progress)


def draw(table: pd.DataFrame, record: dict[str, Any], path: Path) -> None:
    """The figure, unless it is there."""
    from hybridq.figures.mitigation import mitigation_figure
    from hybridq.figures.style import as_png
    from hybridq.files import atomic_write

    if not path.is_file():
        with atomic_write(path) as partial:
            partial.write_bytes(as_png(mitigation_figure(table, record["backend"], simulated=record["simulated"])))


def print_table(table: pd.DataFrame, record: dict[str, Any]) -> None:
    """Costs and errors of each method, so narrow that eighty columns hold it."""
    from rich import box
    from rich.table import Column, Table

    from hybridq.cli.console import announce, console

    several = f"{record['repetitions']} repetitions" if record["repetitions"] > 1 else "one experiment"
    drawn = "exact" if record["shots"] is None else several
    title = (
        f"{record['backend']} ({record['kind']}), {drawn}: {record['samples']:,} {record['split']} images "
        f"({record['selection']})"
    )
    columns = [Column(name, justify="right", no_wrap=True) for name in ("cost", "extra", "rms", "bias", "sd", "flips")]
    last = Column("change of AUC", justify="right", no_wrap=True)
    shown = Table("method", *columns, last, title=title, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for row in table.to_dict("records"):
        change = [_signed(row[f"auc_change{suffix}"]) for suffix in ("", "_low", "_high")]
        shown.add_row(
            row["method"],
            f"{row['circuits_multiplier']:g}×",
            str(row["extra_circuits"]),
            *(f"{row[name]:.4f}" for name in ("rms", "bias_rms", "sd")),
            f"{row['flips']:.1%}",
            f"{change[0]}\n[{change[1]}, {change[2]}]",
        )
    console.print(shown)
    announce(
        f"cost: executions an image; extra: circuits once; rms² = bias² + sd² of ⟨Z⟩ against noiseless; flips and "
        f"change of AUC against noiseless decisions (AUC {record['noiseless']['auc']:.3f})."
    )
    announce(
        f"The learned correction was fitted on {record['training_images']} training images; no evaluated image and no "
        f"label was used to fit anything."
    )


def _signed(value: float) -> str:
    text = f"{value:+.4f}".replace("-", "−")
    return "0.0000" if text[1:] == "0.0000" else text
