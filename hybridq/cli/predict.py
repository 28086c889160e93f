"""hybridq predict"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hybridq.cli.options import RunArgument

if TYPE_CHECKING:
    from hybridq.data.decoding import Unreadable

MOST_LINES = 10
"""Of what is said about files one by one; a table has them all."""


def predict(
    run: RunArgument,
    images: Annotated[
        list[Path],
        typer.Argument(metavar="FOLDER|IMAGE...", help="PNG, JPEG, TIFF or DICOM files, or folders around them."),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Write the predictions there, whole or not at all.")
    ] = None,
    backend: Annotated[str, typer.Option(help="Simulated backend: aer, aer:shots=4096, fake_torino, noise:….")] = "aer",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Class and probabilities of images, by default on the noiseless simulator. Not for clinical use.

    A remark says where an image is unlike those trained on, or why a file cannot be used; then the exit code is 1.
    """
    from hybridq.cli.console import announce, bars, print_json, working
    from hybridq.errors import UserError
    from hybridq.files import atomic_write, check_file
    from hybridq.run_folder import open_run

    if out is not None:
        if as_json:
            raise UserError("--json prints the predictions and --out writes them as CSV; give one of them")
        check_file(out)
    opened = open_run(run)
    with working("loading torch and qiskit"):
        import pandas as pd

        from hybridq.cli.tables import print_frame
        from hybridq.data.images.images import all_readable
        from hybridq.evaluation.predict import UNUSABLE, Predictor, image_files
    files, others = image_files(images)
    predictor = Predictor(opened, backend)
    unreadable: list[Unreadable] = []
    remarks: list[tuple[str, str]] = []
    tables: list[pd.DataFrame] = []

    def note(table: pd.DataFrame, some: list[Unreadable]) -> None:
        unreadable.extend(some)
        said = zip(table.iloc[:, 0], table.iloc[:, -1], strict=True)
        remarks.extend((image, remark) for image, remark in said if remark and not remark.startswith(UNUSABLE))
        if len(unreadable) == len(files):
            list(all_readable(unreadable))

    with bars() as progress:
        if out is None:
            for predicted in predictor.predict(files, progress):
                tables.append(predicted.table)
                note(predicted.table, predicted.unreadable)
        else:
            with atomic_write(out) as partial:
                for number, predicted in enumerate(predictor.predict(files, progress)):
                    note(predicted.table, predicted.unreadable)
                    predicted.table.to_csv(partial, mode="a", header=number == 0, index=False)
    if out is None:
        table = pd.concat(tables, ignore_index=True)
        if as_json:
            print_json(table.astype(object).where(table.notna(), None).to_dict("records"))
        else:
            print_frame(table.iloc[:, :-1], "Predictions (research software, not a medical device)")
    if not as_json:
        _say(files, others, unreadable, remarks)
    if out is not None:
        announce(f"written: {out} ({len(files) - len(unreadable):,} images; research software, not a medical device)")
    if unreadable:
        raise typer.Exit(1)


def _say(files: list[Path], others: Counter[str], unreadable: list[Unreadable], remarks: list[tuple[str, str]]) -> None:
    from hybridq.cli.console import announce

    if others:
        counted = ", ".join(f"{count:,} × {ending}" for ending, count in others.most_common())
        announce(f"{others.total():,} other files were left out ({counted})")
    lines = [f"{image}: {remark}" for image, remark in remarks]
    for what, of in (
        (f"{len(remarks):,} of {len(files):,} images are unlike those trained on", lines),
        (f"{len(unreadable):,} of {len(files):,} files cannot be used", [str(file) for file in unreadable]),
    ):
        if of:
            announce(f"{what}:")
            for line in of[:MOST_LINES]:
                announce(f"  {line}")
            if len(of) > MOST_LINES:
                announce(f"  and {len(of) - MOST_LINES:,} more; column remark of --out names all")
