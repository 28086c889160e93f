"""Learning rates over a training."""

from __future__ import annotations

import math
from typing import Any, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

WARM_SHARE = 0.05
"""Share of the steps over which the learning rate rises linearly."""


def scheduled(schedule: Literal["cosine", "constant"], optimizer: Optimizer, steps: int) -> dict[str, Any]:
    """:func:`warm_cosine`, or the optimizer alone, whose learning rates stay as they are."""
    return warm_cosine(optimizer, steps) if schedule == "cosine" else {"optimizer": optimizer}


def warm_cosine(optimizer: Optimizer, steps: int) -> dict[str, Any]:
    """Linear rise, then half a cosine to zero (arXiv:1608.03983), a step at a time, in the form Lightning takes."""
    warm = max(1, round(WARM_SHARE * steps))

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, steps - warm))))

    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}}
