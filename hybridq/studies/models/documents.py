"""The tables of a study as Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hybridq.files import atomic_write, write_text
from hybridq.studies.models.paired_tests import PairedTest
from hybridq.studies.models.tables import Part, SettingTable, frame, single_seeds

EXPLANATION = (
    "Metrics are means over seeds ± half of their 95 % t interval on these test images; of a single seed the interval "
    "is over images, in brackets.",
    "Changes are AUC of the model − AUC of the main model on the same images with the same seeds; their intervals and "
    "p hold over other seeds and other groups (patients, clusters); p is corrected for the number of models (Holm), "
    "intervals are not.",
    "DeLong and McNemar: in how many single seeds p is below 0.05, uncorrected; they describe these trainings alone.",
    "Multiply-adds are those of convolutions and matrix products for one image; a circuit has none of them.",
    "Training seconds are wall time on the machines that ran the cells.",
)
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "−": r"$-$",
    "–": "--",
    "…": r"\ldots",
    "<": r"$<$",
    ">": r"$>$",
}


def write_tables(tables: Sequence[SettingTable], tests: Sequence[PairedTest], name: str, folder: Path) -> None:
    """table.csv, single_seeds.csv, table.md and table.tex, each whole or not at all."""
    for content, file in ((frame(tables), "table.csv"), (single_seeds(tests), "single_seeds.csv")):
        with atomic_write(folder / file) as partial:
            content.to_csv(partial, index=False)
    write_text(folder / "table.md", markdown(tables, name))
    write_text(folder / "table.tex", latex(tables, name))


def parts(table: SettingTable) -> list[Part]:
    """What is shown of a setting, each part a table of its own; tests where there are any."""
    return [table.metric_part(), table.cost_part(), *([table.test_part()] if table.tests else [])]


def markdown(tables: Sequence[SettingTable], name: str) -> str:
    lines = [f"# {name}", ""]
    for table in tables:
        lines += [f"## {table.setting}", ""]
        for part in parts(table):
            lines += [*pipes(part), ""]
        lines += [*(f"{note}\n" for note in table.notes), f"**{table.conclusion}**", ""]
    return "\n".join([*lines, "---", "", *(f"{sentence}\n" for sentence in EXPLANATION)])


def latex(tables: Sequence[SettingTable], name: str) -> str:
    """For ``\\input``; needs the package booktabs. The conclusion stands in the caption of the last part."""
    lines = [f"% {name}; \\usepackage{{booktabs}}"]
    for table in tables:
        shown = parts(table)
        for index, (head, *rows) in enumerate(shown):
            ends = index == len(shown) - 1
            caption = " ".join([*table.notes, table.conclusion]) if ends else f"{table.setting}."
            lines += [
                r"\begin{table}",
                r"\centering",
                rf"\caption{{{_escaped(caption)}}}",
                rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
                r"\toprule",
                _ampersands(head),
                r"\midrule",
                *map(_ampersands, rows),
                r"\bottomrule",
                r"\end{tabular}",
                r"\end{table}",
                "",
            ]
    return "\n".join(lines)


def pipes(part: Part) -> list[str]:
    """Lines of a Markdown table."""
    head, *rows = part
    return [_row(head), _row(["---", *["---:"] * (len(head) - 1)]), *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _ampersands(cells: Sequence[str]) -> str:
    return f"{' & '.join(map(_escaped, cells))} \\\\"


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
