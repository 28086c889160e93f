"""Tags of a job at the service: of which evaluation, which chunk and which content it is, and who sent it.

Every job has four, all of them in its raw result too:

- ``hybridq-KEY``: the evaluation, whoever sent it, so that jobs are found without the ledger;
- ``hybridq-KEY-CHUNK-DIGEST``: the chunk, and what it was sent with;
- ``hybridq-KEY-LEDGER``: the evaluation, as sent by one ledger;
- ``hybridq-KEY-LEDGER-CHUNK-ATTEMPT``: the one submission.

Jobs sent before December 2026 have the last two only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

DIGEST_DIGITS = 10
"""Of the digest of a task, in a tag."""


@dataclass(frozen=True)
class Origin:
    """What the tags of a job say."""

    chunk: int
    tag: str
    """Of its one submission."""
    ledger: str
    """Id of the ledger that it was sent with."""
    attempt: int
    digest: str | None
    """First digits of the digest it was sent with; None for jobs sent before December 2026."""

    def is_of(self, digest: str) -> bool:
        """Whether it was sent with what has this digest, as far as its tags say."""
        return self.digest is None or digest.startswith(self.digest)


def evaluation_tag(key: str) -> str:
    """The tag of all jobs of an evaluation, whoever sent them."""
    return f"hybridq-{key[:16]}"


def content_tag(key: str, chunk: int, digest: str) -> str:
    """The tag of all jobs of a chunk that were sent with the same content, whoever sent them."""
    return f"{evaluation_tag(key)}-{chunk:03d}-{digest[:DIGEST_DIGITS]}"


def ledger_tag(key: str, ledger: str) -> str:
    """The tag of all jobs of an evaluation that were sent with one ledger."""
    return f"{evaluation_tag(key)}-{ledger}"


def attempt_tag(key: str, ledger: str, chunk: int, attempt: int) -> str:
    """The tag of one submission."""
    return f"{ledger_tag(key, ledger)}-{chunk:03d}-{attempt}"


def origin(key: str, tags: Iterable[str]) -> Origin | None:
    """What the tags of a job say; None where it is no job of this evaluation."""
    own = re.escape(evaluation_tag(key))
    digest: str | None = None
    submission: re.Match[str] | None = None
    for tag in tags:
        if found := re.fullmatch(rf"{own}-\d{{3,}}-([0-9a-f]{{{DIGEST_DIGITS}}})", tag):
            digest = found[1]
        submission = re.fullmatch(rf"{own}-([0-9a-f]{{8}})-(\d{{3,}})-(\d+)", tag) or submission
    if submission is None:
        return None
    return Origin(int(submission[2]), submission[0], submission[1], int(submission[3]), digest)
