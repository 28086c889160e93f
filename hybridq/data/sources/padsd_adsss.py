"""The LRSE-Net release of coronary angiography patches: A-DSSS (``adsss:fold=0`` … 4) and P-ADSD (``padsd``).

Source: github.com/eovallemagallanes/LRSE-Net, data of arXiv:2601.16608. Neither set names its patients.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import numpy as np
import pandas as pd
from pydantic import Field
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from hybridq.data.manifest import COLUMNS, SPLITS, Manifest
from hybridq.data.sources.registry import Options, Received, Request, find_data, source
from hybridq.data.sources.support.duplicates import fingerprint_files
from hybridq.data.sources.support.layout import image_files
from hybridq.errors import UserError
from hybridq.typing import Count

CLASSES: Final = ("negative", "positive")
PLACE: Final = "lrse_net"
RELEASE: Final = "the LRSE-Net release, github.com/eovallemagallanes/LRSE-Net"


class AdsssOptions(Options):
    fold: Annotated[int, Field(ge=0, le=4)] = 0
    """One of the release's five folds; all share one test set."""
    path: str | None = None
    """Folder that holds ``A-DSSS``."""


class PadsdOptions(Options):
    path: str | None = None
    """Folder that holds ``P-ADSD``."""


def fetch(request: Request, folder: Path, received: Received | None, progress: Count | None) -> Path:
    """Both sets of the release, at the commit whose images these sources were written for."""
    from hybridq.data.sources.support.releases import Release, download_release

    release = Release(
        repository="eovallemagallanes/LRSE-Net",
        commit="0aad5fcccdb0a02736296a8a1915e7e57e78be6f",
        folders=("A-DSSS", "P-ADSD"),
        files=42_904,
        digest="6f419341bc5e7e62b67605cf7b6f40055882e8c79c30acb70d4a81c549e8f3a5",
        pixels=True,
    )
    download_release(release, folder / PLACE, received=received, progress=progress)
    return folder / PLACE


@source("adsss", AdsssOptions, place=PLACE, download=fetch)
def adsss(request: Request[AdsssOptions]) -> Manifest:
    """LRSE-Net A-DSSS, coronary angiography patches.

    The fold's own folders; ``NAME_aug_NN.png`` are augmented copies of the training image ``NAME.png``.
    """
    root = _root(request, request.options.path, "A-DSSS")
    return _manifest(request, root, root / f"fold{request.options.fold}", "A-DSSS")


@source("padsd", PadsdOptions, place=PLACE, download=fetch)
def padsd(request: Request[PadsdOptions]) -> Manifest:
    """LRSE-Net P-ADSD, coronary angiography patches.

    Frames of 100 patients' videos, split by frame and renumbered by the release.
    """
    root = _root(request, request.options.path, "P-ADSD")
    return _manifest(request, root, root, "P-ADSD")


def _root(request: Request, path: str | None, name: str) -> Path:
    folder = find_data(request, path, PLACE, f"the folder {name} of {RELEASE},") / name
    if not folder.is_dir():
        raise UserError(f"{request.source}: {folder} does not exist; it is the folder {name} of {RELEASE}")
    return folder


def _manifest(request: Request, root: Path, folder: Path, name: str) -> Manifest:
    table = _scan(request, root, folder)
    no_patients = f"{name} names no patients: that its splits keep patients apart cannot be shown."
    if request.as_released:
        original = _originals(table)
        table["group"] = original.where(original.duplicated(keep=False), "")
        return Manifest(
            request.source,
            table,
            CLASSES,
            groups=_groups(table),
            notes=(no_patients,),
            positive_by="the release",
            checked=False,
        )
    pixels = pd.Series(fingerprint_files([Path(path) for path in table["path"]], progress=request.progress))
    original = _originals(table)
    family = _linked(original, pixels)
    keep, notes = _keep_apart(table, pixels, original, family)
    kept = table[keep].copy()
    relatives = family[keep]
    names = original[keep].groupby(relatives).transform("min")
    kept["group"] = names.where(relatives.duplicated(keep=False), "")
    return Manifest(
        request.source,
        kept,
        CLASSES,
        groups=_groups(kept),
        notes=(
            no_patients,
            *notes,
            "Similar images that are not pixel-identical were not removed (hybridq data audit finds them).",
        ),
        positive_by="the release",
        checked=False,
    )


def _groups(table: pd.DataFrame) -> str:
    return "family of copies" if (table["group"] != "").any() else "none"


def _scan(request: Request, root: Path, folder: Path) -> pd.DataFrame:
    rows = []
    for split in SPLITS:
        for label, name in enumerate(CLASSES):
            images = folder / split / name
            if not images.is_dir():
                raise UserError(f"{request.source}: {images} does not exist; it is a folder of {RELEASE}")
            rows += [(path.relative_to(root).as_posix(), str(path), label, "", split) for path in image_files(images)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _originals(table: pd.DataFrame) -> pd.Series:
    """The original of every image: itself, or for ``NAME_aug_NN.png`` the name without the ending.

    Training and validation positives are numbered together, the test set on its own.
    """
    stems = table["id"].str.replace(r"(_aug_\d+)?\.\w+$", "", regex=True)
    return stems.str.replace("/validation/", "/train/", regex=False)


def _linked(original: pd.Series, pixels: pd.Series) -> pd.Series:
    """A number for every image, equal for images linked by a chain of shared originals or identical pixels."""
    first, second = original.factorize()[0], pixels.factorize()[0] + original.nunique()
    nodes = original.nunique() + pixels.nunique()
    links = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(nodes, nodes))
    return pd.Series(connected_components(links, directed=False)[1][first])


def _keep_apart(
    table: pd.DataFrame, pixels: pd.Series, original: pd.Series, family: pd.Series
) -> tuple[np.ndarray, list[str]]:
    """Which rows may stay so that no family crosses splits; the test part always stays whole.

    A family with a test image leaves training and validation, one with a validation image leaves training.
    """
    split = table["split"]
    keep = np.ones(len(table), bool)
    notes = []
    for held_out, leaving in (("test", ("validation", "train")), ("validation", ("train",))):
        standing = (split == held_out) & keep
        for part in leaving:
            removed = (split == part) & keep & family.isin(family[standing])
            if not removed.any():
                continue
            same = int((removed & pixels.isin(pixels[standing])).sum())
            notes.append(_removal(part, held_out, same, int(removed.sum()) - same))
            keep &= ~removed.to_numpy()
    return keep, notes


def _removal(part: str, held_out: str, same: int, relatives: int) -> str:
    images = "1 image" if same + relatives == 1 else f"{same + relatives} images"
    also = f", {relatives} of the same originals or their augmented copies" if relatives else ""
    return f"{images} removed from {part}: {same} pixel-identical to {held_out} images{also}."
