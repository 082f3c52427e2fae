"""The real clock, random source, threads and directory lock."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pybitcoind.node.config import ConfigError
from pybitcoind.node.lock import DirectoryLock
from pybitcoind.node.ports import InlineWorkers, SystemClock, SystemRandom, ThreadWorkers, worker_threads


async def test_clock() -> None:
    clock = SystemClock()
    assert abs(clock.time() - time.time()) < 2 and not clock.mocked
    clock.set_mock_time(1000)
    assert clock.time() == 1000 and clock.mocked and clock.time_micros() > 10**15
    fired = asyncio.Event()
    timer = clock.call_at(clock.monotonic() + 0.01, fired.set)
    async with clock.timeout(5):
        await fired.wait()
    timer.cancel()
    with pytest.raises(TimeoutError):
        async with clock.timeout(0.01):
            await clock.sleep(5)


def test_a_seed_repeats_a_run() -> None:
    def numbers(random: SystemRandom) -> list[object]:
        return [
            random.bytes(4),
            random.below(100),
            random.u64(),
            random.uniform(),
            random.shuffled([1, 2, 3]),
            random.choice([4, 5]),
        ]

    assert numbers(SystemRandom(7)) == numbers(SystemRandom(7)) != numbers(SystemRandom())


async def test_workers_run_at_once_and_keep_order() -> None:
    workers = ThreadWorkers(3)
    try:
        barrier = threading.Barrier(3, timeout=5)

        def meet(i: int) -> int:
            barrier.wait()
            return i * i

        assert workers.count == 3
        assert await workers.run(workers.map_now, meet, [1, 2, 3]) == [1, 4, 9]
        # Callers on every thread of the pool still get done.
        jobs = [workers.run(workers.map_now, abs, list(range(-50, 0))) for _ in range(20)]
        assert await asyncio.gather(*jobs) == [list(range(50, 0, -1))] * 20
        assert workers.map_now(abs, []) == []

        def fail(i: int) -> int:
            raise ValueError(i)

        with pytest.raises(ValueError):
            await workers.run(workers.map_now, fail, [1, 2, 3])
    finally:
        workers.close()


async def test_inline_workers() -> None:
    workers = InlineWorkers()
    assert await workers.run(max, 1, 2) == 2 and workers.map_now(abs, [-1]) == [1]


def test_number_of_threads() -> None:
    cores = worker_threads(0)
    assert cores >= 1 and worker_threads(3) == 3 and worker_threads(-99) == 1 and worker_threads(99) == 15


def test_one_process_per_directory(tmp_path: Path) -> None:
    """The lock is the process's, so a second process tries it."""
    attempt = (
        "import sys, pathlib\n"
        "from pybitcoind.node.lock import DirectoryLock\n"
        "from pybitcoind.node.config import ConfigError\n"
        "try: DirectoryLock(pathlib.Path(sys.argv[1])); print('free')\n"
        "except ConfigError as error: print(error)"
    )

    def tried() -> str:
        done = subprocess.run([sys.executable, "-c", attempt, str(tmp_path)], capture_output=True, text=True)
        assert done.stderr == ""
        return done.stdout.strip()

    with DirectoryLock(tmp_path):
        assert tried() == (
            f"Cannot obtain a lock on directory {tmp_path}. Bitcoin Core is probably already running."
        )
    assert tried() == "free"
    with pytest.raises(ConfigError, match="Cannot write to directory"):
        DirectoryLock(tmp_path / "none")
