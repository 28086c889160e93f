from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from hybridq.config import Augmentation
from hybridq.data.images.images import Images
from hybridq.data.images.transforms import augment, intensity_statistics, to_float
from hybridq.errors import UserError

IDENTITY = Augmentation(
    rotation_degrees=0,
    crop_ratio=(1, 1),
    translate=0,
    shear_degrees=0,
    scale=(1, 1),
    brightness=0,
    contrast=0,
    gamma=(1, 1),
    noise=0,
)

STRONG = Augmentation(
    rotation_degrees=90,
    crop_ratio=(0.3, 1),
    translate=0.5,
    shear_degrees=30,
    scale=(0.5, 2),
    brightness=0.8,
    contrast=0.9,
    gamma=(0.2, 4),
    noise=0.3,
    blur=3,
    flips=True,
)


def only(**ranges: object) -> Augmentation:
    """A family with one kind of change."""
    return IDENTITY.model_copy(update=ranges)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise_images(count: int = 8, size: int = 32) -> torch.Tensor:
    return torch.rand(count, 1, size, size, generator=seeded(99))


def smooth_images(count: int = 8, size: int = 32) -> torch.Tensor:
    """One bright disc, off the centre."""
    axis = (torch.arange(size) + 0.5) / size
    disc = torch.exp(-60 * ((axis - 0.65) ** 2 + ((axis - 0.4) ** 2).unsqueeze(1)))
    return disc.expand(count, 1, size, size).clone()


def centre_of_mass(images: torch.Tensor) -> torch.Tensor:
    """(N, 2): x and y in sides of the image, from the centre."""
    axis = (torch.arange(images.shape[-1]) + 0.5) / images.shape[-1] - 0.5
    mass = images.sum(dim=(1, 2, 3))
    return torch.stack(
        [(images * axis).sum(dim=(1, 2, 3)) / mass, (images * axis.view(-1, 1)).sum(dim=(1, 2, 3)) / mass], dim=1
    )


def test_bytes_become_floats_between_0_and_1() -> None:
    images = np.array([[[[0, 255], [51, 102]]]], np.uint8)
    assert to_float(images).tolist() == [[[[0.0, 1.0], [pytest.approx(0.2), pytest.approx(0.4)]]]]


def test_16_bits_keep_their_precision() -> None:
    images = np.array([[[[0, 1], [65534, 65535]]]], np.uint16)
    assert to_float(images).tolist() == [[[[0.0, pytest.approx(1 / 65535)], [pytest.approx(65534 / 65535), 1.0]]]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("count", [5, 1500])
def test_intensity_statistics_are_those_of_all_pixels(dtype: type[np.unsignedinteger], count: int) -> None:
    largest = np.iinfo(dtype).max
    images = np.random.default_rng(0).integers(0, largest + 1, (count, 3, 7, 7)).astype(dtype)
    mean, std = intensity_statistics(Images(images))
    assert mean == pytest.approx((images / largest).mean())
    assert std == pytest.approx((images / largest).std())


def test_images_of_one_intensity_are_refused() -> None:
    with pytest.raises(UserError, match="one intensity 7"):
        intensity_statistics(Images(np.full((3, 1, 8, 8), 7, np.uint8)))


def test_the_identity_family_gives_the_images_back() -> None:
    images = noise_images()
    assert (augment(images, IDENTITY, seeded()) - images).abs().max() < 1e-3


def test_the_input_is_left_alone() -> None:
    images = noise_images()
    before = images.clone()
    augment(images, STRONG, seeded())
    assert (images == before).all()


@pytest.mark.parametrize("seed", range(5))
def test_views_stay_between_0_and_1(seed: int) -> None:
    views = augment(noise_images(64), STRONG, seeded(seed))
    assert views.shape == (64, 1, 32, 32)
    assert views.isfinite().all()
    assert views.min() >= 0
    assert views.max() <= 1


def test_channels_of_an_image_change_alike() -> None:
    family = STRONG.model_copy(update={"noise": 0})
    grey, colour = noise_images(), noise_images().expand(-1, 3, -1, -1).contiguous()
    one, three = augment(grey, family, seeded()), augment(colour, family, seeded())
    assert three.shape == (8, 3, 32, 32)
    assert (three - one).abs().max() < 1e-5


def test_every_channel_has_its_own_noise() -> None:
    views = augment(torch.full((4, 3, 32, 32), 0.5), only(noise=0.1), seeded())
    assert (views[:, 0] - views[:, 1]).abs().max() > 1e-3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_makes_the_same_views_up_to_its_own_noise() -> None:
    family = STRONG.model_copy(update={"noise": 0})
    images = noise_images()
    assert (augment(images.cuda(), family, seeded()).cpu() - augment(images, family, seeded())).abs().max() < 1e-3
    noisy = [augment(images.cuda(), STRONG, seeded()) for _ in range(2)]
    assert noisy[0].is_cuda
    assert (noisy[0] == noisy[1]).all()


def test_the_generator_decides() -> None:
    first, again, other = (augment(noise_images(), STRONG, seeded(seed)) for seed in (3, 3, 4))
    assert (first == again).all()
    assert not (first == other).all()


def test_every_image_draws_its_own_parameters() -> None:
    for name, value in STRONG.model_dump().items():
        views = augment(smooth_images(), only(**{name: value}), seeded())
        assert (views[0] - views[1]).abs().max() > 1e-3 or (views[0] - views[2]).abs().max() > 1e-3, name


def test_one_view_of_many_is_the_same_as_torchs_affine_sampling() -> None:
    """A crop alone against the slow way: torch's own affine grid, image by image."""
    images = noise_images(6)
    views = augment(images, only(crop_ratio=(0.6, 0.9)), seeded(1))
    draws = seeded(1)
    for _ in range(3):
        torch.rand(6, generator=draws)  # rotation, shear, scale
    ratio = 0.6 + 0.3 * torch.rand(6, generator=draws)
    torch.rand(12, generator=draws)  # shift
    centre = (1 - ratio).view(-1, 1) * (2 * torch.rand(12, generator=draws).view(6, 2) - 1)
    for index in range(6):
        theta = torch.tensor([[ratio[index], 0, centre[index, 0]], [0, ratio[index], centre[index, 1]]])
        grid = F.affine_grid(theta[None], [1, 1, 32, 32], align_corners=False)
        slow = F.grid_sample(images[index : index + 1], grid, align_corners=False, padding_mode="reflection")
        assert (views[index] - slow[0]).abs().max() < 1e-4


def test_rotation_keeps_the_distance_from_the_centre_and_respects_its_range() -> None:
    images = smooth_images(64)
    start = centre_of_mass(images)[0]
    ends = centre_of_mass(augment(images, only(rotation_degrees=20), seeded()))
    assert torch.allclose(ends.norm(dim=1), start.norm().expand(64), atol=0.004)
    turned = torch.rad2deg(torch.atan2(ends[:, 1], ends[:, 0]) - torch.atan2(start[1], start[0]))
    assert turned.abs().max() < 20.5
    assert turned.min() < -12
    assert turned.max() > 12


def test_shifts_stay_within_their_range() -> None:
    images = smooth_images(64)
    moved = centre_of_mass(augment(images, only(translate=0.1), seeded())) - centre_of_mass(images)
    assert moved.abs().max() < 0.105
    assert moved.abs().max() > 0.08


def test_a_crop_never_shows_what_lies_outside_the_image() -> None:
    """Reflected borders would repeat the bright frame; a crop of a ramp keeps its order."""
    ramp = torch.linspace(0, 1, 32).expand(64, 1, 32, 32)
    views = augment(ramp, only(crop_ratio=(0.5, 0.5)), seeded())
    rise = views[..., -1] - views[..., 0]
    assert torch.allclose(rise, torch.full_like(rise, 0.5), atol=0.02)


def test_flips_mirror_about_half_of_the_images_on_either_axis() -> None:
    images = smooth_images(400)
    start = centre_of_mass(images)[0]
    signs = (centre_of_mass(augment(images, only(flips=True), seeded())) * start.sign()).sign()
    assert ((signs == 1).float().mean(dim=0) - 0.5).abs().max() < 0.1
    assert len({tuple(pair) for pair in signs.tolist()}) == 4


def test_brightness_moves_the_mean_within_its_range() -> None:
    images = torch.full((200, 1, 16, 16), 0.5)
    change = augment(images, only(brightness=0.2), seeded()).mean(dim=(1, 2, 3)) - 0.5
    assert change.abs().max() <= 0.2001
    assert change.min() < -0.15
    assert change.max() > 0.15


def test_contrast_keeps_the_mean_and_scales_the_spread() -> None:
    images = 0.4 + 0.2 * noise_images(100)
    views = augment(images, only(contrast=0.3), seeded())
    assert torch.allclose(views.mean(dim=(1, 2, 3)), images.mean(dim=(1, 2, 3)), atol=1e-4)
    factor = views.std(dim=(1, 2, 3)) / images.std(dim=(1, 2, 3))
    assert factor.min() >= 0.699
    assert factor.max() <= 1.301
    assert factor.max() - factor.min() > 0.4


def test_gamma_is_a_power_within_its_range() -> None:
    exponents = augment(torch.full((200, 1, 16, 16), 0.5), only(gamma=(0.5, 2)), seeded())[:, 0, 0, 0].log2().neg()
    assert exponents.min() >= 0.499
    assert exponents.max() <= 2.001
    assert exponents.max() - exponents.min() > 1.2


def test_noise_has_at_most_its_standard_deviation() -> None:
    spread = (augment(torch.full((50, 1, 64, 64), 0.5), only(noise=0.05), seeded()) - 0.5).std(dim=(1, 2, 3))
    assert spread.max() < 0.053
    assert spread.max() > 0.04


def test_blur_smooths_and_keeps_the_mean() -> None:
    images = noise_images(40)
    views = augment(images, only(blur=2), seeded())
    left = views.std(dim=(1, 2, 3)) / images.std(dim=(1, 2, 3))
    assert left.max() <= 1.001
    assert left.median() < 0.5
    assert torch.allclose(views.mean(dim=(1, 2, 3)), images.mean(dim=(1, 2, 3)), atol=0.03)
