"""Hybrid quantum-classical medical image classifiers: trained on a simulator, run anywhere."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path


def _refuse_foreign_backends() -> None:
    """Say so where the first ``backends`` on Python's path is not the one beside this package."""
    spec = find_spec("backends")
    if spec is None or spec.origin is None:
        return
    found = Path(spec.origin).resolve().parent
    if found != Path(__file__).resolve().parent.with_name("backends"):
        sentence = (
            f"{found} is in the way: hybridq needs its own package called backends; rename that folder or start Python "
            "in another one (the command hybridq is not affected)"
        )
        if sys.argv[:1] == ["-m"]:  # python -m hybridq, still looking for the module: a traceback would say no more
            print(f"hybridq: {sentence}", file=sys.stderr)
            sys.exit(2)
        raise ImportError(sentence)


_refuse_foreign_backends()
