from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import quietly

from hybridq.config import parse_experiment
from hybridq.data.sources import load_manifest
from hybridq.training.prepare import prepare


@pytest.mark.parametrize("deep", [False, True], ids=["8 bits", "16 bits"])
def test_images_for_pretraining_that_are_held_out_are_left_out_at_any_depth(tmp_path: Path, deep: bool) -> None:
    rng = np.random.default_rng(0)
    for kind in ("healthy", "ill"):
        (tmp_path / "labelled" / kind).mkdir(parents=True)
        for number in range(10):
            pixels = rng.integers(0, 256, (32, 32)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "labelled" / kind / f"{number}.png")
    experiment = parse_experiment(
        f"name: x\ndata: {{source: 'folder:path={tmp_path}/labelled', size: 32}}\n"
        f"pretrain: {{data: 'folder:path={tmp_path}/more', epochs: 1}}\n"
    )
    manifest = load_manifest(experiment.data.source, experiment.data, experiment.seed)
    (tmp_path / "more").mkdir()
    for number, path in enumerate(manifest.table["path"]):
        pixels = np.asarray(Image.open(path))
        copy = pixels.astype(np.uint16) * np.uint16(257) if deep else pixels
        Image.fromarray(copy).save(tmp_path / "more" / f"{number}.png")
    prepared = prepare(experiment, quietly, allow_leaks=True)
    held_out = int((manifest.table["split"] != "train").sum())
    assert len(prepared.unlabelled) == len(manifest.table) - held_out
    assert any(note.startswith(f"{held_out} images of folder:path=") for note in prepared.notes)
