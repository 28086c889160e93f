"""hybridq data list | show | download | audit | split"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hybridq.cli.data_audit import ShowNames, audit, split

if TYPE_CHECKING:
    from hybridq.data.manifest import Manifest
    from hybridq.data.sources.registry import Received, SourceInfo
    from hybridq.typing import Count

app = typer.Typer(help="The images: what there is, what is wrong with it, and new splits.", no_args_is_help=True)

app.command()(audit)
app.command()(split)

Source = Annotated[str, typer.Argument(metavar="SOURCE", help="A source, such as padsd or folder:path=images.")]


@app.command("list")
def list_sources() -> None:
    """List the sources, and whether their data are here."""
    from rich import box
    from rich.table import Table

    from hybridq.cli.console import announce, console
    from hybridq.data.sources import data_folder, source_infos

    table = Table("source", "what it is", "data", box=box.SIMPLE_HEAD, pad_edge=False)
    for info in source_infos():
        table.add_row(info.name, info.summary, _presence(info))
    console.print(table)
    folder = data_folder()
    announce(
        "HYBRIDQ_DATA_DIR is not set; it names the folder in which data sets are looked for."
        if folder is None
        else f"Data sets are looked for in {folder} (HYBRIDQ_DATA_DIR)."
    )


@app.command()
def show(
    source: Source,
    as_released: Annotated[
        bool, typer.Option("--as-released", help="As published: nothing removed, groups may cross splits.")
    ] = False,
    splits: Annotated[Path | None, typer.Option(help="A split manifest (CSV) in place of the source's splits.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of splits that the source does not bring.")] = 0,
    show_names: ShowNames = False,
) -> None:
    """Show what a source holds: images by class and split, groups, sizes, and what is known to be wrong."""
    from functools import partial

    from hybridq.cli.console import bars, names_of_unusable_files
    from hybridq.config import Data
    from hybridq.data.images.intensity import choose_range, describe, measure
    from hybridq.data.sources import load_manifest

    data = Data(source=source, splits=None if splits is None else str(splits))
    with names_of_unusable_files(show_names), bars() as progress:
        checking = partial(progress, "checking the images")
        manifest = load_manifest(source, data, seed, progress=checking, as_released=as_released)
        sizes = _sizes(manifest, partial(progress, "reading the sizes"))
        training = manifest.part("train")
        measured = measure(manifest, training, progress=partial(progress, "measuring intensities"))
    intensities = "unknown" if measured is None else describe(measured, choose_range("auto", measured))
    _print(manifest, sizes, intensities)


@app.command()
def download(source: Source) -> None:
    """Download a data set into HYBRIDQ_DATA_DIR; the same command continues a download that broke off."""
    from hybridq.cli.console import announce
    from hybridq.data.sources import download_source

    with _transfer() as (received, unpacked):
        place = download_source(source, received=received, progress=unpacked)
    announce(f"{place} is complete")


def _presence(info: SourceInfo) -> str:
    from hybridq.data.sources import data_folder

    if info.place is None:
        return "as path= says" if "path" in info.options else "none needed"
    folder = data_folder()
    place = None if folder is None else folder / info.place
    if place is not None and place.is_dir() and any(not path.name.startswith(".") for path in place.iterdir()):
        files = sorted(path.stem for path in place.glob("*.npz"))
        return f"here: {', '.join(files)}" if files else f"here, in {info.place}"
    return f"not in {info.place}" + ("; `download`" if info.downloadable else "")


def _print(manifest: Manifest, sizes: str, intensities: str) -> None:
    from rich.table import Column, Table

    from hybridq.cli.console import announce, console
    from hybridq.data.manifest import SPLITS

    counts, parts = manifest.counts(), manifest.table["split"].value_counts()
    columns = [Column(name, justify="right") for name in (*SPLITS, "in all")]
    table = Table("class", *columns, title=manifest.source)
    for name in counts.columns:
        table.add_row(name, *(f"{number:,}" for number in (*counts[name], counts[name].sum())))
    table.add_section()
    table.add_row("images", *(f"{parts.get(split, 0):,}" for split in SPLITS), f"{len(manifest.table):,}")
    console.print(table)
    grouped = manifest.table.loc[manifest.table["group"] != "", "group"]
    facts = {
        "task": str(manifest.task) if manifest.labelled else "none, the images have no labels",
        "groups": f"{grouped.nunique():,} × {manifest.groups}, {len(grouped):,} images" if len(grouped) else "none",
        "size": sizes,
        "range": intensities,
        "modality": ", ".join(sorted(set(manifest.table["modality"]) - {""})) or "unknown",
        "simulated": "yes" if manifest.simulated else "",
    }
    for name, value in facts.items():
        if value:
            announce(f"{name:<10}{value}")
    for note in manifest.notes:
        announce(f"- {note}")


def _sizes(manifest: Manifest, progress: Count) -> str:
    """The sides of the images; headers are read where the source does not know them."""
    from PIL import Image

    from hybridq.data.formats.silence import silent_decoders

    table = manifest.table
    sides = {(width, height) for width, height in zip(table["width"], table["height"], strict=True) if width}
    unknown = table.loc[(table["width"] == 0) & (table["path"] != ""), "path"]
    for done, path in enumerate(unknown, start=1):
        try:
            with silent_decoders(), Image.open(path) as image:
                sides.add(image.size)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            continue  # the audit names unreadable files
        if done % 1024 == 0 or done == len(unknown):
            progress(done, len(unknown))
    if not sides:
        return "unknown"
    if len(sides) == 1:
        return "{} × {} pixels".format(*sides.pop())
    widths, heights = zip(*sides, strict=True)
    return f"{min(widths)}–{max(widths)} × {min(heights)}–{max(heights)} pixels, {len(sides)} different"


@contextmanager
def _transfer() -> Iterator[tuple[Received, Count]]:
    """Bars of bytes received and of files unpacked on a terminal; nothing where the output goes to a file."""
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    from hybridq.cli.console import console

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[amount]}", markup=False),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console, disable=not console.is_terminal) as bars:
        download = bars.add_task("downloading", total=None, amount="")
        unpack = bars.add_task("unpacking", total=None, amount="", visible=False)

        def received(here: int, total: int) -> None:
            of = f" of {total / 1e6:.1f}" if total else ""
            bars.update(download, completed=here, total=total or None, amount=f"{here / 1e6:.1f}{of} MB")

        def unpacked(done: int, total: int) -> None:
            bars.update(unpack, completed=done, total=total, amount=f"{done:,} of {total:,} files", visible=True)

        yield received, unpacked
