"""Trained on one release of angiograms, tested on the other, without fine-tuning.

    python -m benchmarks.across_centres --runs runs --out docs/results/across-centres.csv

Takes the finished cells of the studies controls (trained on P-ADSD) and adsss, which hold the seeds; each is evaluated
on the test images of both sets, as they are.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas as pd

from hybridq.evaluation.evaluate import evaluate, plan_evaluation
from hybridq.files import whole
from hybridq.runs import Run, open_run
from hybridq.studies.statistics import interval_over_seeds

SETS = {"P-ADSD": ("controls", "padsd"), "A-DSSS": ("adsss", "adsss:fold=0")}
"""The study whose cells were trained on a set, and the set as a source."""
MODELS = ("ssl_quantum", "alpha_zero")
METRICS = ("auc", "accuracy", "sensitivity", "specificity")


def measure(runs: Path) -> pd.DataFrame:
    """A row a training set, test set and model: mean ± half the 95 % t interval over the seeds that are there."""
    rows = []
    for trained, (study, _) in SETS.items():
        for tested, (_, source) in SETS.items():
            for model in MODELS:
                found = [
                    _metrics(folder, None if trained == tested else source)
                    for folder in sorted((runs / study).glob(f"{model}-data-s*"))
                    if Run(folder).finished
                ]
                row: dict[str, object] = {
                    "trained on": trained,
                    "tested on": f"{tested} ({found[0]['n']} images)",
                    "model": model,
                    "seeds": len(found),
                }
                for metric in METRICS:
                    mean, reach = interval_over_seeds(pd.Series([one["metrics"][metric]["value"] for one in found]))
                    row[metric] = f"{mean:.3f} ± {reach:.3f}"
                rows.append(row)
    return pd.DataFrame(rows)


def _metrics(folder: Path, source: str | None) -> dict:
    done = evaluate(plan_evaluation(open_run(folder), "aer", data=source), progress=lambda *_: None)
    return json.loads((done / "metrics.json").read_text(encoding="utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    table = measure(options.runs)
    with whole(options.out) as partial:
        table.to_csv(partial, index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
