"""Runs evaluations that are kept in a folder, in forked processes that can be told where to kill themselves.

One JSON line in, ``{"folder", "ledger", "kill", "points"}``, one line out, the exit status (−9 after SIGKILL). ``kill``
is a point and how often it has to be reached; with ``points`` the child counts the points it reaches into that file.
The first evaluation is run in the parent, so that the children need not import again what it has.
A point is a line of ``backends/ibm`` or of the standard library's HTTP client under a call of it, seen by
``sys.settrace``; nothing is patched. Loads no torch.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from backends.ibm.client import Service
from backends.ibm.execution import execute
from backends.ibm.ledger import Ledger
from backends.ibm.task import Submission

OURS = f"{os.sep}backends{os.sep}ibm{os.sep}"
HTTP = f"{os.sep}http{os.sep}client.py"
HTTP_FUNCTIONS = {"request", "putrequest", "endheaders", "_send_output", "send", "getresponse", "begin"}


class Points:
    """Counts the points that this process reaches, and kills it at one of them."""

    def __init__(self, kill: tuple[str, int] | None) -> None:
        self.kill = kill
        self.seen: Counter[str] = Counter()

    def watch(self) -> None:
        """Begin, in this thread and those started from now on."""
        threading.settrace(self._call)
        sys.settrace(self._call)

    def _call(self, frame: FrameType, event: str, arg: Any) -> Any:
        code = frame.f_code
        if OURS in code.co_filename:
            return self._line
        if code.co_filename.endswith(HTTP) and code.co_name in HTTP_FUNCTIONS:
            return self._line
        return None

    def _line(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line":
            point = self._name(frame)
            self.seen[point] += 1
            if self.kill is not None and point == self.kill[0] and self.seen[point] == self.kill[1]:
                os.kill(os.getpid(), signal.SIGKILL)
        return self._line

    @staticmethod
    def _name(frame: FrameType) -> str:
        code = frame.f_code
        where = f"{code.co_qualname}:{frame.f_lineno}"
        if not code.co_filename.endswith(HTTP):
            return f"{Path(code.co_filename).stem}:{where}"
        above = frame.f_back
        # The adapter sends every request: it is what asked for it that counts.
        while above is not None and (
            OURS not in above.f_code.co_filename or "transport.py" in above.f_code.co_filename
        ):
            above = above.f_back
        return f"http:{where} under {above.f_code.co_qualname if above is not None else '?'}"


def run(order: dict[str, Any]) -> None:
    """Bring the evaluation in a folder to its end and save its values."""
    points = Points(tuple(order["kill"]) if order.get("kill") else None)  # type: ignore[arg-type]
    if order.get("kill") or order.get("points"):
        points.watch()
    folder = Path(order["folder"])
    ledger = Ledger(Path(order["ledger"]))
    result = execute(Submission.load(folder), service=Service(), ledger=ledger)
    sys.settrace(None)
    threading.settrace(None)  # type: ignore[arg-type]
    np.savez(folder / "values.npz.done", evs=result.evs, stds=result.stds)  # type: ignore[union-attr]
    if order.get("points"):
        Path(order["points"]).write_text(json.dumps(points.seen))
    ledger.close()


def main() -> None:
    """Answer orders until standard input ends."""
    run(json.loads(sys.stdin.readline()))
    print(0, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        assert "torch" not in sys.modules
        child = os.fork()
        if child == 0:
            log = os.open(f"{order['folder']}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            run(order)
            sys.stdout.flush()
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
