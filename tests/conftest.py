"""What all tests share: the outside data, and the watch over tasks and threads left behind."""

from __future__ import annotations

import asyncio
import asyncio.constants
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from node_process import Daemon

ROOT = Path(__file__).resolve().parent.parent

Daemon.warm = sys.platform == "linux"

asyncio.constants.DEBUG_STACK_DEPTH = 2
"""Lines that asyncio's debug mode (`-X dev`) notes of where each future, task and callback was made. Its ten
took a fourth of the time of networks in one process; who looks for where one was made, sets them again."""


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with vectors/ and data/; the test is skipped where there is none."""
    path = Path(os.environ.get("PYBITCOIND_TEST_DATA", ROOT.parent / "shared"))
    if not (path / "vectors").is_dir():
        pytest.skip(f"no outside test data at {path}; PYBITCOIND_TEST_DATA names it")
    return path


@pytest.fixture
def ran(record_property: Callable[[str, object], None]) -> Callable[[str, object], None]:
    """Called with the name of a file of vectors and how many of them ran: the end of the run shows it."""
    return lambda name, count: record_property("vectors", f"{name}: {count}")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    rows = [
        value
        for report in terminalreporter.getreports("passed")
        for key, value in report.user_properties
        if key == "vectors"
    ]
    if rows:
        terminalreporter.section("vectors")
        for row in sorted(rows):
            terminalreporter.line(row)


@pytest.fixture(scope="session")
def bitcoind() -> Path:
    """Bitcoin Core's daemon, named by BITCOIND; the test is skipped without it."""
    name = os.environ.get("BITCOIND")
    if not name:
        pytest.skip("BITCOIND does not name Bitcoin Core's daemon")
    return Path(name)


@pytest.fixture
def cold_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Daemons are started as people start them, imports and all, and are not forked from a warm process."""
    monkeypatch.setattr("node_process.Daemon.warm", False)


@pytest.fixture(autouse=True)
def no_threads_left() -> Iterator[None]:
    """A test that leaves a thread behind fails."""
    before = set(threading.enumerate())
    yield
    left = [t for t in threading.enumerate() if t not in before and not t.daemon and t.is_alive()]
    for thread in left:
        thread.join(timeout=1)
    left = [t for t in left if t.is_alive()]
    assert not left, f"threads left behind: {left}"


@pytest.fixture(autouse=True)
async def no_tasks_left() -> AsyncIterator[None]:
    """A test that leaves a task behind fails."""
    yield
    await asyncio.sleep(0)
    left = [t for t in asyncio.all_tasks() if t is not asyncio.current_task() and not t.done()]
    assert not left, f"tasks left behind: {left}"
