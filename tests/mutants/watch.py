"""What pytest does differently here: it watches which lines of a module each test runs, or runs chosen tests alone."""

from __future__ import annotations

import json
import math
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from types import FrameType
from typing import Any

import pytest


class SharedRun:
    """Gives tests a copy of a run that was trained before, in place of training it again."""

    def __init__(self, run: Path) -> None:
        self._run = run

    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Path | None:
        if fixturedef.argname != "tiny_run":
            return None
        folder: Path = request.getfixturevalue("tmp_path_factory").mktemp("runs") / self._run.name
        shutil.copytree(self._run, folder)
        fixturedef.cached_result = (folder, fixturedef.cache_key(request), None)
        return folder


class Chosen:
    """Runs these tests alone, in this order."""

    def __init__(self, tests: Sequence[str]) -> None:
        self._place = {test: index for index, test in enumerate(tests)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted((i for i in items if i.nodeid in self._place), key=lambda item: self._place[item.nodeid])


class Survey:
    """Watches one file. Lines of a fixture that tests share count for each of them."""

    def __init__(self, file: str, told: Path) -> None:
        self.tests: dict[str, list[int]] = {}
        """Lines by test."""
        self.seconds: dict[str, float] = {}
        """Of a processor, by test."""
        self._file, self._told = file, told
        self._lines: set[int] = set()
        self._at_import: set[int] = set()
        self._shared: dict[str, set[int]] = {}

    def tests_of(self, lines: range, patience: float = math.inf) -> list[str]:
        """Return the tests that run one of the lines, the quickest first, as many as take ``patience`` seconds."""
        found = [test for test, ran in self.tests.items() if not set(lines).isdisjoint(ran)]
        found.sort(key=lambda test: self.seconds[test])
        ends = accumulate(self.seconds[test] for test in found)
        return [
            test for number, (test, end) in enumerate(zip(found, ends, strict=True)) if not number or end < patience
        ]

    def remark(self, lines: range) -> str:
        """Return what is to be said of the lines: that no test runs them."""
        return "" if self.tests_of(lines) else " (not run)"

    def pytest_sessionstart(self) -> None:
        threading.settrace(self._trace)
        sys.settrace(self._trace)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        self._at_import, self._lines = self._lines, set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._lines, start = set(), time.process_time()
        sys.settrace(self._trace)
        yield
        self.seconds[item.nodeid] = time.process_time() - start
        shared = [lines for name, lines in self._shared.items() if name in item.fixturenames]  # type: ignore[attr-defined]
        self.tests[item.nodeid] = sorted(self._lines.union(self._at_import, *shared))

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Iterator[Any]:
        ran, self._lines = self._lines, set()
        made = yield
        if fixturedef.scope != "function":
            self._shared.setdefault(fixturedef.argname, set()).update(self._lines)
        self._lines |= ran
        return made

    def pytest_sessionfinish(self) -> None:
        sys.settrace(None)
        self._told.write_text(json.dumps([self.tests, self.seconds]), encoding="utf-8")

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        return self._trace_line if frame.f_code.co_filename == self._file else None

    def _trace_line(self, frame: FrameType, event: str, argument: Any) -> Any:
        self._lines.add(frame.f_lineno)
        return self._trace_line
