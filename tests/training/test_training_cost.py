"""What a training says of its cost, and that measuring leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tiny import TINY, quietly
from torch import nn

from hybridq.config import parse_experiment
from hybridq.training.cost import TIMED_STEPS, Cost, peak_memory
from hybridq.training.train import train


def test_a_run_records_seconds_per_epoch_the_quantum_share_and_peak_memory(tiny_run: Path) -> None:
    training = json.loads((tiny_run / "training.json").read_text())
    assert set(training["seconds_per_epoch"]) == {"pretrain", "finetune"}
    layer = training["quantum_layer"]
    assert 0 < layer["share_of_step"] < 1
    assert 1 <= layer["timed_steps"] <= TIMED_STEPS
    assert training["peak_memory_bytes"] > 50e6


def test_a_model_without_a_circuit_has_no_quantum_share(tmp_path: Path) -> None:
    quick = ("model.name=baseline", "model.backbone=simple_cnn", "pretrain.epochs=0", "train.epochs=1")
    lines: list[str] = []
    run = train(parse_experiment(TINY, quick), tmp_path, announce=lines.append, progress=quietly)
    assert run.read_json("training.json")["quantum_layer"] == {"share_of_step": None, "timed_steps": 0}
    assert any("s an epoch of fine-tuning, peak memory" in line for line in lines)


def step(cost: Cost, circuit: nn.Module) -> None:
    cost.on_train_batch_start(None, None, None, 0)  # type: ignore[arg-type]
    circuit(torch.ones(2, 3, requires_grad=True)).sum().backward()
    cost.on_train_batch_end(None, None, None, None, 0)  # type: ignore[arg-type]


def hooks(module: nn.Module) -> int:
    named = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, name)) for name in named)


def test_the_first_step_is_not_timed_and_no_hook_outlives_a_step() -> None:
    circuit = nn.Linear(3, 3)
    cost = Cost(circuit)
    for number in range(TIMED_STEPS + 3):
        step(cost, circuit)
        assert cost.as_dict()["quantum_layer"]["timed_steps"] == min(number, TIMED_STEPS)
        assert hooks(circuit) == 0


def test_a_continued_training_keeps_what_was_measured() -> None:
    circuit = nn.Linear(3, 3)
    first, second = Cost(circuit), Cost(circuit)
    for _ in range(TIMED_STEPS + 1):
        step(first, circuit)
    second.load_state_dict(first.state_dict() | {"peak": 2**60})
    assert second.quantum_share == first.quantum_share
    assert second.as_dict()["peak_memory_bytes"] == 2**60


def test_peak_memory_counts_what_was_held_and_given_back() -> None:
    held = torch.ones(60_000_000)
    size = 4 * held.numel()
    del held
    peak = peak_memory()
    assert peak is not None
    assert peak > size
