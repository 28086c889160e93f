"""hybridq init"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def init(
    images: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER|TABLE|SOURCE",
            help="A folder of images or DICOM files in a folder for each class, a CSV or Parquet file that lists them, "
            "or a source such as dicom:path=studies,labels=labels.csv.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.yaml", help="The configuration; default: NAME.yaml in this folder.")
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(help='Columns of the table by role, such as "{label: diagnosis, fold: ignore}" (data.columns).'),
    ] = None,
    positive: Annotated[str | None, typer.Option(help="The positive one of two classes (data.positive).")] = None,
) -> None:
    """Look at your images and write a commented configuration that trains on them as it is. Overwrites nothing."""
    from yaml import safe_dump

    from hybridq.cli.console import announce, bars, narrate, working
    from hybridq.config import parse_experiment
    from hybridq.errors import UserError
    from hybridq.files import atomic_write, check_file, write_text

    with working("loading"):
        from hybridq.training.proposal import name_for, propose, source_of
    name = name_for(images)
    file = out or Path(f"{name}.yaml")
    splits_file = file.with_name(f"{file.stem}_splits.csv")
    for path in (file, splits_file):
        check_file(path)
        if path.exists():
            raise UserError(f"{path}: exists already, and nothing is overwritten; --out names another file")
    given = {"source": source_of(images)} | ({} if positive is None else {"positive": positive})
    overrides = [] if columns is None else [f"data.columns={columns}"]
    data = parse_experiment(safe_dump({"name": name, "data": given}), overrides, where="hybridq init").data
    with bars() as progress:
        proposal = propose(data, name_for(str(file)), file, progress, splits_file=splits_file)
    parse_experiment(proposal.text, where=str(file))
    if proposal.splits is not None:
        with atomic_write(splits_file) as partial:
            proposal.splits.to_csv(partial, index=False)
    write_text(file, proposal.text)
    for sentence in proposal.said:
        narrate(sentence)
    for sentence in proposal.warnings:
        announce(f"warning: {sentence}")
    announce(f"written: {file}; next: hybridq train {file}")
