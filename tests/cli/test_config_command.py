"""``hybridq config``: keys for a person, a schema for an editor."""

from __future__ import annotations

import json

from hardware_cli import Command

from hybridq.config_schema import FOLDER


def test_keys_are_listed_with_default_range_and_sentence(hybridq: Command) -> None:
    done = hybridq("config", "keys", "train.ep")
    assert done.code == 0
    assert done.out.splitlines()[0] == "train.epochs = 20"
    assert done.out.splitlines()[1].startswith("    integer at least 1. Passes over the labelled training images")
    everything = hybridq("config", "keys").out
    for key in (
        "name  (must be given)",
        "data.source  (must be given)",
        "hardware.resilience = 1",
        "train.logger = null",
    ):
        assert f"\n{key}\n" in f"\n{everything}"


def test_a_key_that_does_not_exist_is_one_sentence(hybridq: Command) -> None:
    assert "no key begins with 'train.lerning_rate'; did you mean train.learning_rate" in hybridq.refused(
        "config", "keys", "train.lerning_rate"
    )
    assert hybridq("config", "keys", "devices", "--of", "noise").out.startswith("devices = [fake_torino]")
    assert "known: name, base" in hybridq.refused("config", "keys", "zzz", "--of", "study")


def test_the_schema_that_is_printed_is_the_one_that_is_shipped(hybridq: Command) -> None:
    for kind in ("experiment", "study", "noise"):
        done = hybridq("config", "schema", "--of", kind)
        assert json.loads(done.out) == json.loads((FOLDER / f"{kind}.json").read_text(encoding="utf-8"))
