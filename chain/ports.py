"""What a node is handed and never reaches for: time, randomness, network, threads, files and the log.

`Ports` is made in node/app.py (real ones) or by tests (virtual time, in-memory network, inline workers).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from .storage.database import Database

T = TypeVar("T")
Endpoint = tuple[str, int]
"""Host (a numeric address as text: "127.0.0.1", "::1"; in memory any name) and port."""


class Timer(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    """Wall time, which setmocktime moves, and monotonic time, which drives timers and virtual time."""

    def time(self) -> int:
        """Seconds since 1970, mocked if a mock time is set."""

    def time_micros(self) -> int:
        """Real wall time in microseconds, for log lines; never mocked."""

    def set_mock_time(self, when: int) -> None:
        """Freezes time() at when; 0 sets it free."""

    @property
    def mocked(self) -> bool: ...

    def monotonic(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[Any]:
        """Like asyncio.timeout: TimeoutError when the block takes longer."""

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        """Calls back at monotonic time when."""


class Random(Protocol):
    """One source of entropy per node; a seed makes a run repeatable. Never used for private keys."""

    def bytes(self, n: int) -> bytes: ...

    def below(self, n: int) -> int:
        """Uniform in [0, n)."""

    def u64(self) -> int: ...

    def uniform(self) -> float:
        """Uniform in [0, 1)."""

    def shuffled(self, items: Sequence[T]) -> list[T]: ...

    def choice(self, items: Sequence[T]) -> T: ...


class Stream(Protocol):
    """One connection, a byte stream in both directions."""

    @property
    def local(self) -> Endpoint: ...

    @property
    def remote(self) -> Endpoint: ...

    async def read(self, limit: int) -> bytes:
        """Some bytes, at most limit; b"" at the end. OSError if the connection broke."""

    def write(self, data: bytes) -> None:
        """Buffers data; never blocks. Ignored once closed."""

    @property
    def unsent(self) -> int:
        """Bytes written and not yet handed to the network."""

    async def drain(self) -> None:
        """Waits until the buffer is low again; OSError if the connection broke."""

    def close(self) -> None:
        """Ends the connection; idempotent. Pending reads return b""."""

    async def wait_closed(self) -> None: ...


class Listener(Protocol):
    @property
    def endpoint(self) -> Endpoint:
        """Where it listens, with the real port."""

    async def close(self) -> None: ...


OnConnect = Callable[[Stream], Awaitable[None]]


class Network(Protocol):
    async def dial(self, endpoint: Endpoint) -> Stream:
        """Connects; OSError if nobody answers. The caller sets the timeout."""

    async def listen(self, endpoint: Endpoint, on_connect: OnConnect) -> Listener:
        """Listens; port 0 takes a free one. OSError if the endpoint is taken.

        on_connect is awaited once per stream and must return soon (start a task for the long part).
        """


class Workers(Protocol):
    """Runs plain functions off the event loop: threads and processes shared by the nodes here, or inline."""

    @property
    def count(self) -> int:
        """Threads that really run at once; 1 if inline."""

    @property
    def processes(self) -> int:
        """Of their own that `run_apart` has; 0 if it is `run`."""

    def run(self, fn: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """fn's result. It begins now, or when a worker is free; cancelled later than that, it runs on."""

    def run_free(self, fn: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """As run, for long work that mostly leaves the interpreter's lock free, in threads of its own."""

    def run_apart(self, fn: Callable[[bytes], bytes], data: bytes) -> asyncio.Future[bytes]:
        """As run, but in another process if there are any. fn: a function of a module, which names it."""

    def map_now(self, fn: Callable[[Any], T], items: Sequence[Any]) -> list[T]:
        """fn over items on all workers, blocking the calling thread (never called on the event loop thread
        unless inline); results in order, the first exception raised."""


class PathKind(Enum):
    """FOLDER: or a link to one. OTHER: another link, a device."""

    NOTHING = auto()
    FOLDER = auto()
    FILE = auto()
    OTHER = auto()


class Storage(Protocol):
    """Opens databases below the node's network directory: files, or memory."""

    async def open(self, name: str, *, full_sync: bool = False) -> Database:
        """name: a relative path such as "blocks/index.sqlite". full_sync: synchronous=FULL (else NORMAL)."""

    def exists(self, name: str) -> bool: ...

    def what_is(self, path: str) -> PathKind:
        """What lies at a path where databases or their folders could be. OSError if that cannot be said."""

    def delete(self, name: str, *, folder: bool = False) -> None:
        """Removes a closed database with its journals; nothing if there is none.

        folder: the folder it was in too, if nothing else is there.
        """

    def move(self, name: str, new_name: str) -> None:
        """Renames a closed database, in the place of the other if there is one, in one durable step.

        The folder it was in goes if nothing else is there.
        """

    def names(self, folder: str) -> list[str]:
        """Sorted names of the databases in folder ("blocks" gives ["blk00000.sqlite", "index.sqlite"])."""

    def folders(self, folder: str, name: str) -> list[str]:
        """Sorted folders below folder that hold a file called name: "wallets" gives ["alice", "sub/bob"]."""

    def size(self, name: str) -> int:
        """Bytes on disk; 0 if there is none."""

    def free_space(self, folder: str) -> int:
        """Bytes that may still be written to the disk that folder is on."""


class Log(Protocol):
    """Core's debug.log: a category before the message, a line flushed before the call returns."""

    def enabled(self, category: str) -> bool: ...

    def debug(self, category: str, message: str) -> None:
        """Written where `-debug=category` is on. Categories are Core's: net, validation, mempool, rpc, ..."""

    def info(self, message: str) -> None: ...

    def warning(self, message: str) -> None: ...

    def error(self, message: str) -> None: ...


ShowProgress = Callable[[str, float | None], None]
"""Told how far long work is: what it is, and the share that is done, 0 to 1, or None at its end."""


def show_nothing(what: str, share: float | None) -> None:
    """Where nobody looks."""


@dataclass(frozen=True, slots=True)
class Ports:
    """All that a node is handed."""

    clock: Clock
    random: Random
    network: Network
    workers: Workers
    storage: Storage
    log: Log
    progress: ShowProgress = show_nothing

    @contextmanager
    def long_work(self, what: str) -> Iterator[Callable[[float], None]]:
        """Gives what to call with the share that is done; the end is told whichever way it ends."""
        try:
            yield lambda share: self.progress(what, share)
        finally:
            self.progress(what, None)
