"""What depends on the task in a report: its words, and the figures behind the metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from matplotlib.figure import Figure

from hybridq.figures import evaluations as figures
from hybridq.figures.labels import label_metric
from hybridq.results.evaluation import Evaluation


@dataclass(frozen=True)
class Detail:
    """A figure, the word that names it within the page, the sentence under it, and what it shows in words."""

    figure: Figure
    kind: str
    caption: str
    alt: str


@dataclass(frozen=True)
class View:
    """How one task is shown."""

    classes: tuple[str, ...]
    noun: str
    """What ``classes`` are."""
    lead: tuple[tuple[str, str], ...]
    """The metrics of the first sentence: name, and how they are called there."""
    footnote: str
    """Under the table of metrics."""
    curve: str
    """End of the sentence under the ROC curves."""
    counts: str
    """Under the table of splits; empty where it explains itself."""
    title: str
    """Above the details."""
    details: Callable[[Sequence[Evaluation], Sequence[str]], list[Detail]]


def view_of(task: str, classes: Sequence[str]) -> View:
    """The view of a task with these classes or labels."""
    if task == "multi-label":
        return View(
            classes=tuple(classes),
            noun="labels",
            lead=(("auc", "AUC"), ("average_precision", "average precision"), ("accuracy", "accuracy")),
            footnote="Accuracy is the share of right decisions over images and labels, exact match the share of images "
            "with all labels right; the others are means over labels. A label is decided where its probability is "
            "above 0.5; an image of which any label is decided differently counts as a decision that flips.",
            curve=", averaged over labels",
            counts="Images that have the label: one with several counts for each, one without any for none.",
            title="By label",
            details=_labels,
        )
    binary = len(classes) == 2
    footnote = (
        "F1, precision and recall are macro-averaged."
        if binary
        else "All but accuracy are averages over classes (one-versus-rest)."
    )
    view = View(
        classes=tuple(classes),
        noun="classes",
        lead=(("accuracy", "accuracy"), ("auc", "AUC")),
        footnote=footnote,
        curve="" if binary else ", one-versus-rest, averaged over classes",
        counts="",
        title="Confusion matrices",
        details=_confusions,
    )
    return _graded(view) if task == "ordinal" else view


def _graded(view: View) -> View:
    return replace(
        view,
        noun="grades",
        lead=(*view.lead, ("kappa", "quadratic weighted kappa")),
        footnote="From AUC to specificity, values are averages over grades (one-versus-rest)."
        " Kappa is weighted by the square of the distance between grades: 1 at best, 0 by chance. The mean absolute "
        "error is in grades: 0 at best.",
    )


def _confusions(evaluations: Sequence[Evaluation], classes: Sequence[str]) -> list[Detail]:
    return [
        Detail(figures.confusion(e, classes, i), f"confusion{i}", "", _confusion_alt(e, classes))
        for i, e in enumerate(evaluations)
    ]


def _confusion_alt(evaluation: Evaluation, classes: Sequence[str]) -> str:
    cells = [
        f"{count} of true {true} as {predicted}"
        for true, row in zip(classes, evaluation.metrics["confusion"], strict=True)
        for predicted, count in zip(classes, row, strict=True)
        if count
    ]
    return f"Confusion matrix of {figures.backend_label(evaluation)}: {', '.join(cells)}."


def _labels(evaluations: Sequence[Evaluation], classes: Sequence[str]) -> list[Detail]:
    drawn = (
        ("auc", "AUC of each label; 0.5 is chance."),
        ("average_precision", "Average precision of each label; the short line is the share of positives, chance."),
    )
    return [
        Detail(
            label_metric(evaluations, name),
            f"label-{name.replace('_', '-')}",
            caption,
            f"{figures.METRIC_TITLES[name]} of each of {len(classes)} labels; the values are in the table below.",
        )
        for name, caption in drawn
    ]
