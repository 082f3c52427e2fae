"""Connections over TCP and in memory: counting, bounded buffers, and how they end."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable

import pytest
from scripted_peer import ScriptedPeer

from pybitcoind.chain import params
from pybitcoind.chain.ports import Network, Stream
from pybitcoind.node.tcp_network import TcpNetwork
from pybitcoind.p2p import messages as m
from pybitcoind.p2p.codec_v1 import V1Codec
from pybitcoind.p2p.connection import Connection
from pybitcoind.p2p.memory_network import MemoryHub

MAGIC = params.regtest().magic


class FakeClock:
    """Stands still, but lets others run."""

    def time(self) -> int:
        return 1_700_000_000

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


class Lines:
    """A log that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def enabled(self, category: str) -> bool:
        return category == "net"

    def debug(self, category: str, message: str) -> None:
        self.lines.append(message)


class Rig:
    """A Connection that accepted a scripted peer."""

    def __init__(self, network: Network, dialler: Network) -> None:
        self._network, self._dialler = network, dialler
        self.log = Lines()
        self.connection: Connection
        self.peer: ScriptedPeer
        self.task: asyncio.Task[None]

    async def open(self, host: str = "127.0.0.1", **options: int) -> Rig:
        arrived: asyncio.Queue[Stream] = asyncio.Queue()
        listener = await self._network.listen((host, 0), arrived.put)
        self.peer = await ScriptedPeer.connect(listener.endpoint, network=self._dialler)
        stream = await arrived.get()
        codec = V1Codec(MAGIC)
        self.connection = Connection(stream, codec, FakeClock(), self.log, peer_id=7, **options)  # type: ignore[arg-type]
        self.task = asyncio.create_task(self.connection.run())
        await listener.close()
        return self

    async def close(self) -> None:
        self.connection.close("test over")
        await self.task
        await self.connection.wait_closed()
        await self.peer.close()

    async def commands(self) -> list[str]:
        """What is received until the end."""
        out = []
        while frame := await self.connection.receive():
            out.append(frame.command)
        return out


async def settled(condition: Callable[[], bool]) -> None:
    """Turns the loop until condition holds, and a little more, to see that it stays so."""
    more = 50
    while more:
        await asyncio.sleep(0)
        more -= condition()


@pytest.fixture(params=["tcp", "memory"])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    if request.param == "tcp":
        rig = Rig(TcpNetwork(), TcpNetwork())
    else:
        hub = MemoryHub()
        rig = Rig(hub.network("node"), hub.network("peer"))
    async with asyncio.timeout(20):
        yield rig
        await rig.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_messages_both_ways_and_their_bytes(rig: Rig, host: str) -> None:
    c = (await rig.open(host)).connection
    rig.peer.send(m.Ping(5), m.Verack())
    rig.peer.send_payload("alert", b"xyz")
    frames = [await c.receive() for _ in range(3)]
    assert [frame.command for frame in frames if frame] == ["ping", "verack", "alert"]
    c.send(m.Pong(5))
    c.send_payload("block", b"abc")
    await rig.peer.wait_for(m.Pong)
    assert c.received.by_command == {"ping": 32, "verack": 24, "*other*": 27} and c.received.total == 83
    assert c.sent.by_command == {"pong": 32, "block": 27} and c.sent.total == 59
    assert c.sent.last == c.received.last == 1_700_000_000
    assert rig.log.lines[:2] == ["received: ping (8 bytes) peer=7", "received: verack (0 bytes) peer=7"]
    assert rig.log.lines[3] == "sending pong (8 bytes) peer=7"


async def test_byte_by_byte(rig: Rig) -> None:
    c = (await rig.open()).connection
    for byte in V1Codec(MAGIC).encode(m.Ping(1)):
        rig.peer.send_bytes(bytes((byte,)))
        await asyncio.sleep(0)
    frame = await c.receive()
    assert frame and frame.command == "ping"


async def test_bad_checksum_is_dropped_counted_and_logged(rig: Rig) -> None:
    c = (await rig.open()).connection
    damaged = bytearray(V1Codec(MAGIC).encode(m.Ping(1)))
    damaged[20] ^= 1
    rig.peer.send_bytes(bytes(damaged))
    rig.peer.send(m.Verack())
    frame = await c.receive()
    assert frame and frame.command == "verack" and not c.closed
    assert c.received.by_command == {"*other*": 32, "verack": 24}
    assert rig.log.lines[0].startswith("Header error: Wrong checksum (ping, 8 bytes), expected ")
    assert rig.log.lines[0].endswith(", peer=7")


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"\x00" * 24, "Header error: Wrong MessageStart 00000000 received, peer=7"),
        (
            MAGIC + b"block".ljust(12, b"\0") + struct.pack("<I", 4_000_001) + bytes(4),
            "Header error: Size too large (block, 4000001 bytes), peer=7",
        ),
    ],
)
async def test_broken_streams_are_ended_and_what_waits_is_dropped(rig: Rig, data: bytes, line: str) -> None:
    c = (await rig.open()).connection
    rig.peer.send_bytes(V1Codec(MAGIC).encode(m.Verack()) + data)
    await rig.peer.wait_closed()
    assert await rig.commands() == []
    assert c.close_reason == "receiving message bytes failed"
    assert rig.log.lines == [line, "receiving message bytes failed, disconnecting peer=7"]


async def test_what_came_before_the_peer_hung_up_is_handled(rig: Rig) -> None:
    c = (await rig.open()).connection
    rig.peer.send(*(m.Ping(n) for n in range(50)))
    await rig.peer.close()
    assert await rig.commands() == ["ping"] * 50
    assert c.close_reason == "socket closed"
    assert "socket closed, disconnecting peer=7" in rig.log.lines
    c.send(m.Verack())
    assert c.sent.total == 0


async def test_own_close_drops_what_waits_and_ends_receive(rig: Rig) -> None:
    c = (await rig.open()).connection
    waiting = asyncio.create_task(c.receive())
    await asyncio.sleep(0)
    c.close("bad day")
    c.close("second reason")
    assert await waiting is None and await c.receive() is None
    assert c.close_reason == "bad day" and "bad day, disconnecting peer=7" in rig.log.lines
    await rig.peer.wait_closed()


async def test_receive_flood_pauses_reading(rig: Rig) -> None:
    c = (await rig.open(max_receive=100_000)).connection
    message = b"\x01" * 10_000
    for _ in range(4000):
        rig.peer.send_payload("junk", message)
    await settled(lambda: c.received.total >= 100_000)
    assert c.received.total <= 100_000 + 512 * 1024 + 10_024
    assert rig.peer.stream.unsent > 0
    for _ in range(4000):
        frame = await c.receive()
        assert frame and len(frame.payload) == 10_000
    assert c.received.total == 4000 * 10_024


async def test_a_peer_that_does_not_read_is_not_answered(rig: Rig) -> None:
    c = (await rig.open(max_send=50_000)).connection
    await rig.peer.stop_reading()
    rig.peer.send(m.Ping(1), m.Ping(2))
    assert await c.receive()
    for _ in range(20):
        c.send_payload("junk", bytes(1_000_000))
    waiting = asyncio.create_task(c.receive())
    await settled(lambda: True)
    assert not waiting.done()
    room = asyncio.create_task(c.send_room())
    assert c.send_full and not room.done()
    rig.peer.resume_reading()
    frame = await waiting
    assert frame and frame.command == "ping" and await room


async def test_close_while_the_send_buffer_is_full(rig: Rig) -> None:
    c = (await rig.open(max_send=1000)).connection
    await rig.peer.stop_reading()
    for _ in range(20):
        c.send_payload("junk", bytes(1_000_000))
    waiting = asyncio.create_task(c.send_room())
    await settled(lambda: True)
    c.close("enough")
    assert await waiting is False
    rig.peer.resume_reading()


async def test_one_peer_does_not_take_the_whole_loop(rig: Rig) -> None:
    c = (await rig.open()).connection
    rig.peer.send(*(m.Verack() for _ in range(2000)))
    await settled(lambda: c.received.total == 2000 * 24)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    for _ in range(2000):
        await c.receive()
    task.cancel()
    assert turns >= 1990


async def test_cut_link() -> None:
    hub = MemoryHub()
    rig = await Rig(hub.network("node"), hub.network("peer")).open()
    hub.cut("node", "peer")
    assert await rig.connection.receive() is None
    assert rig.connection.close_reason == "socket recv error: link between node and peer cut"
    await rig.close()


async def test_cancelled_reader_closes() -> None:
    hub = MemoryHub()
    rig = await Rig(hub.network("node"), hub.network("peer")).open()
    await asyncio.sleep(0)
    rig.task.cancel()
    await asyncio.gather(rig.task, return_exceptions=True)
    assert rig.connection.close_reason == "cancelled" and await rig.connection.receive() is None
    rig.task = asyncio.create_task(asyncio.sleep(0))
    await rig.close()
