"""From image files to a table of predictions: folders, bad files, backends, and images unlike those trained on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hardware_cli import Command
from PIL import Image
from shapes import GRADES, LABELS
from tiny import planned, quietly

from hybridq.config import parse_experiment
from hybridq.evaluation import predict
from hybridq.evaluation.evaluate import evaluate
from hybridq.evaluation.predict import predict_files
from hybridq.results.selection import choose
from hybridq.run_folder import RunFolder, open_run
from hybridq.training.train import train


@pytest.fixture
def pictures(run: Path, tmp_path: Path) -> Path:
    """A folder with the test images of the run as files."""
    opened = open_run(run)
    folder = tmp_path / "pictures"
    (folder / "deeper").mkdir(parents=True)
    for number, image in enumerate(choose(opened).images(quietly)[:]):
        Image.fromarray(image[0]).save(folder / ("deeper" if number % 2 else "") / f"{number:03d}.png")
    return folder


def test_a_folder_becomes_a_table_and_no_bad_file_hides_the_others(
    hybridq: Command, run: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = sorted(pictures.rglob("*.png"))
    (pictures / "bad.png").write_text("no picture")
    for other in ("notes.txt", "table.csv", "more.txt", ".hidden.png", "__MACOSX/x.png"):
        (pictures / other).parent.mkdir(exist_ok=True)
        (pictures / other).write_text("x")
    monkeypatch.setattr(predict, "BATCH", 5)
    out = tmp_path / "new" / "predictions.csv"
    done = hybridq("predict", run, pictures, "--out", out)
    assert done.code == 1, done.error
    assert "3 other files were left out (2 × .txt, 1 × .csv)" in done.out
    assert f"1 of {len(good) + 1} files cannot be used:\n  {pictures / 'bad.png'}: is not a PNG" in done.out
    assert f"written: {out} ({len(good)} images" in done.out
    table = pd.read_csv(out)
    assert sorted(table["image"]) == sorted(str(path) for path in [pictures / "bad.png", *good])
    bad = table[table["image"] == str(pictures / "bad.png")].iloc[0]
    assert bad["remark"].startswith("cannot be used: is not a PNG")
    assert np.isnan(bad["narrowing"])
    assert pd.isna(bad["class"])
    expected = predict_files(open_run(run), good).set_index("image")
    found = table.set_index("image").loc[[str(path) for path in good]]
    assert (found["class"] == expected["class"]).all()
    assert np.allclose(found["narrowing"], expected["narrowing"], rtol=0, atol=1e-6)
    assert [path.name for path in out.parent.iterdir()] == ["predictions.csv"]


def test_a_backend_gives_what_an_evaluation_on_it_gives(
    hybridq: Command, run: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = sorted(pictures.rglob("*.png"), key=lambda path: path.name)
    monkeypatch.setattr(predict, "BATCH", 7)

    def predicted(backend: str) -> np.ndarray:
        out = tmp_path / "p.csv"
        assert hybridq("predict", run, *files, "--backend", backend, "--out", out).code == 0
        return pd.read_csv(out)["narrowing"].to_numpy()

    noise = "noise:depolarizing_2q=0.05,readout=0.1"
    folder = evaluate(planned(open_run(run), noise), progress=quietly)
    expected = pd.read_csv(folder / "predictions.csv")["p_1"]
    assert np.allclose(predicted(noise), expected, rtol=0, atol=1e-5)
    shots = predicted("aer:shots=64")
    assert (shots == predicted("aer:shots=64")).all()
    assert 0 < np.abs(shots - predicted("aer")).max() < 0.1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["bad.png", "--out", "p.csv"], "bad.png: is not a PNG"),
        (["missing.png", "bad.png", "--out", "p.csv"], "missing.png: no such file"),
        (["empty", "--out", "p.csv"], "empty: holds no images; expected files that end in .png"),
        (["bad.png", "--backend", "ibm_torino"], "is hardware; predict is for simulated backends"),
        (["bad.png", "--backend", "fake_torin"], "fake_torino"),
        (["bad.png", "--out", "bad.png/p.csv"], "bad.png is a file"),
        (["bad.png", "--out", "empty"], "is a folder; name a file"),
        (["bad.png", "--out", "p.csv", "--json"], "give one of them"),
    ],
)
def test_what_cannot_be_predicted_is_one_sentence_and_writes_nothing(
    options: list[str], sentence: str, hybridq: Command, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad.png").write_text("no picture")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert sentence in hybridq.refused("predict", run, *options)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_image_unlike_those_trained_on_gets_a_remark(hybridq: Command, run: Path, tmp_path: Path) -> None:
    like = choose(open_run(run)).images(quietly)[0][0]
    colour = np.dstack([like, like // 2, like // 3])
    pictures = {
        "like": (like, ""),
        "grey as colour": (np.dstack([like] * 3), ""),
        "colour": (colour, "in colour, and those trained on are grey"),
        "large": (np.kron(like, np.ones((4, 4), np.uint8)), "256 × 256 pixels, and those trained on have"),
        "long": (np.kron(like, np.ones((1, 2), np.uint8)), "of another aspect ratio"),
        "12 bits in 16": (like.astype(np.uint16) * 16, "99th percentile"),
        "flat": (np.full_like(like, 9), "all of its pixels are equal"),
    }
    side = json.loads((run / "data.json").read_text())["images"]["width"][1]
    resized = {}
    for name, (pixels, remark) in pictures.items():
        image = Image.fromarray(pixels)
        factor = side / like.shape[0]
        image = image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.NEAREST)
        image.save(tmp_path / f"{name}.png")
        resized[tmp_path / f"{name}.png"] = remark
    done = hybridq("predict", run, *resized, "--json")
    assert done.code == 0, done.error
    for row in json.loads(done.out):
        expected = resized[Path(row["image"])].replace("256 × 256", f"{4 * side} × {4 * side}")
        assert expected in row["remark"], row
        assert bool(expected) == bool(row["remark"]), row
    data = json.loads((run / "data.json").read_text())
    del data["images"]  # as runs were until then
    (run / "data.json").write_text(json.dumps(data))
    remarks = {Path(r["image"]).stem: r["remark"] for r in json.loads(hybridq("predict", run, *resized, "--json").out)}
    assert remarks["like"] == remarks["colour"] == ""
    assert "all of its pixels" in remarks["flat"]
    assert "lies far from those trained on" in remarks["12 bits in 16"]


@pytest.mark.parametrize(("task", "names"), [("multi-label", LABELS), ("ordinal", GRADES)])
def test_images_with_labels_and_grades_are_predicted(
    task: str, names: tuple[str, ...], hybridq: Command, tmp_path: Path
) -> None:
    text = f"{{name: t, data: {{source: 'shapes:task={task}', size: 32}}, pretrain: {{epochs: 0}}, "
    text += "train: {epochs: 1, batch_size: 16, threads: 1}, model: {backbone: compact_cnn}}"
    run: RunFolder = train(parse_experiment(text), tmp_path, announce=quietly, progress=quietly)
    Image.effect_noise((32, 32), 60.0).save(tmp_path / "a.png")
    out = tmp_path / "p.csv"
    assert hybridq("predict", run.folder, tmp_path / "a.png", "--out", out).code == 0
    table = pd.read_csv(out)
    decision = "labels" if task == "multi-label" else "class"
    assert table.columns.tolist() == ["image", decision, *names, "remark"]
    if task == "ordinal":
        assert np.isclose(table[list(names)].sum(axis=1).iloc[0], 1)


def test_eight_and_sixteen_bits_side_by_side_are_one_scale(run: Path, pictures: Path, tmp_path: Path) -> None:
    opened = open_run(run)
    shallow = sorted(pictures.glob("*.png"))[0]
    deep = tmp_path / "deep.png"
    Image.fromarray(np.asarray(Image.open(shallow)).astype(np.uint16) * 257).save(deep)
    together = predict_files(opened, [shallow, deep])["narrowing"]
    assert np.isclose(*together, rtol=0, atol=1e-6)
    assert np.isclose(together[0], predict_files(opened, [shallow])["narrowing"][0], rtol=0, atol=1e-6)
