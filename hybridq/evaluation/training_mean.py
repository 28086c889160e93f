"""q̄: the mean of q over the training images, what a decision knows of the circuit without seeing the image."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from hybridq.evaluation.images import features_of, images_of
from hybridq.files import write_json
from hybridq.models import Classifier
from hybridq.results.selection import choose_images, weights_digest
from hybridq.run_folder import RunFolder
from hybridq.typing import Progress

FILE = "q_training_mean.json"


def training_mean(run: RunFolder, model: Classifier, progress: Progress) -> tuple[NDArray[np.float64], int]:
    """q̄ (Q,) of the trained ``model``, and over how many images.

    All training images as they are, without augmentation, on the noiseless simulator (a control in the circuit's place
    is computed as it is). Computed once for the same weights and kept in the run folder. Raises :class:`UserError`
    where training images are no longer there.
    """
    weights = weights_digest(run)
    if (run.folder / FILE).is_file():
        kept = run.read_json(FILE)
        if kept["weights"] == weights:
            return np.array(kept["mean"], dtype=np.float64), int(kept["images"])
    images = images_of(run, choose_images(run, "train"), progress)
    h = features_of(run, model, images, progress, "features of training images")
    with torch.inference_mode():
        q = model.circuit(model.angles(h)).double()
    mean = q.mean(dim=0).numpy()
    write_json(run.folder / FILE, {"weights": weights, "images": len(images), "mean": mean.tolist()})
    return mean, len(images)
