"""A notebook run as its reader runs it: a kernel of its own, started in the folder of the notebooks, top to bottom."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def read(path: Path) -> NotebookNode:
    """As it is on disk."""
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def parameters(notebook: NotebookNode) -> NotebookNode:
    """The cell with what a reader may change."""
    (cell,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    return cell


def run(path: Path, *, answer: str | None = None, **changes: object) -> NotebookNode:
    """The executed notebook; raises :class:`nbclient.exceptions.CellExecutionError` where a cell fails.

    ``changes`` are parameters that the reader sets; ``answer`` is typed at every question; None: nobody is there.
    """
    notebook = read(path)
    lines = ["from pathlib import Path", *(f"{name} = {value!r}" for name, value in changes.items())]
    lines = [line.replace("PosixPath(", "Path(") for line in lines]
    if answer is not None:
        lines.append(f"get_ipython().kernel.raw_input = lambda prompt='': {answer!r}")
    notebook.cells.insert(notebook.cells.index(parameters(notebook)) + 1, new_code_cell("\n".join(lines)))
    client = NotebookClient(notebook, timeout=1500, resources={"metadata": {"path": str(path.parent)}})
    return client.execute()


def shown(notebook: NotebookNode) -> str:
    """All text of the outputs."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return "\n".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs)


def pictures(notebook: NotebookNode) -> list[NotebookNode]:
    """The outputs that are pictures."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return [output for output in outputs if "image/png" in output.get("data", {})]
