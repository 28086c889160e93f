"""Tasks: what is true, what is decided, and predictions.csv as it is read again."""

from __future__ import annotations

from io import StringIO

import numpy as np
import pandas as pd
import pytest

from hybridq.errors import UserError
from hybridq.statistics.scored import Scored
from hybridq.statistics.tasks import TASKS, task_named

ROWS = pd.DataFrame(
    {"id": ["a", "b", "c", "d"], "group": ["g", "", "g", "h"], "split": "test", "label": [0, 2, 1, 2]},
    index=[7, 8, 9, 3],
).astype({"label": np.int8})
SAID = np.array([[0.6, 0.3, 0.1], [0.2, 0.3, 0.5], [0.5, 0.4, 0.1], [0.1, 0.6, 0.3]])


def labelled(count: int = 12) -> tuple[pd.DataFrame, np.ndarray]:
    """Four images with ``count`` labels, columns in the order of their names, and probabilities k / 100 of label k."""
    truth = np.array([[(row >> (k % 3)) & 1 for k in range(count)] for row in range(4)])
    columns = {f"true_{k}": truth[:, k] for k in sorted(range(count), key=str)}
    table = pd.DataFrame({"id": list("abcd"), "group": "", "split": "test", **columns})
    return table, np.tile(np.arange(count) / 100, (4, 1)) + 0.45


@pytest.mark.parametrize("name", ["binary", "multi-class", "ordinal"])
def test_predictions_of_classes_are_read_as_they_were_written(name: str) -> None:
    task = TASKS[name]
    assert task.truth(ROWS).dtype == np.int64
    written = task.predictions(ROWS, SAID)
    assert written.columns.tolist() == ["id", "group", "label", "predicted", "p_0", "p_1", "p_2"]
    truth, decided, probabilities = task.read(pd.read_csv(StringIO(written.to_csv(index=False))))
    assert (truth.tolist(), decided.tolist()) == ([0, 2, 1, 2], [0, 2, 0, 1])
    assert np.array_equal(probabilities, SAID)
    assert task.name_decisions(decided, ["well", "ill", "worse"]) == ["well", "worse", "well", "ill"]
    assert task.strata(truth).tolist() == [0, 2, 1, 2]


def test_predictions_of_labels_are_read_as_they_were_written_beyond_the_tenth() -> None:
    task = TASKS["multi-label"]
    rows, said = labelled()
    truth = task.truth(rows)
    assert truth.tolist() == [[(row >> (k % 3)) & 1 for k in range(12)] for row in range(4)]
    written = task.predictions(rows, said)
    assert written.columns.tolist() == [
        "id",
        "group",
        *(f"true_{k}" for k in range(12)),
        *(f"p_{k}" for k in range(12)),
    ]
    shuffled = written[sorted(written.columns)]
    read, decided, probabilities = task.read(shuffled)
    assert np.array_equal(read, truth)
    assert np.array_equal(probabilities, said)
    # Above one half, not at it: label 5 has exactly that probability.
    assert decided.tolist() == [[0] * 6 + [1] * 6] * 4
    assert task.name_decisions(np.array([[1, 0, 1], [0, 0, 0]]), ["a", "b", "c"]) == ["a, c", "none"]
    assert task.strata(truth).tolist() == [0, 0, 0, 0]


def test_auc_averages_over_the_positive_class_all_classes_or_the_labels_that_have_both() -> None:
    two = TASKS["binary"].against_rest(np.array([0, 1]), np.array([[0.9, 0.1], [0.3, 0.7]]))
    assert [(positive.tolist(), scores.tolist()) for positive, scores in two] == [([False, True], [0.1, 0.7])]
    three = TASKS["multi-class"].against_rest(np.array([0, 2, 1, 2]), SAID)
    assert [positive.tolist() for positive, _ in three] == [[label == c for label in (0, 2, 1, 2)] for c in range(3)]
    assert np.array_equal(np.stack([scores for _, scores in three], axis=1), SAID)
    truth = np.array([[1, 0, 1], [1, 1, 0]])
    (one, two_) = TASKS["multi-label"].against_rest(truth, np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]))
    assert (one[0].tolist(), one[1].tolist()) == ([False, True], [0.2, 0.5])
    assert (two_[0].tolist(), two_[1].tolist()) == ([True, False], [0.3, 0.6])


def test_images_that_allow_no_metrics_are_named() -> None:
    classes = ("well", "ill", "worse")
    task = TASKS["multi-class"]
    assert task.lacks(ROWS, classes) is None
    assert task.lacks(ROWS[ROWS["label"] == 2], classes) == "are all of one class"
    assert task.lacks(ROWS[ROWS["label"] != 1], classes) == "hold no image of ill"
    rows, _ = labelled(2)
    assert TASKS["multi-label"].lacks(rows, ("a", "b")) is None
    assert "alike in every label" in str(TASKS["multi-label"].lacks(rows.iloc[:1], ("a", "b")))


def test_grades_have_what_classes_have_and_their_distance_too() -> None:
    scored = Scored(np.array([0, 2, 1, 2]), SAID, None, ("well", "ill", "worse"), "test", 3)
    plain, graded = TASKS["multi-class"], TASKS["ordinal"]
    both = graded.evaluate(scored)["metrics"]
    assert list(both) == [*plain.evaluate(scored)["metrics"], "kappa", "mae"] == list(graded.metrics)
    assert both["mae"]["value"] == pytest.approx(2 / 4)
    changes = graded.changes(scored, np.eye(3)[scored.truth])
    assert (changes["mae"]["value"], changes["accuracy"]["value"]) == (pytest.approx(0.5), pytest.approx(-0.5))
    assert list(changes) == list(graded.metrics)


def test_a_task_of_another_name_is_refused_with_those_there_are() -> None:
    assert task_named("ordinal") is TASKS["ordinal"]
    with pytest.raises(UserError, match="unknown task 'guessing'; known: binary, multi-class, ordinal, multi-label"):
        task_named("guessing")
