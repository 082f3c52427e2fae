"""The real ports of a node: the machine's clock, entropy and threads (see chain/ports.py)."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from pybitcoind.chain.ports import PathKind
from pybitcoind.chain.storage.database import Database, FileStorage

from .worker_processes import BytesFunction, WorkerProcesses

T = TypeVar("T")


class MockableClock:
    """Wall time that can be mocked (setmocktime); what it is otherwise, a clock says in `unmocked`."""

    def __init__(self, mock_time: int = 0) -> None:
        self.mock_time = mock_time

    def time(self) -> int:
        return self.mock_time or self.unmocked()

    def unmocked(self) -> int:
        return int(time.time())

    def time_micros(self) -> int:
        return time.time_ns() // 1000

    def set_mock_time(self, when: int) -> None:
        self.mock_time = when

    @property
    def mocked(self) -> bool:
        return self.mock_time != 0


class SystemClock(MockableClock):
    """Wall time from the machine, or mocked; timers of the running event loop."""

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[Any]:
        return asyncio.timeout(seconds)

    def call_at(self, when: float, callback: Callable[[], object]) -> asyncio.TimerHandle:
        loop = asyncio.get_running_loop()
        return loop.call_at(loop.time() + max(0.0, when - time.monotonic()), callback)


class SystemRandom:
    """Seeded from the machine's entropy, or from a seed for a run that can be repeated. Never for keys."""

    def __init__(self, seed: int | None = None) -> None:
        self._random = random.Random(seed if seed is not None else int.from_bytes(os.urandom(32), "big"))

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


class ThreadWorkers:
    """A pool of threads, and of processes where there is more to compute than the interpreter's lock allows.

    libsecp256k1 and SQLite release that lock, so threads are enough for most. processes: 0 for none.
    """

    def __init__(self, threads: int, processes: int = 0) -> None:
        self._count = max(1, threads)
        self._apart = WorkerProcesses(processes) if processes else None
        # One more, as in Core, where the caller checks scripts too; but no more than there are cores for:
        # threads that wait for the interpreter's lock only slow each other down.
        size = max(self._count, min(self._count + 1, cores()))
        self._pool = ThreadPoolExecutor(size, thread_name_prefix="worker")
        self._free = ThreadPoolExecutor(self._count, thread_name_prefix="free")

    @property
    def count(self) -> int:
        return self._count

    @property
    def processes(self) -> int:
        return self._apart.count if self._apart else 0

    def run(self, fn: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._pool, fn, *args)

    def run_free(self, fn: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._free, fn, *args)

    def run_apart(self, fn: BytesFunction, data: bytes) -> asyncio.Future[bytes]:
        return (self._apart or self).run(fn, data)

    def map_now(self, fn: Callable[[Any], T], items: Sequence[Any]) -> list[T]:
        """The calling thread takes its share, so it ends even where every other thread is busy."""
        results: list[Any] = [None] * len(items)
        numbers = count()
        lock = Lock()
        failures: list[BaseException] = []

        def take() -> None:
            while not failures:
                with lock:
                    i = next(numbers)
                if i >= len(items):
                    return
                try:
                    results[i] = fn(items[i])
                except BaseException as error:
                    failures.append(error)

        helpers: list[Future[None]] = [
            self._pool.submit(take) for _ in range(min(self._count, len(items)) - 1)
        ]
        take()
        for helper in helpers:
            if not helper.cancel():
                helper.result()
        if failures:
            raise failures[0]
        return results

    def close(self) -> None:
        """Waits for what runs; what has not begun is dropped."""
        for pool in (self._free, self._pool):
            pool.shutdown(wait=True, cancel_futures=True)
        if self._apart is not None:
            self._apart.close()


class InlineWorkers:
    """Runs in place: no thread, for tests under virtual time."""

    count = 1
    processes = 0

    def run(self, fn: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        try:
            future.set_result(fn(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    run_free = run

    def run_apart(self, fn: BytesFunction, data: bytes) -> asyncio.Future[bytes]:
        return self.run(fn, data)

    def map_now(self, fn: Callable[[Any], T], items: Sequence[Any]) -> list[T]:
        return [fn(item) for item in items]

    def close(self) -> None:
        pass


class PlacedStorage:
    """Files below the network's directory, but those of blocks/ and wallets/ elsewhere if so wanted.

    blocks_root: what blocks/ is below (-blocksdir). wallets: what stands for wallets/ (-walletdir).
    """

    def __init__(self, root: Path, blocks_root: Path, wallets: Path) -> None:
        self._rest, self._blocks = FileStorage(root), FileStorage(blocks_root)
        self._wallets = FileStorage(wallets, stands_for="wallets")

    def _place(self, name: str) -> FileStorage:
        if name.startswith("wallets"):
            return self._wallets
        return self._blocks if name.startswith("blocks") else self._rest

    async def open(self, name: str, *, full_sync: bool = False) -> Database:
        return await self._place(name).open(name, full_sync=full_sync)

    def exists(self, name: str) -> bool:
        return self._place(name).exists(name)

    def what_is(self, path: str) -> PathKind:
        return self._place(path).what_is(path)

    def delete(self, name: str, *, folder: bool = False) -> None:
        self._place(name).delete(name, folder=folder)

    def move(self, name: str, new_name: str) -> None:
        self._place(name).move(name, new_name)

    def names(self, folder: str) -> list[str]:
        return self._place(folder).names(folder)

    def folders(self, folder: str, name: str) -> list[str]:
        return self._place(folder).folders(folder, name)

    def size(self, name: str) -> int:
        return self._place(name).size(name)

    def free_space(self, folder: str) -> int:
        return self._place(folder).free_space(folder)


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_threads(par: int) -> int:
    """-par as a number of threads: 0 is one per core, a negative one leaves that many cores free."""
    return max(1, min(par if par > 0 else par + cores(), 15))


def daemon_workers(par: int) -> ThreadWorkers:
    """-par as workers of a node that has the process, and the machine, for itself."""
    threads = worker_threads(par)
    return ThreadWorkers(threads, threads if threads > 1 else 0)


def look_up(host: str, names: bool) -> str | None:
    """The first numeric address of host, which may be one; None if there is none. Blocks: for the start only.

    names: host may also be the name of one, which the system knows.
    """
    flags = (socket.AI_ADDRCONFIG, 0) if names else (socket.AI_NUMERICHOST,)
    for flag in flags:  # where only loopback has IPv6, the first leaves out what is numeric too
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=flag) if host else []
        except (OSError, ValueError):
            continue
        if found:
            return str(found[0][4][0])
    return None
