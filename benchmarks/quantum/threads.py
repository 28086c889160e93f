"""Threads set on purpose, in processes of their own.

torch, Aer and OpenBLAS each bring a pool of threads that is as large as the machine; idle ones wait for work without
sleeping and take the cores from whoever has some. A number of threads can only be given to all of them before they are
loaded, so every section runs in a fresh process for each number.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.quantum.results import Found

SECTIONS = ("noiseless", "share", "noisy", "scaling", "epoch", "spells")
"""Modules beside this one with a function ``measure``."""

LIBRARIES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""OpenMP's is read by torch, by Aer (also by this project's ``AerBackend``) and by PennyLane Lightning."""


def cores() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_section(section: str, threads: int, *, quick: bool) -> Found:
    """Run one section in a process with so many threads; exits as that process does when it fails."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.json"
        command = [sys.executable, "-m", "benchmarks.quantum.worker", section, str(threads), str(out)]
        environment = os.environ | dict.fromkeys(LIBRARIES, str(threads))
        done = subprocess.run([*command, *(["--quick"] if quick else [])], env=environment, check=False)
        if done.returncode:
            sys.exit(done.returncode)
        return Found.from_dict(json.loads(out.read_text(encoding="utf-8")))
