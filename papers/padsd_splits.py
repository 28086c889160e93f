"""What P-ADSD's official split is worth: accuracy and AUC on it and on the split that keeps clusters together.

    python -m papers.padsd_splits --runs runs --out docs/results/padsd-splits.csv

One encoder a split, pretrained on that split's training images only and then frozen; three seeds of what comes behind
it. Images are 32 × 32, so that the whole of it takes under half an hour of one core.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas as pd

from hybridq.config import Experiment, parse_experiment
from hybridq.evaluation.evaluate import evaluate, plan_evaluation
from hybridq.evaluation.inference import Inference
from hybridq.files import atomic_write
from hybridq.run_folder import RunFolder
from hybridq.training.train import train

SPLITS = {"official": None, "clustered": "configs/splits/padsd_clusters.csv"}
SEEDS = (0, 1, 2)
SHOWN = ("accuracy", "auc", "sensitivity", "specificity")


def experiment(name: str, split: str, pretrain: str, epochs: int, seed: int = 0) -> Experiment:
    splits = f", splits: {SPLITS[split]}" if SPLITS[split] else ""
    return parse_experiment(
        f"""
name: {name}
seed: {seed}
data: {{source: padsd, size: 32{splits}}}
pretrain: {{{pretrain}, batch_size: 256, learning_rate: 0.003, augmentation: {{flips: true}}}}
train:
  epochs: {epochs}
  batch_size: 256
  learning_rate: 0.003
  head_learning_rate: 0.003
  unfreeze: none
  class_weights: true
  threads: 1
  augmentation: none
"""
    )


def run_split(split: str, runs: Path, pretraining: int, epochs: int) -> list[dict[str, object]]:
    encoder = _train(experiment(f"padsd_{split}_encoder", split, f"epochs: {pretraining}", 1), runs)
    rows: list[dict[str, object]] = []
    for seed in SEEDS:
        name = f"padsd_{split}_seed{seed}"
        run = _train(experiment(name, split, f"encoder: {encoder.folder}", epochs, seed), runs)
        folder = evaluate(plan_evaluation(Inference.of(run), "aer"))
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        for metric in SHOWN:
            cell = metrics["metrics"][metric]
            rows.append({"split": split, "seed": seed, "images": metrics["n"], "metric": metric, **_numbers(cell)})
    return rows


def _train(settings: Experiment, runs: Path) -> RunFolder:
    return train(settings, runs, announce=print, progress=lambda *_: None, allow_leaks=True)


def _numbers(cell: dict[str, object]) -> dict[str, object]:
    return {key: cell[key] for key in ("value", "low", "high")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pretraining", type=int, default=3, help="epochs of SimCLR")
    parser.add_argument("--epochs", type=int, default=20, help="epochs behind the frozen encoder")
    options = parser.parse_args()
    rows = [row for split in SPLITS for row in run_split(split, options.runs, options.pretraining, options.epochs)]
    table = pd.DataFrame(rows).round(6)
    with atomic_write(options.out) as partial:
        table.to_csv(partial, index=False)
    print(table.pivot_table(index=["split", "seed"], columns="metric", values="value"))


if __name__ == "__main__":
    main()
