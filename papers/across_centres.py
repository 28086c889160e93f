"""Trained on one release of angiograms, tested on the other, without fine-tuning.

    python -m papers.across_centres --runs runs --out docs/results/across-centres.csv

Takes the finished cells of the studies controls (trained on P-ADSD) and adsss, which hold the seeds; each is evaluated
on the test images of both sets, as they are.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas as pd

from hybridq.evaluation.evaluate import evaluate, plan_evaluation
from hybridq.evaluation.inference import Inference
from hybridq.files import atomic_write
from hybridq.results.selection import ImageChoice
from hybridq.run_folder import RunFolder, open_run
from hybridq.statistics.significance import interval_over_seeds

SETS = {"P-ADSD": ("controls", "padsd"), "A-DSSS": ("adsss", "adsss:fold=0")}
"""The study whose cells were trained on a set, and the set as a source."""
MODELS = ("ssl_quantum", "alpha_zero")
METRICS = ("auc", "accuracy", "sensitivity", "specificity")


def measure(runs: Path) -> pd.DataFrame:
    """A row a training set, test set and model: mean ± half the 95 % t interval over the seeds that are there.

    The change of AUC is against the first model with the same seeds, on these images.
    """
    rows = []
    for trained, (study, _) in SETS.items():
        for tested, (_, source) in SETS.items():
            found = {
                model: [
                    _metrics(folder, None if trained == tested else source)
                    for folder in sorted((runs / study).glob(f"{model}-data-s*"))
                    if RunFolder(folder).finished
                ]
                for model in MODELS
            }
            for model, seeds in found.items():
                row: dict[str, object] = {
                    "trained on": trained,
                    "tested on": f"{tested} ({seeds[0]['n']} images)",
                    "model": model,
                    "seeds": len(seeds),
                }
                for metric in METRICS:
                    row[metric] = _over_seeds([_value(one, metric) for one in seeds])
                pairs = zip(seeds, found[MODELS[0]], strict=True)
                changes = [_value(one, "auc") - _value(main, "auc") for one, main in pairs]
                row["change of auc"] = "" if model == MODELS[0] else _over_seeds(changes)
                rows.append(row)
    return pd.DataFrame(rows)


def _value(result: dict, metric: str) -> float:
    return float(result["metrics"][metric]["value"])


def _over_seeds(values: list[float]) -> str:
    mean, reach = interval_over_seeds(values)
    return f"{mean:.3f} ± {reach:.3f}"


def _metrics(folder: Path, source: str | None) -> dict:
    done = evaluate(plan_evaluation(Inference.of(open_run(folder), ImageChoice(data=source)), "aer"))
    return json.loads((done / "metrics.json").read_text(encoding="utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    table = measure(options.runs)
    with atomic_write(options.out) as partial:
        table.to_csv(partial, index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
