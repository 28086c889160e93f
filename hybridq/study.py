"""The public face of a study: many runs from one file, their tables and figures."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from hybridq.progress import announce, shown
from hybridq.studies.models.config import Cell
from hybridq.studies.models.config import Study as StudyFile
from hybridq.studies.models.config import load_study as read_study
from hybridq.typing import Progress

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from hybridq.studies.models.paired_tests import PairedTest
    from hybridq.studies.models.run import Outcome
    from hybridq.studies.models.store import Results
    from hybridq.studies.models.tables import SettingTable


class Study:
    """Models, data sets, label fractions and seeds that are compared.

    >>> study = hq.load_study("configs/studies/quick_controls.yaml")  # doctest: +SKIP
    >>> study.run()  # doctest: +SKIP
    >>> study.table()  # doctest: +SKIP
    """

    def __init__(self, file: StudyFile, cells: Sequence[Cell], root: Path, progress: Progress | None = None) -> None:
        self.file = file
        """What the file says."""
        self.cells = tuple(cells)
        """One per run that is trained."""
        self.root = root
        """Folder of the run folders."""
        self._progress = progress

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.file.name

    def run(self, *, jobs: int | None = None) -> Outcome:
        """Train and evaluate the cells that are not finished; one that fails does not stop the others.

        ``jobs`` is the number of processes; None: what the cores allow.
        """
        from hybridq.studies.models.run import pending, pending_encoders, run_study

        waiting = pending(self.file, self.cells, self.root)
        total = len(waiting) + len(pending_encoders(waiting, self.root))
        done = 0
        with shown(self._progress) as told:

            def report(cell: str, reason: str | None) -> None:
                nonlocal done
                done += 1
                if reason is not None:
                    announce(f"{cell}: failed: {reason}")
                told("cells", done, total)

            outcome = run_study(self.file, self.cells, self.root, jobs=jobs, report=report)
        self.__dict__.pop("results", None)
        return outcome

    @cached_property
    def results(self) -> Results:
        """Finished cells as tables: ``cells``, ``history``, ``predictions``."""
        from hybridq.studies.models.store import collect

        with shown(self._progress) as told:
            return collect(self.file, self.cells, self.root, progress=told)

    def tests(self) -> list[PairedTest]:
        """Return the paired tests of each model against the main one, corrected for their number."""
        from hybridq.studies.models.paired_tests import compare_models

        with shown(self._progress) as told:
            return compare_models(self.file, self.results, progress=told)

    def tables(self) -> list[SettingTable]:
        """Return a table per setting, with means over seeds, intervals, costs, tests and a conclusion."""
        from hybridq.studies.models.tables import study_tables

        return study_tables(self.file, self.results, self.tests())

    def table(self) -> pd.DataFrame:
        """Return one row per model and setting."""
        from hybridq.studies.models.tables import frame

        return frame(self.tables())

    def figures(self) -> dict[str, Figure]:
        """Return the figures by name: bars, radar, ROC, confusion matrices, learning and label-fraction curves."""
        from hybridq.studies.models.figures import study_figures

        return dict(study_figures(self.file, self.results, self.tables()))


def load_study(file: str | Path, *, runs: str | Path = "runs", progress: Progress | None = None) -> Study:
    """Read a study file; its runs lie in a folder of its name below ``runs``.

    Raises :class:`UserError` naming the key, its value and what is allowed.
    """
    study, cells = read_study(Path(file), Path(runs))
    return Study(study, cells, Path(runs) / study.name, progress)
