"""The Fourier spectrum of the quantum layer as a figure of the report."""

from __future__ import annotations

from hybridq.figures.spectrum import read_spectrum, spectrum_figure, strength_by_order
from hybridq.figures.style import Drawn
from hybridq.run_folder import RunFolder


def spectrum_drawn(run: RunFolder) -> Drawn | None:
    """From surrogate/spectrum.csv of a run; None where it has none. Raises :class:`UserError` where it is damaged."""
    path = run.folder / "surrogate" / "spectrum.csv"
    if not path.is_file():
        return None
    table = read_spectrum(path)
    strengths = strength_by_order(table)
    words = "; ".join(
        f"{name} " + ", ".join(f"{value:.3f} in order {order}" for order, value in strengths[name].items())
        for name in strengths.columns
    )
    return Drawn.of(
        spectrum_figure(table),
        "spectrum",
        "The circuit as a sum of waves in its angles: how strong the terms of each order are.",
        f"Fourier spectrum of the quantum layer, rms strength of its terms by order: {words}.",
    )
