"""hybridq data audit | split"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from hybridq.config import Data
    from hybridq.data.audit import Audit, Finding, Inspected, Loaded
    from hybridq.data.manifest import Manifest
    from hybridq.progress import Bars

Source = Annotated[str, typer.Argument(metavar="SOURCE", help="A source, such as padsd or folder:path=images.")]
Splits = Annotated[Path | None, typer.Option(help="A split manifest (CSV) in place of the source's splits.")]
Near = Annotated[
    float,
    typer.Option(
        "--near",
        metavar="CORRELATION",
        min=0.3,
        max=0.999,
        help="Whitened correlation above which two images are near duplicates.",
    ),
]
ShowNames = Annotated[
    bool,
    typer.Option("--show-names", help="Name files that cannot be used, on the terminal alone: names may be patients'."),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of splits that are drawn.")]
MARKS = {"leak": ("LEAK", "bold red"), "problem": ("problem", "yellow"), "note": ("note", "cyan")}


def audit(
    source: Source,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write a page that shows pairs of pictures.")
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write everything found as JSON.")] = None,
    splits: Splits = None,
    near: Near = 0.85,
    seed: Seed = 0,
    show_names: ShowNames = False,
) -> None:
    """Look for duplicates across splits, shortcuts and bad images; exit code 1 when a leak is found."""
    from functools import partial

    from hybridq.cli.console import announce, bars, name_files, names_of_unusable_files, working
    from hybridq.data.sources import load_manifest
    from hybridq.files import check_file, write_json

    for file in filter(None, (report, json)):
        check_file(file)
    with working("loading"):
        from hybridq.data.audit import assess, inspect, shared_test_set
    data = _data(source, splits)
    with names_of_unusable_files(show_names), bars() as progress:
        manifest = load_manifest(source, data, seed, as_released=True)
        seen = inspect(manifest, progress, threshold=near)
        load = partial(load_manifest, data=data, seed=seed, as_released=True)
        found = assess(seen, () if splits else shared_test_set(manifest, seen.facts, load, progress))
        loaded = None if splits else _as_loaded(source, seed, seen, progress)
    _print(found, manifest, splits)
    if show_names and seen.facts.unreadable:
        name_files([Path(manifest.table["path"].iloc[index]) for index in seen.facts.unreadable])
    if loaded is not None:
        _print_loaded(loaded)
    if json is not None:
        write_json(json, {"released": found.as_json(), "loaded": loaded.as_json() if loaded else None})
        announce(f"everything found: {json}")
    if report is not None:
        with working("drawing the page"):
            from hybridq.reports.audit_page import write_audit_page
        write_audit_page(report, found, seen, loaded)
        announce(f"pairs of pictures: {report}")
    if found.rejected:
        raise typer.Exit(1)


def split(
    source: Source,
    out: Annotated[Path, typer.Option(metavar="FILE.csv", help="The split manifest; with --folds one file a fold.")],
    folds: Annotated[int | None, typer.Option(min=3, help="K folds: part k for test, the next for validation.")] = None,
    fractions: Annotated[
        str | None, typer.Option(metavar="TRAIN,VALIDATION,TEST", help="Shares of the images, such as 0.7,0.15,0.15.")
    ] = None,
    near: Near = 0.85,
    seed: Seed = 0,
) -> None:
    """Draw new splits that keep patients and clusters of similar images together; use them with data.splits."""
    from hybridq.cli.console import announce, bars, working
    from hybridq.data.sources import load_manifest
    from hybridq.errors import UserError
    from hybridq.files import atomic_write, check_file

    check_file(out)
    if folds is not None and fractions is not None:
        raise UserError("--folds and --fractions are two ways to split; give one of them")
    shares = _fractions(fractions or "0.7,0.15,0.15")
    with working("loading"):
        from hybridq.data.audit import inspect
        from hybridq.data.audit.splitting import draw_folds, draw_splits
    with bars() as progress:
        manifest = load_manifest(source, _data(source, None), seed, as_released=True)
        clusters = inspect(manifest, progress, threshold=near).alike.clusters
    if folds is None:
        tables = {out: draw_splits(manifest, clusters, shares, seed)}
    else:
        drawn = draw_folds(manifest, clusters, folds, seed)
        tables = {out.with_name(f"{out.stem}_fold{k}{out.suffix}"): table for k, table in enumerate(drawn)}
    for path, table in tables.items():
        with atomic_write(path) as partial:
            table.to_csv(partial, index=False)
        counts = table["split"].value_counts()
        several = table.loc[table["cluster"] != "", "cluster"]
        announce(
            f"{path}: {', '.join(f'{counts[name]:,} {name}' for name in counts.index)}; {len(several):,} images in "
            f"{several.nunique():,} clusters (largest {several.value_counts().max() if len(several) else 0})"
        )
    announce(f"use it with data.splits: {next(iter(tables))}")


def _as_loaded(source: str, seed: int, seen: Inspected, progress: Bars) -> Loaded:
    """The data as they are trained on, or why they cannot be."""
    from hybridq.data.audit import Loaded, find_leaks, inspect, restrict
    from hybridq.data.sources import load_manifest
    from hybridq.errors import UserError

    try:
        manifest = load_manifest(source, _data(source, None), seed)
    except UserError as error:
        return Loaded(0, (), (), str(error))
    part = restrict(seen, manifest)
    if part is None:
        part = inspect(manifest, progress, threshold=seen.alike.threshold)
    return Loaded(len(manifest.table), manifest.notes, find_leaks(part))


def _data(source: str, splits: Path | None) -> Data:
    from hybridq.config import Data

    return Data(source=source, splits=None if splits is None else str(splits))


def _fractions(text: str) -> dict[str, float]:
    from hybridq.data.manifest import SPLITS
    from hybridq.errors import UserError

    try:
        shares = [float(part) for part in text.split(",")]
    except ValueError:
        shares = []
    if len(shares) != len(SPLITS) or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise UserError(f"--fractions {text}: three shares above 0 that sum to 1 are needed, such as 0.7,0.15,0.15")
    return dict(zip(SPLITS, shares, strict=True))


def _print(found: Audit, manifest: Manifest, splits: Path | None) -> None:
    from hybridq.cli.console import announce, console

    how = f"with the splits of {splits.name}" if splits else "as released"
    announce(f"{found.source} {how}: {found.images:,} images")
    if manifest.labelled:
        console.print(_counts(manifest))
    for finding in found.findings:
        _line(finding)
    announce("")
    _paragraph(
        f"Near duplicates are pairs with a whitened correlation above {found.threshold:g}; of {found.shuffled[1]:,} "
        f"images with shuffled blocks the search takes {found.shuffled[0]:.2%} for one"
        + (
            f"; {found.differ:.2%} of the pairs have different labels, of pairs at random {found.differ_expected:.0%}"
            if found.differ is not None
            else ""
        )
        + "."
    )
    if found.clusters:
        _paragraph(
            f"{found.clustered:,} images are in {found.clusters:,} clusters of images that are alike, the largest of "
            f"{found.largest:,}. Clusters are not patients."
        )
    announce(_verdict(how, len(found.leaks)))


def _print_loaded(loaded: Loaded) -> None:
    from hybridq.cli.console import announce

    announce("")
    if loaded.refused:
        _paragraph(f"hybridq cannot train on it: {loaded.refused}")
        return
    announce(f"as hybridq loads it: {loaded.images:,} images")
    for note in loaded.notes:
        _paragraph(f"- {note}", indent="  ")
    for finding in loaded.leaks:
        _line(finding)
    announce(_verdict("as hybridq loads it", len(loaded.leaks)))


def _verdict(how: str, leaks: int) -> str:
    if leaks:
        return f"verdict {how}: REJECTED, {leaks} kind{'s' if leaks > 1 else ''} of leak"
    return f"verdict {how}: no leak found"


def _counts(manifest: Manifest) -> Table:
    from rich import box
    from rich.table import Column, Table

    counts = manifest.counts()
    columns = [Column(str(name), justify="right") for name in counts.index]
    table = Table("class", *columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for name in counts.columns:
        table.add_row(str(name), *(f"{number:,}" for number in counts[name]))
    return table


def _line(finding: Finding) -> None:
    from rich.text import Text

    from hybridq.cli.console import console

    mark, style = MARKS[finding.weight]
    wrapped = Text(finding.sentence).wrap(console, max(30, console.width - 9))
    for number, line in enumerate(wrapped):
        console.print(Text(f"{mark if number == 0 else '':<9}", style=style) + line, soft_wrap=True)


def _paragraph(text: str, indent: str = "") -> None:
    from rich.text import Text

    from hybridq.cli.console import console

    for number, line in enumerate(Text(text).wrap(console, max(30, console.width - len(indent)))):
        console.print((Text(indent) if number else Text("")) + line, soft_wrap=True)
