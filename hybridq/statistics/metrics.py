"""The seven metrics of Table 1 of arXiv:2601.16608, from labels and class probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import confusion_matrix as sklearn_confusion_matrix
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

from hybridq.errors import UserError
from hybridq.typing import FloatArray, IntArray

METRICS = ("accuracy", "auc", "f1", "precision", "recall", "sensitivity", "specificity")
"""The order of the paper's Table 1."""


def decide(probabilities: ArrayLike) -> IntArray:
    """The class of the highest probability, (N, C) -> (N,); the first one where two are equal."""
    return np.argmax(np.asarray(probabilities, dtype=np.float64), axis=1).astype(np.int64)


def confusion_matrix(labels: ArrayLike, predicted: ArrayLike, classes: int) -> IntArray:
    """Counts of shape (C, C): rows are true classes, columns are predicted ones."""
    counts = sklearn_confusion_matrix(np.asarray(labels), np.asarray(predicted), labels=list(range(classes)))
    return np.asarray(counts, dtype=np.int64)


def compute_metrics(labels: ArrayLike, probabilities: ArrayLike, *, split: str = "evaluated") -> dict[str, float]:
    """Accuracy, AUC, F1, precision, recall, sensitivity and specificity, each in [0, 1].

    ``labels`` has shape (N,) with values 0 … C-1, ``probabilities`` shape (N, C); the decision is the most probable
    class. F1, precision and recall are averaged over classes (macro); a class that is never predicted has precision and
    F1 of 0. With two classes AUC, sensitivity and specificity are those of the positive class, index 1; with more they
    are one-versus-rest and averaged over classes.

    Raises :class:`UserError` naming ``split`` when a class has no sample there, since AUC and sensitivity are then
    undefined, and ``ValueError`` when shapes do not fit or a probability is not a number.

    >>> compute_metrics([0, 0, 1, 1], [[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]])["accuracy"]
    0.75
    """
    y, p = checked(labels, probabilities, split=split)
    classes = p.shape[1]
    predicted = decide(p)
    confusion = confusion_matrix(y, predicted, classes)
    precision, recall, f1, _ = precision_recall_fscore_support(
        y, predicted, labels=list(range(classes)), average="macro", zero_division=0
    )
    true_positives = np.diag(confusion)
    sensitivity = true_positives / confusion.sum(axis=1)
    negatives = len(y) - confusion.sum(axis=1)
    specificity = (negatives - (confusion.sum(axis=0) - true_positives)) / negatives
    one_versus_rest = positive_classes(classes)
    return {
        "accuracy": float(true_positives.sum() / len(y)),
        "auc": float(np.mean([roc_auc_score(y == c, p[:, c]) for c in one_versus_rest])),
        "f1": float(f1),
        "precision": float(precision),
        "recall": float(recall),
        "sensitivity": float(np.mean(sensitivity[one_versus_rest])),
        "specificity": float(np.mean(specificity[one_versus_rest])),
    }


def positive_classes(classes: int) -> list[int]:
    """The classes that stand against the rest: only index 1 of two, each of more."""
    return [1] if classes == 2 else list(range(classes))


def checked(labels: ArrayLike, probabilities: ArrayLike, *, split: str) -> tuple[IntArray, FloatArray]:
    """``labels`` (N,) and ``probabilities`` (N, C) as arrays; raises as :func:`compute_metrics` does."""
    y = np.asarray(labels, dtype=np.int64)
    p = np.asarray(probabilities, dtype=np.float64)
    if y.ndim != 1 or p.ndim != 2 or len(y) != len(p) or p.shape[1] < 2:
        raise ValueError(f"labels {y.shape} and probabilities {p.shape} must have shapes (N,) and (N, C), C at least 2")
    if not np.isfinite(p).all():
        raise ValueError("a probability is not a finite number")
    if len(y) == 0:
        raise UserError(f"the {split} split is empty; metrics need at least one sample of every class")
    if y.min() < 0 or y.max() >= p.shape[1]:
        raise ValueError(f"labels must be 0 … {p.shape[1] - 1}, found {y.min()} … {y.max()}")
    missing = np.flatnonzero(np.bincount(y, minlength=p.shape[1]) == 0)
    if len(missing):
        what = "positives (class 1)" if p.shape[1] == 2 and missing[0] == 1 else f"samples of class {missing[0]}"
        raise UserError(f"the {split} split has no {what}; AUC, sensitivity and specificity need every class")
    return y, p
