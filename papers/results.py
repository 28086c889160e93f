"""Tables of docs/results.md and README.md, made from the committed cells in docs/results/.

    python -m papers.results            # writes them
    python -m papers.results --check    # fails where a file differs from its cells

A table stands between ``<!-- study NAME -->``, ``<!-- summary NAME -->`` (papers/summaries.py) or
``<!-- csv FILE.csv -->`` and ``<!-- end -->``. Of a study, docs/results/NAME/cells.csv and predictions/ are read, and
configs/studies/NAME.yaml says what they are; ``<!-- study NAME metrics -->`` takes the metrics and the sentence under
them alone. In docs/results.md and in README's section on results, every number with a decimal point outside a table has
to be in one of the tables or in docs/results/published.csv.
"""

from __future__ import annotations

import argparse
import csv
import difflib
import re
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from hybridq.files import write_text
from hybridq.studies.models.config import load_study
from hybridq.studies.models.documents import parts, pipes, write_tables
from hybridq.studies.models.paired_tests import PairedTest, compare_models
from hybridq.studies.models.store import read_results
from hybridq.studies.models.tables import SettingTable, study_tables
from papers.summaries import PUBLISHED, RESULTS, SUMMARIES

PAGE = Path("docs/results.md")
BLOCK = re.compile(r"(<!-- (study|summary|csv) (\S+)( metrics)? -->\n)(.*?)(<!-- end -->)", re.DOTALL)
NUMBER = re.compile(r"(?<![\w.:])\d[\d,]*\.\d+(?![\w.]*\d)")
MADE = ("table.csv", "single_seeds.csv", "table.md", "table.tex")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 where something differs")
    check = parser.parse_args().check
    problems = [problem for folder in studies() for problem in made(folder.name, check=check)]
    for page in (PAGE, Path("README.md")):
        old = page.read_text(encoding="utf-8")
        new = filled(old)
        if not check:
            write_text(page, new)
        elif new != old:
            problems += difflib.unified_diff(old.splitlines(), new.splitlines(), f"{page}", "from the cells", "", "", 0)
        problems += [f"{page}: {number} is in no table" for number in unfounded(new, whole=page == PAGE)]
    if problems:
        sys.exit("\n".join(problems))


def studies() -> list[Path]:
    """Folders of the studies whose cells are committed."""
    return sorted(path.parent for path in RESULTS.glob("*/cells.csv"))


@cache
def computed(name: str) -> tuple[Sequence[SettingTable], Sequence[PairedTest]]:
    """Tables and tests of a study, from its committed cells."""
    study, cells = load_study(Path(f"configs/studies/{name}.yaml"), tuned=False)
    results = read_results(study, cells, RESULTS / name / "cells.csv")
    tests = compare_models(study, results, progress=lambda *_: None)
    return study_tables(study, results, tests), tests


def tables(name: str) -> Sequence[SettingTable]:
    """One a setting."""
    return computed(name)[0]


def made(name: str, *, check: bool) -> list[str]:
    """The files of a study that are made from its cells: written, or what differs."""
    with TemporaryDirectory() as folder:
        write_tables(*computed(name), name, Path(folder))
        problems = []
        for file in MADE:
            new, old = Path(folder, file), RESULTS / name / file
            if not check:
                write_text(old, new.read_text(encoding="utf-8"))
            elif not old.is_file() or new.read_bytes() != old.read_bytes():
                problems.append(f"{old}: is not what its cells give; run python -m papers.results")
    return problems


def filled(page: str) -> str:
    """The page with every table made anew."""

    def block(found: re.Match[str]) -> str:
        start, kind, name, short, _, end = found.groups()
        if kind == "summary":
            content = "\n".join(pipes(SUMMARIES[name](tables))) + "\n"
        else:
            content = of_csv(Path(name)) if kind == "csv" else of_study(name, metrics_only=bool(short))
        return f"{start}\n{content}\n{end}"

    return BLOCK.sub(block, page)


def of_study(name: str, *, metrics_only: bool) -> str:
    lines = []
    shown = tables(name)
    for table in shown:
        if len(shown) > 1:
            lines += [f"**{table.setting}**", ""]
        for part in parts(table)[: 1 if metrics_only else None]:
            lines += [*pipes(part), ""]
        lines += [*(f"{note}\n" for note in table.notes), table.conclusion, ""]
    return "\n".join(lines)


def of_csv(file: Path) -> str:
    with file.open(encoding="utf-8", newline="") as rows:
        return "\n".join(pipes([[cell.replace("_", " ") for cell in row] for row in csv.reader(rows)])) + "\n"


def unfounded(page: str, *, whole: bool) -> list[str]:
    """Numbers of the text that are in no table and not published."""
    text = page if whole else "".join(re.findall(r"^## Results.*?(?=^## )", page, re.DOTALL | re.MULTILINE))
    founded = set(NUMBER.findall(PUBLISHED.read_text(encoding="utf-8")))
    founded |= {
        number for found in BLOCK.finditer(PAGE.read_text(encoding="utf-8")) for number in NUMBER.findall(found[5])
    }
    founded |= {number for found in BLOCK.finditer(text) for number in NUMBER.findall(found[5])}
    outside = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)", "", BLOCK.sub("", text), flags=re.DOTALL)
    return sorted(set(NUMBER.findall(outside)) - founded)


if __name__ == "__main__":
    main()
