"""Training batches as a function of (seed, stage, epoch, step): nothing to restore when a training continues."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import torch
from torch import Tensor

from hybridq.config import Augmentation
from hybridq.data.images.images import Images
from hybridq.data.images.transforms import augment, to_float
from hybridq.training.randomness import derived_seed, generator_at

CPU: Final = torch.device("cpu")


class Batches:
    """Shuffled, augmented batches of images.

    A last batch of one image is left out, since batch normalisation cannot use it.
    """

    def __init__(self, images: Images, batch_size: int, family: Augmentation, *, seed: int, stage: str) -> None:
        self._images = images
        self._size = batch_size
        self._family = family
        self._seed = seed
        self._stage = stage
        whole, rest = divmod(len(images), batch_size)
        self.steps = whole + (rest > 1)
        self._order = lru_cache(maxsize=1)(self._order_of)

    def __len__(self) -> int:
        return self.steps

    def _order_of(self, epoch: int) -> Tensor:
        return torch.randperm(len(self._images), generator=generator_at(self._seed, self._stage, epoch, "order"))

    def indices(self, epoch: int, step: int) -> Tensor:
        """Positions of the images of this step, (B,)."""
        return self._order(epoch)[step * self._size : (step + 1) * self._size]

    def view(self, epoch: int, step: int, number: int = 0, *, device: torch.device = CPU) -> Tensor:
        """One augmented view of the images of this step, (B, C, H, W) in [0, 1] (eq. 5), made on ``device``."""
        images = to_float(self._images[self.indices(epoch, step).numpy()])
        return augment(
            images.to(device), self._family, generator_at(self._seed, self._stage, epoch, step, "view", number)
        )

    def seed_step(self, epoch: int, step: int) -> None:
        """Seed torch's global generator, which dropout draws from, for this step."""
        seed = derived_seed(self._seed, self._stage, epoch, step)
        if torch.accelerator.is_available():
            torch.manual_seed(seed)
        else:
            torch.default_generator.manual_seed(seed)  # the same, without its millisecond for devices that are absent
