"""Libraries in C that write to the terminal while they decode: libtiff, OpenJPEG."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silent_decoders() -> Iterator[None]:
    """Nothing that is written to standard error appears, whoever writes it; what is wrong with a file is raised."""
    try:
        kept = os.dup(2)
    except OSError:  # a program without standard error
        yield
        return
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
