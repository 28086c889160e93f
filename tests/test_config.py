"""The configuration says what is wrong, where, and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from hybridq.config import dump_experiment, load_experiment, parse_experiment
from hybridq.errors import UserError
from hybridq.yaml_text import parse_yaml

REPOSITORY = Path(__file__).parent.parent
MINIMAL = "name: a\ndata: {source: padsd}\n"


def test_a_dumped_configuration_is_complete_and_reads_back_unchanged() -> None:
    experiment = parse_experiment(MINIMAL, ["train.epochs=3", "pretrain.augmentation.flips=true"])
    text = dump_experiment(experiment)
    assert parse_experiment(text) == experiment
    assert "entanglement: ring" in text


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("model.qubit=3", "unknown key model.qubit; did you mean model.qubits?"),
        ("modle.qubits=3", "unknown key modle; did you mean model?"),
        ("pretrain.augmentation.rotation=3", "did you mean pretrain.augmentation.rotation_degrees?"),
        ("model.qubits=0", "model.qubits = 0; input should be greater than or equal to 1"),
        ("model.qubits=many", "model.qubits = 'many'; input should be a valid integer"),
        ("model.entanglement=star", "input should be 'ring', 'linear', 'full', 'ranged' or 'none'"),
        ("train.learning_rate=-1", "train.learning_rate = -1; input should be greater than 0"),
        ("train.unfreeze=half", "train.unfreeze = 'half'"),
        ("pretrain.augmentation.crop_ratio=[0.9, 0.2]", "the lower end 0.9 is above the upper end 0.2"),
        ("pretrain.augmentation.crop_ratio=[0.9, 1.2]", "1.2 is larger than the image"),
        ("name=../elsewhere", "name = '../elsewhere'"),
        ("train.noise_scale=[2, 1]", "train.noise_scale = [2, 1]; expected [low, high] with 0 <= low <= high"),
        ("train.noise_scale=[0, 0]", "train.noise_scale = [0, 0]; expected [low, high] with 0 <= low <= high"),
        ("train.noise_scale=2", "train.noise_scale = 2; input should be a valid tuple"),
        ("hardware.shot=64", "unknown key hardware.shot; did you mean hardware.shots?"),
        ("hardware.dd=XZ", "hardware.dd = 'XZ'; input should be 'none', 'XX', 'XpXm' or 'XY4'"),
        ("hardware.copies=0", "hardware.copies = 0"),
        ("train", "--set train: expected key=value"),
        ("name.x=1", "name is a value, not a section"),
        ("train=3", "train = 3; input should be a valid dictionary or instance of Train; it is a section"),
        ("train.epochs=true", "train.epochs = True; true and false are no numbers"),
        ("train.learning_rate=on", "train.learning_rate = 'on'; input should be a valid number"),
        ("train.unfreeze=false", "train.unfreeze = False; true and false are no numbers"),
        ("hardware.copies=true", "hardware.copies = True; true and false are no numbers"),
        ("pretrain.augmentation.crop_ratio=[true, 1]", "crop_ratio = [True, 1]; true and false are no numbers"),
        ("train.learning_rate=.inf", "train.learning_rate = inf; input should be a finite number"),
        ("model.alpha=.nan", "model.alpha = nan; input should be a finite number"),
        ("model.alpha='-inf'", "model.alpha = '-inf'; input should be a finite number"),
        ("pretrain.augmentation.scale=[1, .inf]", "scale.1 = inf; input should be a finite number"),
        (
            "name=20260503",
            "name = 20260503; input should be a valid string; YAML takes this for a number, and a text is",
        ),
        ("name=1.0", "put in quotes, as in '1.0'"),
        ("name=true", "a text of that name is put in quotes"),
        ("data.classes={0: [no, true], 1: [yes]}", "got ['no', True]; a name that is true or false is put in quotes"),
        ("model.rotations=rz", "model.rotations = 'rz'; input should be a valid tuple; a list is written as [rz]"),
        ("train={epochs: 1, epochs: 2}", "epochs is given twice, in line 1, and one of them would be lost"),
    ],
)
def test_a_wrong_override_is_named_with_what_is_allowed(override: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_experiment(MINIMAL, [override])
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "no such file or directory"),
        (b"", "holds no settings"),
        (b"- a\n- b\n", "holds no settings"),
        (b"name: [", "not valid YAML"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"name: a\n", "data is missing"),
        (b"name: a\ndata: {}\ntrain: {epochs: 2}\ntrain:\n", "train is given twice, in lines 3 and 4"),
        (b"name: a\ndata:\n  size: 32\n  seed: 1\n  size: 64\n", "data.size is given twice, in lines 3 and 5"),
        (b"a: 1\n---\nb: 2\n", "another document, in line 2"),
        (b"name: \x00", "not valid YAML"),
        (b"[" * 3000, "nested too deeply"),
        (b"seed: " + b"9" * 5000, "not valid YAML"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    path = tmp_path / "x.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        load_experiment(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [],
)
def test_an_override_that_another_one_would_undo_is_refused(overrides: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        parse_experiment(MINIMAL, overrides)
    assert parse_experiment(MINIMAL, [overrides[1], "model.layers=1"]).model.layers == 1


def test_an_empty_section_is_one_of_defaults() -> None:
    empty = "train:\nhardware:\nmodel:\npretrain:\n  augmentation:\n"
    assert parse_experiment(MINIMAL + empty) == parse_experiment(MINIMAL)
    assert parse_experiment(MINIMAL + empty, ["train.epochs=3"]).train.epochs == 3
    assert parse_experiment(MINIMAL, ["train.augmentation="]).train == parse_experiment(MINIMAL).train


@pytest.mark.parametrize("name", ["2026-05-03", "no", "on", "007", "12e3"])
def test_a_name_that_looks_like_something_else_is_the_text_that_stands_there(name: str) -> None:
    experiment = parse_experiment(f"name: {name}\ndata: {{source: padsd, classes: {{0: [{name}], 1: [yes]}}}}\n")
    assert experiment.name == name
    assert experiment.data.classes == ((name,), ("yes",))
    assert parse_experiment(dump_experiment(experiment)) == experiment


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("model.rotations=rz,ry", "rotations", ("rz", "ry")),
        ("model.rotations=[rz, ry]", "rotations", ("rz", "ry")),
        ("model.imagenet=yes", "imagenet", True),
        ("model.imagenet=1", "imagenet", True),
        ("model.imagenet=off", "imagenet", False),
        ("model.alpha=1e-3", "alpha", 1e-3),
    ],
)
def test_values_are_taken_as_they_are_meant(override: str, key: str, value: object) -> None:
    assert getattr(parse_experiment(MINIMAL, [override]).model, key) == value


def test_whatever_a_dump_holds_is_read_back() -> None:
    texts = ["no", "1e-3", "2026-05-03", "007", "12:30", "true", ".inf", "~", "", "<<", "0b11", "1_0", "0x1F", "="]
    values = [*texts, 1, -2, 0, 1.5, 1e-7, 1e20, True, None, float("inf"), "a: b", "#"]
    assert parse_yaml(yaml.safe_dump(values), where="dump") == values
    assert [type(value) for value in parse_yaml(yaml.safe_dump(values), where="dump")] == [*map(type, values)]


def test_keys_of_a_merged_mapping_may_be_set_again() -> None:
    assert parse_yaml("a: &a {x: 1}\nb: {<<: *a, x: 2}\nc: *a", where="") == {
        "a": {"x": 1},
        "b": {"x": 2},
        "c": {"x": 1},
    }


@pytest.mark.parametrize(
    "path",
    [p for folder in ("configs", "hybridq/configs") for p in (REPOSITORY / folder).glob("*.yaml")],
    ids=lambda path: path.name,
)
def test_every_configuration_in_the_repository_is_valid(path: Path) -> None:
    assert load_experiment(path).name == path.stem
