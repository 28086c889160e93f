"""Samples per second of the loader, beside torchvision's, and what a training step waits for.

A sample is one image in two augmented views of SimCLR. Everything takes turns in one process.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.data.loaders import our_epoch, torchvision_epoch
from benchmarks.data.steps import shares_of_waiting
from benchmarks.quantum import machine
from benchmarks.quantum.timing import seconds_of
from hybridq.config import Augmentation, Data
from hybridq.data.images.cache import CACHE_DIR, open_images
from hybridq.data.images.images import Images
from hybridq.data.sources import load_manifest
from hybridq.data.sources.support.angiogram import Patient, draw_patch

SIZE, BATCH = 64, 128
FAMILY = Augmentation()
WORKERS = (0, 1, 2)
TARGET = 3.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data", description=__doc__)
    parser.add_argument("--folder", type=Path, help="class folders of images; the default is synthetic PNG files")
    parser.add_argument("--images", type=int, default=1024, help="synthetic images (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=15, help="epochs of each loader (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=12, help="training steps (default: %(default)s)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        os.environ[CACHE_DIR] = f"{temporary}/cache"
        folder = given.folder or _draw(Path(temporary) / "images", given.images)
        _report(folder, given.rounds, given.steps)


def _report(folder: Path, rounds: int, steps: int) -> None:
    console = Console()
    data = Data(source=f"folder:path={folder}", size=SIZE)
    images = open_images(load_manifest(data.source, data, seed=0), data)
    per_epoch = len(images) // BATCH * BATCH
    images = images.view(slice(per_epoch))
    where = machine.describe()
    versions = {name: where["versions"][name] for name in ("torch", "torchvision", "numpy")}  # type: ignore[index]
    console.print(f"{where['processor']}, {where['cores']} cores, {versions}", highlight=False, soft_wrap=True)
    cores = int(str(where["cores"]))
    epochs = {f"hybridq, {n} thread{'s'[: n > 1]}": our_epoch(images, BATCH, FAMILY, n) for n in sorted({1, cores})}
    for workers in WORKERS:
        name = f"torchvision, {workers} worker{'s'[: workers != 1]}"
        epochs[name] = torchvision_epoch(folder, SIZE, BATCH, FAMILY, workers)
    rates: dict[str, list[float]] = {name: [] for name in epochs}
    for turn in track(range(rounds + 1), "loading images"):
        for name in random.sample(list(epochs), len(epochs)):
            rate = per_epoch / seconds_of(epochs[name])
            if turn:  # workers start in the first
                rates[name].append(rate)
    table = Table("loader", "samples/s, median (quartiles)")
    for name, rate in rates.items():
        low, middle, high = statistics.quantiles(rate, n=4, method="inclusive")
        table.add_row(name, f"{middle:,.0f} ({low:,.0f}–{high:,.0f})")
    console.print(table)
    ours, theirs = (
        max(statistics.median(rate) for name, rate in rates.items() if name.startswith(who))
        for who in ("hybridq", "torchvision")
    )
    ratio = ours / theirs
    console.print(
        f"{per_epoch:,} images of {SIZE} × {SIZE} in two views, batches of {BATCH}; best against best {ratio:.1f} × "
        f"(target: {TARGET:g} ×, {'met' if ratio >= TARGET else 'missed'})",
        highlight=False,
        soft_wrap=True,
    )
    _report_waiting(console, images, cores, steps)


def _report_waiting(console: Console, images: Images, cores: int, steps: int) -> None:
    for threads in sorted({1, cores}):
        shares = shares_of_waiting(images, BATCH, FAMILY, threads, steps)
        low, middle, high = statistics.quantiles(shares, n=4, method="inclusive")
        console.print(
            f"MobileNetV2 under SimCLR, {threads} thread{'s'[: threads > 1]}: {middle:.1%} of a step "
            f"({low:.1%}–{high:.1%}) passes until its images are there",
            highlight=False,
            soft_wrap=True,
        )


def _draw(folder: Path, count: int) -> Path:
    """Synthetic patches as PNG files in two class folders."""
    for number in track(range(count), "drawing images"):
        kind = folder / ("narrow" if number % 2 else "wide")
        kind.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(number)
        patch = draw_patch(Patient.draw(rng), narrowed=bool(number % 2), size=SIZE, rng=rng)
        Image.fromarray(patch).save(kind / f"{number}.png")
    return folder


if __name__ == "__main__":
    main()
