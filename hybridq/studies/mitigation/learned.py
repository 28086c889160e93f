"""A learned linear correction of ⟨Z⟩, fitted on training images whose noiseless values are known.

Clifford data regression (arXiv:2005.10189) with the trained circuit itself in place of circuits near Clifford ones:
with few qubits its noiseless values are known for every training image, and the circuits are those that will run.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.linear_model import RidgeCV

from hybridq.typing import FloatArray

_PENALTIES = np.logspace(-5, 2, 15)


def fit_correction(shown: FloatArray, noiseless: FloatArray) -> Callable[[FloatArray], FloatArray]:
    """z ↦ z + A z + c, fitted to give ``noiseless`` (M, Q) from ``shown`` (M, Q) on M training images.

    Ridge regression of the error: where the images say little, ⟨Z⟩ is left as it is. The penalty of each qubit is the
    one with the smallest leave-one-out error on the same images. From values of few shots this also learns to shrink
    towards the mean of the training images: a smaller error for more bias.
    """
    model = RidgeCV(alphas=_PENALTIES, alpha_per_target=shown.shape[1] > 1).fit(shown, noiseless - shown)

    def correct(values: FloatArray) -> FloatArray:
        return values + np.asarray(model.predict(values), dtype=np.float64).reshape(values.shape)

    return correct
