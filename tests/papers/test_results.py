"""The pages of results say what the committed cells give, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from papers import results, summaries

ROOT = Path(results.__file__).parents[1]
PAGE = """
Text.

<!-- csv {file} -->
old
<!-- end -->

After, 0.25 of them; `0.9` and [a link](x/0.7.csv) say nothing.
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    file = tmp_path / "some.csv"
    file.write_text("model,mean_auc\nmlp,0.25\ncircuit,0.5\n")
    return file


def test_a_table_is_made_anew_and_the_text_around_it_stays(table: Path) -> None:
    page = results.filled(PAGE.format(file=table))
    assert "| model | mean auc |" in page
    assert "| circuit | 0.5 |" in page
    assert "old" not in page
    assert page.startswith("\nText.\n")
    assert results.filled(page) == page


def test_a_number_that_is_in_no_table_is_named(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    page = results.filled(PAGE.format(file=table))
    assert results.unfounded(page, whole=True) == []
    assert results.unfounded(page.replace("0.25 of", "0.6251 of"), whole=True) == ["0.6251"]


def test_decisions_under_noise_are_paired_by_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "study" / "predictions"
    folder.mkdir(parents=True)
    cells = [
        {"cell": f"m-s{seed}", "model": "m", "data": "data", "backend": backend, "auc": auc, "sensitivity": 0.5}
        for seed in (0, 1)
        for backend, auc in (("aer", 0.7 + 0.1 * seed), ("fake_torino", 0.6))
    ]
    pd.DataFrame(cells).to_csv(tmp_path / "study" / "cells.csv", index=False)
    decided = {"a": 0, "b": 1, "c": 1, "d": 0}
    flipped = ("m-s1", "fake_torino", "a")
    pd.DataFrame(
        [
            dict(zip(("cell", "backend", "id"), key, strict=True)) | {"predicted": decided[image] ^ (key == flipped)}
            for cell in cells
            for image in ("abcd" if cell["backend"] == "aer" else "dcba")
            for key in [(cell["cell"], cell["backend"], image)]
        ]
        + [{"cell": "another", "backend": "aer", "id": "a", "predicted": 1}]
    ).to_parquet(folder / "data.parquet")
    monkeypatch.setattr(summaries, "RESULTS", tmp_path)
    monkeypatch.setattr(summaries, "UNDER_NOISE", {"a model": "study/data/m"})

    head, row = summaries.under_noise(results.tables)
    shown = dict(zip(head, row, strict=True))
    assert (shown["model"], shown["seeds"], shown["decisions that flip"]) == ("a model", "2", "12.50 %")
    assert shown["AUC"].startswith("0.750 ±")
    assert shown["AUC, Torino"] == "0.600 ± 0.000"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_table_is_what_the_committed_cells_give() -> None:
    done = subprocess.run([sys.executable, "-m", "papers.results", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
