"""``hybridq init`` writes a configuration that trains as it is, says what it saw, and overwrites nothing."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hardware_cli import Command
from PIL import Image

from hybridq.config import Experiment, load_experiment
from hybridq.config_schema import FIRST_LINE


def draw(folder: Path, classes: dict[str, int], *, colour: bool = False, deep: bool = False, side: int = 24) -> Path:
    """So many images of each class, whose number decides its discs, four of each patient, and a table of them."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side]
    rows = []
    for discs, (name, count) in enumerate(classes.items()):
        for number in range(count):
            image = random.normal(60, 8, (side, side))
            for _ in range(3 * discs):
                cy, cx = random.uniform(3, side - 3, 2)
                image += 120 * ((y - cy) ** 2 + (x - cx) ** 2 < 6)
            pixels = np.clip(image, 1, 255)
            path = folder / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            if deep:
                Image.fromarray((pixels * 10).astype(np.uint16)).save(path)
            elif colour:
                Image.fromarray(np.stack([pixels, pixels / 2, pixels / 3], axis=-1).astype(np.uint8)).save(path)
            else:
                Image.fromarray(pixels.astype(np.uint8)).save(path)
            rows.append((path.relative_to(folder).as_posix(), name, f"{name[:2]}{number // 4}"))
    with (folder / "images.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("path", "label", "patient"), *rows])
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(file: str) -> Experiment:
    return load_experiment(Path(file))


def test_a_folder_of_grey_images_of_16_bits(hybridq: Command, here: Path) -> None:
    draw(here / "mine", {"healthy": 40, "sick": 12}, deep=True)
    done = hybridq("init", "mine")
    assert done.code == 0, done.error
    assert "52 images, binary: 40 healthy, 12 sick." in done.out
    assert "16 bits, levels" in done.out
    assert "warning: mine/images.csv was not read" in done.out
    assert "next: hybridq train mine.yaml" in done.out
    experiment = written("mine.yaml")
    data = experiment.data
    assert (data.source, data.size, data.channels, data.positive) == ("folder:path=mine", 32, 1, "sick")
    assert experiment.train.class_weights
    assert experiment.pretrain.epochs == 0
    text = (here / "mine.yaml").read_text(encoding="utf-8")
    assert text.startswith(FIRST_LINE)
    assert (here / text.splitlines()[0].removeprefix(FIRST_LINE)).resolve().is_file()
    assert "# Of which class a sensitivity is: sick (its name speaks of illness" in text


def test_a_table_with_patients_of_images_in_colour(hybridq: Command, here: Path) -> None:
    draw(here / "mine", {"a": 20, "b": 20, "c": 20}, colour=True)
    assert hybridq("init", "mine/images.csv", "--out", "first.yaml").code == 0
    experiment = written("first.yaml")
    assert experiment.name == "first"
    assert (experiment.data.source, experiment.data.channels) == ("manifest:path=mine/images.csv", 3)
    assert not experiment.train.class_weights
    assert "15 groups (patient), each in one split." in (here / "first.yaml").read_text()


def test_columns_under_other_names_are_given_and_written(hybridq: Command, here: Path) -> None:
    table = draw(here / "mine", {"a": 20, "b": 20}) / "images.csv"
    table.write_text(table.read_text().replace("label", "dx", 1))
    assert "the column dx looks like the label" in hybridq.refused("init", "mine/images.csv")
    assert hybridq("init", "mine/images.csv", "--columns", "{label: dx}", "--positive", "a").code == 0
    assert written("images.yaml").data.columns == (("label", ("dx",)),)
    assert written("images.yaml").data.positive == "a"


def test_a_positive_class_that_no_name_tells_is_said_to_be_a_guess(hybridq: Command, here: Path) -> None:
    draw(here / "mine", {"left": 24, "right": 16})
    out = hybridq("init", "mine").out
    assert "do not say which of left and right is the positive class; right was written to data.positive" in out
    assert written("mine.yaml").data.positive == "right"
    assert "chosen here; nothing else says so" in (here / "mine.yaml").read_text()


def test_nothing_is_overwritten(hybridq: Command, here: Path) -> None:
    draw(here / "mine", {"a": 12, "b": 12})
    (here / "mine.yaml").write_text("mine: own\n")
    assert "mine.yaml: exists already, and nothing is overwritten" in hybridq.refused("init", "mine")
    assert (here / "mine.yaml").read_text() == "mine: own\n"
    (here / "other_splits.csv").write_text("")
    assert "other_splits.csv: exists already" in hybridq.refused("init", "mine", "--out", "other.yaml")
    assert not (here / "other.yaml").exists()


def test_near_copies_are_kept_together_by_splits_that_are_written(hybridq: Command, here: Path) -> None:
    random = np.random.default_rng(1)
    for name in ("healthy", "sick"):
        (here / "mine" / name).mkdir(parents=True)
        for scene in range(12):
            base = random.uniform(0, 200, (24, 24))
            for copy in range(3):
                pixels = np.clip(base + random.normal(0, 3, base.shape) + 20 * (name == "sick"), 0, 255)
                Image.fromarray(pixels.astype(np.uint8)).save(here / "mine" / name / f"{scene}_{copy}.png")
    done = hybridq("init", "mine")
    assert done.code == 0, done.error
    assert "drawn with similar images together, into mine_splits.csv" in done.out
    assert written("mine.yaml").data.splits == "mine_splits.csv"
    assert hybridq("data", "audit", "folder:path=mine", "--splits", "mine_splits.csv").code == 0


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("nothing", "nothing: no such file or folder; name a folder of images or DICOM files"),
        ("flat", "its images have no labels"),
        ("one.png", "one.png: is a file; name a folder"),
        ("synthetic:patiens=3", "unknown option patiens"),
    ],
)
def test_what_is_no_set_of_labelled_images_is_one_sentence(
    given: str, sentence: str, hybridq: Command, here: Path
) -> None:
    (here / "flat").mkdir()
    for path in ("flat/a.png", "flat/b.png", "one.png"):
        Image.fromarray(np.full((20, 20), 9, np.uint8)).save(here / path)
    assert sentence in hybridq.refused("init", given)
    assert not list(here.glob("*.yaml"))


def test_names_that_yaml_would_take_for_something_else_are_written_and_read_back(hybridq: Command, here: Path) -> None:
    draw(here / "a: #1, {b}" / "2026-05-03", {"no": 12, "yes": 12})
    folder = "a: #1, {b}/2026-05-03"
    assert hybridq("init", folder, "--out", "x.yaml").code == 0
    assert written("x.yaml").data.source == f"folder:path={folder}"
    assert written("x.yaml").data.positive == "yes"
    assert hybridq("init", folder).code == 0
    assert written("2026-05-03.yaml").name == "2026-05-03"


def test_dicom_files_are_found_and_kept_apart_by_patient_without_naming_one(hybridq: Command, here: Path) -> None:
    from pydicom import dcmread
    from pydicom.data import get_testdata_file
    from pydicom.uid import generate_uid

    random = np.random.default_rng(2)
    for name in ("healthy", "sick"):
        (here / "studies" / name).mkdir(parents=True)
        for number in range(12):
            image = dcmread(str(get_testdata_file("CT_small.dcm", download=False)))
            image.PatientID, image.PatientName = f"SECRET{name}{number // 2}", "SECRET^NAME"
            image.StudyInstanceUID = f"1.2.3.{number // 2 + 1}{len(name)}"
            image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            image.PixelData = random.integers(0, 2000, (image.Rows, image.Columns)).astype(np.int16).tobytes()
            image.save_as(here / "studies" / name / f"{number}.dcm")
    done = hybridq("init", "studies")
    assert done.code == 0, done.error
    assert "12 groups (patient), each in one split." in done.out
    assert written("studies.yaml").data.source == "dicom:path=studies"
    assert "SECRET" not in (here / "studies.yaml").read_text() + done.out


@pytest.mark.slow
def test_what_is_written_learns_three_easy_classes_as_it_is(hybridq: Command, here: Path) -> None:
    draw(here / "mine", {"clear": 80, "few": 80, "many": 80}, deep=True)
    for images, name in (("mine", "mine"), ("mine/images.csv", "images")):
        assert hybridq("init", images).code == 0
        assert hybridq("train", f"{name}.yaml").code == 0
        assert hybridq("evaluate", f"runs/{name}").code == 0
        found = next(Path(f"runs/{name}/evaluations").glob("*/metrics.json"))
        assert json.loads(found.read_text())["metrics"]["accuracy"]["value"] > 0.95
