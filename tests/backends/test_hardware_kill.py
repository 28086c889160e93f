"""A process killed at any moment loses nothing and pays nothing twice: SIGKILL at seeded points, then start again."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hardware import KEY, small_task
from loopback import EXECUTION_SECONDS, JOB_SECONDS, LoopbackProcess

ROWS, SHOTS = 2, 64
SHARE = {
    "execution": 12,
    "keep": 4,
    "reconcile": 4,
    "sender": 4,
    "ledger": 10,
    "client": 12,
    "task": 8,
    "results": 2,
    "http": 14,
}
"""Points killed at, by module; ``http`` is the standard library's client while it submits a job."""


class Children:
    """The children of ``kill_child.py``, and the service they use; evaluations are named by their key."""

    def __init__(self, tmp: Path, server: LoopbackProcess, chunks: int) -> None:
        self.tmp, self.server, self.chunks = tmp, server, chunks
        self.ledger = tmp / "ledger.sqlite"
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("kill_child.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                **server.environment(),
                "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), str(Path(__file__).parent)]),
                "HYBRIDQ_WAITS": "poll=0.02,backoff=0.05,cap=0.2,grace=0.8",
            },
        )

    def close(self) -> None:
        """End."""
        self._process.communicate()

    def folder(self, key: str) -> Path:
        """Where an evaluation is kept."""
        folder = self.tmp / key
        if not folder.is_dir():
            small_task(folder, chunks=self.chunks, rows=ROWS, reference=True, key=key, device="manila").save()
        return folder

    def run(self, key: str, kill: tuple[str, int] | None = None, points: Path | None = None) -> int:
        """Start, or start again; the exit status."""
        order = {
            "folder": str(self.folder(key)),
            "ledger": str(self.ledger),
            "kill": kill,
            "points": None if points is None else str(points),
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def forget(self) -> None:
        """Delete the ledger, as on another machine."""
        for path in self.tmp.glob("ledger.sqlite*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def run_to_the_end(self, key: str) -> None:
        """Start again until it is done."""
        assert self.run(key) == 0, Path(f"{self.tmp / key}.log").read_text()[-2000:]

    def values(self, key: str) -> np.ndarray:
        """What an evaluation gave, values above errors."""
        with np.load(self.tmp / key / "values.npz.done.npz") as file:
            return np.stack([file["evs"], file["stds"]])

    def jobs(self, key: str) -> list[dict[str, Any]]:
        """The service's jobs of an evaluation."""
        return [job for job in self.server.log()["jobs"] if any(key in tag for tag in job["tags"])]

    def check(self, key: str, undisturbed: np.ndarray, *, ledger_missing: bool = False) -> None:
        """The same values, every chunk executed once, nothing charged twice, and no batch left open with jobs.

        Without its ledger the batch may stay open whose results were all on disk; the service closes it by itself.
        """
        np.testing.assert_array_equal(self.values(key), undisturbed)
        jobs, batches = self.jobs(key), self.server.log()["batches"]
        executed = [job for job in jobs if job["executed"]]
        assert len({job["tags"][1] for job in executed}) == self.chunks
        assert [job["executed"] for job in executed] == [1] * self.chunks
        price = self.chunks * (JOB_SECONDS + ROWS * SHOTS * EXECUTION_SECONDS)
        assert sum(job["charged_seconds"] for job in jobs) == pytest.approx(price)
        used = {job["session_id"] for job in jobs}
        assert ledger_missing or not [b for b in batches if b["id"] in used and b["accepting_jobs"]]

    def undisturbed(self) -> np.ndarray:
        """What an evaluation gives that nobody disturbs."""
        self.run_to_the_end("undisturbed")
        values = self.values("undisturbed")
        self.check("undisturbed", values)
        return values

    def points(self) -> dict[str, int]:
        """How often an evaluation reaches each point."""
        assert self.run("profile", points=self.tmp / "points.json") == 0
        return dict(json.loads((self.tmp / "points.json").read_text()))


@contextlib.contextmanager
def started(tmp: Path, chunks: int) -> Iterator[Children]:
    """Children and their service; at the end, nothing they wrote may show the key."""
    options: dict[str, Any] = {"execution": "counterfeit", "quota_seconds": 1e9}
    with LoopbackProcess("manila", key=KEY, folder=tmp / "server", **options) as server:
        children = Children(tmp / "client", server, chunks)
        (tmp / "client").mkdir()
        yield children
        children.close()
    assert all(KEY.encode() not in path.read_bytes() for path in (tmp / "client").rglob("*") if path.is_file())


def choose_points(counted: dict[str, int], chunks: int, seed: int) -> list[tuple[str, int]]:
    """So many points of each module, any line as likely as another, and any time it is reached."""
    rng = random.Random(seed)
    chosen = []
    for module, share in SHARE.items():
        names = sorted(name for name in counted if name.startswith(f"{module}:"))
        if module == "http":  # of the three requests of a submission the last one, which is the job
            names = [name for name in names if "submit" in name and counted[name] == 3 * chunks]
            chosen += [(name, 3 * rng.randint(1, chunks)) for name in rng.choices(names, k=share)]
        else:
            chosen += [(name, rng.randint(1, counted[name])) for name in rng.choices(names, k=share)]
    return chosen


def test_killed_while_a_job_is_submitted_or_its_result_is_kept_it_goes_on(tmp_path: Path) -> None:
    with started(tmp_path, chunks=3) as children:
        undisturbed = children.undisturbed()
        counted = children.points()
        answer = next(n for n in counted if n.startswith("http:HTTPConnection.getresponse") and "submit" in n)
        keep = [name for name in counted if name.startswith("task:write_whole")]
        for number, point in enumerate([(answer, 6), (keep[len(keep) // 2], 3)]):
            key = f"kill{number:012d}"
            assert children.run(key, kill=point) == -9
            if number == 0:
                children.forget()
            children.run_to_the_end(key)
            children.check(key, undisturbed, ledger_missing=number == 0)


@pytest.mark.slow
@pytest.mark.parametrize("ledger", ["kept", "missing"])
def test_killed_anywhere_it_ends_with_the_same_values_and_every_chunk_executed_once(
    tmp_path: Path, ledger: str
) -> None:
    """Eight chunks, the last one the repeated first; every third time killed again on the way.

    With the ledger missing it is deleted after every kill.
    """
    killed = 0
    with started(tmp_path, chunks=8) as children:
        undisturbed = children.undisturbed()
        for number, point in enumerate(choose_points(children.points(), 8, seed=7)):
            key = f"kill{number:012d}"
            killed += children.run(key, kill=point) == -9
            if ledger == "missing":
                children.forget()
            if number % 3 == 0:
                killed += children.run(key, kill=(point[0], 1)) == -9
                if ledger == "missing":
                    children.forget()
            children.run_to_the_end(key)
            children.check(key, undisturbed, ledger_missing=ledger == "missing")
    print(f"ledger {ledger}: {killed} kills")
    assert killed >= 50
