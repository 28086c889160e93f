"""Hybrid quantum-classical medical image classifiers: trained on a simulator, run anywhere."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def _refuse_foreign_backends() -> None:
    """Python takes the first folder called ``backends`` on its path; say so if that is not the one beside this package."""
    spec = find_spec("backends")
    if spec is None or spec.origin is None:
        return
    found = Path(spec.origin).resolve().parent
    if found != Path(__file__).resolve().parent.with_name("backends"):
        raise ImportError(
            f"{found} is in the way: hybridq needs its own package called backends; rename that folder or start Python "
            "in another one (the command hybridq is not affected)"
        )


_refuse_foreign_backends()
