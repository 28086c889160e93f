"""Splits that are withdrawn are refused for training, whatever their file is called."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import yaml
from planted import Planted
from tiny import quietly

from hybridq.config import Experiment, load_experiment, parse_experiment
from hybridq.data.audit import audit, withdrawn
from hybridq.data.audit.withdrawn import digest_of_splits, why_withdrawn
from hybridq.data.sources import load_manifest
from hybridq.errors import UserError
from hybridq.training.prepare import prepare

CONFIGS = Path(__file__).parents[2] / "configs"
FILES = ("padsd_clusters.csv", "padsd_paper_scale.csv")


def read(name: str) -> pd.DataFrame:
    return pd.read_csv(CONFIGS / "splits" / name, dtype=str, keep_default_na=False)


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    """Clean images under a copy of splits that are recorded as withdrawn."""
    source = Planted(tmp_path / "images", each=4).source
    experiment = parse_experiment(f"name: x\ndata: {{source: '{source}', size: 32, splits: {tmp_path / 'mine.csv'}}}")
    table = load_manifest(source, experiment.data.model_copy(update={"splits": None}), 0).table[["id", "split"]]
    table.sample(frac=1, random_state=1).to_csv(tmp_path / "mine.csv", index=False)
    monkeypatch.setitem(withdrawn.WITHDRAWN, digest_of_splits(table), "These splits are withdrawn: videos cross.")
    return experiment


@pytest.mark.parametrize("name", FILES)
def test_the_committed_files_are_recognised_by_content(name: str) -> None:
    table = read(name)
    sentence = why_withdrawn(table)
    assert sentence is not None
    assert f"({name}) are withdrawn: crops of the same frames and videos stand on both sides" in sentence
    assert why_withdrawn(table.sample(frac=1, random_state=0)[["split", "id"]]) == sentence
    moved = table.copy()
    moved.loc[0, "split"] = "validation" if moved.loc[0, "split"] == "test" else "test"
    assert why_withdrawn(moved) is None


def test_withdrawn_splits_are_refused_for_training_and_the_sentence_says_why(experiment: Experiment) -> None:
    with pytest.raises(UserError, match=r"the splits leak \(These splits are withdrawn: videos cross\).*--allow-leaks"):
        prepare(experiment, quietly)
    assert prepare(experiment, quietly, allow_leaks=True).leaks == ("These splits are withdrawn: videos cross.",)


def test_the_audit_rejects_withdrawn_splits(experiment: Experiment) -> None:
    found = audit(load_manifest(experiment.data.source, experiment.data, 0), progress=quietly)
    assert found.leaks == ["These splits are withdrawn: videos cross."]
    assert found.found("withdrawn splits").weight == "leak"


def test_every_study_on_withdrawn_splits_says_that_they_leak() -> None:
    using = []
    for file in sorted((CONFIGS / "studies").glob("*.yaml")):
        text = file.read_text(encoding="utf-8")
        study = yaml.safe_load(text)
        if "base" in study and any(name in text + (file.parent / study["base"]).read_text("utf-8") for name in FILES):
            using.append(file.stem)
            assert study.get("allow_leaks"), f"{file} trains on withdrawn splits; allow_leaks: true says so"
    assert {"controls", "hqcnn_padsd", "ssl_quantum_paper_scale"} <= set(using)


def test_every_configuration_on_withdrawn_splits_says_so() -> None:
    for file in sorted(CONFIGS.glob("*.yaml")):
        if str(load_experiment(file).data.splits).endswith(FILES):
            assert "--allow-leaks" in file.read_text(encoding="utf-8"), file
