"""What is wrong with a data set, found from its pixels, before anything is trained on it."""

from hybridq.data.audit.audit import Audit, Loaded, audit, find_leaks, judge, look, restrict, shared_test_set, verdict
from hybridq.data.audit.findings import Example, Finding, Seen

__all__ = [
    "Audit",
    "Example",
    "Finding",
    "Loaded",
    "Seen",
    "audit",
    "find_leaks",
    "judge",
    "look",
    "restrict",
    "shared_test_set",
    "verdict",
]
