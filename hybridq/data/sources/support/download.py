"""One file over HTTP: continued where it broke off, checked, and there as a whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import Final
from urllib.parse import urlsplit

import requests
from filelock import FileLock, Timeout
from requests.exceptions import RequestException

from hybridq.errors import UserError
from hybridq.files import write_json

PIECE: Final = 1 << 14
"""What is lost of a connection that breaks off is less than this."""
ATTEMPTS: Final = 5
"""Attempts in a row that bring nothing, after which a download is given up."""
TIMEOUT_SECONDS: Final = (10.0, 60.0)
"""To connect, and between two pieces."""

Received = Callable[[int, int], None]
"""Called with (bytes here, bytes in all); 0 in all is unknown."""


@dataclass(frozen=True)
class _Partial:
    """What has arrived so far, and what the server called the file it was part of."""

    file: Path
    note: Path

    @property
    def length(self) -> int:
        return self.file.stat().st_size if self.file.exists() else 0

    def tag(self, url: str) -> str | None:
        """The ETag under which the part of ``url`` arrived; "" where the server gave none, None where nothing fits."""
        try:
            known = json.loads(self.note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return str(known["tag"]) if known.get("url") == url else None

    def remove(self) -> None:
        self.file.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def download(
    url: str,
    target: Path,
    *,
    md5: str | None = None,
    check: Callable[[Path], str | None] | None = None,
    received: Received | None = None,
    otherwise: str | None = None,
    pause_seconds: float = 1.0,
) -> None:
    """Fetch ``url`` to ``target``; what an earlier, killed call has fetched is not fetched again.

    The length is that which the server states; ``md5`` is compared, and ``check`` says what is wrong with the file, or
    None. The file appears under its name after all of that only. ``otherwise`` says what to do with the file where it
    has to be fetched by hand. ``pause_seconds`` is the first pause between attempts.

    Raises :class:`UserError` where the address cannot be reached (then it says what to place where), answers with an
    error, breaks off again and again (what has arrived is kept for the next call) or serves another file.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = _Partial(target.with_name(f".{target.name}.part"), target.with_name(f".{target.name}.part.json"))
    lock = FileLock(target.with_name(f".{target.name.lstrip('.')}.lock"))
    try:
        with lock.acquire(timeout=0):
            _receive(url, partial, received, otherwise or f"place it as {target}", pause_seconds)
            wrong = _wrong(partial.file, md5, check)
            if wrong:
                partial.remove()
                raise UserError(f"{url}: {wrong}; nothing was kept")
            partial.file.replace(target)
            partial.remove()
    except Timeout:
        raise UserError(f"{target}: another process is fetching it") from None
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error.strerror or error})") from None


class _SilentError(Exception):
    """No answer at all."""


def _receive(url: str, partial: _Partial, received: Received | None, otherwise: str, pause_seconds: float) -> None:
    answered, idle = False, 0
    while True:
        before = partial.length
        try:
            if _attempt(url, partial, received):
                return
            answered = True
        except _SilentError:
            if not answered:
                host = urlsplit(url).hostname
                raise UserError(f"{host} cannot be reached; fetch {url} elsewhere and {otherwise}") from None
        except RequestException:
            answered = True
        idle = 0 if partial.length > before else idle + 1
        if idle == ATTEMPTS:
            raise UserError(
                f"{url}: breaks off again and again; {partial.length:,} bytes are kept, and the same command continues"
            )
        sleep(pause_seconds * 2**idle)


def _attempt(url: str, partial: _Partial, received: Received | None) -> bool:
    """Fetch what is missing; whether all is there. A server that cannot continue sends everything again."""
    tag, here = partial.tag(url), partial.length
    headers = {"Accept-Encoding": "identity"}
    if tag is not None and here:
        headers["Range"] = f"bytes={here}-"
        if tag:
            headers["If-Range"] = tag
    try:
        answer = requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS)
    except (requests.ConnectionError, requests.Timeout):
        raise _SilentError from None
    with answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            # Nothing is left to send, or this is a part of another file: the length tells.
            if here and answer.headers.get("Content-Range", "").endswith(f"/{here}"):
                return True
            partial.remove()
            return False
        if answer.status_code >= 500:
            return False
        if answer.status_code not in (requests.codes.ok, requests.codes.partial_content):
            raise UserError(f"{url}: the server answers {answer.status_code} {answer.reason}")
        continues = answer.status_code == requests.codes.partial_content
        if continues and not answer.headers.get("Content-Range", "").startswith(f"bytes {here}-"):
            partial.remove()
            return False
        start = here if continues else 0
        length = answer.headers.get("Content-Length", "")
        total = start + int(length) if length.isdecimal() else 0
        etag = answer.headers.get("ETag", "")
        write_json(partial.note, {"url": url, "tag": "" if etag.startswith("W/") else etag})
        with partial.file.open("ab" if continues else "wb") as file:
            for piece in answer.iter_content(PIECE):
                file.write(piece)
                if received:
                    received(file.tell(), total)
    return not total or partial.length == total


def _wrong(file: Path, md5: str | None, check: Callable[[Path], str | None] | None) -> str | None:
    if md5 is not None:
        with file.open("rb") as opened:
            found = hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if found != md5:
            return f"is not the file expected: its MD5 is {found}, not {md5}"
    return check(file) if check is not None else None
