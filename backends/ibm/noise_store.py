"""Noise that was learned, kept beside the ledger so that other evaluations of the same layers need not pay for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from backends.ibm.layers import LayerNoise
from backends.ibm.task import write_json


@dataclass(frozen=True)
class NoiseStore:
    """A folder with one JSON file for each set of layers, the noise learned last."""

    folder: Path

    @classmethod
    def beside(cls, ledger: Path) -> NoiseStore:
        """The one that belongs to a ledger."""
        return cls(ledger.with_name(f"{ledger.name}.layer-noise"))

    def find(self, key: str, max_age_hours: float) -> LayerNoise | None:
        """Return what was learned under a key and is not too old; None where there is none that can be read."""
        try:
            noise = LayerNoise.from_dict(json.loads((self.folder / f"{key}.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return noise if noise.key == key and noise.age_hours <= max_age_hours else None

    def keep(self, noise: LayerNoise) -> None:
        """Keep noise in the place of what was learned before it."""
        before = self.find(noise.key, float("inf"))
        if before is None or before.learned < noise.learned:
            write_json(self.folder / f"{noise.key}.json", noise.as_dict())
