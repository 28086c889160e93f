"""hybridq report shows what the studies really write, and compare says it in the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
from hardware_cli import Command

STUDY = """
devices: [fake_manila]
others: [fake_quito]
sources: [all, readout]
scales: [1, 4]
shots: [64]
draws: 2
layouts: [best, worst]
seeds_transpiler: [1, 2]
"""


@pytest.mark.slow
def test_studies_of_noise_mitigation_and_spectrum_are_in_the_report(
    run: Path, hybridq: Command, tmp_path: Path
) -> None:
    config = tmp_path / "noise.yaml"
    config.write_text(STUDY)
    for command in (
        ("study", "noise", run, "--config", config),
        ("study", "mitigation", run, "--backend", "fake_manila", "--training-images", 8),
        ("export", run, "--surrogate", tmp_path / "q.safetensors", "--backend", "fake_manila"),
        ("report", run),
    ):
        answer = hybridq(*command)
        assert answer.code == 0, answer.error
    page = (run / "report.html").read_text(encoding="utf-8")
    for part in ("How much noise it bears", "worst of 2 draws", "best of 2 transpiler seeds", "worst qubits"):
        assert part in page, part
    for part in ("readout + ZNE linear + learned", "Spectrum of the circuit", 'id="noise-sources0-'):
        assert part in page, part
    compared = hybridq("compare", run, "--backend", "aer", "--backend", "fake_manila")
    assert compared.code == 0, compared.error
    said = " ".join(compared.out.split())
    assert "strength of noise, times the calibration" in said
    assert "mitigation on fake_manila" in said
    assert "fake_quito" not in said
