"""A link over TCP: a proxy on the loopback between two nodes that delays, spoils and cuts what it carries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from pybitcoind.chain.ports import Endpoint, Listener, Random, Stream
from pybitcoind.node.tcp_network import TcpNetwork
from pybitcoind.p2p.line import Line

from .clocks import NetworkClock

PIECE = 1 << 16


class ProxyWire:
    """`links.Wire` over TCP. target: where the listening node listens, asked for anew at each connection."""

    def __init__(self, clock: NetworkClock, chance: Random, target: Callable[[], Endpoint]) -> None:
        clocked = clock.node_clock()
        self._lines = {way: Line(clocked, chance) for way in (True, False)}
        self._target = target
        self._network = TcpNetwork()
        self._listener: Listener | None = None
        self._streams: dict[Stream, None] = {}
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._is_cut = False

    async def open(self) -> Endpoint:
        if self._listener is None:
            self._listener = await self._network.listen(("127.0.0.1", 0), self._accept)
        return self._listener.endpoint

    def line(self, forward: bool) -> Line:
        return self._lines[forward]

    async def _accept(self, near: Stream) -> None:
        try:
            if self._is_cut:
                raise OSError("cut")
            far = await self._network.dial(self._target())
        except OSError:
            near.close()
            return
        for stream in (near, far):
            self._streams[stream] = None
        for source, sink, forward in ((near, far, True), (far, near, False)):
            task = asyncio.get_running_loop().create_task(self._carry(source, sink, self._lines[forward]))
            self._tasks[task] = None
            task.add_done_callback(lambda done: self._tasks.pop(done, None))

    async def _carry(self, source: Stream, sink: Stream, line: Line) -> None:
        with suppress(OSError):
            while data := await source.read(PIECE):
                line.send(len(data), lambda data=data: sink.write(data))  # type: ignore[misc]
                await sink.drain()
        line.send(0, sink.close)
        self._streams.pop(source, None)
        source.close()

    async def cut(self) -> None:
        self._is_cut = True
        self._drop()
        for line in self._lines.values():
            line.end()

    async def heal(self) -> None:
        self._is_cut = False

    def _drop(self) -> None:
        for stream in list(self._streams):
            stream.close()
        self._streams.clear()

    async def close(self) -> None:
        self._is_cut = True
        if self._listener is not None:
            await self._listener.close()
            self._listener = None
        self._drop()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
