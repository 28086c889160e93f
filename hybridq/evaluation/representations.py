"""Representations of evaluated images, and how stable they are under the augmentation family of stage 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from hybridq.config import Experiment
from hybridq.data.images.images import Images
from hybridq.data.images.transforms import augment, to_float
from hybridq.files import write_json
from hybridq.models import Classifier

STABILITY_IMAGES: Final = 128
"""So many are compared at most: two views of each are twice that many passes through the backbone."""
_HALF: Final = float(np.finfo(np.float16).max)


def representations(model: Classifier, h: Tensor, q: Tensor) -> dict[str, NDArray[Any]]:
    """What features.npz holds: ``h`` (N, d), ``q`` (N, Q) and, where the model fuses them, ``fused`` (N, d), h̃.

    ``h`` and ``fused`` in half precision (three digits, clipped to its range): for pictures, not to decide from.
    """
    fused = model.fused(h, q)
    found = {"h": _half(h), "q": q.float().numpy()}
    return found if fused is None else found | {"fused": _half(fused)}


def save_stability(folder: Path, model: Classifier, images: Images, experiment: Experiment) -> None:
    """stability.json: :func:`stability` of each representation under ``pretrain.augmentation``, and of how many images.

    Two views of up to ``STABILITY_IMAGES`` of the images are drawn with the run's seed; q is noiseless.
    """
    random = np.random.default_rng([experiment.seed, 3])
    chosen = np.sort(random.permutation(len(images))[:STABILITY_IMAGES])
    originals = to_float(images[chosen])
    generator = torch.Generator().manual_seed(experiment.seed)
    views = []
    for _ in range(2):
        with torch.inference_mode():
            h = model.features(augment(originals, experiment.pretrain.augmentation, generator))
            q = model.circuit(model.angles(h))
            views.append({"h": h, "q": q, "fused": model.fused(h, q)})
    first, second = views
    scores = {
        name: stability(a, b)
        for name, a in first.items()
        if a is not None and a.shape[1] and (b := second[name]) is not None
    }
    write_json(folder / "stability.json", {"images": len(chosen), "representations": scores})


def stability(first: Tensor, second: Tensor) -> dict[str, float | None]:
    """How much closer two views of an image are than views of two images, from features (N, d) of N ≥ 2 images.

    With the cosine similarity c, ``same`` is the mean of c(first_i, second_i), ``different`` the mean of
    c(first_i, second_j) over i ≠ j, and ``score = (same - different) / (1 - different)``: 1 where views of an image
    are equal, 0 where they are as far apart as those of two images; None where all images are equal. Dividing makes it
    comparable between representations whose values are all positive (h behind a ReLU) and those around 0 (q).
    """
    cosines = F.normalize(first.double(), dim=1) @ F.normalize(second.double(), dim=1).T
    count = len(cosines)
    same = float(cosines.diagonal().mean())
    different = float((cosines.sum() - cosines.trace()) / (count * (count - 1)))
    score = (same - different) / (1 - different) if 1 - different > 1e-6 else None
    return {"same": same, "different": different, "score": score}


def _half(values: Tensor) -> NDArray[np.float16]:
    return values.clamp(-_HALF, _HALF).half().numpy()
