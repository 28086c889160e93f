"""What is wrong with a data set, one finding each: leaks, problems, and what is only worth knowing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridq.data.audit.alike import Alike
from hybridq.data.audit.balance import INTENDED, SENSITIVITY, Balance
from hybridq.data.audit.clusters import of_equal
from hybridq.data.audit.facts import SMALL, Facts
from hybridq.data.audit.near import PLAIN, plain_vectors
from hybridq.data.audit.search import Pairs, nearest
from hybridq.data.audit.shortcuts import APART, MARKS, Probe
from hybridq.data.audit.withdrawn import why_withdrawn
from hybridq.data.manifest import SPLITS, Manifest

MAX_EXAMPLES: Final = 12
"""Examples kept of each finding."""
FAR: Final = 6.0
"""Robust standard deviations of a class's mean intensity from which an image is an outlier."""

Weight = Literal["leak", "problem", "note"]


@dataclass(frozen=True)
class Example:
    """Two images (ids) and what connects them; ``second`` is "" where one image is meant."""

    first: str
    second: str
    what: str


@dataclass(frozen=True)
class Finding:
    """One sentence, how many images or pairs it is about, and some of them."""

    weight: Weight
    kind: str
    sentence: str
    count: int
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True)
class Inspected:
    """A manifest with what is known of its images, in the order of its table."""

    manifest: Manifest
    facts: Facts
    alike: Alike

    @property
    def split(self) -> NDArray[np.str_]:
        return self.manifest.table["split"].to_numpy(str)

    @property
    def ids(self) -> NDArray[np.object_]:
        return self.manifest.table["id"].to_numpy(object)

    def truths(self) -> NDArray[np.int64]:
        """A number for what is true of each image: its label, or its set of labels."""
        if self.manifest.targets is not None:
            return np.unique(self.manifest.targets, axis=0, return_inverse=True)[1].ravel()
        return self.manifest.table["label"].to_numpy(np.int64)


def identical(seen: Inspected) -> Iterator[Finding]:
    """Groups of images with the same decoded pixels."""
    split, number = seen.split, seen.alike.identical
    first, second = of_equal(number)
    if not len(second):
        return
    several = np.unique(number[second])
    reached = pd.Series(split).groupby(number).nunique()
    crossing = reached.index[reached > 1].to_numpy(np.int64)
    if len(crossing):
        pairs = _crossing_pairs(number, split, crossing)
        between = _by_splits(split, pairs)
        yield Finding(
            "leak",
            "identical across splits",
            f"{_count(len(crossing), 'group')} of identical images in more than one split ({between}).",
            len(crossing),
            _examples(seen, pairs, "identical"),
        )
    yield Finding(
        "note" if len(crossing) else "problem",
        "identical",
        f"{_count(len(several), 'group')} of identical images in all, {_count(len(second), 'surplus image')}.",
        len(second),
        () if len(crossing) else _examples(seen, Pairs(first, second, np.ones(len(first), np.float32)), "identical"),
    )


def near(seen: Inspected) -> Iterator[Finding]:
    """Near duplicates: across splits a leak."""
    alike = seen.alike
    yield from _pairs(
        seen,
        alike.near,
        [f"whitened correlation {score:.3f}" for score in alike.near.score],
        "near duplicate",
        f"of near duplicates (whitened correlation above {alike.threshold:g})",
        "problem",
    )


def moved(seen: Inspected) -> Iterator[Finding]:
    """Turned, mirrored, shifted or recoloured copies: across splits a leak, else augmentation, usually."""
    alike = seen.alike
    what = [f"{alike.placement.describe(i)}; texture correlates {s:.3f}" for i, s in enumerate(alike.moved.score)]
    yield from _pairs(
        seen, alike.moved, what, "moved copy", "of moved copies (one is the other turned, mirrored or shifted)", "note"
    )


def groups(seen: Inspected) -> Iterator[Finding]:
    """Groups (patients, where they are known) with images in several splits."""
    table = seen.manifest.table[seen.manifest.table["group"] != ""]
    splits = table.groupby("group")["split"].nunique()
    crossing = sorted(splits.index[splits > 1])
    if not crossing:
        return
    examples = []
    for name in crossing[:MAX_EXAMPLES]:
        rows = table[table["group"] == name].drop_duplicates("split")
        examples.append(Example(rows["id"].iloc[0], rows["id"].iloc[1], f"both of {seen.manifest.groups} {name}"))
    yield Finding(
        "leak",
        "groups across splits",
        f"{_count(len(crossing), 'group')} ({seen.manifest.groups}) with images in more than one split.",
        int(table["group"].isin(crossing).sum()),
        tuple(examples),
    )


def withdrawn(seen: Inspected) -> Iterator[Finding]:
    """Splits of which it is recorded that they leak, in a way that the images do not show by themselves."""
    sentence = why_withdrawn(seen.manifest.table)
    if sentence is not None:
        yield Finding("leak", "withdrawn splits", sentence, int((seen.split == "test").sum()))


def conflicts(seen: Inspected) -> Iterator[Finding]:
    """The same image, or almost, under two labels."""
    if not seen.manifest.labelled:
        return
    truth, number = seen.truths(), seen.alike.identical
    several = pd.Series(truth).groupby(number).nunique()
    named = np.isin(number, several.index[several > 1].to_numpy())
    if named.any():
        pairs = _crossing_pairs(number, truth.astype(str), np.unique(number[named]))
        yield Finding(
            "problem",
            "two labels",
            f"{_count(int((several > 1).sum()), 'image')} stored under more than one label.",
            int(named.sum()),
            _examples(seen, pairs, "identical, with two labels"),
        )
    for name, pairs in (("near duplicates", seen.alike.near), ("moved copies", seen.alike.moved)):
        differ = pairs.where(truth[pairs.first] != truth[pairs.second])
        if len(differ):
            yield Finding(
                "problem",
                f"two labels, {name}",
                f"{_count(len(differ), 'pair')} of {name} with different labels.",
                len(differ),
                _examples(seen, differ, f"{name} with two labels"),
            )


def plain(seen: Inspected) -> Iterator[Finding]:
    """For each class: how many held-out images correlate plainly above 0.95 with a training image of their class."""
    if not seen.manifest.labelled or seen.manifest.targets is not None:
        return
    labels, split, usable = seen.truths(), seen.split, seen.facts.readable
    for held_out in ("test", "validation"):
        parts = []
        highest = 0.0
        for label, name in enumerate(seen.manifest.classes):
            chosen = usable & (labels == label)
            asked, trained = chosen & (split == held_out), chosen & (split == "train")
            if not asked.any() or not trained.any():
                continue
            small = seen.facts["small"]
            _, score = nearest(plain_vectors(small[asked]), plain_vectors(small[trained]))
            share = float((score > PLAIN).mean())
            highest = max(highest, share)
            parts.append(f"{share:.0%} of {name}")
        if highest >= 0.005:
            yield Finding(
                "note",
                f"plain correlation, {held_out}",
                f"{held_out}: {_list(parts)} correlate above {PLAIN} ({SMALL} × {SMALL} pixels) with a training image "
                "of their class; anatomy alone can do that.",
                round(highest * 1000),
            )


def pixels(seen: Inspected) -> Iterator[Finding]:
    """Unreadable and constant images, sizes, outliers of intensity."""
    facts, ids = seen.facts, seen.ids
    if facts.unreadable:
        bad = tuple(Example(ids[i], "", why.reason) for i, why in list(facts.unreadable.items())[:MAX_EXAMPLES])
        yield Finding(
            "problem",
            "unreadable",
            f"{_count(len(facts.unreadable), 'image')} cannot be read: {bad[0].first} {bad[0].what}"
            + (", …" if len(facts.unreadable) > 1 else "."),
            len(facts.unreadable),
            bad,
        )
    readable = facts.readable
    constant = np.flatnonzero(readable & (facts["lowest"] == facts["highest"]))
    if len(constant):
        yield Finding(
            "problem",
            "constant",
            f"{_count(len(constant), 'image')} of one intensity throughout.",
            len(constant),
            tuple(Example(ids[i], "", "constant") for i in constant[:MAX_EXAMPLES]),
        )
    sizes = np.unique(np.column_stack([facts["width"], facts["height"]])[readable], axis=0)
    if len(sizes) > 1:
        low, high = sizes.min(axis=0), sizes.max(axis=0)
        yield Finding(
            "note",
            "sizes",
            f"{len(sizes)} image sizes, {low[0]} × {low[1]} to {high[0]} × {high[1]} pixels.",
            len(sizes),
        )
    far = _outliers(seen)
    if len(far):
        yield Finding(
            "note",
            "intensity",
            f"{_count(len(far), 'image')} with a mean intensity more than {FAR:g} robust standard deviations from the "
            "median of the class.",
            len(far),
            tuple(Example(ids[i], "", f"mean intensity {facts['mean'][i]:.2f}") for i in far[:MAX_EXAMPLES]),
        )


def shortcuts(probe: Probe | None, marks: dict[str, dict[str, float]]) -> Iterator[Finding]:
    """What predicts the class without the content."""
    if probe is not None:
        best = max(probe.alone, key=lambda name: probe.alone[name], default="")
        most = f"; {best} alone {probe.alone[best]:.2f}" if best else ""
        yield Finding(
            "problem" if probe.warns else "note",
            "metadata probe",
            f"Width, height, mean intensity and border alone predict the class with a balanced accuracy of "
            f"{probe.accuracy:.2f} [{probe.low:.2f}, {probe.high:.2f}], chance {probe.chance:.2f}{most}.",
            probe.images,
        )
    for name, shares in marks.items():
        if shares and max(shares.values()) - min(shares.values()) > APART:
            parts = [f"{share:.0%} of {title}" for title, share in shares.items()]
            yield Finding("problem", name, f"{MARKS[name].capitalize()} differ by class: {_list(parts)}.", len(shares))


def classes(balance: Balance | None) -> Iterator[Finding]:
    """How little the rarest class shows."""
    if balance is None:
        return
    said = (
        f"The rarest class of the test part, {balance.smallest}, has {_count(balance.smallest_count, 'image')}: the "
        f"95 % interval of a sensitivity of {SENSITIVITY} is ± {balance.half_width:.3f}"
    )
    wide = f"; ± {INTENDED} needs {balance.needed}." if balance.wide else "."
    yield Finding("problem" if balance.wide else "note", "class balance", said + wide, balance.smallest_count)
    test = balance.counts["test"]
    most = max(test.values()) / sum(test.values())
    if most > 0.7:
        common = max(test, key=lambda name: test[name])
        yield Finding(
            "note",
            "accuracy",
            f"Always saying {common} has an accuracy of {most:.3f} on the test part: accuracy alone means little.",
            sum(test.values()),
        )


def _pairs(
    seen: Inspected, pairs: Pairs, what: list[str], name: str, described: str, within: Weight
) -> Iterator[Finding]:
    split = seen.split
    across = split[pairs.first] != split[pairs.second]
    for chosen, where in ((across, "across splits"), (~across, "within a split")):
        count = int(chosen.sum())
        if not count:
            continue
        found = pairs.where(chosen)
        between = f" ({_by_splits(split, found)})" if where == "across splits" else ""
        order = np.argsort(-found.score, kind="stable")
        said = [what[i] for i in np.flatnonzero(chosen)[order][:MAX_EXAMPLES]]
        yield Finding(
            "leak" if where == "across splits" else within,
            f"{name} {where}",
            f"{_count(count, 'pair')} {described} {where}{between}.",
            count,
            tuple(
                Example(seen.ids[found.first[i]], seen.ids[found.second[i]], text)
                for i, text in zip(order[:MAX_EXAMPLES], said, strict=True)
            ),
        )


def _crossing_pairs(number: NDArray[np.int64], side: NDArray[np.str_], chosen: NDArray[np.int64]) -> Pairs:
    """One pair for every two sides (splits, labels) that a group of equal ``number`` reaches."""
    first, second = [], []
    members = np.flatnonzero(np.isin(number, chosen))
    for _, rows in pd.Series(members).groupby(number[members]):
        places = rows.to_numpy()
        ends = [places[np.flatnonzero(side[places] == name)[0]] for name in dict.fromkeys(side[places])]
        for a, b in combinations(ends, 2):
            first.append(min(a, b))
            second.append(max(a, b))
    return Pairs(np.array(first, np.int64), np.array(second, np.int64), np.ones(len(first), np.float32))


def _by_splits(split: NDArray[np.str_], pairs: Pairs) -> str:
    names = [
        " – ".join(sorted({a or "no split", b or "no split"}, key=lambda name: (*SPLITS, "no split").index(name)))
        for a, b in zip(split[pairs.first], split[pairs.second], strict=True)
    ]
    return ", ".join(f"{name} {count:,}" for name, count in pd.Series(names).value_counts().items())


def _examples(seen: Inspected, pairs: Pairs, what: str) -> tuple[Example, ...]:
    chosen = range(min(MAX_EXAMPLES, len(pairs)))
    return tuple(Example(seen.ids[pairs.first[i]], seen.ids[pairs.second[i]], what) for i in chosen)


def _outliers(seen: Inspected) -> NDArray[np.int64]:
    mean, truth, readable = seen.facts["mean"], seen.truths(), seen.facts.readable
    far = np.zeros(len(mean), bool)
    for value in np.unique(truth):
        rows = readable & (truth == value)
        if rows.sum() < 20:
            continue
        middle = np.median(mean[rows])
        spread = 1.4826 * np.median(np.abs(mean[rows] - middle))
        if spread > 0:
            far |= rows & (np.abs(mean - middle) > FAR * spread)
    return np.flatnonzero(far)


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _list(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else "none"
