"""The faults that ``make mutants`` gives to modules, and that its lists are of this project."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from mutants.faults import faults, replaced
from mutants.modules import EQUIVALENT, MODULES, NAMED

ROOT = Path(__file__).parents[1]

SOURCE = '''
def rate(hits, n, seed=0):
    """Of n, at least one."""
    if not hits or n < 2 and seed is None:
        raise ValueError(f"n = {n + 1}")
    total: dict[str, 3] = max(hits, 0.5)
    print(total, end="")
    return total / (n - 1)
'''


def test_every_kind_of_fault_is_drawn_and_words_and_types_are_left_alone() -> None:
    found = faults(SOURCE, 1000, "any")
    assert len({fault.source for fault in found}) == len(found)
    assert ast.unparse(ast.parse(SOURCE)) not in {fault.source for fault in found}
    said = {fault.after for fault in found}
    assert said >= {
        "if hits or (n < 2 and seed is None):",
        "if not hits and (n < 2 and seed is None):",
        "if not hits or (n < 2 or seed is None):",
        "if not hits or (n <= 2 and seed is None):",
        "if not hits or (n < 3 and seed is None):",
        "if not hits or (n < 2 and seed is not None):",
        "def rate(hits, n, seed=1):",
        "total: dict[str, 3] = min(hits, 0.5)",
        "total: dict[str, 3] = max(hits, 1.0)",
        "total: dict[str, 3] = max(0.5)",
        "return total * (n - 1)",
        "return total / (n + 1)",
        "return total / (n - 2)",
        "print(total)",
        "pass",
    }
    assert not any("n + 2" in fault.source or "[str, 4]" in fault.source for fault in found)


def test_the_seed_decides_and_faults_stand_on_lines_of_their_own_first() -> None:
    four = faults(SOURCE, 4, "one")
    assert four == faults(SOURCE, 4, "one") != faults(SOURCE, 4, "two")
    assert len({fault.lines.start for fault in four}) == 4


def test_a_named_fault_must_be_there_once() -> None:
    assert "return total / n" in replaced(SOURCE, "(n - 1)", "n").source
    with pytest.raises(ValueError, match="'total' is there 3 times"):
        replaced(SOURCE, "total", "n")


@pytest.mark.parametrize("module", MODULES)
def test_modules_their_tests_and_named_faults_are_there(module: str) -> None:
    source = (ROOT / module).read_text(encoding="utf-8")
    assert [test for test in MODULES[module] if not (ROOT / test).is_file()] == []
    for before, after in NAMED.get(module, ()):
        ast.parse(replaced(source, before, after).source)


def test_every_list_is_of_modules_that_are_tested() -> None:
    assert NAMED.keys() | EQUIVALENT.keys() <= MODULES.keys()
