"""Tensors of images, and the medical augmentation family T (eq. 4-5 of arXiv:2601.16608) on whole batches."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from hybridq.config import UNCHANGED, Augmentation
from hybridq.data.images.images import Images
from hybridq.data.pixels import Pixels
from hybridq.errors import UserError

BLACK: Final = 1e-6
"""The lowest intensity before gamma, which is computed through the logarithm: half the time of a power."""


def to_float(images: Pixels) -> Tensor:
    """uint8 or uint16 (N, C, H, W) to float32 in [0, 1]: 255 or 65535 becomes 1."""
    return torch.from_numpy(images.astype(np.float32)).div_(np.iinfo(images.dtype).max)


def intensity_statistics(images: Images) -> tuple[float, float]:
    """Mean and standard deviation of all pixels of all channels, on the scale of [0, 1].

    Measure them on training images. Raises :class:`UserError` where all pixels are equal.
    """
    largest = np.iinfo(images.dtype).max
    histogram = np.zeros(largest + 1, np.int64)
    for some in images.chunks():
        histogram += np.bincount(some.reshape(-1), minlength=largest + 1)
    levels = np.arange(largest + 1) / largest
    mean = float(np.average(levels, weights=histogram))
    std = float(np.sqrt(np.average((levels - mean) ** 2, weights=histogram)))
    if std < 1e-6:
        raise UserError(
            f"all training images have the one intensity {round(mean * largest)}; there is nothing to learn"
        )
    return mean, std


def augment(images: Tensor, family: Augmentation, generator: torch.Generator) -> Tensor:
    """One random view of every image: float (N, C, H, W) in [0, 1], H = W, gives the same shape and range.

    Each image draws its own parameters, uniformly from the ranges of ``family``; the same state of ``generator`` gives
    the same views on the same kind of device: parameters are drawn on the generator's, everything else is done on the
    images'. Rotation, shear, scale, shift, crop and flips are composed to one affine map and sampled once,
    bilinearly, with reflected borders; then brightness, contrast, gamma, blur and noise, clipped to [0, 1].
    """
    if family == UNCHANGED:  # not even by the rounding of the resampling
        return images
    # What follows the resampling works in place: fresh memory costs more than the arithmetic.
    views = _resample(images, family, generator)
    views = _change_intensity(views, family, generator)
    if family.blur > 0:
        views = _blur(views, _uniform(len(views), (0, family.blur), generator))
    if family.noise > 0:
        spread = _uniform(len(views), (0, family.noise), generator).view(-1, 1, 1, 1)
        views.add_(_gaussian(views, generator).mul_(spread.to(views.device)))
    return views.clamp_(0, 1)


def _gaussian(views: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal noise, drawn where the views are: a GPU would wait for what a processor draws."""
    if views.device != generator.device:
        seed = int(torch.randint(2**62, (), generator=generator))
        generator = torch.Generator(views.device).manual_seed(seed)
    return torch.randn(views.shape, generator=generator, device=views.device)


def _uniform(count: int, bounds: tuple[float, float], generator: torch.Generator) -> Tensor:
    low, high = bounds
    return low + (high - low) * torch.rand(count, generator=generator)


def _resample(images: Tensor, family: Augmentation, generator: torch.Generator) -> Tensor:
    count = len(images)
    angle = _uniform(count, (-family.rotation_degrees, family.rotation_degrees), generator) * (math.pi / 180)
    shear = torch.tan(_uniform(count, (-family.shear_degrees, family.shear_degrees), generator) * (math.pi / 180))
    zoom = 1 / _uniform(count, family.scale, generator)
    crop = _uniform(count, family.crop_ratio, generator)
    # The image spans [-1, 1]: a shift of t sides is 2t, and the centre of a crop of ratio c can move by 1 - c.
    shift = 2 * _uniform(2 * count, (-family.translate, family.translate), generator).view(count, 2)
    centre = (1 - crop).unsqueeze(1) * _uniform(2 * count, (-1, 1), generator).view(count, 2)
    mirror = torch.ones(count, 2)
    if family.flips:
        mirror -= 2 * torch.randint(0, 2, (count, 2), generator=generator)

    cosine, sine = zoom * torch.cos(angle), zoom * torch.sin(angle)
    affine = torch.stack([cosine, cosine * shear - sine, sine, sine * shear + cosine], dim=1).view(count, 2, 2)
    # Output coordinates go through the crop first, then through the affine map to where the input is read.
    linear = affine * (crop.unsqueeze(1) * mirror).unsqueeze(1)
    offset = (affine @ centre.unsqueeze(2)).squeeze(2) + shift
    grid = _grid(linear.to(images.device), offset.to(images.device), images.shape[-1])
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _grid(linear: Tensor, offset: Tensor, size: int) -> Tensor:
    """Where each output pixel is read, (N, size, size, 2), x before y: a fifth of the time of ``F.affine_grid``."""
    axis = (2 * torch.arange(size, device=linear.device) + 1) / size - 1
    across = linear[:, :, 0].view(-1, 1, 1, 2) * axis.view(1, 1, size, 1)
    down = linear[:, :, 1].view(-1, 1, 1, 2) * axis.view(1, size, 1, 1) + offset.view(-1, 1, 1, 2)
    return across + down


def _change_intensity(views: Tensor, family: Augmentation, generator: torch.Generator) -> Tensor:
    count = len(views)
    brightness = _uniform(count, (-family.brightness, family.brightness), generator)
    contrast = 1 + _uniform(count, (-family.contrast, family.contrast), generator)
    gamma = _uniform(count, family.gamma, generator)
    brightness, contrast, gamma = (drawn.to(views.device) for drawn in (brightness, contrast, gamma))
    mean = views.mean(dim=(1, 2, 3))
    gain, lift = contrast.view(-1, 1, 1, 1), (mean * (1 - contrast) + brightness).view(-1, 1, 1, 1)
    views.mul_(gain).add_(lift).clamp_(BLACK, 1)
    return views if family.gamma == (1, 1) else views.log_().mul_(gamma.view(-1, 1, 1, 1)).exp_()


def _blur(views: Tensor, sigma: Tensor) -> Tensor:
    """A Gaussian blur of every image with its own ``sigma`` (N,) in pixels."""
    count, channels, height, width = views.shape
    radius = min(math.ceil(3 * float(sigma.max())), min(height, width) - 1)
    distance = torch.arange(-radius, radius + 1, dtype=views.dtype)
    kernel = torch.exp(-0.5 * (distance / sigma.clamp(min=1e-3).unsqueeze(1)) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).unsqueeze(1)
    kernel = kernel.repeat_interleave(channels, dim=0).to(views.device)
    planes = count * channels
    padded = F.pad(views.view(1, planes, height, width), (radius,) * 4, mode="reflect")
    rows = F.conv2d(padded, kernel.unsqueeze(2), groups=planes)
    return F.conv2d(rows, kernel.unsqueeze(3), groups=planes).view(count, channels, height, width)
