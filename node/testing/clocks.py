"""One clock for a whole network: real, fixed, stepping or virtual.

- real: the machine's.
- fixed: the wall time stands where it is set; timers (waits, retries) are the machine's.
- stepping: as fixed, but each block that is mined moves it on by a step.
- virtual: all time is the test's. It stands still but for what the test waits for, and then costs nothing:
  whenever nothing is left to do at one moment, the next one at which something is due has come. Nodes run
  without threads on it, and one seed gives the same run every time.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from itertools import count
from typing import Any, Protocol

from pybitcoind.chain.ports import Clock
from pybitcoind.node.ports import MockableClock, SystemClock

from .errors import NotPossible

KINDS = ("real", "fixed", "stepping", "virtual")
STEP = 600
"""Seconds between two blocks of a stepping clock."""
STRIDE = 15 * 60.0
"""At most so many seconds of virtual time are set forward at once while peers may time out: less than the
twenty minutes after which a silent one is dropped."""
SOCKET_PATIENCE = 0.002
"""Seconds of the machine's time before virtual time goes on where bytes may be on their way in sockets."""
PROBATION = 3600.0
"""After so much of an advance, whoever is silent has been dropped; the rest of the time passes at once."""


class NetworkClock(Protocol):
    """What a test does with time. `node_clock` is what each node gets, with a mock time of its own."""

    kind: str

    def node_clock(self) -> Clock: ...

    def time(self) -> int:
        """Wall time, seconds since 1970."""

    def monotonic(self) -> float: ...

    @property
    def stands_at(self) -> int:
        """The wall time that nodes are to be told (setmocktime); 0 where they have the same clock anyway."""

    async def sleep(self, seconds: float) -> None:
        """Lets time pass: all that is timed happens, in order."""

    async def advance(self, seconds: float) -> None:
        """Sets the time forward. What is due comes; connections that are alive stay."""

    def rewind(self, when: int) -> None:
        """It is that time again, where the time is not the machine's."""

    def mined(self) -> None:
        """A block was mined."""

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[Any]: ...

    def call_at(self, when: float, callback: Callable[[], object]) -> Any: ...

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """Meanwhile virtual time may pass."""

    def meets_sockets(self) -> None:
        """From now on something comes over real sockets, which takes the machine's time."""

    def close(self) -> None: ...


class RealClock:
    """The machine's."""

    kind = "real"

    def __init__(self) -> None:
        self._clock = SystemClock()

    def node_clock(self) -> Clock:
        return SystemClock()

    def time(self) -> int:
        return self._clock.time()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    @property
    def stands_at(self) -> int:
        return 0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def advance(self, seconds: float) -> None:
        raise NotPossible("a real clock cannot be set forward: take clock='virtual', 'fixed' or 'stepping'")

    def rewind(self, when: int) -> None:
        pass

    def mined(self) -> None:
        pass

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[Any]:
        return asyncio.timeout(seconds)

    def call_at(self, when: float, callback: Callable[[], object]) -> Any:
        return self._clock.call_at(when, callback)

    @contextmanager
    def flowing(self) -> Iterator[None]:
        yield

    def meets_sockets(self) -> None:
        pass

    def close(self) -> None:
        pass


class FixedClock(RealClock):
    """Wall time stands at `at` until it is set or advanced."""

    kind = "fixed"

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at
        self.on_set: list[Callable[[int], Awaitable[None]]] = []
        """Awaited with the new time (nodes in processes of their own are told)."""

    def node_clock(self) -> Clock:
        return _StandingClock(self)

    def time(self) -> int:
        return self.at

    @property
    def stands_at(self) -> int:
        return self.at

    def rewind(self, when: int) -> None:
        self.at = when

    async def set(self, when: int) -> None:
        self.at = when
        await self.told()

    async def told(self) -> None:
        """Everybody who has to be told what time it is has been."""
        for told in self.on_set:
            await told(self.at)

    async def advance(self, seconds: float) -> None:
        await self.set(self.at + int(seconds))


class SteppingClock(FixedClock):
    """Wall time stands still but for a step with each block."""

    kind = "stepping"

    def __init__(self, at: int, step: int = STEP) -> None:
        super().__init__(at)
        self.step = step

    def mined(self) -> None:
        self.at += self.step


class _StandingClock(SystemClock):
    """One node's view of a fixed clock."""

    def __init__(self, shared: FixedClock) -> None:
        super().__init__()
        self._shared = shared

    def unmocked(self) -> int:
        return self._shared.at

    @property
    def mocked(self) -> bool:
        return True


class _Timer:
    __slots__ = ("callback", "cancelled")

    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback, self.cancelled = callback, False

    def cancel(self) -> None:
        self.cancelled = True


class VirtualClock:
    """See the module. start: wall time at the beginning.

    It looks over the shoulder of the running event loop, which has to be one of asyncio's own: whenever the
    loop would sleep, nothing is left to do.
    """

    kind = "virtual"

    def __init__(self, start: int) -> None:
        self._start, self._now = float(start), 0.0
        self._timers: list[tuple[float, int, _Timer]] = []
        self._numbers = count()
        self._flow = 0
        self._idle: list[asyncio.Future[None]] = []
        self._watch: _Watch | None = None
        self.patience = 0.0
        """Seconds of the machine's time before time goes on."""
        self.on_jump: list[Callable[[], object]] = []
        """Called after time was set forward over what would have happened meanwhile."""

    def node_clock(self) -> Clock:
        return _VirtualNodeClock(self)

    def time(self) -> int:
        return int(self._start + self._now + 1e-6)  # a sum of fractions may fall short of a second

    def monotonic(self) -> float:
        return self._now

    @property
    def stands_at(self) -> int:
        return 0

    def rewind(self, when: int) -> None:
        """Of wall time; timers go on. No node must be running."""
        self._start = when - self._now

    def mined(self) -> None:
        pass

    # Timers

    def call_at(self, when: float, callback: Callable[[], object]) -> _Timer:
        timer = _Timer(callback)
        heapq.heappush(self._timers, (when, next(self._numbers), timer))
        return timer

    async def nap(self, seconds: float) -> None:
        """A node's sleep: ends when time has passed, which it does while a test waits."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        over = asyncio.get_running_loop().create_future()
        timer = self.call_at(self._now + seconds, lambda: _settle(over))
        try:
            await over
        finally:
            timer.cancel()

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[Any]:
        return _Timeout(self, seconds)

    def _next(self) -> float | None:
        """When the next timer is due."""
        while self._timers and self._timers[0][2].cancelled:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def _ring(self) -> bool:
        """Calls back what is due now; False if there is nothing."""
        loop, rang = asyncio.get_running_loop() if self._watch is None else self._watch.loop, False
        while (when := self._next()) is not None and when <= self._now:
            timer = heapq.heappop(self._timers)[2]
            loop.call_soon(timer.callback)
            rang = True
        return rang

    # The flow of time

    @contextmanager
    def flowing(self) -> Iterator[None]:
        self._attach()
        self._flow += 1
        try:
            yield
        finally:
            self._flow -= 1

    def meets_sockets(self) -> None:
        self.patience = SOCKET_PATIENCE

    async def sleep(self, seconds: float) -> None:
        with self.flowing():
            await self.nap(seconds)

    async def idle(self) -> None:
        """Until nothing is left to be done at this moment."""
        self._attach()
        done = asyncio.get_running_loop().create_future()
        self._idle.append(done)
        await done

    async def advance(self, seconds: float) -> None:
        """In strides, so that who is silent times out; after PROBATION the rest in one, as whoever is still
        connected then is alive."""
        await self.idle()
        end, begun = self._now + seconds, self._now
        while self._now < end:
            jump = self._now - begun >= PROBATION
            self._now = end if jump else min(end, self._now + STRIDE)
            if jump:
                for excused in self.on_jump:
                    excused()
            await self.idle()

    def _attach(self) -> None:
        loop = asyncio.get_running_loop()
        if self._watch is None or self._watch.loop is not loop:
            self.close()
            self._watch = _Watch.over(loop)
            self._watch.clocks.append(self)

    def close(self) -> None:
        """Leaves the loop alone again."""
        if self._watch is not None:
            self._watch.leave(self)
            self._watch = None

    def loop_is_idle(self) -> bool:
        """Does what there is to do when nothing is; whether the loop has something to do now."""
        if self._idle:
            if self._ring():
                return True
            idle, self._idle = self._idle, []
            for future in idle:
                _settle(future)
            return True
        if not self._flow or (when := self._next()) is None:
            return False
        self._now = max(self._now, when)
        return self._ring()


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class _Timeout:
    """asyncio.timeout by virtual time."""

    def __init__(self, clock: VirtualClock, seconds: float | None) -> None:
        self._clock, self._seconds = clock, seconds
        self._limit = asyncio.timeout(None)
        self._timer: _Timer | None = None

    async def __aenter__(self) -> asyncio.Timeout:
        limit = await self._limit.__aenter__()
        if self._seconds is not None:
            self._timer = self._clock.call_at(self._clock.monotonic() + self._seconds, self._over)
        return limit

    def _over(self) -> None:
        if self._timer is not None and not self._timer.cancelled:
            self._limit.reschedule(asyncio.get_running_loop().time())

    async def __aexit__(self, *exc: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._limit.__aexit__(*exc)


class _VirtualNodeClock(MockableClock):
    """One node's view of a virtual clock."""

    def __init__(self, shared: VirtualClock) -> None:
        super().__init__()
        self._shared = shared
        self.monotonic, self.sleep = shared.monotonic, shared.nap
        self.timeout, self.call_at = shared.timeout, shared.call_at

    def unmocked(self) -> int:
        return self._shared.time()


class _Watch:
    """Asks the virtual clocks of a loop before it sleeps."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        selector = getattr(loop, "_selector", None)
        if selector is None:
            raise NotPossible(
                f"virtual time needs one of asyncio's own event loops, not {type(loop).__name__}: "
                "take another loop or clock='real'"
            )
        self.loop, self.clocks = loop, list[VirtualClock]()
        self._selector, self._select = selector, selector.select
        selector.select = self._before_sleeping

    @classmethod
    def over(cls, loop: asyncio.AbstractEventLoop) -> _Watch:
        watch = _watches.get(id(loop))
        if watch is None or watch.loop is not loop:
            watch = _watches[id(loop)] = cls(loop)
        return watch

    def leave(self, clock: VirtualClock) -> None:
        self.clocks.remove(clock)
        if not self.clocks:
            del self._selector.select  # the class's own shows again
            del _watches[id(self.loop)]

    def _before_sleeping(self, timeout: float | None = None) -> Any:
        if timeout is not None and timeout <= 0:
            return self._select(timeout)
        patience = max(clock.patience for clock in self.clocks)
        events = self._select(patience if timeout is None else min(patience, timeout))
        if events or self._clocks_have_work():
            return events
        return self._select(timeout)

    def _clocks_have_work(self) -> bool:
        return bool(sum(clock.loop_is_idle() for clock in self.clocks))  # every one is asked


_watches: dict[int, _Watch] = {}
"""By the loop's id."""


def make_clock(kind: str | NetworkClock, start: int) -> NetworkClock:
    """A clock by its kind, or the clock itself. start: the wall time of one that is not real."""
    if not isinstance(kind, str):
        return kind
    if kind == "real":
        return RealClock()
    if kind == "fixed":
        return FixedClock(start)
    if kind == "stepping":
        return SteppingClock(start)
    if kind == "virtual":
        return VirtualClock(start)
    raise ValueError(f"there is no clock {kind!r}; there are {', '.join(KINDS)}")
