"""Random state that depends on the place in the training alone: a continued run draws what an unbroken one does."""

from __future__ import annotations

import hashlib

import torch


def derived_seed(seed: int, *place: str | int) -> int:
    """A 63-bit seed for this place (stage, epoch, batch, purpose), independent between places."""
    digest = hashlib.sha256("/".join(map(str, (seed, *place))).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator_at(seed: int, *place: str | int) -> torch.Generator:
    """A torch generator on the CPU seeded for this place."""
    return torch.Generator().manual_seed(derived_seed(seed, *place))
