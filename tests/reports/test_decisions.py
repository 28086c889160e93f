"""Sections of the report about decisions and studies: there when their files are, with the numbers of those files."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest
from studied import write_studies

from hybridq.errors import UserError
from hybridq.reports.page import write_report
from hybridq.reports.sections.mitigation import mitigations
from hybridq.reports.sections.noise import SOURCE_TITLES, noise_results
from hybridq.reports.sections.spectrum import spectrum_drawn
from hybridq.run_folder import RunFolder
from hybridq.statistics.operating_point import parse_rule

MakeRun = Callable[..., Path]


def read(run: Path, rule: str = "youden") -> str:
    """The words of the report."""
    page = write_report(run, parse_rule(rule)).read_text(encoding="utf-8")
    page = re.sub(r"<style>.*?</style>|<svg.*?</svg>", " ", page, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory, write_run: MakeRun) -> str:
    return read(write_run(tmp_path_factory.mktemp("runs") / "demo", everything=True))


def test_the_report_says_where_the_threshold_comes_from(text: str) -> None:
    assert "Operating point" in text
    assert "the largest sum of sensitivity and specificity (Youden), chosen on 120 validation images" in text
    assert "on aer, not on the images below" in text
    # The device on which validation images were evaluated has a threshold of its own.
    assert text.count("its own threshold") == 1
    assert "Right when called positive" in text


def test_another_rule_is_named_and_validation_images_are_no_result_of_their_own(make_run: MakeRun) -> None:
    run = make_run(everything=True, backends=("aer",))
    for folder in (run / "evaluations").glob("fake-torino-validation*"):
        folder.rename(run / folder.name)
    text = read(run, "cost=10:1")
    assert "the lowest cost where a missed positive costs 10" in text
    assert "Results on the test split" in text
    assert "Results on the validation split" not in text


def test_backends_that_were_compared_on_validation_images_are_shown_after_the_test_images(text: str) -> None:
    assert text.index("Results on the test split") < text.index("Results on the validation split")


def test_without_validation_images_the_report_says_how_to_get_them(make_run: MakeRun) -> None:
    text = read(make_run(backends=("aer",)))
    assert "No threshold was chosen" in text
    assert "hybridq evaluate RUN --split validation" in text


def test_calibration_and_coverage_are_shown_for_every_backend(text: str) -> None:
    assert "Calibration error (ECE)" in text
    assert "ECE by chance alone" in text
    assert "Brier score" in text
    assert "Handing unsure cases to a human" in text
    assert "Wrong, 80 % kept" in text


@pytest.mark.parametrize("task", ["multi-class", "ordinal"])
def test_more_classes_have_calibration_and_coverage_but_no_threshold(make_run: MakeRun, task: str) -> None:
    text = read(make_run(classes=("none", "mild", "severe"), task=task, backends=("aer",)))
    assert "Operating point" not in text
    assert "Brier score" in text
    assert "summed over classes" in text
    assert "Wrong, 80 % kept" in text


def test_several_labels_have_neither(make_run: MakeRun) -> None:
    text = read(make_run(classes=("heart", "lung", "bone"), task="multi-label", backends=("aer",)))
    for part in ("Operating point", "Brier", "Handing unsure"):
        assert part not in text


def test_the_noise_study_is_shown_with_its_numbers(text: str) -> None:
    for part in (
        "How much noise it bears",
        "all together fake_torino 0.50× [0.30×, 0.90×] not reached up to 4×",
        "fake_mumbai 0.900 0.880 – 0.920 −0.050",
        "1,024 fake_torino 0.949 worst of 3 draws 0.949",
        "worst qubits fake_torino",
        "worst of 3 transpiler seeds fake_torino 0.910",
    ):
        assert part in text, part


def test_mitigation_is_shown_with_what_it_costs(text: str) -> None:
    for part in (
        "Nothing is fitted on the images that are evaluated",
        "The smallest error of ⟨Z⟩ has “learned”: 0.0344 rms",
        "readout + ZNE linear 3× and 2 circuits 0.0100 0.0700 0.0707",
    ):
        assert part in text, part


def test_the_spectrum_is_shown(text: str) -> None:
    assert "Spectrum of the circuit" in text


def test_studies_that_were_not_made_are_absent(make_run: MakeRun) -> None:
    text = read(make_run(backends=("aer",)))
    for heading in ("How much noise it bears", "Mitigation", "Spectrum of the circuit"):
        assert heading not in text


@pytest.mark.parametrize(
    ("name", "section"),
    [
        ("noise/noise.csv", noise_results),
        ("noise/thresholds.csv", noise_results),
        ("mitigation/fake-torino-0123abcd/mitigation.csv", mitigations),
        ("mitigation/fake-torino-0123abcd/record.json", mitigations),
        ("surrogate/spectrum.csv", spectrum_drawn),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, section: Callable[[RunFolder], object]) -> None:
    write_studies(tmp_path)
    assert section(RunFolder(tmp_path))
    (tmp_path / name).write_text("damaged", encoding="utf-8")
    with pytest.raises(UserError, match=rf"{Path(name).parent.as_posix()}.*cannot be read"):
        section(RunFolder(tmp_path))


def test_every_source_of_the_study_has_a_name() -> None:
    from hybridq.studies.noise.config import SOURCES

    assert tuple(SOURCE_TITLES) == SOURCES
