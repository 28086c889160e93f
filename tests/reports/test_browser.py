"""The report in a real browser: it asks for nothing, logs nothing, and everyone can see or read everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chromium import Chromium, find_chromium

from hybridq.reports.page import write_report

PHONE, DESK, SHEET = 400, 1100, 718
"""CSS pixels; the last is what margins leave of A4."""
AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"

FIGURES = """
[...document.querySelectorAll('figure svg, img')].map(figure => {
  const box = figure.getBoundingClientRect();
  const drawn = figure.tagName === 'IMG' ? figure.naturalWidth > 0 : figure.getBBox().width > 0;
  const name = figure.alt || figure.getAttribute('aria-label') || '';
  return {name, drawn, left: box.left, right: box.right, width: box.width, height: box.height};
})
"""

CONTRAST = """
(() => {
  const parts = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b]
    .map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = element => {
    for (let e = element; e; e = e.parentElement) {
      const colour = parts(getComputedStyle(e).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const poor = new Set();
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.getClientRects().length) continue;
    const pair = [parts(getComputedStyle(element).color), ground(element)].map(light).sort((a, b) => b - a);
    const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
    if (ratio < 4.5) poor.add(`${ratio.toFixed(2)}: ${walker.currentNode.data.trim().slice(0, 40)}`);
  }
  return [...poor];
})()
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, write_run: Callable[..., Path]) -> Path:
    """The report of a run with everything in it."""
    return write_report(write_run(tmp_path_factory.mktemp("runs") / "demo", everything=True))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium is installed")
    with Chromium(path, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.slow
@pytest.mark.parametrize(("width", "paper"), [(PHONE, False), (DESK, False), (SHEET, True)])
def test_every_figure_is_seen_and_the_page_is_no_wider_than_the_screen(
    browser: Chromium, page: Path, width: int, paper: bool
) -> None:
    browser.open(page, width, paper=paper)
    found = browser.evaluate(FIGURES)
    assert len(found) > 15
    for figure in found:
        assert figure["drawn"], figure
        assert figure["width"] > 100, figure
        assert figure["height"] > 50, figure
        assert figure["left"] >= 0, figure
        assert figure["right"] <= width + 1, figure
        assert len(figure["name"]) > 20, figure
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.slow
def test_nothing_is_logged_and_no_request_leaves(browser: Chromium, page: Path) -> None:
    browser.open(page, DESK)
    assert browser.logged() == []
    assert browser.requested() == [page.as_uri()]


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_all_text_has_the_contrast_that_wcag_asks_for(browser: Chromium, page: Path, dark: bool) -> None:
    browser.open(page, DESK, dark=dark)
    assert browser.evaluate(CONTRAST) == []


@pytest.mark.slow
def test_it_can_be_printed(browser: Chromium, page: Path) -> None:
    browser.open(page, DESK)
    printed = browser.pdf()
    assert printed.startswith(b"%PDF")
    assert len(printed) > 100_000


@pytest.mark.slow
@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not here: npm install --no-save axe-core")
@pytest.mark.parametrize(("width", "dark"), [(PHONE, False), (DESK, False), (DESK, True)])
def test_an_accessibility_checker_finds_nothing(browser: Chromium, page: Path, width: int, dark: bool) -> None:
    browser.open(page, width, dark=dark)
    browser.evaluate(AXE.read_text(encoding="utf-8"))
    violations = browser.evaluate("axe.run().then(found => found.violations)")
    assert [(v["id"], [node["html"][:120] for node in v["nodes"]][:3]) for v in violations] == []
