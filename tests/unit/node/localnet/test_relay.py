"""A delayed link: bytes come late, in order, both ways, and an end at one side is an end at the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pybitcoind.node.localnet.relay import Relay

DELAY = 0.08


@asynccontextmanager
async def echo(delay: float) -> AsyncIterator[tuple[Relay, asyncio.Queue[asyncio.StreamWriter]]]:
    """A relay before a server that gives back what it gets; the server's connections."""
    accepted: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.put_nowait(writer)
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    relay = Relay(server.sockets[0].getsockname()[1], delay)
    await relay.start()
    try:
        yield relay, accepted
    finally:
        await relay.stop()
        server.close()
        await server.wait_closed()


async def test_late_in_order_both_ways() -> None:
    async with echo(DELAY) as (relay, _):
        loop = asyncio.get_running_loop()
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        started = loop.time()
        sent = bytes(range(256)) * 2000
        writer.write(sent)
        assert await reader.readexactly(len(sent)) == sent
        assert loop.time() - started >= 2 * DELAY
        writer.close()
        assert await reader.read() == b""


async def test_an_end_goes_through() -> None:
    async with echo(0.0) as (relay, accepted):
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        (await accepted.get()).close()
        assert await reader.read() == b""
        writer.close()


async def test_a_stop_ends_what_goes_through_and_nobody_behind_is_an_end_too() -> None:
    async with echo(5.0) as (relay, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        writer.write(b"never")
        await asyncio.sleep(0)
        await relay.stop()
        assert await reader.read() == b""
        writer.close()
    await relay.start()  # nobody listens behind it now
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        assert await reader.read() == b""
        writer.close()
    finally:
        await relay.stop()
