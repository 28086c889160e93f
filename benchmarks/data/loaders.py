"""Two augmented views of every image of an epoch: this project's batches, and torchvision's folder and loader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import transforms as T
from torchvision.datasets import ImageFolder
from torchvision.transforms import functional as TF

from hybridq.config import Augmentation
from hybridq.data.images.images import Images
from hybridq.training.batches import Batches

Epoch = Callable[[], object]


def our_epoch(images: Images, batch: int, family: Augmentation, threads: int) -> Epoch:
    """Both views of every batch, in this process."""
    batches = Batches(images, batch, family, seed=0, stage="benchmark")

    def epoch() -> None:
        torch.set_num_threads(threads)
        for step in range(len(batches)):
            for number in (0, 1):
                batches.view(0, step, number)

    return epoch


class TwoViews:
    """The same family with torchvision: each image on its own, as its tutorials and SimCLR's code do."""

    def __init__(self, family: Augmentation, size: int) -> None:
        low, high = family.crop_ratio
        degrees, shear = family.rotation_degrees, family.shear_degrees
        self._picture = T.Compose(
            [
                T.RandomAffine(
                    degrees,
                    (family.translate, family.translate),
                    family.scale,
                    (-shear, shear),
                    interpolation=T.InterpolationMode.BILINEAR,
                ),
                T.RandomResizedCrop(size, (low**2, high**2), (1.0, 1.0)),
                T.ColorJitter(brightness=family.brightness, contrast=family.contrast),
                _Gamma(family.gamma),
                T.PILToTensor(),
                T.ConvertImageDtype(torch.float32),
            ]
        )
        self._noise = family.noise

    def __call__(self, picture: Image.Image) -> tuple[Tensor, Tensor]:
        return self._view(picture), self._view(picture)

    def _view(self, picture: Image.Image) -> Tensor:
        view: Tensor = self._picture(picture)
        spread = self._noise * float(torch.rand(()))
        return view.add_(torch.randn(view.shape).mul_(spread)).clamp_(0, 1)


class _Gamma:
    def __init__(self, bounds: tuple[float, float]) -> None:
        self._bounds = bounds

    def __call__(self, picture: Image.Image) -> Image.Image:
        return TF.adjust_gamma(picture, float(torch.empty(()).uniform_(*self._bounds)))


def torchvision_epoch(folder: Path, size: int, batch: int, family: Augmentation, workers: int) -> Epoch:
    """Both views of every batch from ``ImageFolder`` and ``DataLoader``; workers stay alive between epochs."""
    dataset = ImageFolder(str(folder), TwoViews(family, size), loader=_grey)
    loader = DataLoader(
        dataset, batch, shuffle=True, num_workers=workers, persistent_workers=workers > 0, drop_last=True
    )

    def epoch() -> None:
        torch.set_num_threads(1)
        for _ in loader:
            pass

    return epoch


def _grey(path: str) -> Image.Image:
    with Image.open(path) as picture:
        return picture.convert("L")
