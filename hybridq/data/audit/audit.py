"""The audit of one manifest: everything found, and whether its splits may be trained on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hybridq.data.audit import findings, intensities
from hybridq.data.audit.alike import find_alike
from hybridq.data.audit.balance import Balance, balance
from hybridq.data.audit.clusters import linked, of_equal
from hybridq.data.audit.facts import Facts, image_facts
from hybridq.data.audit.findings import Finding, Inspected
from hybridq.data.audit.moved import MOVED, Placement
from hybridq.data.audit.near import NEAR
from hybridq.data.audit.search import Pairs
from hybridq.data.audit.shortcuts import Probe, marks_by_class, probe
from hybridq.data.images.cache import cache_folder
from hybridq.data.manifest import Manifest
from hybridq.errors import UserError
from hybridq.files import write_json
from hybridq.typing import Progress

VERSION: Final = 2
"""Raised when the same images and splits give another verdict."""
Load = Callable[[str], Manifest]
"""A source's manifest as released; raises UserError where there is none."""


@dataclass(frozen=True)
class Audit:
    """What is known of one manifest; JSON-able by :meth:`as_json`."""

    source: str
    images: int
    findings: tuple[Finding, ...]
    balance: Balance | None
    probe: Probe | None
    clusters: int
    """Clusters of several images that are alike."""
    clustered: int
    """Images in them."""
    largest: int
    threshold: float
    shuffled: tuple[float, int]
    """Share of images with shuffled blocks that the search takes for a near duplicate, and how many were tried."""
    differ: float | None
    """Share of near duplicates with different labels; None without labels or pairs."""
    differ_expected: float | None
    """The same of all pairs of images."""

    @property
    def leaks(self) -> list[str]:
        """One sentence each."""
        return [finding.sentence for finding in self.findings if finding.weight == "leak"]

    @property
    def rejected(self) -> bool:
        """Whether the splits leak."""
        return bool(self.leaks)

    def found(self, kind: str) -> Finding | None:
        """The finding of that kind, if there is one."""
        return next((finding for finding in self.findings if finding.kind == kind), None)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "leaks": self.leaks, "rejected": self.rejected, "moved_threshold": MOVED}


@dataclass(frozen=True)
class Loaded:
    """The same data as hybridq trains on them: what was corrected, and what still leaks."""

    images: int
    notes: tuple[str, ...]
    leaks: tuple[Finding, ...]
    refused: str = ""
    """Why they cannot be trained on at all."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def inspect(manifest: Manifest, progress: Progress, *, threshold: float = NEAR) -> Inspected:
    """Read every image once and compare each with every other; nothing is judged."""
    facts = image_facts(manifest, progress=partial(progress, "reading the images"))
    return Inspected(manifest, facts, find_alike(facts, progress, threshold=threshold))


def audit(manifest: Manifest, *, progress: Progress, threshold: float = NEAR) -> Audit:
    """Everything wrong with ``manifest``; images that cannot be read are findings, not errors.

    ``threshold`` is the whitened correlation above which two images are near duplicates.
    """
    return assess(inspect(manifest, progress, threshold=threshold))


def find_leaks(seen: Inspected) -> tuple[Finding, ...]:
    """The leaks of what was seen, and nothing else: quick."""
    looks = (findings.withdrawn, findings.identical, findings.near, findings.moved, findings.groups)
    return tuple(finding for look_for in looks for finding in look_for(seen) if finding.weight == "leak")


def assess(seen: Inspected, others: tuple[Finding, ...] = ()) -> Audit:
    """The verdict on what was seen; ``others`` are findings made elsewhere, such as about other folds."""
    manifest, facts, alike = seen.manifest, seen.facts, seen.alike
    table = manifest.table["group"].to_numpy(str)
    named = np.flatnonzero(table != "")
    first, second = of_equal(table[named])
    together = linked(len(table), of_equal(alike.clusters), (named[first], named[second]))
    probed, balanced = probe(manifest, facts, together), balance(manifest)
    found = [
        *findings.withdrawn(seen),
        *findings.identical(seen),
        *findings.near(seen),
        *findings.moved(seen),
        *findings.groups(seen),
        *others,
        *findings.conflicts(seen),
        *findings.classes(balanced),
        *findings.shortcuts(probed, marks_by_class(manifest, facts)),
        *intensities.mixed(seen),
        *intensities.in_use(seen),
        *findings.pixels(seen),
        *findings.plain(seen),
    ]
    order = ("leak", "problem", "note")
    sizes = np.bincount(alike.clusters)
    differ, expected = _differing(seen)
    return Audit(
        source=manifest.source,
        images=len(manifest.table),
        findings=tuple(sorted(found, key=lambda finding: order.index(finding.weight))),
        balance=balanced,
        probe=probed,
        clusters=int((sizes > 1).sum()),
        clustered=int(sizes[sizes > 1].sum()),
        largest=int(sizes.max()),
        threshold=alike.threshold,
        shuffled=alike.shuffled,
        differ=differ,
        differ_expected=expected,
    )


def restrict(seen: Inspected, manifest: Manifest) -> Inspected | None:
    """What was seen, for another manifest of the same images or some of them; None where it has others."""
    where = {name: index for index, name in enumerate(seen.ids)}
    positions = np.array([where.get(name, -1) for name in manifest.table["id"]], np.int64)
    if (positions < 0).any():
        return None
    back = np.full(len(seen.ids), -1)
    back[positions] = np.arange(len(positions))
    facts, alike = seen.facts, seen.alike
    unreadable = {int(back[i]): why for i, why in facts.unreadable.items() if back[i] >= 0}
    identical = alike.identical[positions]
    near, _ = _renumbered(alike.near, alike.identical, identical)
    moved, kept = _renumbered(alike.moved, alike.identical, identical)
    placement = Placement(alike.placement.turned[kept], alike.placement.down[kept], alike.placement.right[kept])
    links = (of_equal(identical), (near.first, near.second), (moved.first, moved.second))
    return Inspected(
        manifest,
        Facts(facts.table[positions], unreadable),
        replace(
            alike,
            identical=np.unique(identical, return_inverse=True)[1],
            near=near,
            moved=moved,
            placement=placement,
            clusters=linked(len(positions), *links),
        ),
    )


def shared_test_set(manifest: Manifest, facts: Facts, load: Load, progress: Progress) -> tuple[Finding, ...]:
    """Whether the other folds of a source with folds (``…fold=0``) test on the same images."""
    fold = next((part for part in manifest.source.split(":", 1)[-1].split(",") if part.startswith("fold=")), None)
    if fold is None:
        return ()
    number = 0
    mine = _test_digests(manifest, facts)
    same, tried = [], 1
    while True:
        other = manifest.source.replace(fold, f"fold={number}")
        if other != manifest.source:
            try:
                theirs = load(other)
            except UserError:
                break
            tried += 1
            digests = _test_digests(theirs, image_facts(theirs, progress=partial(progress, "reading other folds")))
            if digests == mine:
                same.append(number)
        number += 1
    if not same:
        return ()
    all_of_them = f"all {tried} folds" if len(same) == tried - 1 else f"{len(same) + 1} of {tried} folds"
    count = int((manifest.table["split"] == "test").sum())
    return (
        Finding(
            "problem",
            "shared test set",
            f"One test set of {count:,} images is shared by {all_of_them}: results of the folds are not independent, "
            "and their spread says nothing about other images.",
            len(same) + 1,
        ),
    )


def leak_sentences(manifest: Manifest, progress: Progress) -> list[str]:
    """The leaks of ``manifest`` as :func:`audit` finds them, remembered for the same images, labels and splits.

    Simulated images are not compared: their program keeps them apart by construction.
    """
    if manifest.simulated:
        return []
    facts = image_facts(manifest, progress=partial(progress, "reading the images"))
    path = cache_folder() / "audit" / f"verdict-{_digest(manifest, facts)}.json"
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return [str(sentence) for sentence in kept["leaks"]]
    except (OSError, ValueError, KeyError, TypeError):  # not there or damaged
        pass
    seen = Inspected(manifest, facts, find_alike(facts, progress))
    leaks = [finding.sentence for finding in find_leaks(seen)]
    with suppress(OSError):
        write_json(path, {"source": manifest.source, "leaks": leaks})
    return leaks


def _digest(manifest: Manifest, facts: Facts) -> str:
    state = hashlib.blake2b(repr((VERSION, NEAR, MOVED)).encode(), digest_size=16)
    for column in ("id", "group", "split"):
        state.update("\0".join(manifest.table[column]).encode("utf-8", "surrogateescape"))
    state.update(np.ascontiguousarray(facts["digest"]).tobytes())
    return state.hexdigest()


def _test_digests(manifest: Manifest, facts: Facts) -> list[bytes]:
    test = (manifest.table["split"] == "test").to_numpy() & facts.readable
    return sorted(digest.tobytes() for digest in facts["digest"][test])


def _renumbered(pairs: Pairs, identical: NDArray[np.int64], kept: NDArray[np.int64]) -> tuple[Pairs, NDArray[np.int64]]:
    """``pairs`` between kinds of identical images as positions among those kept, and which of the pairs are left."""
    _, first_of_kind = np.unique(kept, return_index=True)
    position = np.full(identical.max() + 1, -1)
    position[kept[first_of_kind]] = first_of_kind
    first, second = position[identical[pairs.first]], position[identical[pairs.second]]
    left = np.flatnonzero((first >= 0) & (second >= 0))
    return Pairs(first[left], second[left], pairs.score[left]), left


def _differing(seen: Inspected) -> tuple[float | None, float | None]:
    if not seen.manifest.labelled:
        return None, None
    truth, pairs = seen.truths(), seen.alike.near
    shares = np.bincount(truth - truth.min()) / len(truth)
    expected = float(1 - (shares**2).sum())
    return (float((truth[pairs.first] != truth[pairs.second]).mean()) if len(pairs) else None), expected
