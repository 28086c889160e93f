from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.data.loaders import TwoViews
from benchmarks.data.steps import shares_of_waiting
from hybridq.config import Augmentation
from hybridq.data.images.images import Images


def test_the_peer_makes_two_different_views_of_the_same_kind() -> None:
    ramp = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    first, second = TwoViews(Augmentation(), 64)(Image.fromarray(ramp))
    for view in (first, second):
        assert view.shape == (1, 64, 64)
        assert view.dtype == torch.float32
        assert 0 <= view.min() < view.max() <= 1
    assert not torch.equal(first, second)


def test_every_step_but_the_first_has_a_share_of_waiting() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 1, 32, 32)).astype(np.uint8)
    shares = shares_of_waiting(Images(pixels), 8, Augmentation(), threads=1, steps=3)
    assert len(shares) == 3
    assert all(0 < share < 1 for share in shares)


@pytest.mark.slow
def test_the_benchmark_runs_as_a_whole(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.data", "--images", "256", "--rounds", "2", "--steps", "2"],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    for line in ("torchvision, 2 workers", "hybridq, 1 thread", "best against best", "of a step"):
        assert line in done.stdout
    assert list(tmp_path.iterdir()) == []
