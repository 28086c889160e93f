"""Splits of P-ADSD at the scale of arXiv:2601.16608: 480 labelled images, and a balanced test of 60 + 60.

    python -m papers.paper_scale --out configs/splits/padsd_paper_scale.csv

The images are drawn once, with seed 0, from the parts of configs/splits/padsd_clusters.csv: 240 + 240 of its training
part, 60 + 60 of its validation part and 60 + 60 of its test part, at most two of a class from a cluster of similar
images. What is pretrained without labels may use the whole training part of that file, which has no cluster of these
test images.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from hybridq.config import Data
from hybridq.data.manifest import SPLITS
from hybridq.data.sources import load_manifest
from hybridq.files import atomic_write

CLUSTERS = "configs/splits/padsd_clusters.csv"
OF_EACH_CLASS = {"train": 240, "validation": 60, "test": 60}


def draw(seed: int = 0) -> pd.DataFrame:
    """Columns id, group, cluster, split."""
    rng = np.random.default_rng(seed)
    manifest = load_manifest("padsd", Data(source="padsd", splits=CLUSTERS), seed)
    table = manifest.table.iloc[rng.permutation(len(manifest.table))]
    cluster = table["group"].where(table["group"] != "", table["id"])  # an image that resembles no other stands alone
    few = table.groupby([cluster, table["label"]]).head(2)
    drawn = [
        few[(few["split"] == split) & (few["label"] == label)].head(OF_EACH_CLASS[split])
        for split in SPLITS
        for label in range(len(manifest.classes))
    ]
    chosen = pd.concat(drawn).sort_index()
    given = pd.read_csv(CLUSTERS, dtype=str, keep_default_na=False)
    return given[given["id"].isin(chosen["id"])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    table = draw()
    with atomic_write(options.out) as partial:
        table.to_csv(partial, index=False)
    print(table["split"].value_counts().to_string())


if __name__ == "__main__":
    main()
