"""The run folder: where it is, what must be in it, and how it is read and written."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from hybridq.config import Experiment, dump_experiment, load_experiment
from hybridq.errors import UserError
from hybridq.files import read_json, write_json, write_text

VERSIONED = (
    "hybridq-medical",
    "torch",
    "torchvision",
    "lightning",
    "qiskit",
    "qiskit-aer",
    "qiskit-machine-learning",
    "qiskit-ibm-runtime",
    "numpy",
    "scikit-learn",
)


@dataclass(frozen=True)
class RunFolder:
    """A run folder. Paths of its files; nothing is read before it is asked for.

    What a finished run cannot change is read once.
    """

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def weights(self) -> Path:
        return self.folder / "model.safetensors"

    @property
    def encoder(self) -> Path:
        """The encoder after stage 1; absent where stage 1 was left out."""
        return self.folder / "encoder.safetensors"

    @property
    def splits(self) -> Path:
        return self.folder / "splits.csv"

    @property
    def history(self) -> Path:
        return self.folder / "history.csv"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def evaluations(self) -> Path:
        return self.folder / "evaluations"

    @property
    def finished(self) -> bool:
        """Whether training ended: training.json is its last file."""
        return (self.folder / "training.json").is_file()

    @cached_property
    def experiment(self) -> Experiment:
        """The resolved configuration."""
        return load_experiment(self.config)

    def read_json(self, name: str) -> Any:
        """The content of a JSON file of the run; raises :class:`UserError` when it is missing or no JSON."""
        return read_json(self.folder / name)

    @cached_property
    def data_card(self) -> dict[str, Any]:
        """Content of data.json: classes, task, positive class, intensities, counts."""
        card: dict[str, Any] = self.read_json("data.json")
        return card

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, or of the labels where an image may have several."""
        return tuple(self.data_card["classes"])

    @cached_property
    def task(self) -> str:
        """binary, multi-class, ordinal or multi-label."""
        # Runs that were trained before tasks were recorded have one of several classes.
        recorded = self.data_card.get("task")
        return str(recorded) if recorded else "binary" if len(self.classes) == 2 else "multi-class"

    @cached_property
    def weights_digest(self) -> str:
        """SHA-256 of the trained weights."""
        return hashlib.sha256(self.weights.read_bytes()).hexdigest()

    def result_key(self, split: str, ids: Sequence[str], **also: Any) -> str:
        """Return the key of a result on these images; ``also`` is what else decides it.

        The weights and the run's seed belong to it, unless ``also`` has another seed.
        """
        content = {"split": split, "samples": list(ids), "weights": self.weights_digest, "seed": self.experiment.seed}
        return key_of(content | also)

    def result_folder(self, kind: Literal["evaluations", "hardware", "mitigation"], label: str, key: str) -> Path:
        """Return where a result of that key is kept."""
        return self.folder / kind / result_name(label, key)

    def positive_sentence(self) -> str | None:
        """Say of which class sensitivity is, and how it was chosen; None unless the task is binary."""
        if self.task != "binary":
            return None
        negative, positive = self.classes
        chosen = self.data_card.get("positive")
        by = f" ({chosen['by']})" if chosen else ""
        rates = f"sensitivity is its share that is found, specificity that of {negative}"
        return f"The positive class is {positive}{by}: {rates}."

    @property
    def directory(self) -> Path | None:
        """Where the command that trained it was started: relative paths of its data begin there.

        None for runs that were trained before this was recorded.
        """
        path = self.folder / "environment.json"
        recorded = self.read_json(path.name).get("directory") if path.is_file() else None
        return None if recorded is None else Path(recorded)

    def read_splits(self) -> pd.DataFrame:
        """splits.csv with columns id, group, split, label, and true_0, true_1, … where an image has several labels."""
        return pd.read_csv(self.splits, dtype={"id": str, "group": str, "split": str}, keep_default_na=False)


def key_of(content: dict[str, Any]) -> str:
    """Return 16 hexadecimal digits that name what decides a result; the same content has the same key."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def result_name(label: str, key: str) -> str:
    """Return ``<slug>-<key8>``, the name of a result's folder or file."""
    slug = "-".join(filter(None, "".join(c if c.isalnum() else "-" for c in label).split("-")))
    return f"{slug}-{key[:8]}"


def create_run(root: Path, experiment: Experiment) -> RunFolder:
    """The run folder of ``experiment`` under ``root``: new, or the one that an earlier, killed command left.

    Raises :class:`UserError` when a folder of that name belongs to another configuration.
    """
    run = RunFolder(root / experiment.name)
    if run.config.exists():
        if run.experiment != experiment:
            keys = ", ".join(_differences(run.experiment.model_dump(), experiment.model_dump()))
            raise UserError(
                f"{run.folder}: holds a run with another configuration (different: {keys}); choose another --set name=…"
            )
        return run
    # A process that was killed while it wrote the configuration leaves a hidden, unfinished file.
    if run.folder.exists() and any(not path.name.startswith(".") for path in run.folder.iterdir()):
        raise UserError(f"{run.folder}: is not empty and not a run; choose another --set name=…")
    write_text(run.config, dump_experiment(experiment))
    return run


def open_run(folder: Path) -> RunFolder:
    """A finished run; raises :class:`UserError` when the folder is not one or is incomplete."""
    run = RunFolder(folder)
    if not run.folder.is_dir():
        raise UserError(f"{folder}: no such folder; RUN is the folder of a run, such as runs/NAME")
    if not run.config.is_file():
        raise UserError(f"{folder}: is not a run folder (config.yaml is missing)")
    needed = ("model.safetensors", "splits.csv", "data.json", "model.json", "training.json")
    missing = [name for name in needed if not (run.folder / name).is_file()]
    if missing:
        raise UserError(
            f"{folder}: the run is incomplete ({', '.join(missing)} missing); finish it with hybridq train "
            f"{run.config} --runs {folder.parent}"
        )
    return run


def describe_environment(seed: int, threads: int) -> dict[str, Any]:
    """Versions, machine and git commit, JSON-ready."""
    versions = {"python": platform.python_version()}
    for name in VERSIONED:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed as a package"
    return {
        "versions": versions,
        "machine": {"system": platform.platform(), "processor": _processor(), "cores": cores()},
        "git_commit": _git_commit(),
        "seed": seed,
        "threads": threads,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "directory": str(Path.cwd()),
    }


def write_environment(run: RunFolder, seed: int, threads: int) -> None:
    """environment.json, once: a continued run keeps the description of its start."""
    path = run.folder / "environment.json"
    if not path.exists():
        write_json(path, describe_environment(seed, threads))


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _differences(old: Any, new: Any, prefix: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        return [d for key in new for d in _differences(old.get(key), new[key], f"{prefix}.{key}" if prefix else key)]
    return [] if old == new else [prefix]


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _git_commit() -> str | None:
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, cwd=Path(__file__).parent
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None
