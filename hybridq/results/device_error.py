"""The error of ⟨Z⟩ on a device: what shots, its noise model and the rest make of it, and what has to be said of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hybridq.results.evaluation import Evaluation, order
from hybridq.statistics.bootstrap import draw, group_codes


@dataclass(frozen=True)
class ErrorParts:
    """Mean squared error of ⟨Z⟩ from the noiseless values, over all samples and qubits, and what it is made of.

    ``total = shot_noise + predicted + rest``. With e = z − z_ideal and m = z_model − z_ideal, ``total`` is the mean of
    e², ``shot_noise`` the mean of the squared standard errors, ``predicted`` the mean of m². The ``rest`` is below 0
    where the device does better than its noise model, which mitigation makes possible.
    """

    model: str | None
    """Backend that is taken as the noise model of this device; None where it was not evaluated on these samples."""
    total: float
    shot_noise: float
    predicted: float | None
    rest: float | None
    rest_low: float | None
    rest_high: float | None
    """95 % interval of the rest, over the choice of samples (bootstrap)."""
    from_model: float | None
    """Mean of (z − z_model)² beyond the shot noise of both: near 0 where the device does what its model says."""


def noise_model(evaluation: Evaluation, others: Sequence[Evaluation]) -> Evaluation | None:
    """Of the other evaluations the one that simulates the device of this one: its calibration of the moment
    (``ibm_kingston@noise``) before the stored one (``fake_kingston``), the same repetition delay before another one,
    exact before sampled."""
    hardware = evaluation.record.get("hardware")
    if hardware is None:
        return None
    device = str(hardware["device"])
    names = (f"{device}@noise", device.replace("ibm_", "fake_", 1))
    plain = [e for e in sorted(others, key=order) if e.intervention is None and not _scaled(e)]
    found = [e for name in names for e in plain if _base(e) == name]
    delay = evaluation.record.get("options", {}).get("rep_delay_us")

    def rank(e: Evaluation) -> tuple[int, bool, bool]:
        return names.index(_base(e)), e.record.get("rep_delay_us") != delay, e.record.get("shots") is not None

    return min(found, key=rank, default=None)


def error_parts(evaluation: Evaluation, reference: Evaluation, model: Evaluation | None, seed: int = 0) -> ErrorParts:
    """Split the squared error of ⟨Z⟩; see :class:`ErrorParts`. All three are of the same samples."""
    rows = evaluation.rows_of(reference.ids)
    values = evaluation.values[rows]
    error, shot_noise = (values - reference.values) ** 2, evaluation.standard_errors[rows] ** 2
    if model is None:
        return ErrorParts(None, float(error.mean()), float(shot_noise.mean()), None, None, None, None, None)
    model_rows = model.rows_of(reference.ids)
    simulated, model_noise = model.values[model_rows], model.standard_errors[model_rows] ** 2
    predicted = (simulated - reference.values) ** 2 - model_noise
    apart = (values - simulated) ** 2 - shot_noise - model_noise
    rest = (error - shot_noise - predicted).mean(axis=1)
    codes = group_codes(reference.groups, len(rest))
    strata = reference.task.strata(reference.labels)
    drawn = np.concatenate([w @ rest / w.sum(axis=1) for w in draw(strata, codes, seed)])
    low, high = np.quantile(drawn, (0.025, 0.975))
    return ErrorParts(
        model=model.backend,
        total=float(error.mean()),
        shot_noise=float(shot_noise.mean()),
        predicted=float(predicted.mean()),
        rest=float(rest.mean()),
        rest_low=float(low),
        rest_high=float(high),
        from_model=float(apart.mean()),
    )


def device_sentences(hardware: dict[str, Any], simulated: bool) -> list[str]:
    """Who answered, which patches are suspect, what noise was learned, whether the device drifted: a sentence each."""
    said = []
    if simulated:
        said.append(
            f"{hardware['service']} answered, which is no service of IBM's: this is a simulated device, no measurement."
        )
    if hardware["copies"] > 1:
        suspect = [str(number) for number, patch in enumerate(hardware["patches"]) if patch.get("suspect")]
        what = f"suspect: {', '.join(suspect)}" if suspect else "none suspect by the reference images"
        said.append(
            f"{hardware['copies']} images ran at once, each on a patch of its own ({what}); crosstalk between patches "
            f"is in no noise model here."
        )
    if "layer_noise" in hardware:
        said.append(noise_sentence(hardware["layer_noise"]))
    if hardware["drift"] is not None:
        said.append(drift_sentence(hardware["drift"]))
    return said


def noise_sentence(noise: dict[str, Any]) -> str:
    """Where the noise is from that values are mitigated with, and how much of it is left."""
    origin = "for another evaluation, whose cost it is" if noise["reused"] else "for this evaluation"
    said = (
        f"Noise of {noise['layers']} layers of gates was learned {noise['learned']} by job {noise['job_id']}, {origin}"
    )
    if noise["left"] is None:
        return f"{said}; it was amplified and extrapolated (PEA)."
    left = f"{noise['left']:.0%} of it is left, since more shots were not allowed" if noise["left"] else "all of it"
    return f"{said}; it was cancelled (PEC), {left}."


def drift_sentence(drift: dict[str, float]) -> str:
    """How far the first chunk had moved when it was repeated at the end."""
    # The rms of n standard normal values is 1 ± 1/√(2n).
    drifted = drift["in_errors"] > 1 + 3 / np.sqrt(2 * drift["values"])
    verdict = f"drift, {drift['in_errors']:.1f} standard errors" if drifted else "no drift shown"
    return (
        f"Repeated at the end, the first job's ⟨Z⟩ had moved by {drift['rms']:.4f} rms, where shots alone give "
        f"{drift['shot_noise']:.4f}: {verdict}."
    )


def signed_sqrt(square: float | None) -> float | None:
    """The root of a mean square for reading, with the sign of the square."""
    return None if square is None else float(np.sign(square) * np.sqrt(abs(square)))


def _base(evaluation: Evaluation) -> str:
    return evaluation.backend.partition(":")[0]


def _scaled(evaluation: Evaluation) -> bool:
    return "scale=" in evaluation.backend
