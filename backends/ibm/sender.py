"""Who sends the jobs of an evaluation: one ledger, named in the evaluation's folder, which several users may share.

``sender.json`` is written before the first job is sent, and again before each further one. Another ledger finds the
jobs at the service if it uses the same instance, and may go on from there; with another instance it cannot see them,
and so may not send. Results that lie in the folder are anyone's.
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import json
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from backends.errors import BackendError
from backends.ibm.task import write_json

NAME = "sender.json"


@dataclass(frozen=True)
class Sender:
    """Who sent last, as the folder says."""

    ledger: str
    who: str
    """User and machine."""
    instance: str
    """Of IBM, as a digest: the folder may be shared or published."""
    begun: str
    """ISO time at which it last began to send a job."""

    @property
    def age_seconds(self) -> float:
        """Since then."""
        return (datetime.now(UTC) - datetime.fromisoformat(self.begun)).total_seconds()


def sender_here(ledger: str, instance: str) -> Sender:
    """This process, now."""
    user = "somebody"
    with contextlib.suppress(KeyError, OSError, ImportError):  # a system without names of users
        user = getpass.getuser()
    digest = hashlib.sha256(instance.encode()).hexdigest()[:12]
    return Sender(ledger, f"{user} on {platform.node()}", digest, datetime.now(UTC).isoformat(timespec="seconds"))


def read_sender(folder: Path) -> Sender | None:
    """Who sends from a folder; None where nobody has yet. Raises :class:`BackendError` for a file that is damaged."""
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        sender = Sender(**json.loads(path.read_text(encoding="utf-8")))
        datetime.fromisoformat(sender.begun)
    except (OSError, ValueError, TypeError) as error:
        raise BackendError(
            f"{path} cannot be read ({error}), so who sent the jobs of this evaluation is not known; remove it where "
            f"nobody else did"
        ) from None
    return sender


def write_sender(folder: Path, sender: Sender) -> None:
    """Put a sender in the place of the one before."""
    write_json(folder / NAME, asdict(sender))


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Work in a folder alone, whoever else uses it; raises :class:`BackendError` while another process does.

    The lock is the operating system's and gone with its process. The file system has to have locks, as local disks and
    network file systems do.
    """
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        sender = read_sender(folder)
        who = "" if sender is None else f" ({sender.who}, it seems)"
        raise BackendError(
            f"another process{who} is at work on this evaluation in {folder}: wait for it or stop it, then run the "
            f"same command again"
        ) from None
    try:
        yield
    finally:
        lock.release()


def refuse_other_instance(folder: Path, sender: Sender) -> BackendError:
    """The error where the jobs of another ledger cannot be seen, since they were sent with another instance."""
    return BackendError(
        f"{sender.who} began to send this evaluation at {sender.begun} with another account or instance of IBM, whose "
        f"jobs are not seen from here, so nothing is sent: wait for the results in {folder}; where those jobs were "
        f"given up, remove {folder / NAME}"
    )
