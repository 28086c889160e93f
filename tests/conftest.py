"""One thread a process: on two cores, threads of torch, Aer and OpenBLAS wait for each other longer than they work."""

from __future__ import annotations

import os

for library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(library, "1")
