"""Where images come from: one string names a source and its options, one file implements it.

>>> manifest = load_manifest("adsss:fold=0", Data(source="adsss:fold=0"), seed=0)  # doctest: +SKIP
"""

from __future__ import annotations

from hybridq.data.sources import (  # noqa: F401  (each registers its sources)
    dicom,
    folder,
    manifest_file,
    medical_mnist,
    medmnist,
    padsd_adsss,
    synthetic,
)
from hybridq.data.sources.registry import (
    data_folder,
    download_source,
    load_manifest,
    path_of,
    source_infos,
    source_names,
    with_path,
)

__all__ = [
    "data_folder",
    "download_source",
    "load_manifest",
    "path_of",
    "source_infos",
    "source_names",
    "with_path",
]
