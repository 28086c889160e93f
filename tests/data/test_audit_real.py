"""The audit finds by itself what was measured by hand in the published data."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import numpy as np
import pytest

from hybridq.config import Data
from hybridq.data.audit import Audit, Inspected, assess, inspect, shared_test_set
from hybridq.data.manifest import Manifest
from hybridq.data.sources import load_manifest

pytestmark = pytest.mark.skipif(
    not os.environ.get("HYBRIDQ_DATA_DIR"), reason="HYBRIDQ_DATA_DIR is not set: the published data are not here"
)


def quietly(*_: object) -> None:
    """Nobody watches."""


def load(name: str) -> Manifest:
    return load_manifest(name, Data(source=name), 0, as_released=True)


def seen_of(name: str) -> Inspected:
    try:
        manifest = load(name)
    except Exception as error:  # the data of this source alone may be missing
        pytest.skip(str(error))
    return inspect(manifest, quietly)


def share(found: Audit, kind: str, name: str) -> float:
    percent = re.search(rf"(\d+)% of {name}", found.found(kind).sentence)
    assert percent is not None
    return int(percent[1]) / 100


@pytest.fixture(scope="module")
def fold_0() -> Iterator[Inspected]:
    return seen_of("adsss:fold=0")


def test_all_five_folds_of_adsss_share_one_test_set(fold_0: Inspected) -> None:
    (finding,) = shared_test_set(fold_0.manifest, fold_0.facts, load, quietly)
    assert "One test set of 304 images is shared by all 5 folds" in finding.sentence


def test_fold_0_has_59_groups_of_identical_images_6_of_them_across_splits(fold_0: Inspected) -> None:
    found = assess(fold_0)
    assert found.rejected
    assert found.found("identical").sentence.startswith("59 groups of identical images")
    assert found.found("identical across splits").sentence.startswith("6 groups of identical images in more than one")


def test_half_of_the_test_negatives_of_fold_0_correlate_with_a_training_negative(fold_0: Inspected) -> None:
    assert 0.45 <= share(assess(fold_0), "plain correlation, test", "negative") <= 0.55


def test_most_augmented_copies_are_found_by_their_pixels(fold_0: Inspected) -> None:
    ids = fold_0.ids.astype(str)
    original = np.array([re.sub(r"_aug_\d+", "", name) for name in ids])
    augmented = np.array(["_aug_" in name for name in ids])
    clusters = fold_0.alike.clusters
    own = [((original == original[i]) & (clusters == clusters[i])).sum() > 1 for i in np.flatnonzero(augmented)]
    assert augmented.sum() == 308
    assert np.mean(own) > 0.8


def test_the_test_part_of_fold_0_is_too_small_for_a_narrow_interval(fold_0: Inspected) -> None:
    balance = assess(fold_0).balance
    assert balance.counts["test"] == {"negative": 279, "positive": 25}
    assert balance.wide


@pytest.mark.parametrize("fold", range(5))
def test_every_fold_has_two_to_four_training_positives_that_are_test_positives(fold: int) -> None:
    seen = seen_of(f"adsss:fold={fold}")
    table, number = seen.manifest.table, seen.alike.identical
    positive = table["label"] == 1
    test = set(number[positive & (table["split"] == "test")])
    training = positive & (table["split"] == "train") & ~table["id"].str.contains("_aug_")
    assert 2 <= len(test & set(number[training])) <= 4
    assert "identical across splits" in [finding.kind for finding in assess(seen).findings]


@pytest.mark.slow
def test_padsd_has_no_identical_images_but_leaks_near_duplicates() -> None:
    seen = seen_of("padsd")
    found = assess(seen)
    assert found.found("identical") is None
    assert found.found("near duplicate across splits") is not None
    assert share(found, "plain correlation, test", "positive") == pytest.approx(0.17, abs=0.011)
    assert found.balance.counts["test"] == {"negative": 2713, "positive": 689}
    assert "accuracy alone means little" in found.found("accuracy").sentence


@pytest.mark.slow
def test_the_published_clusters_of_padsd_pass_the_audit() -> None:
    data = Data(source="padsd", splits="configs/splits/padsd_clusters.csv")
    seen_of("padsd")
    found = assess(inspect(load_manifest("padsd", data, 0), quietly))
    assert found.leaks == []


@pytest.mark.slow
def test_medical_mnist_has_348_groups_of_identical_images_so_that_a_random_split_leaks() -> None:
    found = assess(seen_of("medical_mnist"))
    assert found.found("identical").sentence == "348 groups of identical images in all, 440 surplus images."
    assert found.found("identical across splits") is not None
    assert found.rejected
