"""Image files to classes: a few hundred at a time, on the noiseless simulator or any other simulated backend."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from backends import open_backend
from backends.names import NOISELESS_BACKEND, parse_name
from hybridq.data.decoding import IMAGE_ENDINGS, Unreadable, as_sixteen_bits, decode_then
from hybridq.data.formats.dicom import looks_like_dicom
from hybridq.data.images.appearance import Appearance, fit_and_look, remarks
from hybridq.data.images.images import Images, all_readable, reporting
from hybridq.data.images.intensity import Intensity
from hybridq.data.images.parallel import map_in_order
from hybridq.data.images.transforms import to_float
from hybridq.data.pixels import DICOM_ENDINGS, File, Pixels
from hybridq.errors import UserError
from hybridq.evaluation.evaluate import expectations
from hybridq.evaluation.inference import circuit_of, circuit_weights
from hybridq.models.build import has_circuit, load_model
from hybridq.models.objectives import objective_of
from hybridq.run_folder import RunFolder
from hybridq.statistics.tasks import task_named
from hybridq.typing import Progress

BATCH: Final = 256
"""Images in memory at once, those that wait in decoding processes apart."""
UNUSABLE: Final = "cannot be used: "
"""How the remark of a file that cannot be read begins."""
REMARK: Final = "remark"
"""Column: why a file has no class, or how an image is unlike those trained on; mostly empty."""


@dataclass(frozen=True, eq=False)
class Predicted:
    """Some of the files."""

    table: pd.DataFrame
    """Columns image, class (or labels), a probability for each class or label, and last ``REMARK``. A file that cannot
    be read has a row with nothing but the reason."""
    unreadable: list[Unreadable]


class Predictor:
    """The trained model of a run on a simulated backend.

    Raises :class:`UserError` for hardware, and :class:`backends.errors.BackendError` for a backend that is not there or
    too small.
    """

    def __init__(self, run: RunFolder, backend: str = NOISELESS_BACKEND) -> None:
        name = parse_name(backend)
        if name.kind == "ibm":
            raise UserError(f"--backend {backend}: is hardware; predict is for simulated backends")
        experiment = run.experiment
        self._backend = open_backend(backend, seed=experiment.seed)
        # The model has the noiseless circuit in it, and what is classical is the same on every backend.
        within = name.canonical == NOISELESS_BACKEND or not has_circuit(experiment.model)
        self._compiled = None if within else self._backend.compile(circuit_of(run))
        self._model = load_model(run)
        self._data = experiment.data
        self._described = run.data_card
        self._range = Intensity.of_card(self._described).range
        self._classes = run.classes
        self._task = task_named(run.task)
        self._objective = objective_of(run.task)

    def predict(self, paths: Sequence[Path], progress: Progress) -> Iterator[Predicted]:
        """The files in order, up to ``BATCH`` of them at a time."""
        decode = partial(decode_then, partial(fit_and_look, size=self._data.size, channels=self._data.channels))
        files: list[File] = [(str(path), None) for path in paths]
        found = reporting(map_in_order(decode, files), len(files), partial(progress, "predicting"))
        at = 0
        while batch := list(islice(found, BATCH)):
            yield self._predicted(paths[at : at + len(batch)], batch)
            at += len(batch)

    def _predicted(self, paths: Sequence[Path], batch: list[tuple[Pixels, Appearance] | Unreadable]) -> Predicted:
        readable = [at for at, seen in enumerate(batch) if not isinstance(seen, Unreadable)]
        table = pd.DataFrame({"image": [str(path) for path in paths], self._task.decision: ""})
        probabilities = np.full((len(batch), len(self._classes)), np.nan)
        if readable:
            computed = self.probabilities([seen[0] for seen in batch if not isinstance(seen, Unreadable)])
            probabilities[readable] = computed
            decided = self._task.name_decisions(self._task.decide(computed), self._classes)
            table.loc[readable, self._task.decision] = decided
        said = [
            f"{UNUSABLE}{seen.reason}" if isinstance(seen, Unreadable) else "; ".join(remarks(seen[1], self._described))
            for seen in batch
        ]
        columns = pd.DataFrame(probabilities, columns=list(self._classes))
        table = pd.concat([table, columns, pd.DataFrame({REMARK: said})], axis=1)
        return Predicted(table, [seen for seen in batch if isinstance(seen, Unreadable)])

    def probabilities(self, images: Sequence[Pixels]) -> NDArray[np.float64]:
        """Of images (C, S, S) for the network, a column for each class or label."""
        deep = any(image.dtype == np.uint16 for image in images)
        pixels = np.stack([as_sixteen_bits(image) for image in images] if deep else list(images))
        pixels = Images(pixels).brought_to(self._range)[:]
        with torch.inference_mode():
            h = self._model.features(to_float(pixels))
            u = self._model.angles(h)
            if self._compiled is None:
                q = self._model.circuit(u)
            else:
                weights = circuit_weights(self._model)
                values, _, _ = expectations(self._backend, self._compiled, u.double().numpy(), weights)
                q = torch.as_tensor(values, dtype=h.dtype)
            return self._objective.probabilities(self._model.decide(h, q).double()).numpy()


def predict_files(run: RunFolder, paths: list[Path], backend: str = NOISELESS_BACKEND) -> pd.DataFrame:
    """Class and probabilities of image files: columns image, class, and one per class.

    Where an image may have several labels, the second column is ``labels``, and names those decided. Raises
    :class:`UserError` naming the files that cannot be read.
    """
    found = list(Predictor(run, backend).predict(paths, lambda *_: None))
    list(all_readable(file for some in found for file in some.unreadable))
    return pd.concat([some.table.iloc[:, :-1] for some in found], ignore_index=True)


def image_files(given: Sequence[Path]) -> tuple[list[Path], Counter[str]]:
    """The files of ``given``, and for folders the image files in and below them, in order of name.

    What begins with a dot and what macOS adds to archives is passed over. Other files of folders are counted by their
    ending. Raises :class:`UserError` for a folder without images.
    """
    files: list[Path] = []
    others: Counter[str] = Counter()
    for path in given:
        if not path.is_dir():
            files.append(path)
            continue
        inside = list(_files_below(path))
        images = [file for file in inside if _is_image(file)]
        if not images:
            raise UserError(
                f"{path}: holds no images; expected files that end in {', '.join(IMAGE_ENDINGS)}, or DICOM files"
            )
        files += images
        others.update(file.suffix.lower() or "no ending" for file in set(inside) - set(images))
    return files, others


def _files_below(folder: Path) -> Iterator[Path]:
    seen = set()
    for around, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(around)
        folders[:] = [] if real in seen else sorted(name for name in folders if _is_shown(name))
        if real not in seen:
            yield from (Path(around) / name for name in sorted(names) if _is_shown(name))
        seen.add(real)


def _is_shown(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"


def _is_image(file: Path) -> bool:
    ending = file.suffix.lower()
    if ending in (*IMAGE_ENDINGS, *DICOM_ENDINGS):
        return True
    if ending.strip(".0123456789"):
        return False
    try:  # DICOM files are often called by a number alone
        with file.open("rb") as opened:
            return looks_like_dicom(opened.read(132))
    except OSError:
        return False
