"""Both networks, TCP and in memory, keep ports.Network's promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from pybitcoind.chain.ports import Endpoint, Listener, Network, Stream
from pybitcoind.node.tcp_network import TcpNetwork
from pybitcoind.p2p.memory_network import WINDOW, MemoryHub

HOSTS = ["127.0.0.1", "::1"]


class Pair:
    """Two nodes' networks and, once asked for, streams between them."""

    def __init__(self, one: Network, two: Network) -> None:
        self.one, self.two = one, two
        self.streams: list[Stream] = []
        self.listeners: list[Listener] = []

    async def listen(self, host: str, port: int = 0) -> tuple[Listener, asyncio.Queue[Stream]]:
        arrived: asyncio.Queue[Stream] = asyncio.Queue()

        async def on_connect(stream: Stream) -> None:
            self.streams.append(stream)
            arrived.put_nowait(stream)

        listener = await self.two.listen((host, port), on_connect)
        self.listeners.append(listener)
        return listener, arrived

    async def connect(self, host: str = "127.0.0.1") -> tuple[Stream, Stream]:
        listener, arrived = await self.listen(host)
        ours = await self.one.dial(listener.endpoint)
        self.streams.append(ours)
        return ours, await arrived.get()


def tcp() -> Pair:
    return Pair(TcpNetwork(), TcpNetwork())


def memory() -> Pair:
    hub = MemoryHub()
    return Pair(hub.network("one"), hub.network("two"))


@pytest.fixture(params=[tcp, memory], ids=["tcp", "memory"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    make: Callable[[], Pair] = request.param
    pair = make()
    async with asyncio.timeout(20):
        yield pair
        for listener in pair.listeners:
            await listener.close()
        for stream in pair.streams:
            stream.close()
            await stream.wait_closed()


async def read_exactly(stream: Stream, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = await stream.read(size - len(data))
        assert piece, "ended early"
        data += piece
    return data


@pytest.mark.parametrize("host", HOSTS)
async def test_bytes_both_ways(pair: Pair, host: str) -> None:
    a, b = await pair.connect(host)
    a.write(b"hello ")
    a.write(b"there")
    assert await read_exactly(b, 11) == b"hello there"
    b.write(b"yes")
    assert await a.read(2) == b"ye" and await a.read(2) == b"s"
    assert a.remote == b.local and a.local == b.remote and a.remote[0] == host


async def test_port_zero_takes_a_free_one(pair: Pair) -> None:
    one, _ = await pair.listen("127.0.0.1")
    two, _ = await pair.listen("127.0.0.1")
    assert 0 < one.endpoint[1] != two.endpoint[1] > 0
    with pytest.raises(OSError):
        await pair.listen("127.0.0.1", one.endpoint[1])


async def test_nobody_listens(pair: Pair) -> None:
    listener, _ = await pair.listen("127.0.0.1")
    endpoint = listener.endpoint
    await listener.close()
    with pytest.raises(OSError):
        await pair.one.dial(endpoint)


async def test_any_address_of_the_machine(pair: Pair) -> None:
    listener, arrived = await pair.listen("::")
    pair.streams.append(await pair.one.dial(("::1", listener.endpoint[1])))
    assert (await arrived.get()).local[0] == "::1"
    with pytest.raises(OSError):
        await pair.one.dial(("127.0.0.1", listener.endpoint[1]))
    await pair.listen("0.0.0.0", listener.endpoint[1])
    pair.streams.append(await pair.one.dial(("127.0.0.1", listener.endpoint[1])))


async def test_what_was_sent_before_the_end_is_read(pair: Pair) -> None:
    a, b = await pair.connect()
    a.write(b"last words")
    await a.drain()
    a.close()
    assert await read_exactly(b, 10) == b"last words"
    assert await b.read(10) == b""
    b.write(b"ignored")
    a.write(b"ignored")


async def test_close_ends_a_pending_read_and_is_idempotent(pair: Pair) -> None:
    a, b = await pair.connect()
    reading = asyncio.create_task(b.read(10))
    b.close()
    b.close()
    assert await reading == b"" and await b.read(1) == b""
    assert await a.read(10) == b""
    await b.wait_closed()


async def test_a_reader_that_does_not_read_holds_up_the_writer(pair: Pair) -> None:
    a, b = await pair.connect()
    total = 24_000_000
    a.write(bytes(total))
    assert 0 < a.unsent <= total
    draining = asyncio.create_task(a.drain())
    assert not draining.done()
    await read_exactly(b, total)
    await draining
    assert a.unsent == 0


async def test_close_does_not_wait_for_a_reader_that_does_not_read(pair: Pair) -> None:
    a, b = await pair.connect()
    a.write(bytes(24_000_000))
    a.close()
    await a.wait_closed()
    left = 0
    try:
        while data := await b.read(1 << 20):
            left += len(data)
    except OSError:
        pass
    assert left < 24_000_000


async def test_drain_fails_when_the_other_side_is_gone(pair: Pair) -> None:
    a, b = await pair.connect()
    a.write(bytes(24_000_000))
    b.close()
    try:
        while a.unsent:
            await a.drain()
    except OSError:
        pass
    assert a.unsent == 0


async def test_an_exception_at_accept_closes_the_stream(pair: Pair) -> None:
    async def refuse(stream: Stream) -> None:
        pair.streams.append(stream)
        raise ConnectionAbortedError("no")

    quiet: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: quiet.append(context))
    listener = await pair.two.listen(("127.0.0.1", 0), refuse)
    pair.listeners.append(listener)
    stream = await pair.one.dial(listener.endpoint)
    pair.streams.append(stream)
    assert await stream.read(1) == b""


# -- memory only


async def cut_pair(hub: MemoryHub, a: str, b: str) -> tuple[Stream, Stream, Endpoint]:
    arrived: asyncio.Queue[Stream] = asyncio.Queue()
    listener = await hub.nodes[b].listen((b, 0), arrived.put)
    ours = await hub.nodes[a].dial((b, listener.endpoint[1]))
    return ours, await arrived.get(), listener.endpoint


async def test_nodes_by_name_and_address() -> None:
    hub = MemoryHub()
    hub.network("alice")
    hub.network("bob", "2a00::2")
    a, b, endpoint = await cut_pair(hub, "alice", "bob")
    assert endpoint[0] == "2a00::2" and a.remote == endpoint == b.local and b.remote[0] == "10.0.0.1"
    again = await hub.nodes["alice"].dial(endpoint)
    with pytest.raises(ValueError):
        hub.network("bob")
    with pytest.raises(OSError):
        await hub.nodes["alice"].listen(("2a00::2", 7), lambda stream: asyncio.sleep(0))
    again.close()


async def test_cut_breaks_streams_and_dials_until_healed() -> None:
    hub = MemoryHub()
    for name in "abc":
        hub.network(name)
    ab, ba, b_at = await cut_pair(hub, "a", "b")
    ac, ca, _ = await cut_pair(hub, "a", "c")
    reading = asyncio.create_task(ba.read(10))
    ab.write(b"lost on the way")
    hub.split(["a", "c"], ["b"])
    with pytest.raises(OSError):
        await ab.read(1)
    with pytest.raises(OSError):
        await reading
    with pytest.raises(OSError):
        await ab.drain()
    with pytest.raises(OSError):
        await hub.nodes["a"].dial(b_at)
    ac.write(b"still")
    assert await ca.read(10) == b"still"
    hub.heal("a", "b")
    (await hub.nodes["a"].dial(b_at)).close()
    with pytest.raises(OSError):
        await hub.nodes["c"].dial(b_at)


async def test_window() -> None:
    hub = MemoryHub()
    hub.network("a"), hub.network("b")
    a, b, _ = await cut_pair(hub, "a", "b")
    a.write(bytes(WINDOW + 10))
    assert a.unsent == 10
    assert len(await b.read(1 << 30)) == WINDOW
    assert a.unsent == 0


async def test_latency_keeps_the_order() -> None:
    calls: list[tuple[float, Callable[[], object]]] = []

    class Clock:
        now = 100.0

        def monotonic(self) -> float:
            return self.now

        def call_at(self, when: float, callback: Callable[[], object]) -> None:
            calls.append((when, callback))

    clock = Clock()
    hub = MemoryHub(clock)  # type: ignore[arg-type]
    hub.network("a"), hub.network("b")
    a, b, _ = await cut_pair(hub, "a", "b")
    line = hub.line("a", "b")
    assert line is not None
    line.delay = 0.5
    a.write(b"1")
    line.delay = 0.1
    a.write(b"2")
    a.close()
    assert [when for when, _ in calls] == [100.5], "one timer: all of it arrives then"
    for _, call in calls:
        call()
    assert await b.read(9) == b"1" and await b.read(9) == b"2" and await b.read(9) == b""
