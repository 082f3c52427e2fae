"""Ports for tests: the node's own clock and workers; storage in memory unless a folder is given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pybitcoind.chain.ports import Endpoint, Listener, OnConnect, Ports, Stream
from pybitcoind.chain.storage.database import FileStorage, MemoryStorage
from pybitcoind.node.ports import InlineWorkers, SystemClock, SystemRandom, ThreadWorkers


class TestClock(SystemClock):
    """Wall time that a test sets (0: the machine's)."""

    __test__ = False


class TestRandom(SystemRandom):
    """Seeded: every run is the same."""

    __test__ = False

    def __init__(self, seed: int = 1) -> None:
        super().__init__(seed)


class NoNetwork:
    async def dial(self, endpoint: Endpoint) -> Stream:
        raise OSError("no network")

    async def listen(self, endpoint: Endpoint, on_connect: OnConnect) -> Listener:
        raise OSError("no network")


class ListLog:
    """Keeps what is logged; all categories are on."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def enabled(self, category: str) -> bool:
        return True

    def debug(self, category: str, message: str) -> None:
        self.lines.append(f"[{category}] {message}")

    def info(self, message: str) -> None:
        self.lines.append(message)

    def warning(self, message: str) -> None:
        self.lines.append(f"[warning] {message}")

    def error(self, message: str) -> None:
        self.lines.append(f"[error] {message}")

    def find(self, text: str) -> list[str]:
        return [line for line in self.lines if text in line]


def make_ports(
    folder: Path | None = None,
    *,
    now: int = 0,
    storage: MemoryStorage | FileStorage | None = None,
    workers: ThreadWorkers | None = None,
) -> Ports:
    """Inline workers and memory, unless workers or folder say otherwise. now: mocked wall time."""
    if storage is None:
        storage = MemoryStorage() if folder is None else FileStorage(folder)
    return Ports(
        clock=TestClock(now),
        random=TestRandom(),
        network=NoNetwork(),
        workers=workers or InlineWorkers(),
        storage=storage,
        log=ListLog(),
    )


@contextmanager
def thread_workers(count: int = 2) -> Iterator[ThreadWorkers]:
    workers = ThreadWorkers(count)
    try:
        yield workers
    finally:
        workers.close()
