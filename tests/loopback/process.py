"""The service as a process of its own, to be killed and started again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any, Literal

from loopback.http import CONTROL
from loopback.server import client_environment


class LoopbackProcess:
    """``python -m loopback`` on a folder; use as a context manager.

    Options are those of :class:`loopback.server.Loopback`. After :meth:`kill`, :meth:`start` brings it back at the same
    address with the same jobs; faults and the log of requests are gone.
    """

    def __init__(self, *devices: str, key: str, folder: Path, **options: Any) -> None:
        self.key, self.folder = key, folder
        self._arguments = [f"--device={device}" for device in devices]
        self._arguments += [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def start(self) -> None:
        """Start it and wait until it answers. Raises ``RuntimeError`` when it does not."""
        port = self.url.rpartition(":")[2] or "0"
        place = [f"--state={self.folder}", f"--key={self.key}", f"--port={port}"]
        paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "loopback", *place, *self._arguments],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)},
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            raise RuntimeError(f"the loopback server ended with code {self._process.wait()}")

    def kill(self) -> None:
        """SIGKILL it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def __enter__(self) -> LoopbackProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def environment(self, route: Literal["proxy", "direct"] = "proxy") -> dict[str, str]:
        """Environment variables with which the client finds it."""
        return client_environment(self.url, self.key, route)

    def control(self, method: str, what: str, body: object = None) -> Any:
        """Ask for ``log``, or change ``faults`` or ``settings``; the JSON that it answers."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{CONTROL}/{what}", data=data, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30) as answer:
            return json.load(answer)

    def add_fault(self, where: str, kind: str, **options: Any) -> None:
        """Put a fault in force; see :class:`loopback.faults.Fault`."""
        self.control("POST", "faults", {"where": where, "kind": kind, **options})

    def log(self) -> dict[str, Any]:
        """Requests, jobs, how often each tag's jobs were executed, charged seconds."""
        return self.control("GET", "log")  # type: ignore[no-any-return]
