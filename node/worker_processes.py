"""Processes that work beside this one: what Python itself computes runs on all cores there.

Each is a fresh interpreter (worker_process.py), started when there is first something to do for it, spoken to
through pipes by a thread of its own.
"""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress

from .worker_process import DONE, read_part, write_part

BytesFunction = Callable[[bytes], bytes]


class WorkerProcesses:
    """So many processes. A function that fails in one of them, or takes it along, is run again here."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="process")
        self._mine = threading.local()
        self._children: list[subprocess.Popen[bytes]] = []
        self._closed = False

    def run(self, fn: BytesFunction, data: bytes) -> asyncio.Future[bytes]:
        """fn is a function of a module, so that it can be named to another process."""
        return asyncio.get_running_loop().run_in_executor(self._threads, self._call, fn, data)

    def _call(self, fn: BytesFunction, data: bytes) -> bytes:
        try:
            child = self._child()
            assert child.stdin is not None and child.stdout is not None
            write_part(child.stdin, pickle.dumps(fn))
            write_part(child.stdin, data)
            child.stdin.flush()
            status, result = child.stdout.read(1), read_part(child.stdout)
        except (OSError, EOFError):
            if self._closed:
                raise CancelledError from None
            self._mine.child = None  # the next call starts another
            return fn(data)
        return result if status == DONE else fn(data)

    def _child(self) -> subprocess.Popen[bytes]:
        """Of the calling thread."""
        child: subprocess.Popen[bytes] | None = getattr(self._mine, "child", None)
        if child is None or child.poll() is not None:
            child = subprocess.Popen(
                [sys.executable, "-m", f"{__package__}.worker_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                process_group=0,  # so that Ctrl-C in a terminal is for the node alone
            )
            self._mine.child = child
            self._children.append(child)
        return child

    def close(self) -> None:
        """Drops all calls, those that run as well: they change nothing."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        for child in self._children:
            child.kill()
        self._threads.shutdown(wait=True)
        for child in self._children:
            with suppress(BrokenPipeError):  # what it was never sent
                child.__exit__(None, None, None)
        self._children.clear()
