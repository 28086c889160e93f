"""What training costs: the share of a step that the quantum layer takes, and memory."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, Final

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn
from torch.utils.hooks import RemovableHandle

TIMED_STEPS: Final = 5


class Cost(Callback):
    """Times the circuit, forward and backward, in ``TIMED_STEPS`` training steps, and keeps the peak of memory.

    The first step of a process allocates and compiles and is not timed; all steps after the timed ones run without
    hooks. Part of the checkpoint, so that a continued training reports what an unbroken one does. ``circuit`` is None
    where the model has none.
    """

    def __init__(self, circuit: nn.Module | None) -> None:
        self._circuit = circuit
        self._inside = self._total = 0.0
        self._steps = self._peak = 0
        self._warm = False
        self._handles: list[RemovableHandle] = []
        self._entered = self._started = 0.0

    @property
    def quantum_share(self) -> float | None:
        """Of the seconds of a training step (images, forward, backward, optimizer); None where nothing was timed."""
        return self._inside / self._total if self._steps else None

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, part of training.json."""
        share = {"share_of_step": self.quantum_share, "timed_steps": self._steps}
        return {"quantum_layer": share, "peak_memory_bytes": max(self._peak, peak_memory() or 0) or None}

    def state_dict(self) -> dict[str, Any]:
        self._peak = max(self._peak, peak_memory() or 0)
        return {"inside": self._inside, "total": self._total, "steps": self._steps, "peak": self._peak}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._inside, self._total = state["inside"], state["total"]
        self._steps, self._peak = state["steps"], state["peak"]

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch: Any, batch_idx: int) -> None:
        if self._circuit is None or self._steps >= TIMED_STEPS:
            return
        if self._warm:
            self._handles = [
                self._circuit.register_forward_pre_hook(self._enter),
                self._circuit.register_forward_hook(self._leave),
                self._circuit.register_full_backward_pre_hook(self._enter),
                self._circuit.register_full_backward_hook(self._leave),
            ]
            self._started = self._now()
        self._warm = True

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._handles:
            self._total += self._now() - self._started
            self._steps += 1
            while self._handles:
                self._handles.pop().remove()

    def _enter(self, *_: Any) -> None:
        self._entered = self._now()

    def _leave(self, *_: Any) -> None:
        self._inside += self._now() - self._entered

    def _now(self) -> float:
        assert self._circuit is not None
        if any(parameter.device.type != "cpu" for parameter in self._circuit.parameters()):
            torch.accelerator.synchronize()  # what was sent before is done
        return time.perf_counter()


def peak_memory() -> int | None:
    """Bytes: the most memory that this process has held since it started; None where the system does not say."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss of a process that was forked is at least its parent's; this is its own
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most
