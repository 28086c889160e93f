"""Losses and decisions of tasks, against the formulas written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hybridq.errors import UserError
from hybridq.models.objectives import objective_of


def test_one_class_an_image_is_cross_entropy_over_softmax() -> None:
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.5]], dtype=torch.float64)
    labels = np.array([0, 2])
    for task in ("binary", "multi-class", "ordinal"):
        objective = objective_of(task)
        p = (logits.exp() / logits.exp().sum(dim=1, keepdim=True)).numpy()
        assert objective.probabilities(logits).numpy() == pytest.approx(p)
        assert float(objective.loss()(logits, objective.targets(labels))) == pytest.approx(
            -np.mean([np.log(p[0, 0]), np.log(p[1, 2])])
        )
        assert objective.decide(logits).tolist() == [0, 1]


def test_several_labels_an_image_are_binary_cross_entropies_over_sigmoids() -> None:
    objective = objective_of("multi-label")
    logits = torch.tensor([[2.0, -0.5], [-1.0, 0.0]], dtype=torch.float64)
    truth = np.array([[1, 0], [0, 1]], dtype=np.uint8)
    p = 1 / (1 + np.exp(-logits.numpy()))
    assert objective.probabilities(logits).numpy() == pytest.approx(p)
    expected = -np.mean(truth * np.log(p) + (1 - truth) * np.log(1 - p))
    assert float(objective.loss()(logits, objective.targets(truth))) == pytest.approx(expected, rel=1e-6)
    assert objective.decide(logits).tolist() == [[1, 0], [0, 0]]  # a probability of 0.5 is not above it


def test_weights_give_positives_and_negatives_of_a_label_the_same_say() -> None:
    truth = np.array([[1, 0, 1]] + [[0, 0, 1]] * 3, dtype=np.uint8)  # one of four, none, all
    objective = objective_of("multi-label")
    logits = torch.zeros(4, 3)
    targets = objective.targets(truth)
    weighted = objective.loss(targets)
    each = [float(weighted(logits[:, :], targets)), float(objective.loss()(logits, targets))]
    # 3 for the positive image of the first label, 1 for every other term, log 2 each.
    assert each == pytest.approx([np.log(2) * 14 / 12, np.log(2)])


def test_auc_is_the_mean_over_labels_that_have_both_sides() -> None:
    objective = objective_of("multi-label")
    truth = np.array([[1, 0, 0], [0, 0, 1], [1, 0, 0]], dtype=np.uint8)
    scores = np.array([[0.9, 0.2, 0.3], [0.1, 0.9, 0.2], [0.8, 0.5, 0.1]])
    assert objective.auc(truth, scores) == pytest.approx((1.0 + 0.5) / 2)
    objective.check(truth, "validation")
    with pytest.raises(UserError, match="split validation: no label has both positive and negative images"):
        objective.check(truth[:, 1:2], "validation")
