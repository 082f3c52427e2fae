"""Ports for tests: real time and threads, or none of both; storage in memory unless a folder is given."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pybitcoind.chain.ports import Endpoint, Listener, OnConnect, Ports, Stream
from pybitcoind.chain.storage.database import FileStorage, MemoryStorage

T = TypeVar("T")


class TestClock:
    """Real monotonic time; wall time that a test sets (0: the machine's)."""

    __test__ = False

    def __init__(self, now: int = 0) -> None:
        self.mock_time = now

    def time(self) -> int:
        return self.mock_time or int(time.time())

    def time_micros(self) -> int:
        return time.time_ns() // 1000

    def set_mock_time(self, when: int) -> None:
        self.mock_time = when

    @property
    def mocked(self) -> bool:
        return self.mock_time != 0

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[Any]:
        return asyncio.timeout(seconds)

    def call_at(self, when: float, callback: Callable[[], object]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_at(when, callback)


class TestRandom:
    """Seeded: every run is the same."""

    __test__ = False

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)

    def bytes(self, n: int) -> bytes:
        return self._random.randbytes(n)

    def below(self, n: int) -> int:
        return self._random.randrange(n)

    def u64(self) -> int:
        return self._random.getrandbits(64)

    def uniform(self) -> float:
        return self._random.random()

    def shuffled(self, items: Sequence[T]) -> list[T]:
        result = list(items)
        self._random.shuffle(result)
        return result

    def choice(self, items: Sequence[T]) -> T:
        return self._random.choice(items)


class NoNetwork:
    async def dial(self, endpoint: Endpoint) -> Stream:
        raise OSError("no network")

    async def listen(self, endpoint: Endpoint, on_connect: OnConnect) -> Listener:
        raise OSError("no network")


class InlineWorkers:
    count = 1

    async def run(self, fn: Callable[..., T], *args: Any) -> T:
        return fn(*args)

    def map_now(self, fn: Callable[[Any], T], items: Sequence[Any]) -> list[T]:
        return [fn(item) for item in items]


class ThreadWorkers:
    def __init__(self, pool: ThreadPoolExecutor, count: int) -> None:
        self._pool, self.count = pool, count

    async def run(self, fn: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, fn, *args)

    def map_now(self, fn: Callable[[Any], T], items: Sequence[Any]) -> list[T]:
        return list(self._pool.map(fn, items))


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
    with ThreadPoolExecutor(count) as pool:
        yield ThreadWorkers(pool, count)
