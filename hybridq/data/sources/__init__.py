"""Where images come from: one string names a source and its options, one file implements it.

>>> manifest = load_manifest("adsss:fold=0", Data(source="adsss:fold=0"), seed=0)  # doctest: +SKIP
"""

from __future__ import annotations

import sys

from hybridq.data.sources.registry import (
    data_folder,
    download_source,
    load_manifest,
    path_of,
    source_infos,
    source_names,
    with_path,
)
from hybridq.discovery import import_all

import_all(sys.modules[__name__])

__all__ = [
    "data_folder",
    "download_source",
    "load_manifest",
    "path_of",
    "source_infos",
    "source_names",
    "with_path",
]
