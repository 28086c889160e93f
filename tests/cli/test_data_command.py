from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from hybridq.cli.main import app
from hybridq.errors import UserError


def run(*arguments: str) -> str:
    result = CliRunner(env={"COLUMNS": "120"}).invoke(app, ["data", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_the_list_says_which_data_are_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HYBRIDQ_DATA_DIR", raising=False)
    assert "HYBRIDQ_DATA_DIR is not set" in run("list")
    monkeypatch.setenv("HYBRIDQ_DATA_DIR", str(tmp_path))
    (tmp_path / "lrse_net" / "P-ADSD").mkdir(parents=True)
    (tmp_path / "medmnist").mkdir()
    (tmp_path / "medical_mnist").mkdir()
    (tmp_path / "medmnist" / "breastmnist_64.npz").touch()
    lines = {line.split()[0]: line for line in run("list").splitlines() if line.strip()}
    assert "here, in lrse_net" in lines["padsd"]
    assert "here: breastmnist_64" in lines["medmnist"]
    assert "not in medical_mnist; `download`" in lines["medical_mnist"]
    assert "as path= says" in lines["dicom"]
    assert "none needed" in lines["synthetic"]


def test_show_counts_images_and_says_what_is_known(tmp_path: Path) -> None:
    shown = run("show", "synthetic:patients=10,patches=4,size=32")
    assert "40" in shown
    assert "groups    10 × synthetic patient, 40 images" in shown
    assert "size      32 × 32 pixels" in shown
    assert "- The images are synthetic" in shown


def test_show_reads_the_sizes_of_files(tmp_path: Path) -> None:
    from PIL import Image

    for kind in ("a", "b"):
        (tmp_path / kind).mkdir()
        for number in range(10):
            Image.fromarray(np.zeros((20 + number, 30), np.uint8)).save(tmp_path / kind / f"{number}.png")
    assert "size      30–30 × 20–29 pixels, 10 different" in run("show", f"folder:path={tmp_path}")


def test_what_cannot_be_downloaded_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HYBRIDQ_DATA_DIR", raising=False)
    with pytest.raises(UserError, match="is not downloaded; those that are: adsss, medical_mnist, medmnist, padsd"):
        run("download", "synthetic")
    with pytest.raises(UserError, match="HYBRIDQ_DATA_DIR is not set; it names the folder into which"):
        run("download", "padsd")
    monkeypatch.setenv("HYBRIDQ_DATA_DIR", str(tmp_path))
    (tmp_path / "lrse_net").mkdir()
    with pytest.raises(UserError, match="is there already"):
        run("download", "padsd")
