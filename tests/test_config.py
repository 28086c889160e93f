"""The configuration says what is wrong, where, and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from hybridq.config import dump_experiment, load_experiment, parse_experiment
from hybridq.errors import UserError

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
    "path",
    [p for folder in ("configs", "hybridq/configs") for p in (REPOSITORY / folder).glob("*.yaml")],
    ids=lambda path: path.name,
)
def test_every_configuration_in_the_repository_is_valid(path: Path) -> None:
    assert load_experiment(path).name == path.stem
