"""A key that is new since 2026-11-28 changes no name of a result, and no comparison, while it stands at its default."""

from __future__ import annotations

import hashlib
import importlib
import json
import pkgutil
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from pydantic import Field, model_validator

import hybridq
from backends.hardware_options import FIRST_OPTIONS, HardwareOptions
from backends.ibm.task import FIRST_OF_A_CHUNK, Chunk
from backends.key_content import key_content
from hybridq.config import Experiment, Hardware, Model, Section, Train, parse_experiment
from hybridq.config_keys import FIRST_KEYS
from hybridq.errors import UserError
from hybridq.run_folder import create_run
from hybridq.studies.models.config import Choice, Tuning
from hybridq.studies.noise.cells import FIRST_OF_A_CELL, Cell

SMALL = "{name: small, data: {source: synthetic}}"


def every_section() -> dict[str, type[Section]]:
    """The sections of hybridq by name, those of sources included; tests have more."""
    for module in pkgutil.walk_packages(hybridq.__path__, "hybridq."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)

    def below(section: type[Section]) -> Iterator[type[Section]]:
        for one in section.__subclasses__():
            yield one
            yield from below(one)

    found = [one for one in below(Section) if one.__module__.startswith("hybridq.") and one.model_fields]
    assert len({one.__name__ for one in found}) == len(found), "two sections have one name; FIRST_KEYS is by name"
    return {one.__name__: one for one in found}


class Loss(Section):
    """A section that came later."""

    name: str = "cross_entropy"
    smoothing: float = 0.0


class WiderModel(Model):
    """With keys that came later, before and behind the others."""

    pooling: str = "mean"
    loss: Loss = Loss()

    @model_validator(mode="before")
    @classmethod
    def _of_the_system(cls, given: Any) -> Any:
        """Set another default for one system, as SYSTEMS does."""
        defaults = {"pooling": "max"} if given.get("name") == "hqcnn" else {}
        return {**defaults, **given}


class WiderExperiment(Experiment):
    """With a section inside that has new keys, and a new section."""

    model: WiderModel = WiderModel()
    audit: Loss = Loss()


def digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def test_the_content_of_a_configuration_is_what_it_was() -> None:
    experiment = parse_experiment(SMALL, ["data.classes={0: [a], 1: [b]}", "train.augmentation=none"])
    assert digest(experiment.key_content()) == "ca80cef4afe0a6d9985005122c1f1bbd0b7badf94d039d3265e476d8b2e60565"


def test_new_keys_at_their_defaults_are_left_out() -> None:
    assert digest(WiderModel().key_content()) == digest(Model().key_content())
    wider, plain = (kind(name="x", data={"source": "synthetic"}) for kind in (WiderExperiment, Experiment))  # type: ignore[arg-type]
    assert digest(wider.key_content()) == digest(plain.key_content())


def test_new_keys_with_other_values_are_there() -> None:
    changed = WiderModel(pooling="max", loss=Loss(smoothing=0.1)).key_content()
    assert changed == Model().key_content() | {"pooling": "max", "loss": {"smoothing": 0.1}}


def test_a_default_is_what_the_section_takes_by_itself() -> None:
    """Where the default hangs on the system, an old configuration of that system has that one."""
    assert "pooling" not in WiderModel(name="hqcnn").key_content()
    assert WiderModel(name="hqcnn", pooling="mean").key_content()["pooling"] == "mean"


def test_old_keys_stay_whatever_their_value() -> None:
    for section in (Hardware(), Train(), Model(), Model(name="hqcnn")):
        content, dumped = section.key_content(), section.model_dump(mode="json")
        assert {key: content[key] for key in FIRST_KEYS[type(section).__name__]}.items() <= dumped.items()


def test_a_key_that_must_be_given_is_always_there() -> None:
    class Needy(Section):
        rate: float
        steps: Annotated[int, Field(ge=1)] = 1

    assert Needy(rate=0.5).key_content() == {"rate": 0.5}


def test_sections_in_mappings_and_lists_are_looked_into() -> None:
    class WiderChoice(Choice):
        step: float | None = None

    class Several(Section):
        choices: tuple[WiderChoice, ...]

    space = {"alpha": WiderChoice(low=0, high=1)}
    wider = Tuning.model_construct(space=space, trials=20)
    assert wider.key_content() == Tuning(space={"alpha": Choice(low=0, high=1)}).key_content()
    assert "step" not in Several(choices=(WiderChoice(low=0, high=1),)).key_content()["choices"][0]


@pytest.mark.parametrize(
    ("kind", "first"), [(HardwareOptions, FIRST_OPTIONS), (Chunk, FIRST_OF_A_CHUNK), (Cell, FIRST_OF_A_CELL)]
)
def test_fields_of_what_is_sent_and_of_cells_were_all_there_or_have_defaults(
    kind: type[Any], first: tuple[str, ...]
) -> None:
    of = {field.name: field for field in fields(kind)}
    assert set(first) <= set(of), f"{kind.__name__} has lost a field that names results on disk; keep it"
    for name in set(of) - set(first):
        assert (of[name].default, of[name].default_factory) != (MISSING, MISSING), (
            f"{kind.__name__}.{name} is new since 2026-11-28 and needs the default that does what was done before"
        )


def test_new_fields_of_what_is_sent_are_left_out_at_their_defaults() -> None:
    @dataclass(frozen=True)
    class Wider(HardwareOptions):
        paulis: tuple[int, ...] = (1, 3, 5)

    options, plain = Wider(shots=64), key_content(HardwareOptions(shots=64), FIRST_OPTIONS)
    assert list(plain) == list(FIRST_OPTIONS)
    assert key_content(options, FIRST_OPTIONS) == plain
    other = key_content(replace(options, paulis=(1, 2)), FIRST_OPTIONS)
    assert other == plain | {"paulis": (1, 2)}


def test_a_run_from_before_a_key_goes_on_under_the_default(tmp_path: Path) -> None:
    experiment = parse_experiment(SMALL)
    run = create_run(tmp_path, experiment)
    older = yaml.safe_load(run.config.read_text(encoding="utf-8"))
    del older["model"]["normalise_q"], older["hardware"]
    run.config.write_text(yaml.safe_dump(older), encoding="utf-8")
    assert create_run(tmp_path, experiment).folder == run.folder
    with pytest.raises(UserError, match=r"another configuration \(different: model\.normalise_q\)"):
        create_run(tmp_path, parse_experiment(SMALL, ["model.normalise_q=true"]))


def test_the_list_of_first_keys_is_frozen() -> None:
    assert (
        digest({name: sorted(keys) for name, keys in FIRST_KEYS.items()})
        == "e31aef0aead2bbb6267b1404e49f8d7ea3cbc60d93ed90407d50ec5e0bfa66f1"
    ), "hybridq/config_keys.py lists the keys of 2026-11-28 and does not change; a newer key needs no entry"


def test_every_new_key_has_a_default_and_no_old_one_is_gone() -> None:
    sections = every_section()
    for name, keys in FIRST_KEYS.items():
        assert name in sections, (
            f"the section {name} is gone: runs on disk have it, and FIRST_KEYS knows it by its name"
        )
        for key in keys:
            assert key in sections[name].model_fields, (
                f"{name}.{key} is gone, but runs on disk have it; keep reading it, or their configurations are refused"
            )
    for name, section in sections.items():
        for key in set(section.model_fields) - set(FIRST_KEYS.get(name, ())):
            assert name not in FIRST_KEYS or not section.model_fields[key].is_required(), (
                f"{name}.{key} is new since 2026-11-28 and has no default, so older runs do not load; give it the "
                "default that does what was done before it existed"
            )
