"""Images with identical pixels, whatever their files' bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hybridq.data.audit.facts import file_facts
from hybridq.data.images.images import all_readable
from hybridq.typing import Count


def fingerprint_files(paths: Sequence[Path], *, progress: Count | None = None) -> list[bytes]:
    """One digest a file, equal exactly where the pixels are equal at their own size; those known are not read again.

    Raises :class:`~hybridq.errors.UserError` naming the files that are no images.
    """
    facts = file_facts([(str(path), None) for path in paths], progress=progress)
    digests = (facts.unreadable.get(index, digest.tobytes()) for index, digest in enumerate(facts["digest"]))
    return list(all_readable(digests))
