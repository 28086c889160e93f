"""Every key can be found with a sentence; the schemas are those of the code, and say what the command says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from hybridq.config import Experiment, Section, load_experiment, parse_experiment
from hybridq.config_schema import FIRST_LINE, FOLDER, json_schema, list_keys
from hybridq.errors import UserError
from hybridq.models.backbones.registry import backbone_names
from hybridq.models.registry import model_names
from hybridq.studies.models.config import Study, load_study
from hybridq.studies.noise.config import NoiseStudy
from hybridq.yaml_text import parse_yaml, read_settings

ROOT = Path(__file__).parents[1]
KINDS: dict[str, type[Section]] = {"experiment": Experiment, "study": Study, "noise": NoiseStudy}
SHIPPED = sorted([*(ROOT / "configs").rglob("*.yaml"), *(ROOT / "hybridq" / "configs").glob("*.yaml")])


def errors(kind: str, settings: Any) -> list[str]:
    """What a schema has against settings, whose keys JSON takes for texts."""
    validator = Draft202012Validator(json_schema(KINDS[kind]))
    return [error.message for error in validator.iter_errors(json.loads(json.dumps(settings)))]


@pytest.mark.parametrize("kind", KINDS)
def test_the_shipped_schema_is_that_of_the_code(kind: str) -> None:
    schema = json.loads(json.dumps(json_schema(KINDS[kind])))
    Draft202012Validator.check_schema(schema)
    shipped = json.loads((FOLDER / f"{kind}.json").read_text(encoding="utf-8"))
    assert shipped == schema, f"run: hybridq config schema --of {kind} > hybridq/schemas/{kind}.json"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_shipped_configuration_names_its_schema_and_validates_against_it(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith(FIRST_LINE), f"the first line names the schema: {FIRST_LINE}…"
    named = (path.parent / first.removeprefix(FIRST_LINE)).resolve()
    kind = "noise" if path.stem == "noise" else "study" if path.parent.name == "studies" else "experiment"
    assert named == FOLDER.resolve() / f"{kind}.json"
    assert errors(kind, read_settings(path)) == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_has_a_sentence_and_says_what_is_allowed(kind: str) -> None:
    for key in list_keys(KINDS[kind]):
        assert key.sentence.endswith((".", "NAME_q_shuffle.")), f"{key.name} needs a sentence below it in the source"
        assert key.allowed not in ("", "any value"), key.name
        assert "`" not in key.sentence + key.allowed
        assert "None" not in key.sentence


def test_the_default_that_is_listed_is_the_one_that_is_taken() -> None:
    bare = "{name: x, data: {source: synthetic}}"
    written = [f"{key.name}={key.default}" for key in list_keys(Experiment) if key.default]
    assert len(written) > 80
    assert parse_experiment(bare, written) == parse_experiment(bare)


def test_a_default_that_hangs_on_another_key_is_said() -> None:
    said = {key.name: key for key in list_keys(Experiment)}
    assert said["model.layers"].also == "4 for lean_hybrid"
    assert said["train.augmentation.rotation_degrees"].default == "10.0"
    given = parse_experiment("{name: x, data: {source: synthetic}, train: {augmentation: {flips: true}}}")
    assert given.train.augmentation.rotation_degrees == 15
    assert said["train.augmentation.rotation_degrees"].also == "15.0 where its section is given without it"


def test_ranges_and_choices_are_in_words() -> None:
    said = {key.name: key.allowed for key in list_keys(Experiment)}
    assert said["model.qubits"] == "integer from 1 to 16"
    assert said["train.learning_rate"] == "number above 0"
    assert said["train.unfreeze"] == "all or none or integer at least 0"
    assert said["data.range"] == "auto or full or [number, number]"
    assert said["model.rotations"] == "list, each rx or ry or rz"
    assert said["train.augmentation"] == "section, or none"
    assert said["data.classes"] == "{0: [classes], 1: [classes]} or null"


def test_models_and_backbones_are_named() -> None:
    said = {key.name: key.sentence for key in list_keys(Experiment, "model")}
    assert all(name in said["model.name"] for name in model_names())
    assert all(name in said["model.backbone"] for name in backbone_names())


def test_a_key_is_found_by_its_beginning_or_the_nearest_are_named() -> None:
    assert [key.name for key in list_keys(Experiment, "train.b")] == ["train.backend", "train.batch_size"]
    assert list_keys(Experiment, "train")[0].allowed == "section"
    with pytest.raises(UserError, match=r"no key begins with 'epochs'; did you mean pretrain.epochs, train.epochs?"):
        list_keys(Experiment, "epochs")
    with pytest.raises(UserError, match=r"did you mean train\.learning_rate"):
        list_keys(Experiment, "train.lerning_rate")


@pytest.mark.parametrize(
    "given",
    [
        "data: {source: x, classes: {0: [a, 1], 1: [b]}}",
        "data: {source: x, columns: {path: p, label: [a, b], 3: ignore}, positive: 3, range: [0, 4095]}",
        "{data: {source: x}, train: {augmentation: none, unfreeze: 3, noise_scale: [0, 2], logger: csv}}",
        "{data: {source: x}, model: {name: baseline, rotations: [rz]}, hardware: {zne_factors: [1, 3]}}",
    ],
)
def test_what_is_plainly_written_and_taken_is_valid(given: str) -> None:
    settings = {"name": "x", **parse_yaml(given, where="here")}
    parse_experiment(json.dumps(settings))
    assert errors("experiment", settings) == []


@pytest.mark.parametrize(
    "given",
    [
        "data: {sorce: x}",
        "data: {source: x, size: 8}",
        "data: {source: x, classes: {0: [a], 2: [b]}}",
        "data: {source: x, size: true}",
        "{data: {source: x}, train: {unfreeze: some}}",
        "{data: {source: x}, train: {augmentation: {rotation_degrees: 200}}}",
        "{data: {source: x}, model: {rotations: [rw]}}",
        "{data: {source: x}, extra: 1}",
        "{}",
    ],
)
def test_what_is_refused_is_not_valid(given: str) -> None:
    settings = {"name": "x", **parse_yaml(given, where="here")}
    with pytest.raises(UserError):
        parse_experiment(json.dumps(settings))
    assert errors("experiment", settings) != []


def test_the_changes_of_a_study_are_checked_key_by_key(tmp_path: Path) -> None:
    study = {"name": "s", "base": "a.yaml", "models": {"a": {}, "b": {"model.alpha": 0, "train.augmentation": "none"}}}
    assert errors("study", study) == []
    assert any("model.alhpa" in error for error in errors("study", study | {"set": {"model.alhpa": 0}}))
    assert errors("study", study | {"data": {"x": {"data.size": 8}}}) != []


def test_the_schema_line_is_a_comment_to_the_command() -> None:
    assert load_experiment(ROOT / "configs" / "ssl_quantum_adsss.yaml").name == "ssl_quantum_adsss"
    assert load_study(ROOT / "configs" / "studies" / "controls.yaml")[0].name == "controls"
