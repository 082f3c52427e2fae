"""The event bus: a subscriber that fails holds up nobody."""

from __future__ import annotations

import asyncio

import pytest
from scene import make_scene

from pybitcoind.chain.events import MAX_BEHIND, BlockConnected, ChainRole, Event, EventBus
from pybitcoind.chain.storage.records import BlockUndo


async def test_nobody_waits_for_a_subscriber_that_failed() -> None:
    scene = make_scene()
    event = BlockConnected(scene.blocks[-1], BlockUndo(), scene.tip, ChainRole.ACTIVE)

    async def fail(event: Event) -> None:
        raise OSError("no disk")

    bus = EventBus()
    task = asyncio.ensure_future(bus.subscribe("index", fail).run())
    for _ in range(MAX_BEHIND + 2):
        bus.emit(event)
    waiting = [asyncio.ensure_future(work) for work in (bus.room(), bus.drained())]
    with pytest.raises(OSError, match="no disk"):
        await task
    await asyncio.wait_for(asyncio.gather(*waiting), 5)
    bus.emit(event)
    await asyncio.wait_for(asyncio.gather(bus.room(), bus.drained()), 5)
