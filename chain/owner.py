"""The owner: one task through whose hands all changes of chain and mempool go, one after the other.

Requests wait in a queue. Between two of them the owner takes one step of the background work, connecting
blocks, if there is any: a long catch-up delays a request by one step only. What nobody waits for, the blocks
below a snapshot, gets its steps when there is none of that.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from .consensus.errors import BlockInvalid, TxInvalid

T = TypeVar("T")

EXPECTED = (BlockInvalid, TxInvalid, ValueError)
"""What a request may raise: the caller's affair. Anything else is fatal to the node."""


class OwnerStopped(Exception):
    """The node is shutting down: the request was not, and will not be, carried out."""


class _Request:
    __slots__ = ("expected", "fn", "future")

    def __init__(
        self,
        fn: Callable[[], Awaitable[Any]],
        future: asyncio.Future[Any],
        expected: tuple[type[BaseException], ...],
    ) -> None:
        self.fn, self.future, self.expected = fn, future, expected


async def _nothing_to_do() -> bool:
    return False


class Owner:
    """step: one piece of background work; True while there is more to do. idle_step: what can wait for it.

    `run` is a task of the node's; `stop` ends it once the requests made before are served.
    """

    def __init__(
        self, step: Callable[[], Awaitable[bool]], idle_step: Callable[[], Awaitable[bool]] = _nothing_to_do
    ) -> None:
        self._step, self._idle_step = step, idle_step
        self._idle_step_wanted = False
        self._idle_waiters: list[asyncio.Future[None]] = []
        self._requests: deque[_Request] = deque()
        self._step_wanted = False
        self._step_waiters: list[asyncio.Future[None]] = []
        self._single_step_waiters: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[Any] | None = None
        self._stopping = self._ended = False

    @property
    def stopping(self) -> bool:
        """Set by `stop`: background work ends after the block in hand."""
        return self._stopping

    def on_owner(self) -> bool:
        """The caller runs on the owner task."""
        return self._task is not None and asyncio.current_task() is self._task

    async def submit(
        self, fn: Callable[[], Awaitable[T]], *, expected: tuple[type[BaseException], ...] = ()
    ) -> T:
        """fn's result, run by the owner; called from the owner itself, at once.

        expected: exceptions of fn that are no failure of the node, besides EXPECTED. A cancelled caller
        abandons the answer; the work is done all the same. OwnerStopped after `stop`.
        """
        if self.on_owner():
            return await fn()
        if self._stopping:
            raise OwnerStopped("shutting down")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._requests.append(_Request(fn, future, (*EXPECTED, *expected)))
        self._wake.set()
        return await future

    def post(self, fn: Callable[[], Awaitable[Any]]) -> None:
        """Like submit, for who needs no answer; whatever fn raises is fatal. Nothing after `stop`."""
        if not self._stopping:
            future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            self._requests.append(_Request(fn, future, ()))
            self._wake.set()

    def want_step(self) -> None:
        """There may be background work to do."""
        self._step_wanted = True
        self._wake.set()

    def want_idle_step(self) -> None:
        """There may be work to do that can wait."""
        self._idle_step_wanted = True
        self._wake.set()

    async def idle_step_taken(self) -> None:
        """Waits until one piece of the work that can wait is done, or the owner stops."""
        if not self._ended:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle_waiters.append(future)
            self.want_idle_step()
            await future

    async def step_taken(self) -> bool:
        """Waits until one piece of background work is done; whether there is more."""
        if not self._step_wanted or self._ended:
            return False
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._single_step_waiters.append(future)
        await future
        return self._step_wanted

    async def steps_done(self) -> None:
        """Waits until no background work is left, or the owner stops."""
        if self._ended:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._step_waiters.append(future)
        self.want_step()
        await future

    def stop(self) -> None:
        """No more requests, no more background work; `run` returns after what was asked for before."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        self._task = asyncio.current_task()
        try:
            while True:
                if self._requests:
                    await self._serve(self._requests.popleft())
                elif self._stopping:
                    break
                if self._step_wanted and not self._stopping:
                    self._step_wanted = await self._step()
                    self._release_waiters()
                elif self._idle_step_wanted and not self._stopping:
                    self._idle_step_wanted = await self._idle_step()
                    self._release_idle_waiters()
                elif not self._requests and not self._stopping:
                    self._wake.clear()
                    await self._wake.wait()
        finally:
            self._stopping = self._ended = True
            for request in self._requests:
                if not request.future.done():
                    request.future.set_exception(OwnerStopped("shutting down"))
                    request.future.exception()  # nobody need ask for it
            self._requests.clear()
            self._release_waiters()
            self._release_idle_waiters()
            self._task = None

    async def _serve(self, request: _Request) -> None:
        try:
            result = await request.fn()
        except request.expected as error:
            if request.future.cancelled():
                return
            request.future.set_exception(error)
        except BaseException as error:
            if not request.future.done():
                request.future.set_exception(OwnerStopped(f"{type(error).__name__}: {error}"))
                request.future.exception()
            raise
        else:
            if not request.future.done():
                request.future.set_result(result)

    def _release_waiters(self) -> None:
        waiters, self._single_step_waiters = self._single_step_waiters, []
        if not self._step_wanted or self._ended:
            waiters += self._step_waiters
            self._step_waiters = []
        _release(waiters)

    def _release_idle_waiters(self) -> None:
        waiters, self._idle_waiters = self._idle_waiters, []
        _release(waiters)


def _release(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
