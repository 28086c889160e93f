"""hybridq predict"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from hybridq.cli.options import RunFolder


def predict(
    run: RunFolder,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="PNG, JPEG, TIFF or DICOM files.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Class and probability of images, computed on the noiseless simulator. Not for clinical use."""
    from hybridq.cli.console import working
    from hybridq.runs import open_run

    opened = open_run(run)
    with working("loading torch and qiskit"):
        from hybridq.cli.tables import print_frame
        from hybridq.evaluation.evaluate import predict_files
    predictions = predict_files(opened, images)
    if as_json:
        typer.echo(json.dumps(predictions.to_dict("records"), indent=2, ensure_ascii=False))
    else:
        print_frame(predictions, "Predictions (research software, not a medical device)")
