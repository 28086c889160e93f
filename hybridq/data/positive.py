"""The positive class of two: named by the user, else the one whose name speaks of illness."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from hybridq.data.manifest import Manifest
from hybridq.data.tables import as_number, plain_number
from hybridq.errors import UserError

ILL: Final = frozenset(
    (
        *("positive", "pos", "abnormal", "abnormality", "anomaly", "pathological", "pathologic", "pathology"),
        *("disease", "diseased", "ill", "sick", "unhealthy", "affected", "infected", "infection", "patient", "case"),
        *("malignant", "malignancy", "cancer", "cancerous", "carcinoma", "adenocarcinoma", "melanoma", "sarcoma"),
        *("tumor", "tumour", "neoplasm", "metastasis", "metastatic", "glioma", "lymphoma", "leukemia", "leukaemia"),
        *(
            "lesion",
            "nodule",
            "mass",
            "polyp",
            "finding",
            "pneumonia",
            "covid",
            "covid19",
            "tuberculosis",
            "tb",
            "malaria",
        ),
        *("parasitized", "parasitised", "fracture", "fractured", "hemorrhage", "haemorrhage", "bleeding", "stroke"),
        *("stenosis", "narrowing", "occlusion", "aneurysm", "effusion", "edema", "oedema", "pneumothorax"),
        *("glaucoma", "retinopathy", "cataract", "fibrosis", "cirrhosis", "dementia", "alzheimer", "ulcer"),
        *("yes", "true", "present"),
    )
)
"""Words of a positive class."""
HEALTHY: Final = frozenset(
    (
        *("negative", "neg", "normal", "healthy", "well", "benign", "control", "controls", "uninfected", "unaffected"),
        *("unremarkable", "clear", "clean", "false", "absent", "other", "others", "rest", "background"),
    )
)
"""Words of a negative class."""
KNOWN: Final = ILL | HEALTHY
NOT: Final = frozenset(("no", "not", "non", "without", "none", "free"))
"""Words that turn what a name says round; alone they say that there is nothing."""
BY_NAME: Final = "its name speaks of illness; data.positive names another"
BY_THE_OTHER: Final = "the other name speaks of health, or of all the rest; data.positive names another"


def choose_positive(manifest: Manifest, named: str | None, by: str, kept: tuple[str, ...] | None) -> Manifest:
    """Return ``manifest`` with the positive class of a binary task at index 1, and how it was chosen.

    ``named`` is the user's choice, made ``by`` a key or an option, and ``kept`` the classes of a finished run, whose
    order and spelling count if they are the same classes. Else a source that knows its positive class keeps it, of two
    numbers the greater one is positive, and of two words the one that speaks of illness; if neither does, nothing is
    chosen. Raises :class:`UserError` if ``named`` is none of two classes.
    """
    classes, binary = manifest.classes, manifest.task == "binary" and manifest.targets is None
    if named is not None:
        if not binary or named not in classes:
            allowed = " or ".join(classes) if binary else f"only for two classes of one image, here are {len(classes)}"
            raise UserError(f"{manifest.source}: {by} = {named}; {allowed}")
        return _ordered(manifest, named, f"named by {by}")
    if kept is not None and sorted(map(plain_number, kept)) == sorted(classes):
        same = _ordered(manifest, plain_number(kept[1]), "as in the run") if binary else manifest
        return replace(same, classes=kept) if tuple(map(plain_number, kept)) == same.classes else same
    if not binary or manifest.positive_by:
        return manifest
    numbers = [as_number(name) for name in classes]
    if None not in numbers:
        return _ordered(manifest, classes[1], "the greater number")  # they are in order
    scores = [illness(name) for name in classes]
    if scores[0] == scores[1]:
        return manifest
    positive = int(scores[1] > scores[0])
    return _ordered(manifest, classes[positive], BY_NAME if scores[positive] > 0 else BY_THE_OTHER)


def illness(name: str) -> int:
    """Return 1 for a name that speaks of illness, -1 for one that speaks of health, 0 for neither or both."""
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]
    joined = {"".join(words[at : at + 2]) for at in range(len(words))}
    said = set(words) | joined | {word.removesuffix("s") for word in words}
    for word in words:  # "noncancer", "notumor"
        rest = next((word[len(no) :] for no in ("non", "no") if word.startswith(no) and word[len(no) :] in KNOWN), "")
        if rest:
            said |= {"no", rest}
    ill, healthy = bool(said & ILL), bool(said & HEALTHY)
    if said & NOT:
        return 1 if healthy and not ill else -1
    return int(ill) - int(healthy)


def _ordered(manifest: Manifest, positive: str, by: str) -> Manifest:
    known = replace(manifest, positive_by=by, notes=(*manifest.notes, f"The positive class is {positive} ({by})."))
    if known.classes[1] == positive:
        return known
    return replace(known, table=known.table.assign(label=1 - known.table["label"]), classes=known.classes[::-1])
