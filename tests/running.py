"""A chain manager that runs: opened, with its owner task, and closed in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pybitcoind.chain.events import Event, EventBus
from pybitcoind.chain.manager import ChainManager, ChainOptions
from pybitcoind.chain.params import ChainParams, regtest
from pybitcoind.chain.ports import Ports


class Recorder:
    """A subscriber that keeps every event."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def __call__(self, event: Event) -> None:
        self.events.append(event)

    def of(self, *kinds: type) -> list[Event]:
        return [event for event in self.events if isinstance(event, kinds)]


@asynccontextmanager
async def running_chain(
    ports: Ports,
    options: ChainOptions | None = None,
    *,
    params: ChainParams | None = None,
    recorder: Recorder | None = None,
) -> AsyncIterator[ChainManager]:
    events = EventBus()
    chain = await ChainManager.open(ports, params or regtest(), options, events)
    tasks = [asyncio.create_task(chain.run_owner())]
    if recorder is not None:
        tasks.append(asyncio.create_task(events.subscribe("test", recorder).run()))
    try:
        yield chain
    finally:
        chain.stop_owner()
        events.finish()
        try:
            await asyncio.gather(*tasks)
        finally:
            await chain.close()
