"""The Fourier spectrum of a run's quantum layer under one backend after the other, kept in the run folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from backends.record import versions
from hybridq.export.classifier import FittedLayer
from hybridq.figures.spectrum import read_spectrum, spectrum_figure
from hybridq.figures.style import as_png
from hybridq.files import atomic_write, write_json
from hybridq.quantum.surrogate import Surrogate, spectrum_of
from hybridq.run_folder import RunFolder

NEGLIGIBLE: Final = 1e-9
"""Terms of a smaller amplitude are not in spectrum.csv: rounding, or a frequency that the circuit does not have."""


def save_spectrum(run: RunFolder, layers: Sequence[FittedLayer]) -> pd.DataFrame:
    """Write ``surrogate/`` of the run: spectrum.csv, spectrum.png and record.json; returns the table.

    What is there of other backends stays, as long as it is of the same weights.
    """
    folder = run.folder / "surrogate"
    names = [layer.backend for layer in layers]
    tables = [spectrum_table(layer.backend, layer.surrogate) for layer in layers]
    digest = run.weights_digest
    if _digest_of(folder) == digest and (folder / "spectrum.csv").is_file():
        earlier = read_spectrum(folder / "spectrum.csv")
        tables.insert(0, earlier[~earlier["backend"].isin(names)])
    table = pd.concat(tables, ignore_index=True)
    with atomic_write(folder / "spectrum.csv") as partial:
        table.to_csv(partial, index=False)
    with atomic_write(folder / "spectrum.png") as partial:
        partial.write_bytes(as_png(spectrum_figure(table)))
    surrogate = layers[0].surrogate
    write_json(
        folder / "record.json",
        {
            "weights": digest,
            "qubits": surrogate.qubits,
            "degree": surrogate.degree,
            "terms": surrogate.terms,
            "backends": list(dict.fromkeys(table["backend"])),
            "left_out_below": NEGLIGIBLE,
            "versions": dict(versions()),
        },
    )
    return table


def spectrum_table(backend: str, surrogate: Surrogate) -> pd.DataFrame:
    """A row for each observable and frequency: ``⟨Z⟩ = Σ cosine cos(ω·u) + sine sin(ω·u)``.

    ``frequency`` is ω, a number for each angle, one of each pair ±ω; ``order`` is Σ|ω|, and ``amplitude`` that of both
    together. ``qubit`` counts from 0.
    """
    found = spectrum_of(surrogate)
    amplitudes = np.hypot(found.cosines, found.sines)
    qubits, terms = np.nonzero(amplitudes >= NEGLIGIBLE)
    return pd.DataFrame(
        {
            "backend": backend,
            "qubit": qubits,
            "frequency": [" ".join(map(str, found.frequencies[term])) for term in terms],
            "order": np.abs(found.frequencies).sum(axis=1)[terms],
            "amplitude": amplitudes[qubits, terms],
            "cosine": found.cosines[qubits, terms],
            "sine": found.sines[qubits, terms],
        }
    )


def _digest_of(folder: Path) -> str | None:
    try:
        return str(json.loads((folder / "record.json").read_text(encoding="utf-8"))["weights"])
    except (OSError, ValueError, KeyError):
        return None
