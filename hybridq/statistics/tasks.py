"""What depends on the task when something is evaluated: truth, decision, metrics, tables. Loads no torch.

The loss and the probabilities of a task are in :mod:`hybridq.models.objectives`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridq.data.subsample import draw_by_class, draw_by_labels
from hybridq.errors import UserError
from hybridq.statistics import multilabel, multilabel_intervals, ordinal
from hybridq.statistics.intervals import EvaluatedMetrics, Interval, difference_intervals, metrics_with_intervals
from hybridq.statistics.metrics import METRICS, decide, positive_classes
from hybridq.statistics.scored import Scored
from hybridq.typing import FloatArray, IntArray


class Task(ABC):
    """How images of one task are evaluated.

    ``truth`` and decisions have shape (N,) where an image is of one class and (N, K) in {0, 1} where it may have
    several labels; probabilities have a column for each class or label.
    """

    metrics: ClassVar[tuple[str, ...]]
    """Names of the metrics, in the order in which they are shown."""
    shares: ClassVar[tuple[str, ...]]
    """Those in [0, 1] of which 1 is best, which can be drawn on one scale."""
    decision: ClassVar[str]
    """What a decision is called."""

    @abstractmethod
    def truth(self, rows: pd.DataFrame) -> IntArray:
        """From rows of splits.csv."""

    @abstractmethod
    def decide(self, probabilities: FloatArray) -> IntArray:
        """In the form of the truth."""

    @abstractmethod
    def strata(self, truth: IntArray) -> IntArray:
        """(N,): samples are resampled within each of these, so that no class is lost; all 0 where that has no sense."""

    @abstractmethod
    def against_rest(self, truth: IntArray, probabilities: FloatArray) -> list[tuple[NDArray[np.bool_], FloatArray]]:
        """Which samples are positive, and their scores, (N,) each, for every class or label that AUC averages over."""

    @abstractmethod
    def draw(self, rows: pd.DataFrame, limit: int) -> pd.DataFrame:
        """``limit`` of the rows, in which classes or labels are as frequent as in all; earlier ones are preferred."""

    @abstractmethod
    def lacks(self, rows: pd.DataFrame, classes: Sequence[str]) -> str | None:
        """Why no metrics can be computed for these rows of splits.csv, the end of a sentence; None where they can."""

    @abstractmethod
    def evaluate(self, scored: Scored) -> EvaluatedMetrics:
        """Return the content of metrics.json."""

    @abstractmethod
    def changes(self, scored: Scored, reference: FloatArray) -> dict[str, Interval]:
        """Return the change of each metric from ``reference`` (N, C) to what is scored, with paired intervals."""

    @abstractmethod
    def predictions(self, rows: pd.DataFrame, probabilities: FloatArray) -> pd.DataFrame:
        """predictions.csv: id, group, what is true, what was decided, and probabilities p_0, p_1, …"""

    @abstractmethod
    def read(self, table: pd.DataFrame) -> tuple[IntArray, IntArray, FloatArray]:
        """Truth, decisions and probabilities from predictions.csv; raises ``KeyError`` or ``ValueError``."""

    @abstractmethod
    def name_decisions(self, decided: IntArray, classes: Sequence[str]) -> list[str]:
        """The class, or the labels, of each image in words."""

    @abstractmethod
    def rates_of(self, classes: Sequence[str]) -> str:
        """Say in a sentence of which class sensitivity and specificity are."""


class OneOfClasses(Task):
    """Every image is of one class: the most probable one is decided."""

    metrics: ClassVar[tuple[str, ...]] = METRICS
    shares: ClassVar[tuple[str, ...]] = METRICS
    decision: ClassVar[str] = "class"

    def truth(self, rows: pd.DataFrame) -> IntArray:
        return rows["label"].to_numpy(np.int64)

    def decide(self, probabilities: FloatArray) -> IntArray:
        return decide(probabilities)

    def strata(self, truth: IntArray) -> IntArray:
        return truth

    def against_rest(self, truth: IntArray, probabilities: FloatArray) -> list[tuple[NDArray[np.bool_], FloatArray]]:
        return [(truth == c, probabilities[:, c]) for c in positive_classes(probabilities.shape[1])]

    def draw(self, rows: pd.DataFrame, limit: int) -> pd.DataFrame:
        return draw_by_class(rows, limit)

    def lacks(self, rows: pd.DataFrame, classes: Sequence[str]) -> str | None:
        present = set(rows["label"])
        if len(present) < 2:
            return "are all of one class"
        missing = [name for label, name in enumerate(classes) if label not in present]
        return f"hold no image of {', '.join(missing)}" if missing else None

    def evaluate(self, scored: Scored) -> EvaluatedMetrics:
        return metrics_with_intervals(*_given(scored), split=scored.split)

    def changes(self, scored: Scored, reference: FloatArray) -> dict[str, Interval]:
        return difference_intervals(
            scored.truth, scored.probabilities, reference, scored.groups, scored.seed, split=scored.split
        )

    def predictions(self, rows: pd.DataFrame, probabilities: FloatArray) -> pd.DataFrame:
        """Columns id, group, label, predicted, p_0, p_1, …"""
        table = rows[["id", "group", "label"]].reset_index(drop=True)
        table["predicted"] = self.decide(probabilities)
        return table.join(_numbered("p", probabilities))

    def read(self, table: pd.DataFrame) -> tuple[IntArray, IntArray, FloatArray]:
        labels, predicted = (table[name].to_numpy(dtype=np.int64) for name in ("label", "predicted"))
        return labels, predicted, _columns(table, "p").astype(np.float64)

    def name_decisions(self, decided: IntArray, classes: Sequence[str]) -> list[str]:
        return [classes[index] for index in decided]

    def rates_of(self, classes: Sequence[str]) -> str:
        if len(classes) == 2:
            return f"Sensitivity is of {classes[1]}, specificity of {classes[0]}."
        return "Sensitivity and specificity are means over classes."


class OrderedClasses(OneOfClasses):
    """Classes that are grades: trained and decided as classes, and judged by distance as well."""

    metrics: ClassVar[tuple[str, ...]] = (*METRICS, *ordinal.METRICS)

    def evaluate(self, scored: Scored) -> EvaluatedMetrics:
        result = super().evaluate(scored)
        result["metrics"] |= ordinal.intervals(*_given(scored), split=scored.split)
        return result

    def changes(self, scored: Scored, reference: FloatArray) -> dict[str, Interval]:
        return super().changes(scored, reference) | ordinal.difference_intervals(
            scored.truth, scored.probabilities, reference, scored.groups, scored.seed, split=scored.split
        )


class AnyOfLabels(Task):
    """An image may have any of the labels, or none."""

    metrics: ClassVar[tuple[str, ...]] = multilabel.METRICS
    shares: ClassVar[tuple[str, ...]] = multilabel.METRICS
    decision: ClassVar[str] = "labels"

    def truth(self, rows: pd.DataFrame) -> IntArray:
        return _columns(rows, "true").astype(np.int64)

    def decide(self, probabilities: FloatArray) -> IntArray:
        return multilabel.decide(probabilities)

    def strata(self, truth: IntArray) -> IntArray:
        return np.zeros(len(truth), dtype=np.int64)

    def against_rest(self, truth: IntArray, probabilities: FloatArray) -> list[tuple[NDArray[np.bool_], FloatArray]]:
        return [(truth[:, k] == 1, probabilities[:, k]) for k in multilabel.defined_labels(truth)]

    def draw(self, rows: pd.DataFrame, limit: int) -> pd.DataFrame:
        return rows.iloc[draw_by_labels(self.truth(rows), limit)]

    def lacks(self, rows: pd.DataFrame, classes: Sequence[str]) -> str | None:
        if len(multilabel.defined_labels(self.truth(rows))):
            return None
        return "are alike in every label: none has both positive and negative images"

    def evaluate(self, scored: Scored) -> EvaluatedMetrics:
        return multilabel_intervals.metrics_with_intervals(*_given(scored), names=scored.classes, split=scored.split)

    def changes(self, scored: Scored, reference: FloatArray) -> dict[str, Interval]:
        return multilabel_intervals.difference_intervals(
            scored.truth, scored.probabilities, reference, scored.groups, scored.seed, split=scored.split
        )

    def predictions(self, rows: pd.DataFrame, probabilities: FloatArray) -> pd.DataFrame:
        """Columns id, group, true_0, true_1, …, p_0, p_1, …"""
        table = rows[["id", "group"]].reset_index(drop=True)
        return table.join([_numbered("true", self.truth(rows)), _numbered("p", probabilities)])

    def read(self, table: pd.DataFrame) -> tuple[IntArray, IntArray, FloatArray]:
        probabilities = _columns(table, "p").astype(np.float64)
        return self.truth(table), self.decide(probabilities), probabilities

    def name_decisions(self, decided: IntArray, classes: Sequence[str]) -> list[str]:
        names = [[name for name, found in zip(classes, row, strict=True) if found] for row in decided]
        return [", ".join(found) or "none" for found in names]

    def rates_of(self, classes: Sequence[str]) -> str:
        return "Sensitivity and specificity are means over labels."


TASKS: dict[str, Task] = {
    "binary": OneOfClasses(),
    "multi-class": OneOfClasses(),
    "ordinal": OrderedClasses(),
    "multi-label": AnyOfLabels(),
}


def task_named(name: str) -> Task:
    """The task of this name in data.json and record.json; raises :class:`UserError`."""
    if name not in TASKS:
        raise UserError(f"unknown task {name!r}; known: {', '.join(TASKS)}")
    return TASKS[name]


def _given(scored: Scored) -> tuple[IntArray, FloatArray, tuple[str, ...] | None, int]:
    return scored.truth, scored.probabilities, scored.groups, scored.seed


def _numbered(prefix: str, columns: NDArray) -> pd.DataFrame:
    return pd.DataFrame(columns, columns=[f"{prefix}_{index}" for index in range(columns.shape[1])])


def _columns(table: pd.DataFrame, prefix: str) -> NDArray:
    """The columns ``prefix_0``, ``prefix_1``, … in this order, (N, K)."""
    names = [name for name in map(str, table.columns) if name.startswith(f"{prefix}_")]
    names.sort(key=lambda name: int(name.removeprefix(f"{prefix}_")))
    return table[names].to_numpy()
