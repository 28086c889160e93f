"""Which figures a noise study has: of one run, or of several together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd
from matplotlib.figure import Figure

from backends.names import NOISELESS_BACKEND
from hybridq.figures import noise_curves as figures
from hybridq.figures import noise_maps as maps
from hybridq.statistics.tasks import task_named
from hybridq.studies.noise.cells import REFERENCE
from hybridq.studies.noise.config import NoiseStudy
from hybridq.studies.noise.run import StudiedRun
from hybridq.studies.noise.thresholds import DROPS


def noise_figures(
    studied: Sequence[StudiedRun], noise: pd.DataFrame, study: NoiseStudy
) -> Iterator[tuple[str, Figure]]:
    """Name and figure; ``noise`` is the table of the same runs. A run without a circuit has no figures of its own."""
    for device in study.devices:
        slug = "".join(c if c.isalnum() else "-" for c in device)
        about = f"{device} (simulated)"
        if len(studied) > 1:
            yield f"{slug}-models", figures.models_figure(noise, device, f"AUC under the noise of {about}")
            if noise["layers"].nunique() > 1:
                yield f"{slug}-layers", figures.layers_figure(noise, device, f"Depth under the noise of {about}")
        elif (noise["device"] == device).any():
            for name, figure in _of_one_run(studied[0], noise, study, device, about):
                yield f"{slug}-{name}", figure
    if len(studied) == 1 and (noise["source"] == "all").any():
        yield "devices", figures.devices_figure(noise, "One calibration against another (simulated)", DROPS)


def _of_one_run(
    one: StudiedRun, noise: pd.DataFrame, study: NoiseStudy, device: str, about: str
) -> Iterator[tuple[str, Figure]]:
    rates = task_named(one.run.task).rates_of(one.run.classes)
    yield "metrics", figures.metrics_figure(noise, device, f"All sources of {about}", rates)
    yield "sources", figures.sources_figure(noise, device, f"Change of AUC by source, {about}", DROPS)
    yield "heat", maps.heat_figure(noise, device, f"Sources × strengths, {about}")
    yield "decisions", figures.decisions_figure(noise, device, f"Decisions, {about}")
    yield "branch", figures.branch_figure(noise, device, f"Quantum branch, {about}")
    reference = next(saved for saved in one.cells if saved.cell == REFERENCE)
    chosen = {
        f"{saved.cell.scale:g}× the noise of {device}": saved
        for saved in one.cells
        if (saved.cell.device, saved.cell.source, saved.cell.shots) == (device, "all", None)
        and saved.cell.scale in maps.strengths_shown(noise, device)
        and saved.cell.layout == "best"
        and saved.cell.seed_transpiler is None
    }
    values = {name: saved.values for name, saved in chosen.items()}
    log_odds = {name: saved.log_odds for name, saved in chosen.items()}
    yield "qubits", maps.qubits_figure(reference.values, values, f"⟨Z⟩ of every image, {about}")
    yield "logits", maps.logits_figure(reference.log_odds, log_odds, f"Shift of the log-odds, {about}")
    if study.shots:
        yield "shots", maps.shots_figure(noise, [NOISELESS_BACKEND, device], f"Shots, {about}")
    if len(study.layouts) + len(study.seeds_transpiler) > 1 and not device.startswith("noise"):
        yield "placement", maps.placement_figure(noise, device, f"Placement on {about}")
