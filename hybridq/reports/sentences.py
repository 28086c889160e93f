"""Sentences of a report: what the run shows, and what it does not."""

from __future__ import annotations

from typing import Any

from hybridq.figures import evaluations as figures
from hybridq.reports.sections.results import Results
from hybridq.reports.sections.tasks import View
from hybridq.results.comparison import ComparedBackend
from hybridq.statistics.intervals import NO_DIFFERENCE, Interval, signed


def summary(results: list[Results], view: View) -> list[str]:
    """What the largest set of samples shows, a sentence for each backend."""
    if not results:
        return ["This run has not been evaluated yet: hybridq evaluate RUN --backend aer."]
    largest = results[0]
    reference = largest.evaluations[0]
    if largest.comparison is not None:
        reference = next(e for e in largest.evaluations if e.backend == largest.comparison.reference)
    metrics = reference.metrics
    of_groups = f" in {metrics['groups']} groups" if metrics["groups"] else ""
    found = ", ".join(f"{title} {with_interval(metrics['metrics'][name])}" for name, title in view.lead)
    what = f"{reference.images}{of_groups}"
    sentences = [f"On {what}, {figures.backend_label(reference)}: {found}."]
    point = None if largest.decisions is None else largest.decisions.point
    if point is not None:
        rates = next(p.rates for p in point.points if p.backend == reference.backend)
        negative, positive = view.classes
        sentences.append(
            f"At the threshold of {point.threshold.value:.3f} that validation images chose ({point.rule.text}): "
            f"sensitivity (of {positive}) {with_interval(rates['sensitivity'])}, specificity (of {negative}) "
            f"{with_interval(rates['specificity'])}."
        )
    if largest.comparison is not None:
        sentences += [_change_sentence(backend, metrics["n"]) for backend in largest.comparison.others]
        sentences += [r.sentence for r in largest.comparison.replacements if r.by == "mean"]
    return sentences


def limits(results: list[Results], data: dict[str, Any], qubits: int | None) -> list[str]:
    """What the numbers of this report do not show."""
    said = [
        "This is research software, not a medical device: nothing here may decide about a patient.",
        "Whether the quantum layer helps: its controls (a classical layer of the same width, a circuit without "
        "entanglement, a frozen random circuit, α = 0) are not part of this run.",
        "How much the result depends on chance in training: this is one seed, and the intervals cover the choice of "
        "test images only.",
    ]
    if qubits is not None:
        said.append(f"A quantum advantage: {qubits} qubit{'' if qubits == 1 else 's'} can be simulated on a laptop.")
    evaluations = [e for result in results for e in result.evaluations]
    if any((e.record.get("hardware") or {}).get("copies", 1) > 1 for e in evaluations):
        said.append(
            "Crosstalk: several copies of the circuit ran on one chip at once, and no noise model here has any; what "
            "it adds is in the rest of the error of ⟨Z⟩, together with everything else that no calibration shows."
        )
    if any(e.kind in {"simulated device", "noise model"} for e in evaluations):
        said.append(
            "How real hardware would do: simulated devices use stored calibrations or simple noise models, which are "
            "milder than live devices (no drift, no crosstalk)."
        )
    if data["simulated"]:
        said.append("Anything about patients: the images are synthetic.")
    elif data["groups"] == "none":
        said.append(
            "That no patient is in two splits: the source does not say which images belong to one patient. Results "
            "may be too good, and intervals too narrow."
        )
    positives = [e.metrics["positives"] for e in evaluations if e.metrics["positives"] is not None]
    if positives and min(positives) < 50:
        positive = data["classes"][1]
        said.append(f"Small differences in sensitivity: there are only {min(positives)} images of {positive}.")
    labels = {label["label"]: label["positives"] for e in evaluations for label in e.metrics.get("labels", [])}
    rare = [f"{name} ({count})" for name, count in labels.items() if count < 50]
    if rare:
        said.append(f"Small differences in labels with fewer than 50 positive images: {', '.join(rare)}.")
    return said


def with_interval(interval: Interval) -> str:
    """Value and 95 % interval, three decimals."""
    return f"{interval['value']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"


def _change_sentence(backend: ComparedBackend, samples: int) -> str:
    assert backend.changes is not None
    auc = backend.changes["auc"]
    verdicts = {figures.METRIC_TITLES[name]: backend.verdict(name) for name in backend.metrics}
    shown = [f"{title} is {verdict}" for title, verdict in verdicts.items() if verdict != NO_DIFFERENCE]
    verdict = ", ".join(shown) or f"{NO_DIFFERENCE} in any metric"
    return (
        f"{backend.backend} ({backend.kind}): {verdict} (AUC {signed(auc['value'])} [{signed(auc['low'])}, "
        f"{signed(auc['high'])}]); {backend.flipped} of {samples:,} decisions differ."
    )
