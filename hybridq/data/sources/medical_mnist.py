"""Medical MNIST, 58,954 greyscale 64 × 64 images of six classes: ``medical_mnist``.

Source: github.com/apolanco3225/Medical-MNIST-Classification. The release has no splits and names no patients, and some
images are there several times.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from hybridq.data.manifest import COLUMNS, Manifest
from hybridq.data.sources.registry import Options, Received, Request, find_data, source
from hybridq.data.sources.support.duplicates import fingerprint_files
from hybridq.data.sources.support.layout import image_files
from hybridq.errors import UserError
from hybridq.typing import Count

PLACE: Final = "medical_mnist"
INSIDE: Final = "resized"
MODALITIES: Final = {
    "AbdomenCT": "CT",
    "BreastMRI": "MR",
    "CXR": "X-ray",
    "ChestCT": "CT",
    "Hand": "X-ray",
    "HeadCT": "CT",
}
CLASSES: Final = tuple(MODALITIES)


class MedicalMnistOptions(Options):
    path: str | None = None
    """Folder that holds ``resized``."""


def fetch(
    request: Request[MedicalMnistOptions], folder: Path, received: Received | None, progress: Count | None
) -> Path:
    """The release at the commit whose images this source was written for."""
    from hybridq.data.sources.support.releases import Release, download_release

    release = Release(
        repository="apolanco3225/Medical-MNIST-Classification",
        commit="a8942eefd6e75f8c34e88fcf2c41faa279aad346",
        folders=(INSIDE,),
        files=58_954,
        digest="3802d50bbda1e853e280f08960cd1faaee42d16d7b16be7ef1eb46a50feb5eb6",
        pixels=False,
    )
    download_release(release, folder / PLACE, received=received, progress=progress)
    return folder / PLACE


@source("medical_mnist", MedicalMnistOptions, place=PLACE, download=fetch)
def medical_mnist(request: Request[MedicalMnistOptions]) -> Manifest:
    """Medical MNIST, six kinds of 64 × 64 images.

    Copies of an image stay in one split. Splits are drawn; as released, copies are not looked for, so these leak.
    """
    table = _scan(request)
    notes = ["Medical MNIST names no patients: that the splits keep patients apart cannot be shown."]
    if request.as_released:
        notes.append("The release has no splits: these are drawn image by image.")
    else:
        pixels = pd.Series(fingerprint_files([Path(path) for path in table["path"]], progress=request.progress))
        copied = pixels.duplicated(keep=False)
        first = table["id"].groupby(pixels.to_numpy()).transform("min")
        table["group"] = first.where(copied, "")
        if copied.any():
            groups, surplus = pixels[copied].nunique(), int(pixels.duplicated().sum())
            notes.append(f"{groups} images are there more than once ({surplus} copies); each stays in one split.")
        notes.append("Similar images that are not pixel-identical were not removed (hybridq data audit finds them).")
    return Manifest(
        request.source,
        table,
        CLASSES,
        groups="family of copies" if (table["group"] != "").any() else "none",
        notes=tuple(notes),
        checked=False,
    )


def _scan(request: Request[MedicalMnistOptions]) -> pd.DataFrame:
    holds = f"the folder {INSIDE} of Medical MNIST, github.com/apolanco3225/Medical-MNIST-Classification,"
    root = find_data(request, request.options.path, PLACE, holds) / INSIDE
    rows = []
    for label, name in enumerate(CLASSES):
        folder = root / name
        if not folder.is_dir():
            raise UserError(f"{request.source}: {folder} does not exist; it is a folder of Medical MNIST")
        rows += [(f"{name}/{path.name}", str(path), label, "", "", MODALITIES[name]) for path in image_files(folder)]
    return pd.DataFrame(rows, columns=[*COLUMNS, "modality"])
