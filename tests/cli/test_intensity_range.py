"""Images of 12 bits in 16-bit files: trained, evaluated, predicted and exported by the range that they use."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hardware_cli import Command
from PIL import Image
from tiny import planned, quietly

from hybridq.config import Experiment, parse_experiment
from hybridq.data.images.intensity import Intensity
from hybridq.evaluation.predict import predict_files
from hybridq.export.export import Targets, export
from hybridq.run_folder import RunFolder
from hybridq.training.prepare import prepare

CONFIG = """
name: narrow
seed: 3
data: {{source: "folder:path={folder}", size: 32}}
pretrain: {{epochs: 0}}
model: {{backbone: compact_cnn}}
train: {{epochs: 1, batch_size: 16, threads: 1, learning_rate: 0.003, head_learning_rate: 0.01}}
"""


def picture(kind: int, number: int) -> np.ndarray:
    """Eight bits, 32 × 32."""
    values = np.random.default_rng(1000 * kind + number).normal(90, 30, (32, 32))
    values[10:22, 10:22] += 25 * kind
    return values.clip(1, 255).astype(np.uint8)


def write(folder: Path, change: Callable[[np.ndarray], np.ndarray], count: int = 24) -> Path:
    for kind, name in enumerate(("healthy", "sick")):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(change(picture(kind, number))).save(folder / name / f"{number}.png")
    return folder


def twelve_bits(image: np.ndarray) -> np.ndarray:
    return image.astype(np.uint16) * 16


def experiment_of(folder: Path, **data: object) -> Experiment:
    experiment = parse_experiment(CONFIG.format(folder=folder))
    return experiment.model_copy(update={"data": experiment.data.model_copy(update=data)})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A run on twelve bits in files of 16, and what its training said."""
    from hybridq.training.train import train

    root = tmp_path_factory.mktemp("narrow")
    said: list[str] = []
    experiment = experiment_of(write(root / "images", twelve_bits))
    run = train(experiment, root / "runs", announce=said.append, progress=quietly)
    return run.folder, said


@pytest.fixture
def narrow(trained: tuple[Path, list[str]], tmp_path: Path) -> Path:
    """A copy of the run to write into."""
    return Path(shutil.copytree(trained[0], tmp_path / "narrow", ignore=shutil.ignore_patterns("checkpoints")))


def predictions(run: Path, source: str | None = None) -> pd.DataFrame:
    records = {path.parent: json.loads(path.read_text()) for path in run.glob("evaluations/*/record.json")}
    (folder,) = (folder for folder, record in records.items() if record.get("data") == source)
    return pd.read_csv(folder / "predictions.csv").sort_values("id", ignore_index=True)


def test_the_range_is_said_before_training_and_kept_with_the_run(trained: tuple[Path, list[str]]) -> None:
    folder, said = trained
    kept = json.loads((folder / "data.json").read_text())["intensity"]
    low, high = kept["range"]
    assert 16 <= low < 500
    assert 2500 < high < 4096
    assert kept["percentiles"] == [low, high]
    assert kept["bits"] == 16
    assert 0.3 < kept["mean"] < 0.7  # as the network sees them
    line = next(line for line in said if "Intensities of the training images: 16 bits" in line)
    assert f"levels {low:,.0f}–{high:,.0f} in use" in line
    assert "brought to 0–1 (data.range)" in line


def test_predict_sees_what_evaluate_sees(narrow: Path, hybridq: Command) -> None:
    assert hybridq("evaluate", narrow).code == 0
    table = predictions(narrow)
    run = RunFolder(narrow)
    images = Path(run.experiment.data.source.removeprefix("folder:path="))
    files = [images / name for name in table["id"]]
    assert np.allclose(predict_files(run, files)["sick"], table["p_1"], rtol=0, atol=1e-6)


def test_another_source_far_outside_is_refused_with_both_ranges_and_read_by_its_own_if_asked(
    narrow: Path, hybridq: Command, tmp_path: Path
) -> None:
    assert hybridq("evaluate", narrow).code == 0
    # The same pictures at another offset and gain: by their own range they are the same images.
    folder = write(tmp_path / "elsewhere", lambda image: image.astype(np.uint16) * 5 + 32768)
    source = f"folder:path={folder}"
    sentence = hybridq.refused("evaluate", narrow, "--data", source)
    low, high = Intensity.of_card(RunFolder(narrow).data_card).range or (0, 0)
    assert f"the run was trained on levels {low:,.0f}–{high:,.0f}" in sentence
    assert "its images use levels 32," in sentence
    assert "--range own" in sentence
    answer = hybridq("evaluate", narrow, "--data", source, "--range", "own")
    assert answer.code == 0, answer.error
    own, other = predictions(narrow), predictions(narrow, source)
    assert other["id"].tolist() == own["id"].tolist()
    assert np.allclose(own["p_1"], other["p_1"], rtol=0, atol=0.02)
    (record,) = [
        record
        for path in narrow.glob("evaluations/*/record.json")
        if "range" in (record := json.loads(path.read_text()))
    ]
    assert record["range"]["of"] == "own"
    assert 32768 < record["range"]["levels"][0] < record["range"]["levels"][1] < 34100
    assert f"{source} (its own range of intensities)" in " ".join(answer.out.split())


def test_a_similar_source_is_brought_to_the_runs_range(narrow: Path, hybridq: Command, tmp_path: Path) -> None:
    folder = write(tmp_path / "elsewhere", lambda image: image.astype(np.uint16) * 13)
    answer = hybridq("evaluate", narrow, "--data", f"folder:path={folder}")
    assert answer.code == 0, answer.error


def test_a_run_of_eight_bits_does_not_take_a_few_levels_of_sixteen(run: Path, hybridq: Command, tmp_path: Path) -> None:
    folder = write(tmp_path / "deep", twelve_bits)
    for name, as_here in (("healthy", "no narrowing"), ("sick", "narrowing")):
        (folder / name).rename(folder / as_here)
    source = f"folder:path={folder},positive=narrowing"
    sentence = hybridq.refused("evaluate", run, "--data", source)
    assert "the run was trained on levels 0–65,535" in sentence
    assert hybridq("evaluate", run, "--data", source, "--range", "own").code == 0


def test_a_run_from_before_ranges_were_kept_stays_as_it_was(narrow: Path, hybridq: Command, tmp_path: Path) -> None:
    described = json.loads((narrow / "data.json").read_text())
    described["intensity"] = {name: described["intensity"][name] for name in ("mean", "std")}
    (narrow / "data.json").write_text(json.dumps(described))
    folder = write(tmp_path / "elsewhere", lambda image: image.astype(np.uint16) * 200)
    assert Intensity.of_card(RunFolder(narrow).data_card) == Intensity()
    assert hybridq("evaluate", narrow, "--data", f"folder:path={folder}").code == 0
    sentence = hybridq.refused("evaluate", narrow, "--data", f"folder:path={folder}", "--range", "own")
    assert "was trained before runs kept their range" in sentence


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--range", "own"], "--range own is for --data"),
        (["--range", "full"], "--range full: allowed is own"),
        (["--range", "own", "--backend", "ibm_torino"], "--range own is for simulated backends"),
    ],
)
def test_what_cannot_be_asked_is_refused(narrow: Path, hybridq: Command, arguments: list[str], sentence: str) -> None:
    assert sentence in hybridq.refused("evaluate", narrow, *arguments)


def test_own_and_the_runs_range_are_two_evaluations(narrow: Path, tmp_path: Path) -> None:
    source = f"folder:path={write(tmp_path / 'elsewhere', twelve_bits)}"
    plain, own = (planned(RunFolder(narrow), "aer", data=source, own_range=own) for own in (False, True))
    assert plain.folder != own.folder


def test_an_exported_file_takes_the_scale_of_image_files(narrow: Path, tmp_path: Path) -> None:
    run = RunFolder(narrow)
    target = tmp_path / "model.pt2"
    (written,) = export(run, Targets(torch_export=target), progress=quietly).files
    assert written.changed == 0
    images = Path(run.experiment.data.source.removeprefix("folder:path="))
    files = sorted(images.rglob("*.png"))[:6]
    stored = np.stack([np.asarray(Image.open(path)) for path in files])[:, None].astype(np.float32)
    about = {"hybridq.json": ""}
    module = torch.export.load(target, extra_files=about).module()
    with torch.inference_mode():
        computed = module(torch.from_numpy(stored / 65535))[:, 1].numpy()
    assert np.allclose(computed, predict_files(run, files)["sick"], rtol=0, atol=1e-4)
    low, high = json.loads(about["hybridq.json"])["images"]["levels_brought_to_0_and_1"]
    assert (low * 65535, high * 65535) == pytest.approx(Intensity.of_card(run.data_card).range)


def test_data_show_states_the_same_range(trained: tuple[Path, list[str]], hybridq: Command) -> None:
    run = RunFolder(trained[0])
    low, high = Intensity.of_card(run.data_card).range or (0, 0)
    answer = hybridq("data", "show", run.experiment.data.source, "--seed", 3)
    assert f"16 bits, levels {low:,.0f}–{high:,.0f} in use" in answer.out


def test_a_configuration_can_keep_the_whole_scale_or_give_the_levels(tmp_path: Path) -> None:
    folder = write(tmp_path / "images", twelve_bits)
    kept = prepare(experiment_of(folder, range="full"), quietly)
    assert kept.intensity.range is None
    assert any("augmentation are absolute" in note for note in kept.notes)
    given = prepare(experiment_of(folder, range=(0.0, 4095.0)), quietly)
    assert given.intensity.range == (0, 4095)
    assert given.mean == pytest.approx(kept.mean * 65535 / 4095, rel=1e-3)


def test_a_run_that_is_continued_keeps_its_range_or_that_it_has_none(tmp_path: Path) -> None:
    experiment = experiment_of(write(tmp_path / "images", twelve_bits))
    assert prepare(experiment, quietly).intensity.range is not None
    begun_before = prepare(experiment, quietly, intensity=Intensity())
    assert begun_before.intensity == Intensity()
    assert begun_before.mean < 0.05


def test_images_of_eight_bits_are_left_as_they_are(tmp_path: Path) -> None:
    prepared = prepare(experiment_of(write(tmp_path / "images", lambda image: image // 8)), quietly)
    assert prepared.intensity == Intensity(8)
    assert prepared.training.dtype == np.uint8
    assert not [note for note in prepared.notes if "ntensit" in note]


def test_unlabelled_images_of_another_depth_are_brought_to_their_own_range(tmp_path: Path) -> None:
    folder, other = write(tmp_path / "images", twelve_bits), tmp_path / "other"
    other.mkdir()
    for number in range(20):
        Image.fromarray(picture(0, 500 + number)).save(other / f"{number}.png")
    experiment = experiment_of(folder)
    pretrain = experiment.pretrain.model_copy(update={"epochs": 1, "data": f"folder:path={other}"})
    prepared = prepare(experiment.model_copy(update={"pretrain": pretrain}), quietly)
    assert prepared.unlabelled.dtype == np.uint8
    assert any("are brought to 0–1 by their own range (the whole scale)" in note for note in prepared.notes)


def test_names_of_unusable_files_are_shown_on_a_terminal_alone(
    tmp_path: Path, hybridq: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hybridq.cli import console

    for kind in ("ill", "well"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "Zimmermann.dcm").write_text("no image")
    for terminal in (False, True):
        monkeypatch.setattr(console.console, "_force_terminal", terminal)
        for command in ("show", "audit"):
            plain = hybridq("data", command, f"dicom:path={tmp_path}")
            assert "2 of 2 files cannot be used" in plain.error
            named = hybridq("data", command, f"dicom:path={tmp_path}", "--show-names")
            assert named.code == 2
            assert "Zimmermann" not in plain.out + plain.error + named.error
            assert ("Zimmermann" in named.out) is terminal
