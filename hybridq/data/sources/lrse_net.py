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

from hybridq.data.duplicates import fingerprint_files
from hybridq.data.manifest import COLUMNS, SPLITS, Manifest
from hybridq.data.sources.layout import image_files
from hybridq.data.sources.registry import Options, Request, find_data, source
from hybridq.errors import UserError

CLASSES: Final = ("negative", "positive")
RELEASE: Final = "the LRSE-Net release, github.com/eovallemagallanes/LRSE-Net"


class AdsssOptions(Options):
    fold: Annotated[int, Field(ge=0, le=4)] = 0
    """One of the release's five folds; all share one test set."""
    path: str | None = None
    """Folder that holds ``A-DSSS``."""


class PadsdOptions(Options):
    path: str | None = None
    """Folder that holds ``P-ADSD``."""


@source("adsss", AdsssOptions)
def adsss(request: Request[AdsssOptions]) -> Manifest:
    """A-DSSS: the fold's own folders; ``NAME_aug_NN.png`` are augmented copies of the training image ``NAME.png``."""
    root = _root(request, request.options.path, "A-DSSS")
    return _manifest(request, root, root / f"fold{request.options.fold}", "A-DSSS")


@source("padsd", PadsdOptions)
def padsd(request: Request[PadsdOptions]) -> Manifest:
    """P-ADSD: frames of 100 patients' videos, split by frame and renumbered by the release."""
    root = _root(request, request.options.path, "P-ADSD")
    return _manifest(request, root, root, "P-ADSD")


def _root(request: Request, path: str | None, name: str) -> Path:
    folder = find_data(request, path, "lrse_net", f"the folder {name} of {RELEASE},") / name
    if not folder.is_dir():
        raise UserError(f"{request.source}: {folder} does not exist; it is the folder {name} of {RELEASE}")
    return folder


def _manifest(request: Request, root: Path, folder: Path, name: str) -> Manifest:
    table = _scan(request, root, folder)
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
        groups="family of copies" if (kept["group"] != "").any() else "none",
        notes=(
            f"{name} names no patients: that its splits keep patients apart cannot be shown.",
            *notes,
            "Similar images that are not pixel-identical were not searched for.",
        ),
    )


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
