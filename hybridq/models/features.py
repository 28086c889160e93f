"""Features of a backbone that is not trained: computed once for the same images and weights, then mapped from disk.

They lie beside the decoded images, in :func:`hybridq.data.images.cache.cache_folder`, and can be deleted at any time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch.optim.swa_utils import update_bn

from hybridq.data.images.cache import CACHE_DIR, cache_folder
from hybridq.data.images.images import Images
from hybridq.data.images.transforms import to_float
from hybridq.errors import UserError
from hybridq.files import atomic_write
from hybridq.models.classifier import Classifier

BATCH: Final = 256
VERSION: Final = 1
"""Raised when the same images and weights give other features."""

Features = NDArray[np.float32]


def frozen_features(
    model: Classifier, backbone: str, images: Images, *, progress: Callable[[int, int], None] | None = None
) -> Features:
    """h (N, d) of images without augmentation, mapped from disk; computed in evaluation mode the first time.

    The name of the ``backbone``, its weights, the intensity statistics of the model and the pixels decide which
    features are found. Of two processes that start at once one computes and the other waits. They agree with those of
    other batch sizes, numbers of threads and devices to the rounding of single precision.

    Raises :class:`UserError` where the cache cannot be written; nothing is left then.
    """
    path = cache_folder() / "features" / f"{backbone}-{_key(model, backbone, images)}.npy"
    try:
        found = _open(path, len(images))
        if found is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_suffix(".lock")):
                found = _open(path, len(images))  # another process may have computed them meanwhile
                if found is None:
                    with atomic_write(path) as unfinished, unfinished.open("wb") as file:
                        np.save(file, compute_features(model, images, progress=progress).numpy())
                    found = np.load(path, mmap_mode="r")
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"{path.parent}: the features cannot be written ({reason}); {CACHE_DIR} can name another folder"
        ) from None
    return found


@torch.no_grad()
def compute_features(
    model: Classifier, images: Images, *, progress: Callable[[int, int], None] | None = None
) -> torch.Tensor:
    """h (N, d) of images without augmentation, the backbone in evaluation mode."""
    training = model.backbone.training
    model.backbone.eval()
    features = []
    for start in range(0, len(images), BATCH):
        features.append(model.features(to_float(images[start : start + BATCH])))
        if progress is not None:
            progress(min(start + BATCH, len(images)), len(images))
    model.backbone.train(training)
    return torch.cat(features)


def measure_batch_statistics(
    model: Classifier, images: Images, *, progress: Callable[[int, int], None] | None = None
) -> None:
    """Set the running statistics of the backbone's batch normalisation to those of these images.

    They lag behind weights that are random or were trained briefly, and through tens of layers that takes the features
    of a frozen backbone to nothing: MobileNetV2's at random to 1e-10.
    """

    def batches() -> Iterator[torch.Tensor]:
        for start in range(0, len(images) - 1, BATCH):  # a last batch of one has no statistics
            yield (to_float(images[start : start + BATCH]) - model.mean) / model.std
            if progress is not None:
                progress(min(start + BATCH, len(images)), len(images))

    update_bn(batches(), model.backbone)


def _open(path: Path, count: int) -> Features | None:
    """Finished features, or None where there are none or the file is damaged."""
    try:
        found: Features = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    return found if found.ndim == 2 and len(found) == count else None


def _key(model: Classifier, backbone: str, images: Images) -> str:
    # The content of images, not the name of their cache, which keeps its name when a file changes.
    digest = hashlib.sha256(repr((VERSION, backbone, images.shape, str(images.dtype))).encode())
    digest.update(np.array([float(model.mean), float(model.std)]).tobytes())
    for name, value in model.backbone.state_dict().items():
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    for some in images.chunks():
        digest.update(np.ascontiguousarray(some).data)
    return digest.hexdigest()[:32]
