"""Shortcuts: what tells the classes apart without looking at what is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hybridq.data.audit.facts import Facts
from hybridq.data.manifest import Manifest

FEATURES: Final = ("width", "height", "mean", "border")
MOST_PROBED: Final = 8000
"""Images, drawn at random, from which a larger set is probed."""
FOLDS: Final = 5
RESAMPLED: Final = 1000
LARGE: Final = 0.1
"""By how much the probe has to beat chance, at the low end of its interval, to be a shortcut worth a warning."""
MARKS: Final = {"border": "constant borders", "text": "bright pixels with hard edges, as burned-in text has them"}
APART: Final = 0.2
"""Difference between two classes in the share of images that have such marks."""
MARKED: Final = {"border": 0.02, "text": 0.002}
"""Share of the area from which an image has them."""


@dataclass(frozen=True)
class Probe:
    """How well width, height, mean intensity and border alone predict the class."""

    accuracy: float
    """Balanced over classes, cross-validated; images of one cluster or group are in one fold."""
    low: float
    high: float
    """95 % interval, bootstrap over clusters."""
    chance: float
    alone: dict[str, float]
    """The same for each feature alone."""
    images: int

    @property
    def warns(self) -> bool:
        return self.low > self.chance + LARGE


def probe(manifest: Manifest, facts: Facts, together: NDArray[np.int64]) -> Probe | None:
    """Train gradient boosting on the four numbers; ``together`` (N,) numbers images that stay in one fold.

    None where there is no single label an image, or a class has fewer than five independent images.
    """
    if not manifest.labelled or manifest.targets is not None:
        return None
    rng = np.random.default_rng(0)
    readable = np.flatnonzero(facts.readable)
    chosen = np.sort(rng.permutation(readable)[:MOST_PROBED])
    labels, groups = manifest.table["label"].to_numpy(np.int64)[chosen], together[chosen]
    present = np.unique(labels)
    if len(present) < 2 or min(len(np.unique(groups[labels == label])) for label in present) < FOLDS:
        return None
    features = np.column_stack([facts[name][chosen] for name in FEATURES]).astype(np.float64)
    right = _right(features, labels, groups)
    low, high = _interval(right, labels, groups, rng)
    alone = {
        name: _balanced(_right(features[:, [column]], labels, groups), labels)
        for column, name in enumerate(FEATURES)
        if np.ptp(features[:, column]) > 0
    }
    return Probe(_balanced(right, labels), low, high, 1 / len(present), alone, len(chosen))


def marks_by_class(manifest: Manifest, facts: Facts) -> dict[str, dict[str, float]]:
    """For borders and text: the share of each class's images that have them."""
    if not manifest.labelled or manifest.targets is not None:
        return {}
    labels, readable = manifest.table["label"].to_numpy(), facts.readable
    shares: dict[str, dict[str, float]] = {}
    for name, least in MARKED.items():
        has = facts[name] >= least
        shares[name] = {
            title: float(has[readable & (labels == label)].mean())
            for label, title in enumerate(manifest.classes)
            if (readable & (labels == label)).any()
        }
    return shares


def _right(features: NDArray[np.float64], labels: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which labels are predicted correctly by a model that has not seen them or their group."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedGroupKFold

    right = np.zeros(len(labels), bool)
    for fitted, held_out in StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0).split(features, labels, groups):
        model = HistGradientBoostingClassifier(
            max_iter=30, max_leaf_nodes=8, class_weight="balanced", early_stopping=False, random_state=0
        )
        model.fit(features[fitted], labels[fitted])
        right[held_out] = model.predict(features[held_out]) == labels[held_out]
    return right


def _balanced(right: NDArray[np.bool_], labels: NDArray[np.int64]) -> float:
    return float(np.mean([right[labels == label].mean() for label in np.unique(labels)]))


def _interval(
    right: NDArray[np.bool_], labels: NDArray[np.int64], groups: NDArray[np.int64], rng: np.random.Generator
) -> tuple[float, float]:
    _, owner = np.unique(groups, return_inverse=True)
    _, kind = np.unique(labels, return_inverse=True)
    seen, hits = np.zeros((owner.max() + 1, kind.max() + 1)), np.zeros((owner.max() + 1, kind.max() + 1))
    np.add.at(seen, (owner, kind), 1)
    np.add.at(hits, (owner, kind), right)
    count = len(seen)
    drawn = []
    for _ in range(RESAMPLED):
        weight = np.bincount(rng.integers(0, count, count), minlength=count)
        drawn.append(np.mean(weight @ hits / np.maximum(weight @ seen, 1)))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)
