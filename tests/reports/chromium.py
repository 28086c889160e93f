"""A headless Chromium over its own debugging pipe: what a page logs, asks for, shows and prints.

The protocol is https://chromedevtools.github.io/devtools-protocol; messages are JSON, a zero byte after each.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 60.0
"""Seconds for any answer."""


def find_chromium() -> str | None:
    """The browser's path; None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Chromium:
    """One page in one browser. Use as a context manager; ``profile`` is a folder that may be filled."""

    def __init__(self, path: str, profile: Path) -> None:
        self._path, self._profile = path, profile
        self._sent = 0
        self._unread = b""
        self.events: list[dict[str, Any]] = []
        """Of the page, in order."""

    def __enter__(self) -> Self:
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        plain = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
        quiet = ("--disable-background-networking", "--disable-component-update")
        where = ("--remote-debugging-pipe", f"--user-data-dir={self._profile}", "about:blank")
        # Chromium takes commands from file 3 and answers into file 4.
        connected = f'exec "$0" "$@" 3<&{to_read} 4>&{to_write}'
        self._process = subprocess.Popen(
            ["bash", "-c", connected, self._path, *plain, *quiet, *where],
            pass_fds=(to_read, to_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(to_write)
        target = self._call("Target.createTarget", {"url": "about:blank"})["targetId"]
        self._session = self._call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._write)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._read)

    def open(self, page: Path, width: int, *, dark: bool = False, paper: bool = False) -> None:
        """Load a file ``width`` CSS pixels wide; what was seen of another page is forgotten."""
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", {"media": "print" if paper else "", "features": [scheme]})
        self.events.clear()
        self.call("Page.navigate", {"url": page.as_uri()})
        end = time.monotonic() + PATIENCE
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self._receive(end)

    def logged(self) -> list[dict[str, Any]]:
        """Console messages, warnings and errors."""
        kinds = {"Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"}
        return [event["params"] for event in self.events if event["method"] in kinds]

    def requested(self) -> list[str]:
        """Addresses that were asked for; the data within the page are none."""
        asked = [event["params"] for event in self.events if event["method"] == "Network.requestWillBeSent"]
        return [url for event in asked if not (url := str(event["request"]["url"])).startswith("data:")]

    def evaluate(self, script: str) -> Any:
        """The value of an expression of JavaScript, which may be a promise."""
        answer = self.call(
            "Runtime.evaluate", {"expression": script, "returnByValue": True, "awaitPromise": True, "silent": True}
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def screenshot(self) -> bytes:
        """The whole page as PNG."""
        answer = self.call("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": True})
        return base64.b64decode(answer["data"])

    def pdf(self) -> bytes:
        """The page as it is printed on A4."""
        answer = self.call("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69, "printBackground": False})
        return base64.b64decode(answer["data"])

    def call(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """A command to the page, and its result."""
        return self._call(method, params or {}, self._session)

    def _call(self, method: str, params: dict[str, Any], session: str | None = None) -> dict[str, Any]:
        self._sent += 1
        number = self._sent
        message = {"id": number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        end = time.monotonic() + PATIENCE
        while True:
            answer = self._receive(end)
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer.get('error')}"
                return dict(answer["result"])

    def _receive(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._read], [], [], max(0.0, end - time.monotonic()))
            piece = os.read(self._read, 1 << 20) if ready else b""
            assert piece, "Chromium does not answer"
            self._unread += piece
        line, self._unread = self._unread.split(b"\0", 1)
        message: dict[str, Any] = json.loads(line)
        if "method" in message and "sessionId" in message:
            self.events.append(message)
        return message
