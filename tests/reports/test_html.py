"""The report: one file that loads nothing, says what was done, and does not say more."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from hybridq.errors import UserError
from hybridq.reports.page import write_report
from hybridq.results.evaluation import read_evaluations

MakeRun = Callable[..., Path]
VOID = {"meta", "img", "wbr", "br", "link", "hr", "input"}


class Page(HTMLParser):
    """Text by kind, attributes that load something, and whether every element is closed."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.open: list[str] = []
        self.tags: list[str] = []
        self.unlabelled: list[str] = []
        self.words: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.loaded += [v for n, v in attrs if n in {"src", "href", "xlink:href", "srcset", "data", "action"} and v]
        if (tag == "img" and not given.get("alt")) or (tag == "svg" and not given.get("aria-label")):
            self.unlabelled.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.words.append(data)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, write_run: Callable[..., Path]) -> Page:
    return Page(write_report(write_run(tmp_path_factory.mktemp("runs") / "demo")))


def test_the_page_is_whole_and_loads_nothing(page: Page) -> None:
    assert page.open == []
    assert page.loaded
    assert all(address.startswith(("#", "data:")) for address in page.loaded)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)


def test_every_figure_says_what_it_shows_to_those_who_cannot_see_it(page: Page) -> None:
    # Bars, ROC, radar, four confusion matrices, calibration, coverage, three scatters, training; and the circuit.
    assert page.tags.count("svg") == 13
    assert page.tags.count("img") == 1
    assert page.unlabelled == []


def test_the_report_holds_every_part(page: Page) -> None:
    headings = (
        "Results on the test split",
        "Change from aer",
        "Confusion matrices",
        "What ran where",
        "Training",
        "Warnings",
        "Model",
        "Circuit",
        "Data",
        "What this does not show",
    )
    for heading in headings:
        assert heading in page.text
    for fact in (
        "SYNTHETIC DATA",
        "fake_torino simulated device",
        "8 rz, 8 cx",
        "θ[7]",
        "2,239,255 parameters",
        "14 augmented copies of test images were removed",
        "collapsed embeddings (pretrain, epoch 3)",
        "not a medical device",
        "quantum advantage: 4 qubits can be simulated on a laptop",
        "milder than live devices",
        "bootstrap over 12 groups",
    ):
        assert fact in page.text, fact


def test_tables_print_the_saved_numbers(make_run: MakeRun) -> None:
    run = make_run(backends=("aer:shots=4096",))
    page = Page(write_report(run))
    for evaluation in read_evaluations(run):
        for interval in evaluation.metrics["metrics"].values():
            assert f"{interval['value']:.3f} {interval['low']:.3f} – {interval['high']:.3f}" in page.text
    assert "4,096" in page.text


def test_no_claim_is_made_where_no_difference_is_shown(page: Page) -> None:
    assert "fake_torino (simulated device): no difference shown in any metric" in page.text


def test_names_from_files_cannot_change_the_page(make_run: MakeRun) -> None:
    hostile = '<script>alert("x")</script>'
    image = '"><img src=https://example.org/x.png>'
    run = make_run(name=image, classes=(hostile, "B & <b>old</b>"), notes=(hostile,), backends=("aer", hostile + image))
    page = Page(write_report(run))
    assert page.open == []
    assert "script" not in page.tags
    assert page.tags.count("img") == 1
    assert hostile in page.text
    assert all(address.startswith(("#", "data:")) for address in page.loaded)


def test_more_than_two_classes_and_unknown_patients(make_run: MakeRun) -> None:
    classes = ("abdomen CT", "CXR", "hand", "head CT")
    run = make_run(
        classes=classes, samples=80, patients=None, simulated=False, name="folder", backends=("aer", "fake_torino")
    )
    page = Page(write_report(run))
    assert "SYNTHETIC" not in page.text
    assert "one-versus-rest" in page.text
    assert "Which images belong to one patient is not known." in page.text
    assert "That no patient is in two splits" in page.text


def test_several_labels_to_an_image_are_shown_label_by_label(make_run: MakeRun) -> None:
    labels = ("heart", "lung", "bone", "rare")
    run = make_run(classes=labels, task="multi-label", backends=("aer", "fake_torino"))
    page = Page(write_report(run))
    assert page.open == []
    assert page.unlabelled == []
    assert "4 labels (heart, lung, bone, rare)" in page.text
    assert "Confusion" not in page.text
    assert "No positive image of label 3: left out of the means over labels." in page.text
    assert "not defined: no positive image" in page.text
    assert "fewer than 50 positive images: label 3 (0)" in page.text
    for evaluation in read_evaluations(run):
        for label in evaluation.metrics["labels"][:3]:
            for interval in label["metrics"].values():
                assert f"{interval['value']:.3f} {interval['low']:.3f} – {interval['high']:.3f}" in page.text


def test_grades_are_shown_with_kappa_and_error(make_run: MakeRun) -> None:
    run = make_run(classes=("none", "mild", "severe"), task="ordinal", backends=("aer", "fake_torino"))
    page = Page(write_report(run))
    assert "3 grades (none, mild, severe)" in page.text
    assert "quadratic weighted kappa" in page.text
    kappa = read_evaluations(run)[0].metrics["metrics"]["kappa"]
    assert f"Kappa, quadratic weighted {kappa['value']:.3f}" in page.text
    assert "Confusion matrices" in page.text


@pytest.mark.parametrize(("share", "classical"), [(0.06, False), (0.005, True)])
def test_a_model_that_ignores_its_circuit_is_called_classical(make_run: MakeRun, share: float, classical: bool) -> None:
    page = Page(write_report(make_run(quantum_share=share, backends=())))
    assert ("The model is effectively classical." in page.text) == classical


def test_what_has_not_been_done_is_absent(make_run: MakeRun) -> None:
    run = make_run(backends=())
    for name in ("history.csv", "warnings.json", "circuit.json", "circuit.png", "environment.json"):
        (run / name).unlink()
    page = Page(write_report(run))
    assert "has not been evaluated yet" in page.text
    for heading in ("Results on", "What ran where", "Warnings", "Circuit", "Confusion"):
        assert heading not in page.text
    assert "svg" not in page.tags


def test_evaluations_of_different_samples_are_not_compared(
    make_run: MakeRun, write_evaluation: Callable[..., Path]
) -> None:
    run = make_run(backends=("aer", "fake_torino"))
    labels = np.arange(40) % 2
    write_evaluation(
        run,
        "ibm_torino",
        [f"test/{i:04d}.png" for i in range(40)],
        [""] * 40,
        labels,
        np.random.default_rng(1).normal(0, 0.7, (40, 4)) + labels[:, None],
        2,
        selection="40 of 120, stratified",
    )
    page = Page(write_report(run))
    assert "Results on the test split, 40 of 120, stratified" in page.text
    assert page.text.count("Change from") == 1
    assert "hardware (a real quantum device)" in page.text


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"config\.yaml is missing"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_same_run_gives_the_same_page(make_run: MakeRun) -> None:
    run = make_run(backends=())
    first = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == first


def test_reports_load_neither_torch_nor_qiskit() -> None:
    script = "import sys, hybridq.reports.page; print(*sorted(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(answer.stdout.split())
    assert "hybridq.reports.page" in loaded
    assert not loaded & {"torch", "qiskit", "lightning", "backends", "hybridq.training", "hybridq.evaluation.evaluate"}
