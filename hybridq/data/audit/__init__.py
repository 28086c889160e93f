"""What is wrong with a data set, found from its pixels, before anything is trained on it."""

from hybridq.data.audit.audit import (
    Audit,
    Loaded,
    assess,
    audit,
    find_leaks,
    inspect,
    leak_sentences,
    restrict,
    shared_test_set,
)
from hybridq.data.audit.findings import Example, Finding, Inspected

__all__ = [
    "Audit",
    "Example",
    "Finding",
    "Inspected",
    "Loaded",
    "assess",
    "audit",
    "find_leaks",
    "inspect",
    "leak_sentences",
    "restrict",
    "shared_test_set",
]
