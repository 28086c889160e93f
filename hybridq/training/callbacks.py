"""What happens beside the training: history on disk, failure signatures, checkpoints that are whole, early stopping."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from hybridq.errors import UserError
from hybridq.files import atomic_write, write_json
from hybridq.training.signatures import Row, Signature


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoints appear whole or not at all, also where the system's temporary folder is on another disk."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        with atomic_write(Path(path)) as partial:
            torch.save(checkpoint, partial)


class History(Callback):
    """A row an epoch: kept in the checkpoint, written to history.csv whole after every epoch, announced in one line.

    ``recognise`` turns the stage's rows into failure signatures, which go to warnings.json and to ``warn`` once.
    """

    def __init__(
        self,
        path: Path,
        stage: str,
        recognise: Callable[[Sequence[Row]], list[Signature]],
        announce: Callable[[str], None],
        warn: Callable[[str], None],
    ) -> None:
        self._path = path
        self._stage = stage
        self._recognise = recognise
        self._announce = announce
        self._warn = warn
        self.rows: list[dict[str, Any]] = []
        self._warnings: list[dict[str, Any]] = []
        self._started = (0.0, 0.0)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "warnings": self._warnings}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows = list(state["rows"])
        self._warnings = list(state["warnings"])

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._started = (time.perf_counter(), time.process_time())

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        measured = {name: float(value) for name, value in trainer.callback_metrics.items()}
        row = {"stage": self._stage, "epoch": trainer.current_epoch, **measured}
        row["learning_rate"] = trainer.optimizers[0].param_groups[-1]["lr"]
        wall, processor = self._started
        row["seconds"] = time.perf_counter() - wall
        row["processor_seconds"] = time.process_time() - processor
        self.rows.append(row)
        self._announce(_line(row))
        known = {warning["signature"] for warning in self._warnings}
        for signature in self._recognise(self.rows):
            if signature.signature not in known:
                self._warnings.append(signature.as_dict())
                self._warn(f"warning: {signature.sentence}")
        self._write()

    def _write(self) -> None:
        rows = [*self._others(self._path, pd.read_csv), *self.rows]
        with atomic_write(self._path) as partial:
            pd.DataFrame(rows).to_csv(partial, index=False)
        warnings = self._path.with_name("warnings.json")
        write_json(warnings, [*self._others(warnings, pd.read_json), *self._warnings])

    def _others(self, path: Path, read: Callable[[Path], pd.DataFrame]) -> list[dict[str, Any]]:
        """Rows of the other stage, already on disk."""
        if not path.exists():
            return []
        rows = read(path).to_dict("records")
        return [
            {str(key): value for key, value in row.items() if not (isinstance(value, float) and math.isnan(value))}
            for row in rows
            if row["stage"] != self._stage
        ]


class StageProgress(Callback):
    """One bar a stage, counting training steps over all epochs."""

    def __init__(self, stage: str, steps: int, epochs: int, progress: Callable[[str, int, int], None]) -> None:
        self._what = f"{stage}, {epochs} epochs"
        self._steps = steps
        self._total = steps * epochs
        self._progress = progress

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._progress(self._what, trainer.current_epoch * self._steps + batch_idx + 1, self._total)


MONITORS: Final = {"auc": ("validation_auc", "max"), "loss": ("validation_loss", "min")}
"""What ``train.monitor`` names: a column of history.csv, and which end of it is best."""


class ContinuedEarlyStopping(EarlyStopping):
    """Early stopping that stays stopped when a finished training is continued."""

    def __init__(self, patience: int, monitor: str = "auc") -> None:
        column, mode = MONITORS[monitor]
        super().__init__(monitor=column, mode=mode, patience=patience, check_on_train_epoch_end=True)

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        if self.wait_count >= self.patience:
            trainer.should_stop = True


class _LastOfEveryEpoch(ModelCheckpoint):
    """Lightning's, which by itself writes ``last.ckpt`` only in epochs that are also the best so far."""

    @property
    def state_key(self) -> str:
        """Key of its state in checkpoints, as those that were written before this class have it."""
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        if not self._should_skip_saving_checkpoint(trainer):  # nothing was saved after this epoch's last step
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))


def best_and_last(folder: Path, monitor: str | None = None) -> ModelCheckpoint:
    """``last.ckpt`` after every epoch and, with a ``monitor`` of ``MONITORS``, ``best.ckpt`` at its best value."""
    column, mode = (None, "max") if monitor is None else MONITORS[monitor]
    return _LastOfEveryEpoch(
        dirpath=folder,
        filename="best",
        monitor=column,
        mode=mode,
        save_top_k=1 if monitor else 0,
        save_last=True,
        enable_version_counter=False,
        save_on_train_epoch_end=True,
    )


def refuse_infinite(loss: torch.Tensor, module: LightningModule, stage: str, step: int, key: str) -> None:
    """Raise :class:`UserError` naming stage, epoch, step and learning rate when the loss is NaN or infinite."""
    if torch.isfinite(loss):
        return
    rate = module.trainer.optimizers[0].param_groups[-1]["lr"]
    raise UserError(
        f"{stage}: the loss is {float(loss.detach())} in epoch {module.current_epoch}, step {step}, at learning rate "
        f"{rate:.3g}; the checkpoints of finished epochs are kept; start a new run with a lower {key}"
    )


def _line(row: dict[str, Any]) -> str:
    shown = {
        "loss": "loss",
        "embedding_spread": "spread",
        "validation_loss": "validation loss",
        "validation_auc": "AUC",
        "alpha": "α",
        "quantum_share": "quantum share",
    }
    parts = [f"{label} {row[key]:.4g}" for key, label in shown.items() if key in row]
    return f"{row['stage']} epoch {row['epoch']}: {', '.join(parts)} ({row['seconds']:.0f} s)"
