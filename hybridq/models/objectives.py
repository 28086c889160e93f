"""What a classifier is trained for, by task: its loss, and what its logits say."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from hybridq.errors import UserError

Truth = NDArray[np.integer]
"""Labels (N,), or targets (N, K) in {0, 1} where an image has several labels."""


class Objective(ABC):
    """Loss, probabilities and decision of one task; logits have shape (N, C), a column for each class or label."""

    @abstractmethod
    def targets(self, truth: Truth) -> Tensor:
        """What the loss compares logits with."""

    @abstractmethod
    def loss(self, targets: Tensor | None = None) -> nn.Module:
        """The loss, averaged over images; with the ``targets`` of the training part, rare classes weigh more."""

    @abstractmethod
    def probabilities(self, logits: Tensor) -> Tensor:
        """In [0, 1], of the shape of the logits."""

    @abstractmethod
    def decide(self, logits: Tensor) -> Tensor:
        """In the form of ``targets``."""

    @abstractmethod
    def auc(self, truth: Truth, probabilities: NDArray[np.float64]) -> float:
        """Area under the ROC curve: of the positive class of two, else the mean over classes or labels."""

    @abstractmethod
    def check(self, truth: Truth, split: str) -> None:
        """Raise :class:`UserError` where :meth:`auc` is not defined on this split."""


class OneOfClasses(Objective):
    """Every image is of one class (eq. 14): softmax and cross-entropy."""

    def targets(self, truth: Truth) -> Tensor:
        return torch.tensor(truth, dtype=torch.int64)

    def loss(self, targets: Tensor | None = None) -> nn.Module:
        if targets is None:
            return nn.CrossEntropyLoss()
        counts = torch.bincount(targets)
        return nn.CrossEntropyLoss(len(targets) / (len(counts) * counts))

    def probabilities(self, logits: Tensor) -> Tensor:
        return logits.softmax(dim=1)

    def decide(self, logits: Tensor) -> Tensor:
        return logits.argmax(dim=1)

    def auc(self, truth: Truth, probabilities: NDArray[np.float64]) -> float:
        if probabilities.shape[1] == 2:
            return float(roc_auc_score(truth, probabilities[:, 1]))
        return float(roc_auc_score(truth, probabilities, multi_class="ovr", average="macro"))

    def check(self, truth: Truth, split: str) -> None:
        """A manifest has every class in every split."""


class AnyOfLabels(Objective):
    """An image may have any of the labels, or none: a sigmoid and binary cross-entropy for each of them."""

    def targets(self, truth: Truth) -> Tensor:
        return torch.tensor(truth, dtype=torch.float32)

    def loss(self, targets: Tensor | None = None) -> nn.Module:
        """Weighted, the positives of a label weigh as much in all as its negatives; one without positives is as is."""
        if targets is None:
            return nn.BCEWithLogitsLoss()
        positives = targets.sum(dim=0)
        weights = (len(targets) - positives) / positives
        return nn.BCEWithLogitsLoss(pos_weight=torch.where((positives > 0) & (weights > 0), weights, 1.0))

    def probabilities(self, logits: Tensor) -> Tensor:
        # In single precision, images whose logits differ little would be tied.
        return logits.double().sigmoid()

    def decide(self, logits: Tensor) -> Tensor:
        return (logits > 0).to(torch.float32)

    def auc(self, truth: Truth, probabilities: NDArray[np.float64]) -> float:
        labels = _with_both(truth)
        return float(np.mean([roc_auc_score(truth[:, k], probabilities[:, k]) for k in labels]))

    def check(self, truth: Truth, split: str) -> None:
        if not len(_with_both(truth)):
            raise UserError(f"split {split}: no label has both positive and negative images; its AUC is not defined")


def objective_of(task: str) -> Objective:
    """The objective of a manifest's task; ordinal classes are trained as classes."""
    return AnyOfLabels() if task == "multi-label" else OneOfClasses()


def _with_both(truth: Truth) -> NDArray[np.intp]:
    """Labels with positive and negative images."""
    return np.flatnonzero((truth == 1).any(axis=0) & (truth == 0).any(axis=0))
