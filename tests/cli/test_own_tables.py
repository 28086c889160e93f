"""A user's own table from ``data show`` to the evaluation: two classes, grades, labels; and runs made before."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hardware_cli import Command
from PIL import Image

CONFIG = """
name: {name}
seed: 1
data: {{source: "{source}", size: 32}}
pretrain: {{epochs: 0}}
model: {{backbone: compact_cnn}}
train: {{epochs: 1, batch_size: 16, threads: 1}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """48 images, 16 of them with one square and 16 with two, and a table of them."""
    rows = []
    for number in range(48):
        draw = np.random.default_rng(number)
        image = draw.integers(0, 60, (32, 32), dtype=np.uint8)
        for left in (4, 18)[: number % 3]:
            image[10:20, left : left + 10] = 250
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / "images" / f"{number:02}.png")
        grade, word = ("none", "mild", "severe")[number % 3], ("abnormal", "normal")[number % 3 == 0]
        rows.append(
            (f"images/{number:02}.png", grade, word, int(number % 3 > 0), int(number % 3 > 1), f"P{number // 3}")
        )
    pd.DataFrame(rows, columns=["path", "grade", "word", "one", "two", "PatientID"]).to_csv(
        tmp_path / "m.csv", index=False
    )
    return tmp_path


def train(hybridq: Command, folder: Path, name: str, options: str) -> Path:
    (folder / f"{name}.yaml").write_text(CONFIG.format(name=name, source=f"manifest:path={folder}/m.csv,{options}"))
    done = hybridq("train", folder / f"{name}.yaml", "--runs", folder / "runs", "--allow-leaks")
    assert done.code == 0, done.error
    return folder / "runs" / name


def described(run: Path) -> dict[str, object]:
    return dict(json.loads((run / "data.json").read_text()))


def test_grades_of_a_table_from_show_to_evaluation(hybridq: Command, folder: Path) -> None:
    options = "label=grade,task=ordinal,order=none|mild|severe"
    shown = hybridq("data", "show", f"manifest:path={folder}/m.csv,{options}").out
    assert "task      ordinal" in shown
    assert "groups    16 × patient, 48 images" in shown
    assert "not used are word, one, two." in " ".join(shown.split())
    run = train(hybridq, folder, "grades", options)
    assert (described(run)["task"], described(run)["classes"]) == ("ordinal", ["none", "mild", "severe"])
    assert "positive" not in described(run)
    evaluated = hybridq("evaluate", run)
    assert "kappa" in evaluated.out
    assert "The positive class" not in evaluated.out


def test_labels_of_a_table_from_show_to_evaluation(hybridq: Command, folder: Path) -> None:
    options = "label=one|two,task=multi-label"
    assert "task      multi-label" in hybridq("data", "show", f"manifest:path={folder}/m.csv,{options}").out
    run = train(hybridq, folder, "labels", options)
    assert (described(run)["task"], described(run)["classes"]) == ("multi-label", ["one", "two"])
    assert "exact_match" in hybridq("evaluate", run).out


def test_the_positive_class_is_said_with_every_sensitivity(hybridq: Command, folder: Path) -> None:
    run = train(hybridq, folder, "words", "label=word")
    by = "its name speaks of illness; data.positive names another"
    assert described(run)["positive"] == {"class": "abnormal", "by": by}
    assert described(run)["classes"] == ["normal", "abnormal"]
    sentence = (
        f"The positive class is abnormal ({by}): sensitivity is its share that is found, specificity that of normal."
    )
    noisy = ("--backend", "aer", "--backend", "aer:shots=64")
    for command in (("evaluate", run), ("compare", run, *noisy), ("compare", run, *noisy, "--threshold", "youden")):
        answer = hybridq(*command)
        assert sentence in " ".join(answer.out.split()), answer
    assert "called positive (abnormal) from" in " ".join(answer.out.split())
    assert hybridq("report", run).code == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert sentence in page
    assert f"The positive class is abnormal ({by})." in page


def test_where_the_names_do_not_say_it_training_asks_and_makes_no_run(hybridq: Command, folder: Path) -> None:
    table = pd.read_csv(folder / "m.csv")
    table.assign(word=table["word"].map({"abnormal": "left", "normal": "right"})).to_csv(folder / "m.csv", index=False)
    source = f"manifest:path={folder}/m.csv,label=word"
    assert hybridq("data", "show", source).code == 0
    (folder / "a.yaml").write_text(CONFIG.format(name="a", source=source))
    sentence = hybridq.refused("train", folder / "a.yaml", "--runs", folder / "runs", "--allow-leaks")
    assert "the names do not say which of left and right is the positive class; set data.positive" in sentence
    assert not (folder / "runs").exists()
    done = hybridq(
        "train", folder / "a.yaml", "--runs", folder / "runs", "--allow-leaks", "--set", "data.positive=left"
    )
    assert done.code == 0, done.error
    assert described(folder / "runs" / "a")["positive"] == {"class": "left", "by": "named by data.positive"}


def test_a_run_made_before_keeps_its_positive_class(hybridq: Command, folder: Path) -> None:
    """In such a run the last name in order was positive, and its table may have columns that are refused today."""
    run = train(hybridq, folder, "old", "label=word,positive=normal")
    assert described(run)["classes"] == ["abnormal", "normal"]
    config = (run / "config.yaml").read_text().replace(",positive=normal", "")
    (run / "config.yaml").write_text("".join(line for line in config.splitlines(True) if "  positive:" not in line))
    before = described(run)
    del before["positive"]
    (run / "data.json").write_text(
        json.dumps(before | {"source": str(before["source"]).replace(",positive=normal", "")})
    )
    pd.read_csv(folder / "m.csv").assign(fold=1, case="x").to_csv(folder / "m.csv", index=False)
    answer = hybridq("evaluate", run)
    assert answer.code == 0, answer.error
    assert "The positive class is normal: sensitivity is its share" in " ".join(answer.out.split())
    other = f"manifest:path={folder}/m.csv,label=word,ignore=fold|case"
    elsewhere = hybridq("evaluate", run, "--data", other, "--split", "train")
    assert elsewhere.code == 0, elsewhere.error
    (found,) = (
        path.parent for path in run.glob("evaluations/*/record.json") if json.loads(path.read_text()).get("data")
    )
    rows = pd.read_csv(found / "predictions.csv")
    words = pd.read_csv(folder / "m.csv").set_index("path")["word"]
    assert (rows["label"] == (words[rows["id"]] == "normal").to_numpy()).all()


def test_a_run_is_not_continued_on_other_images(hybridq: Command, folder: Path) -> None:
    run = train(hybridq, folder, "begun", "label=word")
    (run / "training.json").unlink()  # as if it had been killed before its end
    again = ("train", folder / "begun.yaml", "--runs", folder / "runs", "--allow-leaks")
    assert hybridq(*again).code == 0
    (run / "training.json").unlink()
    before = (run / "splits.csv").read_bytes()
    pd.read_csv(folder / "m.csv").iloc[:-1].to_csv(folder / "m.csv", index=False)
    assert "was begun on other images, splits or labels than manifest:" in hybridq.refused(*again)
    assert (run / "splits.csv").read_bytes() == before
