"""Synthetic coronary angiogram patches: ``synthetic:patients=60,patches=8,size=64``. Nothing is downloaded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from hybridq.data.manifest import COLUMNS, Manifest
from hybridq.data.sources.registry import Options, Request, source
from hybridq.data.sources.support.angiogram import Patient, draw_patch

CLASSES: Final = ("no narrowing", "narrowing")
DRAWING: Final = 1
"""Raised when the same options draw other pixels."""


class SyntheticOptions(Options):
    patients: Annotated[int, Field(ge=3, le=100_000)] = 60
    patches: Annotated[int, Field(ge=2, le=1000)] = 8
    """Patches of each patient, half of them with a narrowing."""
    size: Annotated[int, Field(ge=16, le=512)] = 64
    """Side in pixels at which patches are drawn."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Decides the images; the seed of the run decides the splits only."""


@source("synthetic", SyntheticOptions)
def synthetic(request: Request[SyntheticOptions]) -> Manifest:
    """Drawn angiogram patches, some with a narrowing.

    The narrowing is in the main vessel. Splits are drawn by synthetic patient.
    """
    options = request.options
    width = max(3, len(str(options.patients - 1)))
    rows = []
    for patient in range(options.patients):
        group = f"patient-{patient:0{width}}"
        for patch, narrowed in enumerate(_narrowed(options, patient)):
            rows.append((f"{group}/patch-{patch}", "", int(narrowed), group, ""))
    table = pd.DataFrame(rows, columns=list(COLUMNS)).assign(width=options.size, height=options.size)

    def read(rows: pd.DataFrame) -> Iterator[NDArray[np.uint8]]:
        return (_draw(options, name) for name in rows["id"])

    return Manifest(
        request.source,
        table,
        CLASSES,
        groups="synthetic patient",
        notes=("The images are synthetic: drawn by a program, not measured on patients.",),
        simulated=True,
        positive_by="the source",
        read=read,
        content=f"drawing {DRAWING}",
        checked=False,
    )


def _narrowed(options: SyntheticOptions, patient: int) -> NDArray[np.bool_]:
    """Which of a patient's patches have a narrowing; an odd one out has it for every other patient."""
    order = np.random.default_rng([options.seed, patient, 0]).permutation(options.patches)
    positives = (options.patches + patient % 2) // 2
    narrowed: NDArray[np.bool_] = order < positives
    return narrowed


def _draw(options: SyntheticOptions, name: str) -> NDArray[np.uint8]:
    patient, patch = (int(number) for number in re.findall(r"\d+", name))
    look = Patient.draw(np.random.default_rng([options.seed, patient, 1]))
    narrowed = bool(_narrowed(options, patient)[patch])
    rng = np.random.default_rng([options.seed, patient, 2, patch])
    return draw_patch(look, narrowed=narrowed, size=options.size, rng=rng)
