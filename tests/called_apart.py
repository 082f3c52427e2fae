"""What the tests of worker processes have run in them."""

from __future__ import annotations

import asyncio
import os
import signal

from pybitcoind.node.worker_processes import WorkerProcesses


def where(data: bytes) -> bytes:
    """The number of the process, a space, data."""
    return b"%d %b" % (os.getpid(), data)


def fails(data: bytes) -> bytes:
    raise ValueError(data.decode())


def never_ends(data: bytes) -> bytes:
    signal.pause()
    return data


def takes_it_along(parent: bytes) -> bytes:
    """Ends the process that runs it, if parent started that one."""
    if os.getppid() == int(parent):
        os.kill(os.getpid(), signal.SIGKILL)
    return b"here"


async def pids(processes: WorkerProcesses, calls: int = 20) -> set[int]:
    """Where so many calls with much to carry were run."""
    answers = await asyncio.gather(*(processes.run(where, b"x" * 100_000) for _ in range(calls)))
    assert all(answer.endswith(b" " + b"x" * 100_000) for answer in answers)
    return {int(answer.split()[0]) for answer in answers}
