"""hybridq evaluate --data: trained here, tested on images of another source."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import shapes  # noqa: F401 - registers its source
from hardware_cli import Command
from PIL import Image

from hybridq.data.images.cache import open_images
from hybridq.data.images.transforms import to_float
from hybridq.data.sources import load_manifest
from hybridq.evaluation.predict import predict_files
from hybridq.results.selection import ImageChoice, choose
from hybridq.run_folder import RunFolder

ELSEWHERE = "synthetic:patients=12,patches=4,seed=9"
"""Its ids are those of the run's own images, and its images are others."""


def folder_of(run: Path, source: str | None) -> Path:
    records = {path.parent: json.loads(path.read_text()) for path in run.glob("evaluations/*/record.json")}
    (found,) = (folder for folder, record in records.items() if record.get("data") == source)
    return found


def test_another_source_is_evaluated_apart_from_the_runs_own(run: Path, hybridq: Command) -> None:
    assert hybridq("evaluate", run).code == 0
    answer = hybridq("evaluate", run, "--data", ELSEWHERE)
    assert answer.code == 0, answer.error
    assert f"test images of {ELSEWHERE}" in " ".join(answer.out.split())
    again = hybridq("evaluate", run, "--data", ELSEWHERE)
    assert "on disk already" in again.out + again.error
    own, other = (folder_of(run, source) for source in (None, ELSEWHERE))
    ids = [pd.read_csv(folder / "predictions.csv")["id"].tolist() for folder in (own, other)]
    assert ids[0] == ids[1]
    angles = [np.load(folder / "expectations.npz")["angles"] for folder in (own, other)]
    assert (angles[0] != angles[1]).any()


def test_it_decides_as_predict_does(run: Path, hybridq: Command, tmp_path: Path) -> None:
    assert hybridq("evaluate", run, "--data", ELSEWHERE).code == 0
    experiment = RunFolder(run).experiment
    manifest = load_manifest(ELSEWHERE, experiment.data, experiment.split_seed)
    (images,) = open_images(manifest, experiment.data, split="test").chunks()
    files = []
    for number, image in enumerate(to_float(images).numpy()):
        files.append(tmp_path / f"{number}.png")
        Image.fromarray((image[0] * 255).round().astype(np.uint8)).save(files[-1])
    table = pd.read_csv(folder_of(run, ELSEWHERE) / "predictions.csv")
    assert np.allclose(predict_files(RunFolder(run), files)["narrowing"], table["p_1"], rtol=0, atol=1e-7)


def test_the_report_keeps_the_sources_apart(run: Path, hybridq: Command) -> None:
    for options in ([], ["--data", ELSEWHERE], ["--data", ELSEWHERE, "--backend", "fake_manila"]):
        assert hybridq("evaluate", run, *options).code == 0
    assert hybridq("report", run).code == 0
    page = (run / "report.html").read_text()
    assert page.count(f"Results on the test split of {ELSEWHERE}, data of another source") == 1
    assert page.index("Results on the test split<") < page.index("data of another source")
    assert "Nothing was trained or chosen on this source." in page


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--data", "nonsense"], "nonsense"),
        (["--data", ELSEWHERE, "--split", "all"], f"--split all: {ELSEWHERE} has test, train, validation"),
        (["--data", ELSEWHERE, "--backend", "ibm_torino"], "--data is for simulated backends; ibm_torino is hardware"),
        (["--data", "shapes:task=ordinal"], "the run decides binary with no narrowing, narrowing"),
    ],
)
def test_what_cannot_be_tested_is_refused(run: Path, hybridq: Command, arguments: list[str], sentence: str) -> None:
    assert sentence in hybridq.refused("evaluate", run, *arguments)
    assert not (run / "evaluations").exists()


def test_any_part_of_the_other_source_can_be_chosen(run: Path) -> None:
    chosen = choose(RunFolder(run), ImageChoice("train", data=ELSEWHERE))
    assert chosen.source == ELSEWHERE
    assert set(chosen.rows["split"]) == {"train"}
