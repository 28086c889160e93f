"""hybridq export."""

from __future__ import annotations

from pathlib import Path

from hardware_cli import Command


def test_a_surrogate_is_announced_with_its_spectrum_and_its_check(run: Path, hybridq: Command, tmp_path: Path) -> None:
    answer = hybridq("export", run, "--surrogate", tmp_path / "q.safetensors", "--backend", "fake_manila")
    assert answer.code == 0, answer
    said = " ".join(answer.out.split())
    assert "quantum layer on fake_manila: 4 qubits, degree 1 in each angle, 81 coefficients an observable" in said
    assert "Strength of the terms of ⟨Z⟩" in said
    assert "of the exact engine's at the angles of" in said


def test_what_cannot_be_exported_is_refused_and_nothing_is_written(run: Path, hybridq: Command, tmp_path: Path) -> None:
    before = sorted(run.rglob("*"))
    q = tmp_path / "q.pt2"
    for arguments, sentence in [
        ([], "nothing to write; name a file with --surrogate, --onnx, --torch-export"),
        (["--surrogate", tmp_path / "q.pt"], "--surrogate q.pt: the file must end in .safetensors or .pt2"),
        (["--onnx", tmp_path / "model.bin"], "--onnx model.bin: the file must end in .onnx"),
        (["--surrogate", q, "--torch-export", q], "--surrogate and --torch-export name the same file"),
        (["--torch-export", run / "config.yaml" / "q.pt2"], "config.yaml is a file"),
        (["--surrogate", q, "--backend", "aer:shots=100"], "draws shots; the exact engine computes exact values"),
        (["--surrogate", q, "--backend", "ibm_torino"], "ibm_torino is hardware"),
        (["--surrogate", q, "--backend", "fake_nowhere"], "fake_nowhere"),
        (["--surrogate", q, "--split", "none"], "--split none"),
    ]:
        assert sentence in hybridq.refused("export", run, *arguments)
    assert sorted(run.rglob("*")) == before
    assert not q.exists()
