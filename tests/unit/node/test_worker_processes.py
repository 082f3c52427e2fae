"""Worker processes: real ones, killed and failing too."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybitcoind.node.worker_processes import WorkerProcesses
from tests.called_apart import fails, never_ends, pids, takes_it_along

needs_pidfd = pytest.mark.skipif(
    not hasattr(os, "pidfd_open"), reason="waits for the end of processes by pidfd: Linux"
)


def ended(handle: int) -> bool:
    """Waits for the end of the process that a pidfd stands for."""
    readable = select.select([handle], [], [], 10)[0]
    os.close(handle)
    return bool(readable)


@pytest.fixture
def processes() -> Iterator[WorkerProcesses]:
    made = WorkerProcesses(2)
    yield made
    made.close()


async def test_calls_go_to_so_many_processes(processes: WorkerProcesses) -> None:
    used = await pids(processes)
    assert 1 <= len(used) <= 2 and os.getpid() not in used
    assert len(used | await pids(processes)) <= 2


async def test_only_functions_of_a_module_have_a_name(processes: WorkerProcesses) -> None:
    def here(data: bytes) -> bytes:
        return data

    with pytest.raises(AttributeError):  # nobody could find it there
        await processes.run(here, b"")
    assert await processes.run(bytes.upper, b"there") == b"THERE"


async def test_what_fails_there_fails_here(processes: WorkerProcesses) -> None:
    with pytest.raises(ValueError, match="no good"):
        await processes.run(fails, b"no good")
    assert os.getpid() not in await pids(processes)  # and the process goes on


@needs_pidfd
async def test_a_process_that_dies_is_replaced(processes: WorkerProcesses) -> None:
    for pid in await pids(processes):
        handle = os.pidfd_open(pid)
        os.kill(pid, signal.SIGKILL)
        assert ended(handle)
    assert os.getpid() not in await pids(processes)
    assert await processes.run(takes_it_along, b"%d" % os.getpid()) == b"here"
    assert await pids(processes)


async def test_closed_none_is_left() -> None:
    processes = WorkerProcesses(2)
    used = await pids(processes)
    processes.close()
    for pid in used:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_closing_waits_for_no_call() -> None:
    processes = WorkerProcesses(2)
    calls = [processes.run(never_ends, b"x" * 200_000) for _ in range(4)]
    other = WorkerProcesses(1)
    await pids(other)  # meanwhile they are under way
    other.close()
    processes.close()
    for call in calls:
        with pytest.raises(asyncio.CancelledError):
            await call


PARENT = """
import asyncio, os, sys
from pybitcoind.node.worker_processes import WorkerProcesses
from tests.called_apart import pids

async def main():
    print(*await pids(WorkerProcesses(2)), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@needs_pidfd
def test_they_end_with_their_parent() -> None:
    """However it ends. Ctrl-C is not for them."""
    root = Path(__file__).parents[3]
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, cwd=root)
    with parent:
        assert parent.stdout is not None
        children = [int(pid) for pid in parent.stdout.readline().split()]
        handles = [os.pidfd_open(pid) for pid in children]
        for pid in children:
            os.kill(pid, signal.SIGINT)
        assert select.select(handles, [], [], 0.1) == ([], [], [])
        parent.kill()
        assert all(ended(handle) for handle in handles)
