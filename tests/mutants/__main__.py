"""``python tests/mutants [MODULE …]``: gives modules small faults, one at a time, and counts those that tests notice.

Works in a copy of the project. One process imports torch, Qiskit and what else takes seconds, and a fork of it tests
each fault. First every module's tests run once without a fault, watched: a fault is shown to those tests alone that run
its line, the quickest first.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.pop(0)  # this folder: the tests have modules of their own with such names
sys.path.insert(0, str(Path(__file__).parents[1]))

from mutants.faults import Fault, faults, replaced
from mutants.modules import EQUIVALENT, MODULES, NAMED, TRAINING
from mutants.watch import Chosen, SharedRun, Survey

ENOUGH = 0.9
"""Share of the faults that has to be noticed."""
PATIENCE = 40.0
"""Seconds of a processor, without a fault, of the tests that a fault is shown to."""
ROOT = Path(__file__).parents[2]
LIBRARIES = (
    "captum.attr",
    "hypothesis",
    "lightning",
    "matplotlib.pyplot",
    "pandas",
    "pytest",
    "qiskit_aer",
    "qiskit_ibm_runtime",
    "qiskit_machine_learning",
    "sklearn.metrics",
    "statsmodels.stats.multitest",
    "statsmodels.stats.proportion",
    "torch",
    "torchvision",
)


def main() -> int:
    """Parse the command line, test every fault, print the table."""
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__)
    parser.add_argument("modules", nargs="*", default=list(MODULES), help="files such as hybridq/data/splits.py")
    parser.add_argument("--number", type=int, default=8, help="faults of each module, beside the named ones")
    parser.add_argument("--seed", default="0", help="of the draw")
    asked = parser.parse_args()
    import_libraries()
    with tempfile.TemporaryDirectory(prefix="hybridq-mutants-") as name:
        workshop = Workshop(Path(name))
        table = [examined(workshop, module, asked.number, asked.seed) for module in asked.modules]
    noticed, number = (sum(row[column] for row in table) for column in (1, 2))
    print(f"{'module':44} noticed   of")
    for module, row in zip(asked.modules, table, strict=True):
        print(f"{module:44} {row[1]:7} {row[2]:4}")
    print(f"{'all':44} {noticed:7} {number:4}")
    return 0 if noticed >= ENOUGH * number else 1


def examined(workshop: Workshop, module: str, number: int, seed: str) -> tuple[str, int, int]:
    """Test the faults of a module and print those that stay unnoticed."""
    start = time.monotonic()
    source = (ROOT / module).read_text(encoding="utf-8")
    drawn = [replaced(source, *named) for named in NAMED.get(module, ())]
    drawn += faults(source, number, f"{seed} {module}")
    drawn = [fault for fault in drawn if str(fault) not in EQUIVALENT.get(module, {})]
    try:
        survey = workshop.survey(module)
    except RuntimeError as error:
        print(error, flush=True)
        return module, 0, len(drawn)
    missed = [fault for fault in drawn if not workshop.notices(module, fault, survey)]
    seconds = time.monotonic() - start
    print(f"{module}: {len(drawn) - len(missed)} of {len(drawn)} ({seconds:.0f} s)", flush=True)
    for fault in missed:
        print(f"    line {fault.lines.start}{survey.remark(fault.lines)}: {fault}", flush=True)
    return module, len(drawn) - len(missed), len(drawn)


class Workshop:
    """A copy of the project in which modules are given faults."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.tree = folder, folder / "tree"
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        for name in subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0"):
            if name and (ROOT / name).is_file():
                (self.tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.tree / name)
        self._trained: Path | None = None

    def survey(self, module: str) -> Survey:
        """Return what the module's tests run of it; RuntimeError where one fails without a fault."""
        told = self.folder / "survey.json"
        survey = Survey(str(self.tree / module), told)
        if code := self._pytest(MODULES[module], [survey, *self._shared(module)], seconds=1800):
            raise RuntimeError(f"{module}: its tests end with {code} without a fault")
        survey.tests, survey.seconds = json.loads(told.read_text(encoding="utf-8"))
        return survey

    def notices(self, module: str, fault: Fault, survey: Survey) -> bool:
        """Return whether a test fails, or takes far longer, when the module has this fault."""
        tests = survey.tests_of(fault.lines, PATIENCE)
        if not tests:
            return False
        file = self.tree / module
        whole = file.read_bytes()
        for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*"):
            compiled.unlink()
        file.write_text(fault.source, encoding="utf-8")
        try:
            files = sorted({test.partition("::")[0] for test in tests})
            usual = sum(survey.seconds[test] for test in tests)
            return self._pytest(files, [Chosen(tests), *self._shared(module)], seconds=60 + 4 * usual) != 0
        finally:
            file.write_bytes(whole)

    def _shared(self, module: str) -> list[SharedRun]:
        """The finished run that tests share, trained once; none where the module has a part in training it."""
        if module.startswith(TRAINING):
            return []
        if self._trained is None:
            place = self.folder / "trained"
            if self._forked(lambda: _train(place), seconds=600):
                raise RuntimeError("the run that tests share could not be trained")
            (self._trained,) = place.iterdir()
        return [SharedRun(self._trained)]

    def _pytest(self, files: Sequence[str], plugins: Sequence[object], seconds: float) -> int:
        """The exit status of pytest in a fork of this process; below 0 where it took longer."""

        def run() -> int:
            import pytest
            from hypothesis import Phase, settings

            settings.register_profile("mutants", phases=[Phase.explicit, Phase.generate], derandomize=True)
            settings.load_profile("mutants")
            options = ["-x", "-q", "-p", "no:cacheprovider", f"--basetemp={self.folder / 'pytest'}"]
            return int(pytest.main([*options, *files], plugins=plugins))

        return self._forked(run, seconds)

    def _forked(self, run: Callable[[], int], seconds: float) -> int:
        """Run in a fork, for so many seconds of a processor; those of a clock may be ten times as many."""
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            status = 70
            try:
                os.setsid()
                resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds), math.ceil(seconds)))
                self._settle()
                status = run()
            finally:
                os._exit(status)
        deadline = time.monotonic() + 10 * seconds
        while (ended := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < deadline:
            time.sleep(0.02)
        with_children_gone(child)
        status = ended[1] if ended[0] else os.waitpid(child, 0)[1]
        shutil.rmtree(self.folder / "temporary", ignore_errors=True)
        return os.waitstatus_to_exitcode(status)

    def _settle(self) -> None:
        """Make the copy this process's project, and what it prints the workshop's."""
        os.chdir(self.tree)
        sys.path[:] = [str(self.tree), *(path for path in sys.path if Path(path or ".").resolve() != ROOT)]
        (self.folder / "temporary").mkdir(exist_ok=True)
        os.environ |= {"PYTHONPATH": str(self.tree), "TMPDIR": str(self.folder / "temporary")}
        tempfile.tempdir = None
        sys.argv = ["pytest"]
        resource.setrlimit(resource.RLIMIT_DATA, (8 << 30, 8 << 30))
        written = os.open(self.folder / "printed", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(written, 1)
        os.dup2(written, 2)


def with_children_gone(child: int) -> None:
    """End a fork and the processes that it started, which are of its own session."""
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        return


def import_libraries() -> None:
    """Import what takes seconds, and nothing of this project."""
    for name in LIBRARIES:
        importlib.import_module(name)


def _train(place: Path) -> int:
    sys.path.insert(0, "tests")
    from tiny import TINY, quietly

    from hybridq.config import parse_experiment
    from hybridq.training.train import train

    train(parse_experiment(TINY), place, announce=quietly, progress=quietly)
    return 0


if __name__ == "__main__":
    sys.exit(main())
