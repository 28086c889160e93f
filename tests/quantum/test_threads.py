"""Small batches are computed on one thread, whatever torch is set to, and the setting is left as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from hybridq.quantum.circuits import CircuitSpec
from hybridq.quantum.engine import compile_program
from hybridq.quantum.engine import program as exact
from hybridq.quantum.engine.noiseless.program import CompiledProgram


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> tuple[CompiledProgram, list[int]]:
    """A circuit of three qubits, and the threads that each of its sweeps found."""
    compiled = compile_program(CircuitSpec(3, 2).build())
    found: list[int] = []
    for name in ("_forward", "_backward"):
        sweep = getattr(compiled, name)

        def watched(*args, sweep=sweep, **kwargs):
            found.append(torch.get_num_threads())
            return sweep(*args, **kwargs)

        monkeypatch.setattr(compiled, name, watched)
    return compiled, found


def step(compiled: CompiledProgram, samples: int) -> None:
    inputs = torch.rand(samples, 3, requires_grad=True)
    compiled(inputs, torch.rand(compiled.num_weights, requires_grad=True)).sum().backward()


def test_a_small_batch_has_one_thread_forwards_and_backwards(program: tuple[CompiledProgram, list[int]]) -> None:
    compiled, found = program
    step(compiled, 5)
    assert found == [1, 1]
    assert torch.get_num_threads() == 2


def test_a_large_batch_has_all_threads(program: tuple[CompiledProgram, list[int]]) -> None:
    compiled, found = program
    step(compiled, exact.SHARED_FROM // 8)
    assert found == [2, 2]


def test_the_setting_is_restored_after_an_error(program: tuple[CompiledProgram, list[int]]) -> None:
    compiled, _ = program
    compiled._observables = None  # type: ignore[assignment]
    with pytest.raises(TypeError):
        step(compiled, 5)
    assert torch.get_num_threads() == 2
