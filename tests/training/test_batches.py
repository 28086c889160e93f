"""Batches: other order and other views in every epoch, the same ones in a training that continues."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from hybridq.config import Augmentation
from hybridq.data.images.images import Images
from hybridq.data.images.transforms import augment
from hybridq.training.batches import Batches

FAMILY = Augmentation()


def images(count: int = 10) -> Images:
    return Images(np.random.default_rng(0).integers(0, 256, (count, 1, 8, 8), dtype=np.uint8))


def batches(count: int = 10, size: int = 4, *, seed: int = 3, stage: str = "pretrain") -> Batches:
    return Batches(images(count), size, FAMILY, seed=seed, stage=stage)


def order_of(drawn: Batches, epoch: int) -> list[int]:
    return torch.cat([drawn.indices(epoch, step) for step in range(len(drawn))]).tolist()


def seeded(*place: object) -> torch.Generator:
    """The generator of a place in the training, as old trainings were made: the first 63 bits of SHA-256."""
    number = int.from_bytes(hashlib.sha256("/".join(map(str, place)).encode()).digest()[:8], "little") >> 1
    return torch.Generator().manual_seed(number)


@pytest.mark.parametrize(
    ("count", "size", "steps", "last"), [(8, 4, 2, 4), (9, 4, 2, 4), (10, 4, 3, 2), (3, 4, 1, 3), (2, 4, 1, 2)]
)
def test_an_epoch_has_every_image_once_but_no_last_batch_of_one(count: int, size: int, steps: int, last: int) -> None:
    drawn = batches(count, size)
    assert len(drawn) == drawn.steps == steps
    assert [len(drawn.indices(0, step)) for step in range(steps)] == [size] * (steps - 1) + [last]
    order = order_of(drawn, 0)
    assert len(set(order)) == len(order) == count - (count % size == 1)
    assert set(order) <= set(range(count))


def test_the_order_is_another_one_in_every_epoch_stage_and_seed() -> None:
    orders = [order_of(batches(40), epoch) for epoch in range(5)]
    orders += [order_of(batches(40, seed=4), 0), order_of(batches(40, stage="finetune"), 0)]
    assert len(set(map(tuple, orders))) == 7


def test_a_view_is_another_one_in_every_epoch_step_number_stage_and_seed() -> None:
    places = [(0, 0, 0), (1, 0, 0), (2, 0, 0), (0, 0, 1)]
    # One image, so that its order says nothing: views of the same pixels differ by what is drawn alone.
    alike = Images(np.repeat(images(1)[:], 40, axis=0))
    views = [Batches(alike, 8, FAMILY, seed=3, stage="a").view(*place) for place in [*places, (0, 1, 0)]]
    views += [Batches(alike, 8, FAMILY, seed=seed, stage=stage).view(0, 0) for seed, stage in ((4, "a"), (3, "b"))]
    for number, one in enumerate(views):
        assert one.shape == (8, 1, 8, 8)
        assert len({tuple(image.flatten().tolist()) for image in one}) == 8
        assert not any(torch.equal(one, other) for other in views[number + 1 :])


def test_order_views_and_dropout_are_those_of_trainings_before() -> None:
    """A training that continues draws what it would have drawn, also under another version."""
    drawn = batches(10, 4, seed=3, stage="pretrain")
    order = torch.randperm(10, generator=seeded(3, "pretrain", 2, "order"))
    assert order.tolist() == [9, 3, 4, 0, 5, 6, 7, 1, 2, 8]
    assert torch.equal(drawn.indices(2, 1), order[4:8])
    pixels = torch.from_numpy(images()[order[4:8].numpy()].astype(np.float32) / 255)
    for number in (0, 1):
        expected = augment(pixels, FAMILY, seeded(3, "pretrain", 2, 1, "view", number))
        assert torch.equal(drawn.view(2, 1, number), expected)
    assert torch.equal(drawn.view(2, 1), drawn.view(2, 1, 0))


def test_dropout_is_drawn_anew_in_every_step() -> None:
    drawn, other = batches(), batches(seed=4)
    masks = []
    for one, epoch, step in ((drawn, 0, 0), (drawn, 0, 1), (drawn, 1, 0), (other, 0, 0), (drawn, 0, 0)):
        one.seed_step(epoch, step)
        masks.append(torch.rand(8))
    assert torch.equal(masks[0], masks[4])
    assert len({tuple(mask.tolist()) for mask in masks}) == 4
    assert torch.equal(masks[1], torch.rand(8, generator=seeded(3, "pretrain", 0, 1)))


def test_the_order_of_an_epoch_may_be_asked_for_in_any_order() -> None:
    drawn = batches(40)
    first = drawn.indices(0, 2).tolist()
    drawn.indices(1, 0)
    assert drawn.indices(0, 2).tolist() == first
