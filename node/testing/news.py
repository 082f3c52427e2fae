"""Waiting for something to be so: looked at again after each thing that happens on any node."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from .errors import NodeFailed, WaitFailed

if TYPE_CHECKING:
    from .clocks import NetworkClock

T = TypeVar("T")
LIMIT = 30.0
"""Seconds after which a wait fails: for broken code, never a delay."""
LOOK_AGAIN = 0.02
"""Seconds after which a look is taken in any case: nodes of other processes tell no news."""


class News:
    """Something happened on a node: a block, a transaction, a peer that came or went."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def tell(self) -> None:
        self._event.set()

    async def wait(
        self,
        what: str,
        probe: Callable[[], Awaitable[T | None]],
        saw: Callable[[], Awaitable[str]],
        clock: NetworkClock,
        limit: float = LIMIT,
    ) -> T:
        """The first true value of probe; WaitFailed with what was waited for and what saw says instead."""
        with clock.flowing():
            begun = clock.monotonic()
            while True:
                self._event.clear()
                if value := await probe():
                    return value
                if clock.monotonic() - begun >= limit:
                    break
                try:
                    async with clock.timeout(LOOK_AGAIN):
                        await self._event.wait()
                except TimeoutError:
                    pass
        try:
            seen = await saw()
        except NodeFailed as error:
            seen = str(error)
        raise WaitFailed(f"waited {limit:g} s for {what}; saw {seen}")
