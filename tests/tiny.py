"""The smallest experiment that trains: seconds on one thread."""

from __future__ import annotations

TINY = """
name: tiny
seed: 3
data: {source: "synthetic:patients=12,patches=4", size: 32}
pretrain: {epochs: 2, batch_size: 16}
train: {epochs: 3, batch_size: 16, threads: 1}
"""


def quietly(*_: object) -> None:
    """Nobody watches."""
