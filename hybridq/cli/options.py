"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run, such as runs/NAME.")]
Runs = Annotated[Path, typer.Option("--runs", help="Folder that holds the run folders.")]
Split = Annotated[str, typer.Option(help="Which part of the images: train, validation or test.")]
Limit = Annotated[int | None, typer.Option(help="Evaluate that many images only, drawn with the run's seed.")]
Stratified = Annotated[bool, typer.Option("--stratified", help="Draw --limit images with the split's class shares.")]
Yes = Annotated[bool, typer.Option("--yes", help="Submit to hardware after the cost has been shown.")]
