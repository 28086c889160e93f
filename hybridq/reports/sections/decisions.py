"""What a report says of decisions beyond the metrics: operating point, calibration, handing cases over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hybridq.figures.decisions import reliability, risk_by_coverage, top_of
from hybridq.figures.evaluations import backend_label
from hybridq.figures.style import Drawn, colour, css_name
from hybridq.results.evaluation import Evaluation
from hybridq.results.operating_points import operating_point
from hybridq.statistics.calibration import Calibration, calibration
from hybridq.statistics.operating_point import OperatingPoint, Rule, is_binary
from hybridq.statistics.risk_coverage import RiskCoverage, confidence_of, risk_coverage

COVERAGES_SHOWN = (1.0, 0.9, 0.8, 0.5)
"""Coverages in the table."""


@dataclass(frozen=True)
class Decisions:
    """Of the evaluations of one set of samples whose q was not replaced."""

    evaluations: list[Evaluation]
    colours: dict[str, str]
    """Of each backend."""
    point: OperatingPoint | None
    binary: bool
    negative: str
    positive: str
    """Names of two classes; of no meaning with more than two."""
    positives: int
    images: int
    calibrations: list[Calibration]
    reliability: Drawn
    curves: list[RiskCoverage]
    coverage: Drawn


def decisions(
    evaluations: Sequence[Evaluation],
    validation: dict[str, Evaluation],
    classes: Sequence[str],
    rule: Rule,
    name: str,
    seed: int,
) -> Decisions | None:
    """From saved evaluations of the same samples and those of validation images by backend; ``name`` is unique on the
    page. None where images may have several labels: each label would need a threshold and a calibration of its own."""
    series = [i for i, e in enumerate(evaluations) if e.intervention is None]
    shown = [evaluations[i] for i in series]
    if not shown or shown[0].labels.ndim != 1:
        return None
    binary = is_binary(shown[0].scored(seed))
    point = operating_point(shown, validation, rule, seed)
    threshold = None if point is None else point.threshold.value
    calibrations = [calibration(e.scored(seed)) for e in shown]
    curves = [_curve(e, threshold, seed) for e in shown]
    highest = max(float(np.nanmax(curve.high)) for curve in curves)
    predicted = f"“{classes[1]}”" if binary else "the class decided"
    return Decisions(
        evaluations=shown,
        colours={e.backend: css_name(colour(i)) for i, e in zip(series, shown, strict=True)},
        point=point,
        binary=binary,
        negative=classes[0],
        positive=classes[1],
        positives=int((shown[0].labels == 1).sum()),
        images=len(shown[0].ids),
        calibrations=calibrations,
        reliability=Drawn.of(
            reliability(shown, calibrations, predicted, series),
            f"{name}-reliability",
            f"Calibration: images by predicted probability of {predicted}, and what it came to.",
            "Calibration curves, predicted probability against the share of images: "
            + "; ".join(f"{backend_label(e)} {_bins(c)}" for e, c in zip(shown, calibrations, strict=True)),
        ),
        curves=curves,
        coverage=Drawn.of(
            risk_by_coverage(shown, curves, series),
            f"{name}-coverage",
            "Risk by coverage, with 95 % bands. From left to right more images are handed to a human."
            + (f" Where few are kept, bands reach {highest:.0%}, above the axis." if highest > top_of(curves) else ""),
            "Share of wrong decisions among the images that are kept: "
            + "; ".join(f"{backend_label(e)} {_kept(c)}" for e, c in zip(shown, curves, strict=True)),
        ),
    )


def _curve(evaluation: Evaluation, threshold: float | None, seed: int) -> RiskCoverage:
    """Of the decisions at the threshold where there is one, else of the most probable classes."""
    probabilities = evaluation.probabilities
    decided = probabilities.argmax(axis=1) if threshold is None else probabilities[:, 1] >= threshold
    sureness = confidence_of(probabilities, threshold)
    return risk_coverage(evaluation.scored(seed), decided != evaluation.labels, sureness)


def _bins(found: Calibration) -> str:
    return ", ".join(f"{b.predicted:.2f} came to {b.observed['value']:.2f}" for b in found.bins)


def _kept(curve: RiskCoverage) -> str:
    return ", ".join(f"{curve.at(share)['value']:.1%} of {share:.0%}" for share in COVERAGES_SHOWN)
