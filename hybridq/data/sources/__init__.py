"""Where images come from: one string names a source and its options, one file implements it.

>>> manifest = load_manifest("adsss:fold=0", Data(source="adsss:fold=0"), seed=0)  # doctest: +SKIP
"""

from __future__ import annotations

from hybridq.data.sources import folder, lrse_net, synthetic, table  # noqa: F401  (each registers its sources)
from hybridq.data.sources.registry import load_manifest, source_names

__all__ = ["load_manifest", "source_names"]
