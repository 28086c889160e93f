"""Lightning's own loggers, for those who watch a training with other tools than history.csv."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger

from hybridq.errors import UserError
from hybridq.run_folder import RunFolder

LOGS: Final = "logs"
"""Folder of the run in which they write."""

Loggers = Logger | Sequence[Logger] | None
"""One or several of the caller's."""


def check_logger(kind: str | None) -> None:
    """Raise :class:`UserError` if what ``train.logger`` names is not installed."""
    if kind != "tensorboard":
        return
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError:
        raise UserError(
            "train.logger = 'tensorboard'; the package tensorboard is not installed: pip install "
            "'hybridq-medical[tensorboard]', or set train.logger=csv, which needs none"
        ) from None


def loggers_of(kind: str | None, run: RunFolder, stage: str, given: Loggers = None) -> list[Logger]:
    """Return the logger that ``train.logger`` names, writing into ``logs/STAGE`` of the run, and the caller's."""
    own = {"csv": CSVLogger, "tensorboard": TensorBoardLogger}
    configured = [own[kind](run.folder / LOGS, name=stage)] if kind is not None else []
    return [*configured, *([given] if isinstance(given, Logger) else given or ())]
